# The schema travels inside the program.
$(BUILD)/obj/harness/store.o: $(BUILD)/gen/harness/schema.sql.h $(BUILD)/gen/harness/views.sql.h $(BUILD)/gen/harness/quick_views.sql.h

# A million samples: how long to write, to ask for a report, to export, and in how much memory.
#   make bench-store [STORE_FOLDER=/tmp]
STORE_FOLDER ?= /tmp
$(BUILD)/bench/bench_store: $(BUILD)/obj/harness/bench_store.o $(ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

.PHONY: bench-store
bench-store: $(BUILD)/bench/bench_store
	$< $(STORE_FOLDER)
