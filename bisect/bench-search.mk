# make bench-search [TRIALS=3000] [SEED=1]: the bars of the search on synthetic histories (bisect/bench/).
TRIALS ?= 3000
SEED ?= 1
CELLS ?=
$(BUILD)/bin/bench-search: $(BUILD)/obj/bisect/bench/search.o $(ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)
.PHONY: bench-search
bench-search: $(BUILD)/bin/bench-search all
	$< --trials $(TRIALS) --seed $(SEED) $(CELLS)
	bisect/bench/toy.sh $(BUILD)
