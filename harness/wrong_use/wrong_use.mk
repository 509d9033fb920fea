# One small program per wrong use of malloc: hakperf peers asks which allocator notices. They link libc alone, as workloads do.
WRONG_USES := double_free interior_free wild_free
WRONG_USE_BINS := $(WRONG_USES:%=$(BUILD)/wrong_use/%)
define wrong_use
$(BUILD)/wrong_use/$(1): harness/wrong_use/$(1).c harness/wrong_use/crime.h harness/wrong_use/wrong_use.mk $(FLAGS_STAMP)
	@mkdir -p $$(@D)
	$(Q)$(CC) -std=gnu17 -O1 -g -Wall -Wextra $(WERROR) -fno-builtin -fPIE -pie -o $$@ $$<
endef
$(foreach w,$(WRONG_USES),$(eval $(call wrong_use,$(w))))

.PHONY: wrong-uses
wrong-uses: $(WRONG_USE_BINS)
all: wrong-uses
