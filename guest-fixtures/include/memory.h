/* SPDX-License-Identifier: Apache-2.0 */
/* The C library's memory functions, a bump allocator and a pseudorandom generator. */
#ifndef MEMORY_H
#define MEMORY_H

#include "types.h"

void *memset(void *target, int value, u64 length);
void *memcpy(void *target, const void *source, u64 length);
int memcmp(const void *left, const void *right, u64 length);

/* Storage behind the image. `alloc` gives zeroed memory or NULL; nothing is given back. */
void alloc_init(u64 memory_bytes);
void *alloc(u64 bytes, u64 alignment);

/* xorshift64* (Marsaglia; Vigna's multiplier). The state must not be 0. */
static inline u64 random_next(u64 *state)
{
	u64 x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dUL;
}

#endif
