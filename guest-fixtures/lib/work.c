/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One round of work: scratchpad write and read back, now and then a block store read back, then a random
 * pattern guest memory -> the function's RAM -> other guest memory, compared byte by byte, with guard
 * bytes around the target. Every transfer ends with an MSI; a missing one is a time-out.
 */
#include "work.h"

#include "cpu.h"
#include "memory.h"
#include "print.h"
#include "test-function.h"

#define RECOVERY_PAUSE (TOD_MS)
#define TRANSFER_TIMEOUT (500 * TOD_MS)
#define SILENT_MAX 4

#define BUFFER_BYTES (2 * (u32)PAGE_SIZE)
#define TRANSFER_MAX 4096
#define GUARD 8
#define GUARD_BYTE 0xa5
/* DMA uses the front of the function's RAM, block stores a place behind it. */
#define DMA_AREA 0x6000
#define BLOCK_AREA (TF_SCRATCH_OFFSET + 0x7000)
#define BLOCK_BYTES 64

#define WORK_DEVICE_ERROR PCI_RESULT(5, 0)

/* The part of a two-page buffer from `offset` that is contiguous in storage. */
static u8 *piece(u8 *const pages[2], u32 offset, u32 *length)
{
	u32 left = (u32)PAGE_SIZE - offset % (u32)PAGE_SIZE;

	if (*length > left)
		*length = left;
	return pages[offset / PAGE_SIZE] + offset % PAGE_SIZE;
}

static void fill_buffer(u8 *const pages[2], u32 offset, u32 length, u8 value)
{
	while (length) {
		u32 part = length;

		memset(piece(pages, offset, &part), value, part);
		offset += part;
		length -= part;
	}
}

static void fill_random(u8 *const pages[2], u32 offset, u32 length, u64 *random)
{
	while (length) {
		u32 part = length, i;
		u8 *to = piece(pages, offset, &part);

		offset += part;
		length -= part;
		for (i = 0; i < part; i += 8) {
			u64 value = random_next(random);

			memcpy(to + i, &value, min_u64(8, part - i));
		}
	}
}

static int buffer_holds(u8 *const pages[2], u32 offset, u32 length, u8 value)
{
	for (; length; offset++, length--) {
		u32 one = 1;

		if (*piece(pages, offset, &one) != value)
			return 0;
	}
	return 1;
}

static int transferred_well(const struct function *f)
{
	const struct work *w = &f->work;
	u32 done = 0;

	while (done < w->length) {
		u32 part = w->length - done;
		u8 *from = piece(f->source_pages, w->source + done, &part);
		u8 *to = piece(f->target_pages, w->target + done, &part);

		if (memcmp(from, to, part))
			return 0;
		done += part;
	}
	return buffer_holds(f->target_pages, w->target - GUARD, GUARD, GUARD_BYTE) &&
	       buffer_holds(f->target_pages, w->target + w->length, GUARD, GUARD_BYTE);
}

static u64 round_pause = RECOVERY_PAUSE;

void work_pause(u64 ms)
{
	if (ms)
		round_pause = ms * TOD_MS;
}

static u32 trouble(struct function *f, const char *what, u32 result)
{
	f->work.trouble = what;
	return result;
}

static void corrupt(struct function *f, const char *what)
{
	f->corrupt++;
	say("fid %08x fh %08x corrupt %s round %u length %u", f->fid, f->fh, what, f->work.rounds,
	    f->work.length);
}

/*
 * A function that broke behind our back answers loads with all ones until the platform has told us. That is
 * no corruption: the function is suspect.
 */
static u32 all_ones(struct function *f)
{
	return trouble(f, "load of all ones", WORK_DEVICE_ERROR);
}

static u32 check_scratchpad(struct function *f)
{
	u64 value = random_next(&f->work.random) & 0xffffffff, back;
	u32 result;

	if ((result = pci_store(f->fh, 0, TF_SCRATCHPAD, 4, value)) ||
	    (result = pci_load(f->fh, 0, TF_SCRATCHPAD, 4, &back)))
		return trouble(f, "scratchpad", result);
	if (back != value && (u32)back == 0xffffffff)
		return all_ones(f);
	if (back != value)
		corrupt(f, "scratchpad");
	return 0;
}

static u32 check_block_store(struct function *f)
{
	u64 block[BLOCK_BYTES / 8], back;
	u32 i, result;

	if (f->group.store_block_max < BLOCK_BYTES)
		return 0;
	for (i = 0; i < ARRAY_SIZE(block); i++)
		block[i] = random_next(&f->work.random);
	result = pci_store_block(f->fh, 0, BLOCK_AREA, BLOCK_BYTES, block);
	if (result)
		return trouble(f, "block store", result);
	for (i = 0; i < ARRAY_SIZE(block); i += 3) {
		result = pci_load(f->fh, 0, BLOCK_AREA + 8 * i, 8, &back);
		if (result)
			return trouble(f, "block load", result);
		/* Bytes keep their order; the load swapped them. */
		if (__builtin_bswap64(back) == block[i])
			continue;
		if (back == ~0UL)
			return all_ones(f);
		corrupt(f, "block store");
	}
	return 0;
}

