# The interposition probe travels inside the library: harness/probe.c runs it from memory.
$(BUILD)/probe/interpose: harness/probe/interpose.c $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c17 -D_GNU_SOURCE -O1 -fno-builtin $(WARN) $(WERROR) -o $@ $< -ldl

$(BUILD)/gen/harness/probe/interpose.h: $(BUILD)/probe/interpose
	@mkdir -p $(@D)
	$(Q)od -An -v -tx1 $< | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g' > $@

$(BUILD)/obj/harness/probe.o: $(BUILD)/gen/harness/probe/interpose.h
