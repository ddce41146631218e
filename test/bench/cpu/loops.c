/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Four plain loops for the CPU benchmark (performance.md 2.1b), one per value of LOOP. Bare metal: entered at the
 * first byte, takes the number of rounds from storage at 0x1008, leaves a checksum at 0x1000 and ends in a disabled wait.
 */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;

__asm__(".text\n"
	"	llilh	%r15,0x30\n"
	"	lghi	%r1,0x1000\n"
	"	lg	%r2,8(%r1)\n"
	"	brasl	%r14,loop\n"
	"	lghi	%r1,0x1000\n"
	"	stg	%r2,0(%r1)\n"
	"	lpswe	0xff0\n");

static u8 *const sieve_area = (u8 *)0x100000;
static u32 *const crc_table = (u32 *)0x80000;

/* xorshift and a 64-bit multiply */
static u64 alu(u64 rounds)
{
	u64 x = 0x2545f4914f6cdd1dUL, sum = 0;

	while (rounds--) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		sum += x * 0x9e3779b97f4a7c15UL;
	}
	return sum;
}

/* byte stores and loads over 1 MiB */
static u64 sieve(u64 rounds)
{
	const u32 size = 1 << 20;
	u64 primes = 0;

	while (rounds--) {
		for (u32 i = 0; i < size; i++)
			sieve_area[i] = 1;
		for (u32 i = 2; i * i < size; i++)
			if (sieve_area[i])
				for (u32 j = i * i; j < size; j += i)
					sieve_area[j] = 0;
		for (u32 i = 2; i < size; i++)
			primes += sieve_area[i];
	}
	return primes;
}

/* byte-wise CRC-32 with a table, over 64 KiB */
static u64 crc(u64 rounds)
{
	u32 c = 0xffffffff;

	for (u32 i = 0; i < 256; i++) {
		u32 value = i;

		for (int bit = 0; bit < 8; bit++)
			value = value & 1 ? value >> 1 ^ 0xedb88320 : value >> 1;
		crc_table[i] = value;
	}
	for (u32 i = 0; i < 65536; i++)
		sieve_area[i] = (u8)(i * 7 + (i >> 8));
	while (rounds--)
		for (u32 i = 0; i < 65536; i++)
			c = crc_table[(c ^ sieve_area[i]) & 0xff] ^ c >> 8;
	return c;
}

/* recursive calls */
static __attribute__((noinline)) u64 fibonacci(u64 n)
{
	return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static u64 fib(u64 rounds)
{
	u64 sum = 0;

	while (rounds--)
		sum += fibonacci(22);
	return sum;
}

u64 loop(u64 rounds)
{
	return LOOP(rounds);
}
