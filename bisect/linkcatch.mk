# The program that stands before the linker while a subject is built travels inside the library.
$(BUILD)/linkcatch/ld: bisect/linkcatch/ld.c $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c17 -D_GNU_SOURCE -O1 $(WARN) $(WERROR) -o $@ $<

$(BUILD)/gen/bisect/linkcatch/ld.h: $(BUILD)/linkcatch/ld
	@mkdir -p $(@D)
	$(Q)od -An -v -tx1 $< | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g' > $@

$(BUILD)/obj/bisect/linkcatch.o: $(BUILD)/gen/bisect/linkcatch/ld.h
