/* SPDX-License-Identifier: Apache-2.0 */
/* Integer types and small helpers that every fixture uses. The machine is big-endian and LP64. */
#ifndef TYPES_H
#define TYPES_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

#define PAGE_SIZE 4096UL
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define ALIGN_UP(value, step) (((value) + (step) - 1) & ~((u64)(step) - 1))
#define assert_layout(what) _Static_assert(what, #what)

static inline u64 min_u64(u64 a, u64 b)
{
	return a < b ? a : b;
}

#endif
