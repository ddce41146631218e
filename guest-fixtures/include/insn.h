/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zPCI and channel-subsystem instructions, one inline function each, returning the condition code.
 * Opcodes and operand registers: zpci-guest.md 1.1 and 1.2.
 */
#ifndef INSN_H
#define INSN_H

#include "types.h"

#define GET_CC "	ipm	%[cc]\n	srl	%[cc],28\n"

/* CLP, logical processor 2 (PCI): request block at `block`, response behind it. */
static inline int insn_clp(void *block)
{
	int cc;

	asm volatile("	.insn	rrf,0xb9a00000,%%r0,%[block],%%r0,2\n" GET_CC
		     : [cc] "=d"(cc)
		     : [block] "a"(block)
		     : "memory", "cc");
	return cc;
}

static inline int insn_pcilg(u64 *data, u64 *request, u64 offset)
{
	register u64 even asm("2") = *request;
	register u64 odd asm("3") = offset;
	u64 value = 0;
	int cc;

	asm volatile("	.insn	rre,0xb9d20000,%[value],%[even]\n" GET_CC
		     : [cc] "=d"(cc), [value] "+d"(value), [even] "+d"(even)
		     : "d"(odd)
		     : "memory", "cc");
	*request = even;
	*data = value;
	return cc;
}

static inline int insn_pcistg(u64 data, u64 *request, u64 offset)
{
	register u64 even asm("2") = *request;
	register u64 odd asm("3") = offset;
	int cc;

	asm volatile("	.insn	rre,0xb9d00000,%[data],%[even]\n" GET_CC
		     : [cc] "=d"(cc), [even] "+d"(even)
		     : [data] "d"(data), "d"(odd)
		     : "memory", "cc");
	*request = even;
	return cc;
}

static inline int insn_pcistb(const void *source, u64 *request, u64 offset)
{
	u64 first = *request;
	int cc;

	asm volatile("	.insn	rsy,0xeb00000000d0,%[request],%[offset],0(%[source])\n" GET_CC
		     : [cc] "=d"(cc), [request] "+d"(first)
		     : [offset] "d"(offset), [source] "a"(source)
		     : "memory", "cc");
	*request = first;
	return cc;
}

static inline int insn_rpcit(u64 *request, u64 start, u64 length)
{
	register u64 even asm("2") = start;
	register u64 odd asm("3") = length;
	u64 first = *request;
	int cc;

	asm volatile("	.insn	rre,0xb9d30000,%[request],%[even]\n" GET_CC
		     : [cc] "=d"(cc), [request] "+d"(first), [even] "+d"(even)
		     : "d"(odd)
		     : "memory", "cc");
	*request = first;
	return cc;
}

static inline int insn_mpcifc(u64 *request, void *fib)
{
	u64 first = *request;
	int cc;

	asm volatile("	.insn	rxy,0xe300000000d0,%[request],0(%[fib])\n" GET_CC
		     : [cc] "=d"(cc), [request] "+d"(first)
		     : [fib] "a"(fib)
		     : "memory", "cc");
	*request = first;
	return cc;
}

/* Set interruption controls: `mode` 1 = one interruption of `isc`, then silence until the next SIC. */
static inline void insn_sic(u64 mode, u32 isc)
{
	u64 block[8] = { 0 };

	asm volatile("	.insn	rsy,0xeb00000000d1,%[mode],%[isc],%[block]\n"
		     :
		     : [mode] "d"(mode), [isc] "d"((u64)isc << 27), [block] "Q"(block)
		     : "memory", "cc");
}

static inline int insn_stcrw(u32 *crw)
{
	u32 word;
	int cc;

	asm volatile("	.insn	s,0xb2390000,%[word]\n" GET_CC
		     : [cc] "=d"(cc), [word] "=Q"(word)
		     :
		     : "cc");
	*crw = word;
	return cc;
}

static inline int insn_chsc(void *area)
{
	int cc;

	asm volatile("	.insn	rre,0xb25f0000,%[area],%%r0\n" GET_CC
		     : [cc] "=d"(cc)
		     : [area] "a"(area)
		     : "memory", "cc");
	return cc;
}

#endif
