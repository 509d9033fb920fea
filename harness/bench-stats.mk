# What the statistics promise, shown on simulated sessions of known truth.
#   make bench-stats [SESSIONS=20000] [SEED=1] [BANK=rounds.csv]
SESSIONS ?= 20000
SEED ?= 1
BANK ?=

BENCH_STATS := bench_stats bench_tally bench_bank
$(BUILD)/bench/bench_stats: $(BENCH_STATS:%=$(BUILD)/obj/harness/%.o) $(ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

.PHONY: bench-stats
bench-stats: $(BUILD)/bench/bench_stats
	nice $< --sessions $(SESSIONS) --seed $(SEED) $(if $(BANK),--bank $(BANK))
