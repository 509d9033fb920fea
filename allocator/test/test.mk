# The allocator's tests. Included by the allocator's Makefile, which sets LIB_SO, LIB_A, INCLUDE_DIR,
# CC, CFLAGS, LDFLAGS, BUILD, DEBUG, HEADER and BOX (1 where wrong use is expected to be noticed).
#
#   make test         seconds; last line "N passed, N failed"
#   make test-long    sanitizers, longer random runs, a minute of ping-pong, the world
#   make test V=1     names every case; TEST_ONLY=text: only what has it in "program case"

TEST_DIR := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
TEST_OUT = $(BUILD)/test
TEST_WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Werror
TEST_CFLAGS = -std=c17 $(CFLAGS) -O1 -g $(TEST_WARN) -fno-builtin -pthread -MMD -MP -I$(TEST_DIR)

TEST_FRAME := check.o shadow.o
TEST_PRELOADED := model edge thread memory
TEST_WRONG := double_free wild_free overrun_header interior_pointer
TEST_STATIC := model edge
TEST_STATIC_LONG := model edge thread

TEST_RUN = $(TEST_OUT)/run --hakmem 1 --debug $(or $(DEBUG),0) --header $(or $(HEADER),1) \
	--box $(or $(BOX),0) $(if $(V),--verbose) $(if $(TEST_ONLY),--only $(TEST_ONLY))
TEST_PRELOADED_PROGRAMS = $(TEST_PRELOADED:%=$(TEST_OUT)/%) \
	$(if $(filter 1,$(BOX)),$(TEST_WRONG:%=$(TEST_OUT)/%))

.PHONY: test test-long test-sanitized

test: $(LIB_SO) $(TEST_OUT)/run $(TEST_PRELOADED_PROGRAMS) $(TEST_STATIC:%=$(TEST_OUT)/%_static)
	@$(if $(filter 1,$(BOX)),:,echo "wrong use: not tested, it is not noticed before the Box")
	@$(TEST_RUN) --so $(LIB_SO) $(TEST_PRELOADED_PROGRAMS) \
		--static $(TEST_STATIC:%=$(TEST_OUT)/%_static)

# Each sanitizer's build is a whole build of its own, of library and tests.
test-long: test
	@set -e; for seed in 1 2 3 4 5 6 7 8; do \
		echo "random runs, seed $$seed"; \
		$(TEST_RUN) --timeout 120 --scale 10 --seed $$((seed * 1000)) --so $(LIB_SO) \
			$(TEST_OUT)/model; \
	done
	@echo "threads and memory, longer"
	@$(TEST_RUN) --timeout 300 --scale 10 --so $(LIB_SO) $(TEST_OUT)/thread
	@for kind in thread address,undefined; do \
		echo "sanitizer: $$kind"; \
		$(MAKE) --no-print-directory BUILD=$(BUILD)/sanitize-$${kind%%,*} \
			CFLAGS='$(CFLAGS) -g -fno-omit-frame-pointer -fsanitize='$$kind \
			LDFLAGS='$(LDFLAGS) -fsanitize='$$kind test-sanitized || exit 1; \
	done
	@$(TEST_DIR)/world.sh $(LIB_SO)

test-sanitized: $(TEST_OUT)/run $(TEST_STATIC_LONG:%=$(TEST_OUT)/%_static)
	@TSAN_OPTIONS=die_after_fork=0:halt_on_error=1 \
	ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
	UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
		$(TEST_RUN) --timeout 300 --static $(TEST_STATIC_LONG:%=$(TEST_OUT)/%_static)

# The runner is the judge: whatever the subject is built with, it is built plainly.
$(TEST_OUT)/run: $(TEST_DIR)/run.c
	@mkdir -p $(@D)
	$(CC) -std=c17 -O1 -g $(TEST_WARN) -MMD -MP -MF $@.d -o $@ $<

$(TEST_OUT)/preloaded/%.o: $(TEST_DIR)/%.c
	@mkdir -p $(@D)
	$(CC) $(TEST_CFLAGS) -c -o $@ $<

$(TEST_OUT)/static/%.o: $(TEST_DIR)/%.c
	@mkdir -p $(@D)
	$(CC) $(TEST_CFLAGS) -DSUBJECT_PREFIXED -I$(INCLUDE_DIR) -c -o $@ $<

$(TEST_PRELOADED:%=$(TEST_OUT)/%): $(TEST_OUT)/%: $(TEST_OUT)/preloaded/%.o \
		$(TEST_FRAME:%=$(TEST_OUT)/preloaded/%)
	$(CC) $(LDFLAGS) -pthread -o $@ $^ -ldl

$(TEST_WRONG:%=$(TEST_OUT)/%): $(TEST_OUT)/%: $(TEST_OUT)/preloaded/wrong/%.o \
		$(TEST_OUT)/preloaded/wrong/wrong.o $(TEST_FRAME:%=$(TEST_OUT)/preloaded/%)
	$(CC) $(LDFLAGS) -pthread -o $@ $^ -ldl

$(TEST_STATIC_LONG:%=$(TEST_OUT)/%_static): $(TEST_OUT)/%_static: $(TEST_OUT)/static/%.o \
		$(TEST_FRAME:%=$(TEST_OUT)/static/%) $(LIB_A)
	$(CC) $(LDFLAGS) -pthread -o $@ $^ -ldl

-include $(wildcard $(TEST_OUT)/*.d $(TEST_OUT)/*/*.d $(TEST_OUT)/*/wrong/*.d)
