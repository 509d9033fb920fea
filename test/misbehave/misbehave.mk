# Programs and libraries that test_run and test_session measure: each misbehaves in one way.
MISBEHAVE := $(BUILD)/test/misbehave/misbehave
MISBEHAVE_LIBRARIES := $(patsubst %,$(BUILD)/test/misbehave/%.so,partial fallback overlap)

$(MISBEHAVE): test/misbehave/misbehave.c harness/workload/hakperf/roi.h harness/workload/workload.mk $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(CC) $(WORKLOAD_FLAGS) -pie -o $@ $<

AT_ONCE := $(BUILD)/test/misbehave/at_once
$(AT_ONCE): test/misbehave/at_once.c harness/workload/hakperf/roi.h harness/workload/workload.mk $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(CC) $(WORKLOAD_FLAGS) -pie -o $@ $< -pthread

$(BUILD)/test/misbehave/%.so: test/misbehave/%.c harness/workload/workload.mk $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SUBJECT_FLAGS) -shared -o $@ $<

# Two that differ in nothing but how long their first mallocs wait.
SLOW_START := $(patsubst %,$(BUILD)/test/misbehave/%.so,slow_start quick_start quick_start_too)
$(BUILD)/test/misbehave/slow_start.so: TURNS := 4000
$(BUILD)/test/misbehave/quick_start.so: TURNS := 1
$(BUILD)/test/misbehave/quick_start_too.so: TURNS := 2
$(SLOW_START): test/misbehave/slow_start.c $(BUILD)/control/0/lib/libcontrol.so
	@mkdir -p $(@D)
	$(Q)objcopy --redefine-sym malloc=control_malloc $(BUILD)/control/control.o $(@:.so=.o)
	$(Q)$(CC) $(SUBJECT_FLAGS) -DTURNS=$(TURNS) -shared -o $@ $< $(@:.so=.o) $(BUILD)/control/0/share/hakperf/objects/extra.o

.PHONY: misbehave
misbehave: $(MISBEHAVE) $(AT_ONCE) $(MISBEHAVE)-linked $(MISBEHAVE_LIBRARIES) $(SLOW_START)

# The same program with an allocator inside, as a subject of kind `library` is.
$(MISBEHAVE)-linked: test/misbehave/misbehave.c $(BUILD)/control/0/lib/libcontrol.so
	@mkdir -p $(@D)
	$(Q)$(CC) $(WORKLOAD_FLAGS) -pie -o $@ $< $(BUILD)/control/0/share/hakperf/objects/*.o

$(BUILD)/test/test_run $(BUILD)/test/test_session: | $(MISBEHAVE) $(AT_ONCE) $(MISBEHAVE)-linked $(MISBEHAVE_LIBRARIES) $(WORKLOADS) $(CONTROLS) $(NULL_ALLOCATOR)
