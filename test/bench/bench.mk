.PHONY: bench-build
bench-build: $(BUILD)/bin/hakperf
	BUILD=$(BUILD) test/bench/build-300
