# What measuring costs, and what it is worth, on the machine at hand. Figures, no pass or fail.
#   make bench-harness [ROUNDS=16]      the harness's own time; a thousand planned runs; queries over a million samples
#   make bench-live [SHORT=1]           null comparisons of relinks, dose and response, the smallest effect that a minute sees;
#                                       killed, it goes on where it was (LIVE_DB)
ROUNDS ?= 16
SHORT ?=
LIVE_DB ?= $(BUILD)/bench/live$(if $(SHORT),-short).db
LIVE_NULLS := $(if $(SHORT),6 2,100 10)
LIVE_DOSES := $(if $(SHORT),14,60)
LIVE_NOISE := $(if $(SHORT),2s,60s)

$(BUILD)/bench/bench_harness $(BUILD)/bench/bench_live: $(BUILD)/bench/%: $(BUILD)/obj/harness/%.o $(ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

.PHONY: bench-harness bench-live bench-live-bins
bench-live-bins: $(BUILD)/bench/bench_harness $(BUILD)/bench/bench_live

bench-harness: $(BUILD)/bench/bench_harness $(BUILD)/bench/bench_store $(WORKLOADS) $(CONTROLS)
	$< $(BUILD) $(ROUNDS)
	$(BUILD)/bench/bench_store $(STORE_FOLDER)

bench-live: $(BUILD)/bench/bench_live all
	$< $(BUILD) $(LIVE_DB) $(LIVE_NULLS) $(LIVE_DOSES)
	cd $(BUILD)/bench && HAKPERF_CONFIG= $(abspath $(BUILD))/bin/hakperf doctor --noise-time $(LIVE_NOISE) | sed -n '/^noise now/,/^$$/p;/^workload/,/^$$/p'
