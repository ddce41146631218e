/* SPDX-License-Identifier: Apache-2.0 */
/* Memory functions that GCC may call from freestanding code, and the allocator. */
#include "memory.h"

/* Unaligned doublewords are legal on this machine; the attribute tells the compiler. */
struct chunk {
	u64 value;
} __attribute__((packed, may_alias));

extern u8 __image_end[];

static u64 next_free, memory_end;
/* What an alignment left unused: small things that come later go there. */
static u64 gap, gap_end;

void *memset(void *target, int value, u64 length)
{
	u8 *byte = target;
	u64 pattern = (u8)value * 0x0101010101010101UL;

	for (; length >= 8; length -= 8, byte += 8)
		((struct chunk *)byte)->value = pattern;
	while (length--)
		*byte++ = (u8)value;
	return target;
}

void *memcpy(void *target, const void *source, u64 length)
{
	u8 *to = target;
	const u8 *from = source;

	for (; length >= 8; length -= 8, to += 8, from += 8)
		((struct chunk *)to)->value = ((const struct chunk *)from)->value;
	while (length--)
		*to++ = *from++;
	return target;
}

int memcmp(const void *left, const void *right, u64 length)
{
	const u8 *a = left, *b = right;

	for (; length >= 8; length -= 8, a += 8, b += 8)
		if (((const struct chunk *)a)->value != ((const struct chunk *)b)->value)
			break;
	for (; length; length--, a++, b++)
		if (*a != *b)
			return *a < *b ? -1 : 1;
	return 0;
}

void alloc_init(u64 memory_bytes)
{
	next_free = ALIGN_UP((u64)__image_end, PAGE_SIZE);
	memory_end = memory_bytes;
}

void *alloc(u64 bytes, u64 alignment)
{
	u64 address = ALIGN_UP(gap, alignment);

	if (address + bytes <= gap_end) {
		gap = address + bytes;
		return memset((void *)address, 0, bytes);
	}
	address = ALIGN_UP(next_free, alignment);
	if (address + bytes > memory_end)
		return 0;
	if (address - next_free > gap_end - gap) {
		gap = next_free;
		gap_end = address;
	}
	next_free = address + bytes;
	return memset((void *)address, 0, bytes);
}
