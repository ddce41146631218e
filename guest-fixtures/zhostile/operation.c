/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making up operations. Registers 1-7 hold operands (handles, lengths, commands, I/O addresses), 8-15
 * hold storage addresses: a prepared block, other places of the arena, the end of storage, nowhere.
 * Instruction formats: zpci-guest.md 1.1.
 */
#include "hostile.h"
#include "memory.h"
#include "pci.h"
#include "sclp.h"

/* The arena lies 1 MiB away from anything of ours on both sides: displacements reach 512 KiB. */
#define ARENA_START 0x300000UL
#define ARENA_BYTES 0x100000UL
#define ARENA_END (ARENA_START + ARENA_BYTES)
#define STORAGE_MIN 0x800000UL
#define BLOCK_BYTES 8192

#define COUNT(array) ((u32)ARRAY_SIZE(array))
#define PICK(array, random) ((array)[below(random, COUNT(array))])

enum format { FORMAT_RRE, FORMAT_CLP, FORMAT_S, FORMAT_RXY, FORMAT_RSY };
enum block { BLOCK_NOISE, BLOCK_CLP, BLOCK_FIB, BLOCK_CHSC, BLOCK_SCCB };

struct instruction {
	u16 opcode; /* two bytes, or first and last */
	enum format format;
	enum block block;
	u32 weight;
};

static const struct instruction instructions[] = {
	{ 0xb9a0, FORMAT_CLP, BLOCK_CLP, 6 }, /* CLP */
	{ 0xb9d0, FORMAT_RRE, BLOCK_NOISE, 4 }, /* PCISTG */
	{ 0xb9d2, FORMAT_RRE, BLOCK_NOISE, 4 }, /* PCILG */
	{ 0xb9d3, FORMAT_RRE, BLOCK_NOISE, 3 }, /* RPCIT */
	{ 0xb9d4, FORMAT_RRE, BLOCK_NOISE, 1 }, /* PCISTGI */
	{ 0xb9d5, FORMAT_RRE, BLOCK_NOISE, 1 }, /* PCIWB */
	{ 0xb9d6, FORMAT_RRE, BLOCK_NOISE, 1 }, /* PCILGI */
	{ 0xe3d0, FORMAT_RXY, BLOCK_FIB, 8 }, /* MPCIFC */
	{ 0xe3d4, FORMAT_RXY, BLOCK_FIB, 3 }, /* STPCIFC */
	{ 0xebd0, FORMAT_RSY, BLOCK_NOISE, 3 }, /* PCISTB */
	{ 0xebd1, FORMAT_RSY, BLOCK_NOISE, 2 }, /* SIC */
	{ 0xebd4, FORMAT_RSY, BLOCK_NOISE, 1 }, /* PCISTBI */
	{ 0xb25f, FORMAT_RRE, BLOCK_CHSC, 4 }, /* CHSC */
	{ 0xb239, FORMAT_S, BLOCK_NOISE, 2 }, /* STCRW */
	{ 0xb236, FORMAT_S, BLOCK_NOISE, 1 }, /* TPI */
	{ 0xb220, FORMAT_RRE, BLOCK_SCCB, 4 }, /* SERVC */
};

#define OPCODE_CHSC 0xb25f
#define OPCODE_SERVC 0xb220
#define OPCODE_PCISTG 0xb9d0

static const u16 lengths[] = { 0,  1,	2,   4,	  7,	8,    15,   16,	  17,	24,   31,
			       32, 33,	40,  47,  48,	64,   160,  384,  4064, 4080, 4088,
			       4096, 4104, 8160, 8168, 8176, 8184, 8192, 0x8000, 0xfff8, 0xffff };
static const u16 clp_commands[] = { 1, 2, 2, 3, 3, 4, 5, 5, 5, 6, 0, 0xffff };
static const u16 chsc_commands[] = { 0x0e, 0x0e, 0x0e, 0x10, 0x31, 0x02, 0x04, 0x34, 0xffff };
static const u32 sclp_commands[] = { SCLP_READ_SCP_INFO_FORCED, SCLP_READ_SCP_INFO,
				     SCLP_WRITE_EVENT_MASK,	SCLP_WRITE_EVENT_DATA,
				     SCLP_READ_EVENT_DATA,	SCLP_CONFIGURE_ADAPTER,
				     SCLP_DECONFIGURE_ADAPTER,	0x00010001,
				     0x00040001,		0xffffffff };
/* Console types would only spoil the report. */
static const u8 event_types[] = { 0x18, 0x04, 0x08, 0x0c, 0x1d, 0x00, 0xff };
static const u8 fc_operations[] = { 2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 17, 0, 255 };

static u64 storage_end;

static u32 below(u64 *random, u32 bound)
{
	return (u32)(random_next(random) >> 33) % bound;
}

static int chance(u64 *random, u32 in)
{
	return below(random, in) == 0;
}

int operations_init(u64 memory_bytes)
{
	storage_end = memory_bytes;
	return memory_bytes >= STORAGE_MIN;
}

