/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI instructions with their request register. Sources: zpci-guest.md 1.2 (register), 1.3 (condition
 * codes), 10 (byte order: a register holds the big-endian image of the PCI bytes).
 */
#include "pci.h"

#include "cpu.h"
#include "insn.h"

/* Linux would wait for ever. */
#define BUSY_TRIES 1000000

assert_layout(sizeof(struct fib) == 80);
assert_layout(__builtin_offsetof(struct fib, interrupts) == 40);
assert_layout(__builtin_offsetof(struct fib, fmb) == 64);

static u64 request(u32 fh, u32 space, u32 length)
{
	return (u64)fh << 32 | (u64)space << 16 | length;
}

static u32 result(int cc, u64 req)
{
	return cc == 0 ? 0 : PCI_RESULT(cc, cc == 1 ? (u8)(req >> 24) : 0);
}

/* Linux waits a microsecond between two tries of a load, store or refresh. */
static void pause_us(void)
{
	u64 end = tod_now() + TOD_US;

	while (tod_now() < end)
		;
}

static u64 swap(u64 value, u32 length)
{
	return __builtin_bswap64(value) >> (64 - 8 * length);
}

u32 pci_load(u32 fh, u32 space, u64 offset, u32 length, u64 *value)
{
	u64 req, image;
	int cc, tries;

	for (tries = 0; tries < BUSY_TRIES; tries++) {
		req = request(fh, space, length);
		cc = insn_pcilg(&image, &req, offset);
		if (cc != 2)
			break;
		pause_us();
	}
	/* What cannot be read looks like all ones, as on any PCI bus. */
	*value = cc == 0 ? swap(image, length) : ~0UL >> (64 - 8 * length);
	return result(cc, req);
}

u32 pci_store(u32 fh, u32 space, u64 offset, u32 length, u64 value)
{
	u64 req;
	int cc, tries;

	for (tries = 0; tries < BUSY_TRIES; tries++) {
		req = request(fh, space, length);
		cc = insn_pcistg(swap(value, length), &req, offset);
		if (cc != 2)
			break;
		pause_us();
	}
	return result(cc, req);
}

u32 pci_store_block(u32 fh, u32 space, u64 offset, u32 length, const void *source)
{
	u64 req;
	int cc, tries;

	for (tries = 0; tries < BUSY_TRIES; tries++) {
		req = request(fh, space, length);
		cc = insn_pcistb(source, &req, offset);
		if (cc != 2)
			break;
		pause_us();
	}
	return result(cc, req);
}

u32 pci_refresh(u32 fh, u64 iova, u64 length)
{
	u64 req;
	int cc, tries;

	for (tries = 0; tries < BUSY_TRIES; tries++) {
		req = (u64)fh << 32;
		cc = insn_rpcit(&req, iova, length);
		if (cc != 2)
			break;
		pause_us();
	}
	return result(cc, req);
}

u32 pci_control(u32 fh, u32 operation, struct fib *fib)
{
	u64 req = request(fh, 0, operation);
	int cc = insn_mpcifc(&req, fib);

	return result(cc, req);
}
