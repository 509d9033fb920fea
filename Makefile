# hakperf: the toolkit. The subject (allocator/) has a Makefile of its own, since history builds it alone.
#
#   make            the command and the workloads, in $(BUILD)
#   make unit       build and run the unit tests;  make unit-NAME runs test/unit/test_NAME.c
#   make bench-…    benchmarks that print figures (never pass or fail by time)
#
# A room is a folder; its archive may use only the archives to its right:
#   cli -> reports -> bisect -> harness -> config -> base

MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

ifeq ($(origin CC),default)
CC := gcc
endif
BUILD ?= build
# One spelling of a folder: its name is among the flags, and another spelling would rebuild everything.
override BUILD := $(patsubst $(CURDIR)/%,%,$(abspath $(BUILD)))
V ?= 0
Q := $(if $(filter 1,$(V)),,@)
OPT ?= -O2 -g
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wno-missing-field-initializers
WERROR ?=
SAN ?=
CPPFLAGS += -I. -Iharness/workload -I$(BUILD)/gen -D_GNU_SOURCE
ALL_CFLAGS := -std=c17 $(OPT) $(WARN) $(WERROR) $(SAN) -fno-common -MMD -MP $(CFLAGS)
ALL_LDFLAGS := $(SAN) $(LDFLAGS)

ROOMS := reports bisect harness config base
LIBS := -lpfm -lsqlite3 -lgsl -lgslcblas -linih -lgit2 -ldw -lelf -ljansson -lnettle -lm -lpthread

VERSION := $(shell git describe --always --dirty --match 'v*' 2>/dev/null || echo unknown)

lib = $(BUILD)/lib/lib$(1).a
ARCHIVES := $(foreach r,$(ROOMS),$(call lib,$(r)))

.PHONY: all
all: $(BUILD)/bin/hakperf

# A changed compiler or flag rebuilds everything: the stamp's content is the flags.
FLAGS_NOW := $(CC) $(CPPFLAGS) $(filter-out -Werror,$(ALL_CFLAGS)) $(ALL_LDFLAGS)
FLAGS_STAMP := $(BUILD)/flags
$(shell mkdir -p $(BUILD) && { [ "$$(cat $(FLAGS_STAMP) 2>/dev/null)" = '$(FLAGS_NOW)' ] || printf '%s\n' '$(FLAGS_NOW)' > $(FLAGS_STAMP); })

$(BUILD)/obj/%.o: %.c $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

# Text files that the programs carry: harness/schema.sql -> $(BUILD)/gen/harness/schema.sql.h, a C string literal.
$(BUILD)/gen/%.h: %
	@mkdir -p $(@D)
	$(Q)sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$$/\\n"/' $< > $@

define room
$(call lib,$(1)): $$(patsubst %.c,$$(BUILD)/obj/%.o,$$(filter-out $(1)/bench_%.c,$$(wildcard $(1)/*.c)))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q)ar rcs $$@ $$^
endef
$(foreach r,$(ROOMS),$(eval $(call room,$(r))))

CLI_OBJS := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard cli/*.c))
$(BUILD)/bin/hakperf: $(CLI_OBJS) $(ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/obj/cli/version.o: ALL_CFLAGS += -DHAKPERF_VERSION='"$(VERSION)"'
$(BUILD)/obj/cli/version.o: $(BUILD)/version
$(shell [ "$$(cat $(BUILD)/version 2>/dev/null)" = '$(VERSION)' ] || printf '%s\n' '$(VERSION)' > $(BUILD)/version)

# Unit tests: one program a module, each linked with every room.
UNIT_NAMES := $(patsubst test/unit/test_%.c,%,$(wildcard test/unit/test_*.c))
UNIT_BINS := $(UNIT_NAMES:%=$(BUILD)/test/test_%)
$(BUILD)/test/test_%: $(BUILD)/obj/test/unit/test_%.o $(ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) -lcmocka
.PRECIOUS: $(BUILD)/obj/%.o $(BUILD)/gen/%.h

.PHONY: unit unit-bins
unit-bins: $(UNIT_BINS)
unit: $(UNIT_NAMES:%=unit-%)
unit-%: $(BUILD)/test/test_%
	$<

# Every header compiles alone.
HEADERS := $(wildcard base/*.h config/*.h harness/*.h harness/workload/hakperf/*.h bisect/*.h reports/*.h cli/*.h)
.PHONY: headers
headers: $(HEADERS:%=$(BUILD)/hdr/%.ok)
$(BUILD)/hdr/%.ok: % $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -std=c17 $(WARN) -Werror -fsyntax-only -include $< -x c /dev/null
	@touch $@

.PHONY: compile_commands.json
compile_commands.json:
	@{ echo '['; for f in $$(git ls-files 'base/*.c' 'config/*.c' 'harness/*.c' 'bisect/*.c' 'reports/*.c' 'cli/*.c' 'test/unit/*.c'); do \
	printf '%s{"directory":"%s","file":"%s","command":"%s"}\n' "$$sep" "$(CURDIR)" "$$f" '$(CC) $(CPPFLAGS) -std=c17 $(OPT) $(WARN) -c '"$$f"; sep=,; done; echo ']'; } > $@

# Workloads, the null allocator, the positive control and benchmarks bring fragments of their own.
include $(wildcard harness/*/*.mk harness/*.mk bisect/*.mk reports/*.mk test/*/*.mk test/*.mk)

.PHONY: clean
clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