static u32 start_transfer(struct function *f, u64 now, enum work_phase phase)
{
	struct work *w = &f->work;
	int to_guest = phase == WORK_TO_GUEST;
	u64 iova = to_guest ? function_target_iova(f) + w->target : function_source_iova(f) + w->source;
	u32 result;

	w->interrupts_before = f->interrupts;
	w->phase = phase;
	w->due = now + TRANSFER_TIMEOUT;
	if ((result = pci_store(f->fh, 0, TF_DMA_ADDRESS, 8, iova)) ||
	    (result = pci_store(f->fh, 0, TF_DMA_OFFSET, 4, w->scratch)) ||
	    (result = pci_store(f->fh, 0, TF_DMA_LENGTH, 4, w->length)) ||
	    (result = pci_store(f->fh, 0, TF_DMA_COMMAND, 4,
				to_guest ? TF_DMA_TO_GUEST : TF_DMA_FROM_GUEST)))
		return trouble(f, "dma start", result);
	return 0;
}

static u32 start_round(struct function *f, u64 now)
{
	struct work *w = &f->work;
	u64 chance = random_next(&w->random);
	u32 result;

	w->rounds++;
	/* Short lengths are more frequent than long ones, all are possible. */
	w->length = 1 + ((u32)(chance >> 40) % TRANSFER_MAX >> (chance & 3));
	w->source = (u32)(chance >> 8) % (BUFFER_BYTES - w->length);
	w->target = GUARD + (u32)(chance >> 20) % (BUFFER_BYTES - w->length - 2 * GUARD);
	w->scratch = (u32)(chance >> 32) % (DMA_AREA - w->length);

	if ((result = check_scratchpad(f)))
		return result;
	if (w->rounds % 4 == 0 && (result = check_block_store(f)))
		return result;
	/* Move the target pages to the other IOVA window now and then: unmap, refresh, map. */
	if (w->rounds % 8 == 0 && (result = function_map_target(f, !w->window)))
		return trouble(f, "refresh", result);
	fill_random(f->source_pages, w->source, w->length, &w->random);
	fill_buffer(f->target_pages, w->target - GUARD, w->length + 2 * GUARD, GUARD_BYTE);
	return start_transfer(f, now, WORK_TO_DEVICE);
}

static u32 end_transfer(struct function *f, u64 now)
{
	struct work *w = &f->work;
	u64 count;
	u32 result;

	if ((result = pci_load(f->fh, 0, TF_DMA_COUNT, 4, &count)))
		return trouble(f, "dma count", result);
	if ((u32)count == 0xffffffff)
		return all_ones(f);
	w->silent = 0;
	w->transfers++;
	if ((u32)count != w->transfers) {
		corrupt(f, "dma count");
		w->transfers = (u32)count;
	}
	if (w->phase == WORK_TO_DEVICE)
		return start_transfer(f, now, WORK_TO_GUEST);
	__asm__ volatile("" : : : "memory"); /* the device wrote the target pages */
	if (!transferred_well(f))
		corrupt(f, "dma");
	f->checked++;
	w->phase = WORK_IDLE;
	w->due = now + (f->state == FUNCTION_OK ? round_pause : RECOVERY_PAUSE);
	return 0;
}

u32 work_step(struct function *f, u64 now)
{
	struct work *w = &f->work;
	int interrupted = f->interrupts != w->interrupts_before;
	u64 status;
	u32 result;

	if (w->phase == WORK_IDLE)
		return now < w->due ? 0 : start_round(f, now);
	if (!interrupted && now < w->due)
		return 0;
	w->interrupts_before = f->interrupts;
	if ((result = pci_load(f->fh, 0, TF_STATUS, 4, &status)))
		return trouble(f, "status", result);
	if ((u32)status == 0xffffffff)
		return all_ones(f);
	if (status & TF_STATUS_ERROR)
		return trouble(f, "dma", WORK_DEVICE_ERROR);
	if (!interrupted)
		f->timeouts++;
	if (status & TF_STATUS_DONE)
		return end_transfer(f, now);
	if (interrupted)
		return 0;
	w->due = now + TRANSFER_TIMEOUT;
	return ++w->silent < SILENT_MAX ? 0 : trouble(f, "time-out", WORK_DEVICE_ERROR);
}