/* Somewhere in the arena with room behind it, aligned more often than not. */
static u64 arena_address(u64 *random)
{
	static const u64 alignments[] = { 4096, 4096, 4096, 4096, 4096, 4096, 64, 8, 8, 4, 2, 1 };
	u64 address = ARENA_START + below(random, ARENA_BYTES - 2 * BLOCK_BYTES);

	return address & ~(PICK(alignments, random) - 1);
}

static u64 bad_address(u64 *random)
{
	switch (below(random, 6)) {
	case 0:
		return storage_end - below(random, 64);
	case 1:
		return storage_end - PAGE_SIZE * below(random, 3);
	case 2:
		return storage_end + below(random, 0x100000);
	case 3:
		return 0x80000000UL - 8 * below(random, 3);
	case 4:
		return ~0UL - below(random, 64);
	default:
		return random_next(random) | 1UL << 63;
	}
}

static u64 any_address(u64 *random)
{
	return chance(random, 8) ? bad_address(random) : arena_address(random);
}

static u32 handle(const struct targets *targets, u64 *random)
{
	u32 fh;

	if (targets->count == 0 || chance(random, 16))
		return (u32)random_next(random);
	fh = targets->fh[below(random, targets->count)];
	return chance(random, 8) ? fh ^ 1u << below(random, 32) : fh;
}

/* A request register: handle, then space, length or operation, each sometimes wrong. */
static u64 request(const struct targets *targets, u64 *random)
{
	u64 low;

	switch (below(random, 4)) {
	case 0:
		low = PICK(fc_operations, random);
		break;
	case 1:
		low = (u64)below(random, 16) << 16 | below(random, 16);
		break;
	case 2:
		low = (chance(random, 2) ? PCI_CONFIG : 0) << 16 | 1u << below(random, 4);
		break;
	default:
		low = (u64)below(random, 6) << 16 | 8 * below(random, 32);
		break;
	}
	if (chance(random, 16))
		low ^= 1UL << below(random, 32);
	return (u64)handle(targets, random) << 32 | low;
}

static u64 operand(const struct targets *targets, u64 *random)
{
	switch (below(random, 6)) {
	case 0:
		return below(random, 0x10000);
	case 1:
		return 0x100000000UL + PAGE_SIZE * below(random, 0x4000);
	case 2:
		return PICK(sclp_commands, random);
	case 3:
		return random_next(random);
	default:
		return request(targets, random);
	}
}

static void put16(u8 *to, u64 value)
{
	to[0] = (u8)(value >> 8);
	to[1] = (u8)value;
}

static void put64(u8 *to, u64 value)
{
	memcpy(to, &value, 8);
}

static u16 some_length(u16 usual, u64 *random)
{
	return chance(random, 3) ? PICK(lengths, random) : usual;
}

static void make_clp(u8 *block, const struct targets *targets, u64 *random)
{
	u16 length = some_length(32, random);

	put16(block, length);
	put16(block + 2, PICK(clp_commands, random));
	if (chance(random, 8))
		put64(block + 4, random_next(random));
	put64(block + 16, (u64)handle(targets, random) << 32 | below(random, 6) << 8 | below(random, 3));
	if (chance(random, 4))
		put64(block + 16, below(random, 256) << (8 * below(random, 6)));
	if (length <= BLOCK_BYTES - 2)
		put16(block + length, some_length(4064, random));
}

static void make_fib(u8 *block, u64 *random)
{
	static const u64 iotas[] = { 0x804, 0x804, 0x800, 0x808, 0x80c, 0xa04, 0, 0x810 };
	u64 start = 0x100000000UL + PAGE_SIZE * below(random, 0x1000);

	if (chance(random, 16))
		block[0] = (u8)random_next(random);
	put64(block + 16, chance(random, 8) ? random_next(random) : start);
	put64(block + 24, start + PAGE_SIZE * below(random, 0x10000) - 1);
	put64(block + 32, (any_address(random) & ~0x3fffUL) | PICK(iotas, random));
	put64(block + 40, random_next(random) & 0x7fffffff00000000UL);
	put64(block + 48, any_address(random) & ~(chance(random, 8) ? 0UL : 7UL));
	put64(block + 56, any_address(random) & ~(chance(random, 8) ? 0UL : 7UL));
	put64(block + 64, chance(random, 2) ? 0 : any_address(random));
}

static void make_chsc(u8 *block, u64 *random)
{
	put16(block, some_length(16, random));
	put16(block + 2, PICK(chsc_commands, random));
	put64(block + 8, chance(random, 4) ? random_next(random) : 0xa000000000000000UL);
}

