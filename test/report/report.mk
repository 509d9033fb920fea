# A record with a known truth, for the tests of reports and their benchmark.
$(BUILD)/test/make-record: $(BUILD)/obj/test/report/make-record.o $(ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)
unit-bins: $(BUILD)/test/make-record
