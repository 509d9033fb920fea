#include "shadow.h"

#include <stdatomic.h>
#include <stdint.h>

#include "check.h"

/* A region of address space is 1 GiB; 2^17 of them are the 47 bits that user space has. */
enum { REGION_SHIFT = 30, REGIONS = 1 << 17, GRAIN_SHIFT = 3, WORD_SHIFT = GRAIN_SHIFT + 6 };

static const size_t region_words = (size_t)1 << (REGION_SHIFT - WORD_SHIFT);

static _Atomic(_Atomic uint64_t *) region[REGIONS];

static _Atomic uint64_t *word_of(uintptr_t address)
{
	_Atomic(_Atomic uint64_t *) *slot = &region[address >> REGION_SHIFT];
	_Atomic uint64_t *words = atomic_load_explicit(slot, memory_order_acquire);

	if (!words) {
		_Atomic uint64_t *mine = check_map(region_words * sizeof(*mine));

		/* The loser's mapping stays: it is address space only. */
		if (atomic_compare_exchange_strong(slot, &words, mine))
			words = mine;
	}
	return words + ((address >> WORD_SHIFT) & (region_words - 1));
}

/* Set or clear the bits of [p, p + size); 1 if all of them changed. */
static int flip(const void *p, size_t size, int set)
{
	uintptr_t at = (uintptr_t)p, end = (uintptr_t)p + size;

	if (at >> REGION_SHIFT >= REGIONS || end >> REGION_SHIFT >= REGIONS)
		return 0;
	at >>= GRAIN_SHIFT;
	end = (end + (1 << GRAIN_SHIFT) - 1) >> GRAIN_SHIFT;
	while (at < end) {
		unsigned first = at & 63;
		size_t n = end - at < 64 - first ? end - at : 64 - first;
		uint64_t mask = (n == 64 ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1) << first;
		_Atomic uint64_t *w = word_of(at << GRAIN_SHIFT);
		uint64_t old = set ? atomic_fetch_or_explicit(w, mask, memory_order_relaxed)
				   : atomic_fetch_and_explicit(w, ~mask, memory_order_relaxed);

		if ((old & mask) != (set ? 0 : mask))
			return 0;
		at += n;
	}
	return 1;
}

int shadow_claim(const void *p, size_t size)
{
	return flip(p, size, 1);
}

int shadow_release(const void *p, size_t size)
{
	return flip(p, size, 0);
}