static void make_sccb(u8 *block, const struct targets *targets, u64 *random)
{
	u32 fid = targets->count ? targets->fid[below(random, targets->count)] : 0;

	put16(block, some_length(4096, random));
	block[5] = chance(random, 2) ? 0x80 : 0;
	if (chance(random, 2)) {
		/* configure / deconfigure */
		block[8] = chance(random, 8) ? (u8)random_next(random) : 2;
		put16(block + 12, fid >> 16);
		put16(block + 14, fid);
		return;
	}
	/* an event buffer, or a mask length at offset 10 */
	put16(block + 8, some_length(64, random));
	put16(block + 10, chance(random, 2) ? some_length(8, random) & 0xff :
					      (u64)PICK(event_types, random) << 8);
}

static void make_block(u8 *block, enum block kind, const struct targets *targets, u64 *random)
{
	memset(block, 0, BLOCK_BYTES);
	switch (kind) {
	case BLOCK_NOISE:
		break;
	case BLOCK_CLP:
		make_clp(block, targets, random);
		break;
	case BLOCK_FIB:
		make_fib(block, random);
		break;
	case BLOCK_CHSC:
		make_chsc(block, random);
		break;
	case BLOCK_SCCB:
		make_sccb(block, targets, random);
		break;
	}
}

static const struct instruction *pick_instruction(u64 *random)
{
	u32 total = 0, at, i;

	for (i = 0; i < COUNT(instructions); i++)
		total += instructions[i].weight;
	at = below(random, total);
	for (i = 0; at >= instructions[i].weight; i++)
		at -= instructions[i].weight;
	return &instructions[i];
}

/* Register 8 addresses the prepared block. */
static u32 address_register(u64 *random)
{
	return chance(random, 4) ? 8 + below(random, 8) : 8;
}

static void encode(u8 *bytes, const struct instruction *insn, u64 *random)
{
	u32 operand_1 = 1 + below(random, 7), operand_2 = 1 + below(random, 7);
	u32 base = address_register(random);
	/* No displacement most of the time, so that the block is met. */
	u32 displacement = chance(random, 4) ? below(random, 0x1000) : 0;

	memset(bytes, 0x07, 8);
	bytes[0] = (u8)(insn->opcode >> 8);
	bytes[1] = (u8)insn->opcode;
	switch (insn->format) {
	case FORMAT_CLP:
		bytes[2] = chance(random, 16) ? (u8)random_next(random) : 2;
		bytes[3] = (u8)(operand_1 << 4 | base);
		break;
	case FORMAT_RRE:
		bytes[2] = 0;
		if (insn->opcode == OPCODE_CHSC)
			bytes[3] = (u8)(base << 4);
		else if (insn->opcode == OPCODE_SERVC)
			bytes[3] = (u8)(operand_1 << 4 | base);
		else
			bytes[3] = (u8)(operand_1 << 4 | (chance(random, 16) ? operand_2 : operand_2 & 6));
		break;
	case FORMAT_S:
		bytes[2] = (u8)(base << 4 | displacement >> 8);
		bytes[3] = (u8)displacement;
		break;
	case FORMAT_RXY:
	case FORMAT_RSY:
		bytes[1] = (u8)(operand_1 << 4 | (insn->format == FORMAT_RSY ? operand_2 : 0));
		if (insn->format == FORMAT_RXY && chance(random, 8))
			bytes[1] |= (u8)(8 + below(random, 8));
		bytes[2] = (u8)(base << 4 | displacement >> 8);
		bytes[3] = (u8)displacement;
		bytes[4] = chance(random, 8) ? (u8)random_next(random) : 0;
		bytes[5] = (u8)insn->opcode;
		break;
	}
}

/*
 * A transfer to guest memory would run through tables made of noise and might hit this program: BAR
 * stores never carry the bit that starts one.
 */
static void tame(struct operation *operation, const struct instruction *insn)
{
	u32 data;

	if (insn->opcode != OPCODE_PCISTG)
		return;
	data = operation->bytes[3] >> 4;
	if ((operation->gprs[operation->bytes[3] & 14] >> 16 & 0xf) != PCI_CONFIG &&
	    data != (operation->bytes[3] & 15u))
		operation->gprs[data] &= ~0x0202020202020202UL;
}

void operation_make(struct operation *operation, const struct targets *targets, u64 *random)
{
	const struct instruction *insn = pick_instruction(random);
	u64 block = arena_address(random);
	u32 i;

	make_block((u8 *)block, insn->block, targets, random);
	for (i = 0; i < 8; i++)
		operation->gprs[i] = operand(targets, random);
	for (; i < 16; i++)
		operation->gprs[i] = any_address(random);
	/* Handle instructions read register pairs and R1; give those a request more often. */
	for (i = 1; i < 8; i++)
		if (i % 2 == 0 || chance(random, 2))
			operation->gprs[i] = request(targets, random);
		else if (chance(random, 2))
			operation->gprs[i] = below(random, 0x100);
	operation->gprs[8] = chance(random, 16) ? bad_address(random) : block;
	encode(operation->bytes, insn, random);
	if (insn->opcode == OPCODE_SERVC && !chance(random, 8))
		operation->gprs[operation->bytes[3] >> 4] = PICK(sclp_commands, random);
	tame(operation, insn);
}
