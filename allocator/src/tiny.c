#include "tiny.h"

#define POOL_STRIDES \
	1280 + 16, 1536 + 16, 1792 + 16, 2048 + 16, 2560 + 16, 3072 + 16, 3584 + 16, 4096 + 16, \
		5120 + 16, 6144 + 16, 7168 + 16, 8192 + 16, 10240 + 16, 12288 + 16, 14336 + 16, \
		16384 + 16, 20480 + 16, 24576 + 16, 28672 + 16, 32768 + 16
#define POOL_USABLES \
	1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096, 5120, 6144, 7168, 8192, 10240, 12288, \
		14336, 16384, 20480, 24576, 28672, 32768

const uint16_t g_class_stride[ALL_CLASSES] = {
	16, 32, 48, 80, 144, 272, 528, TINY_C7_STRIDE, POOL_STRIDES,
};

const uint16_t g_class_usable[ALL_CLASSES] = {
	15, 31, 47, 79, 143, 271, 527, 1024, POOL_USABLES,
};

_Static_assert(sizeof(g_class_stride) == sizeof(g_class_usable), "both know every class");

const uint16_t g_class_cap[ALL_CLASSES] = {
	256, 256, 256, 256, 256, 192, 128, 128, 32, 32, 32, 32, 16, 16,
	16,  16,  8,   8,   8,	 8,   4,   4,	4,  4,	2,  2,	2,  2,
};

const uint8_t g_class_batch[ALL_CLASSES] = {
	64, 64, 64, 48, 32, 24, 16, 16, 8, 8, 8, 8, 4, 4, 4, 4, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1,
};

const uint8_t g_tiny_class[TINY_MAX / 16 + 1] = {
	0, 1, 2, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6,
	6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
	7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
};

_Static_assert(TINY_MAX % 16 == 0, "the last entry is that of the biggest small request");
