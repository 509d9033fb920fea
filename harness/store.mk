# The schema travels inside the program; its benchmark prints figures and judges nothing.
$(BUILD)/obj/harness/store.o: $(BUILD)/gen/harness/schema.sql.h $(BUILD)/gen/harness/views.sql.h

$(BUILD)/bin/bench_store: $(BUILD)/obj/harness/bench/store.o $(ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

.PHONY: bench-store
bench-store: $(BUILD)/bin/bench_store
	$<
