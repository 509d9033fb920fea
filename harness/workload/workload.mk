# The workload programs, the null allocator and the positive control.
#
# They are measured, so they are built by flags of their own, whatever CFLAGS, OPT or SAN say: the same sources and compiler give the
# same bytes. No library on the link line: a workload has none, so it cannot come to need any.
# -fno-builtin-…: compilers delete free(malloc(1)).

WORKLOAD_NAMES := bench_random_mixed burst hot_path large larson producer_consumer realloc_grow
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

# The floor: no checks, no owners (harness/null/null.c).
NULL_ALLOCATOR := $(BUILD)/null/lib/libnull.so
SUBJECT_FLAGS := -std=gnu17 -O2 -g -gdwarf-4 -Wall -Wextra -Wshadow -Wno-missing-field-initializers $(WERROR) -fPIC -fno-lto \
	-ffunction-sections -fno-builtin-malloc -fno-builtin-free -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-aligned_alloc -ffile-prefix-map=$(CURDIR)=.
$(NULL_ALLOCATOR): harness/null/null.c harness/workload/workload.mk $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SUBJECT_FLAGS) -shared -Wl,-soname,libnull.so -o $@ $<

# The positive control in doses of extra dependent instructions per free, each a prefix like a build's: the library, its objects and
# the command that links them, so that it is relinked as the subject is.
CONTROL_DOSES := 0 1 2 4 8 16 32 64
CONTROL_LINK := -shared -Wl,-soname,libcontrol.so -Wl,--build-id=sha1 -o @OUT@ objects/control.o objects/extra.o
CONTROLS := $(CONTROL_DOSES:%=$(BUILD)/control/%/lib/libcontrol.so)
$(BUILD)/control/control.o: harness/control/control.c harness/control/control.h harness/workload/workload.mk $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SUBJECT_FLAGS) -c -o $@ $<
define control
$(BUILD)/control/$(1)/lib/libcontrol.so: $(BUILD)/control/control.o harness/control/extra.c harness/control/control.h
	@mkdir -p $$(@D) $$(@D)/../share/hakperf/objects
	$$(Q)cp $$< $$(@D)/../share/hakperf/objects/control.o
	$$(Q)$$(CC) $$(SUBJECT_FLAGS) -DCONTROL_EXTRA=$(1) -c -o $$(@D)/../share/hakperf/objects/extra.o harness/control/extra.c
	$$(Q)printf '%s\n' $$(CC) $$(CONTROL_LINK) > $$(@D)/../share/hakperf/link.cmd
	$$(Q)cd $$(@D)/../share/hakperf && $$(CC) $$(subst @OUT@,../../lib/libcontrol.so,$$(CONTROL_LINK))
endef
$(foreach n,$(CONTROL_DOSES),$(eval $(call control,$(n))))

.PHONY: controls
controls: $(CONTROLS) $(NULL_ALLOCATOR)
all: controls
