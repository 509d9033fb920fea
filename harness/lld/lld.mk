# What harness/lld.c preloads into ld.lld travels inside the library.
$(BUILD)/lld/server.so: harness/lld/server.c $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c17 -D_GNU_SOURCE -O2 -fPIC -shared $(WARN) $(WERROR) -o $@ $< -ldl

$(BUILD)/gen/harness/lld/server.h: $(BUILD)/lld/server.so
	@mkdir -p $(@D)
	$(Q)od -An -v -tx1 $< | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g' > $@

$(BUILD)/obj/harness/lld.o: $(BUILD)/gen/harness/lld/server.h
