# A report over 1,000 commits, 20 series and 30 rounds each: how long, in how much memory, how large the pages.
#   make bench-report [REPORT_FOLDER=/tmp]
# Target on a quiet machine: 5 s, 200 MB, no page above 5 MB. Elapsed time counts what other programs take: CPU time stands beside it.
REPORT_FOLDER ?= /tmp
REPORT_BENCH := $(REPORT_FOLDER)/hakperf-bench-report
.PHONY: bench-report
bench-report: $(BUILD)/bin/hakperf $(BUILD)/test/make-record
	@rm -rf $(REPORT_BENCH) && mkdir -p $(REPORT_BENCH)
	$(BUILD)/test/make-record $(REPORT_BENCH)/results.db --commits 1000 --cases 20 --rounds 30
	@test/report/measure $(BUILD)/bin/hakperf report --db $(REPORT_BENCH)/results.db --out $(REPORT_BENCH)/out
	@ls -l $(REPORT_BENCH)/out/*.html $(REPORT_BENCH)/results.db | awk '{ printf "%8.2f MB  %s\n", $$5 / 1e6, $$NF }'
	@rm -rf $(REPORT_BENCH)
