# Programs and libraries that test_run measures: each misbehaves in one way.
MISBEHAVE := $(BUILD)/test/misbehave/misbehave
MISBEHAVE_LIBRARIES := $(patsubst %,$(BUILD)/test/misbehave/%.so,partial fallback overlap)

$(MISBEHAVE): test/misbehave/misbehave.c harness/workload/hakperf/roi.h harness/workload/workload.mk $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(CC) $(WORKLOAD_FLAGS) -pie -o $@ $<

$(BUILD)/test/misbehave/%.so: test/misbehave/%.c harness/workload/workload.mk $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SUBJECT_FLAGS) -shared -o $@ $<

$(BUILD)/test/test_run: | $(MISBEHAVE) $(MISBEHAVE_LIBRARIES) $(WORKLOADS) $(CONTROLS) $(NULL_ALLOCATOR)
