# The workload programs, the null allocator and the positive control.
#
# They are measured, so they are built by flags of their own, whatever CFLAGS, OPT or SAN say: the same sources and compiler give the
# same bytes. No library on the link line: a workload has none, so it cannot come to need any.
# -fno-builtin-…: compilers delete free(malloc(1)).

WORKLOAD_NAMES := bench_random_mixed hot_path larson
WORKLOAD_FLAGS := -std=gnu17 -O2 -g -gdwarf-4 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wno-missing-field-initializers $(WERROR) -fPIE -pthread -fno-lto -fno-plt -ffile-prefix-map=$(CURDIR)=. \
	-fno-builtin-malloc -fno-builtin-free -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-aligned_alloc \
	-falign-functions=64 -falign-loops=32 -Iharness/workload
WORKLOADS := $(WORKLOAD_NAMES:%=$(BUILD)/workload/%)
WORKLOAD_SOURCES := harness/workload/workload.c harness/workload/workload.h harness/workload/hakperf/roi.h

.PHONY: workloads
workloads: $(WORKLOADS)
all: workloads

# One compiler run from sources with relative paths: no object is left that another configuration could pick up.
define workload
$(BUILD)/workload/$(1): harness/$(1)/$(1).c $(WORKLOAD_SOURCES) harness/workload/workload.mk $(FLAGS_STAMP)
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(WORKLOAD_FLAGS) -pie -Wl,-z,now -Wl,--build-id=sha1 -o $$@ $$< harness/workload/workload.c
endef
$(foreach w,$(WORKLOAD_NAMES),$(eval $(call workload,$(w))))
