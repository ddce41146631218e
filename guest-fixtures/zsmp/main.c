/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zsmp: all CPUs of a machine on the same storage. Each adds to shared counters with every interlocked update there
 * is, then reads a page whose mapping the first CPU takes away again and again, then answers signals. A lost
 * update, a torn pair, a translation used after its invalidation and a lost signal are all counted.
 * Source: z/Architecture, "CPU Signaling and Response", "Interlocked Update", INVALIDATE PAGE TABLE ENTRY.
 */
#include "cpu.h"
#include "fixture.h"
#include "print.h"

#define CPUS_MAX 8
#define UPDATES 2000
#define MAPPINGS 200
#define SIGNALS 50
#define TIMEOUT_US 60000000UL

#define SIGP_SENSE 0x01
#define SIGP_EXTERNAL_CALL 0x02
#define SIGP_EMERGENCY 0x03
#define SIGP_STOP 0x05
#define SIGP_RESTART 0x06
#define SIGP_INITIAL_RESET 0x0b
#define SIGP_SET_PREFIX 0x0d
#define SIGP_STORE_STATUS_AT 0x0e
#define STATUS_STOPPED 0x40
#define STATUS_INCORRECT_STATE 0x200

#define CR0_SIGNALS 0x6000UL
#define PSW_DAT 0x0400000000000000UL
#define FACILITY_LAA 45

/* Own words in each CPU's prefix area, beside those of lib/start.S. */
#define LC_EMERGENCIES 0x518
#define LC_CALLS 0x520
#define LC_PAGE_FAULTS 0x530
#define LC_RESTART_NEW_PSW 0x1a0

/* The page whose mapping changes: in the second mebibyte, which nothing else uses. */
#define WINDOW 0x100000UL
#define PTE_INVALID 0x400UL
#define ENTRY_INVALID 0x20UL
#define POISON 0x7070707070707070UL

const char program_name[] = "zsmp";

void secondary_entry(void);
void secondary_external(void);
void secondary_program(void);

u8 secondary_stacks[CPUS_MAX][8192] __attribute__((aligned(16)));
static u8 prefixes[CPUS_MAX][8192] __attribute__((aligned(8192)));
static u8 status_area[512] __attribute__((aligned(512)));
static u64 segment_table[512] __attribute__((aligned(4096)));
static u64 page_tables[2][256] __attribute__((aligned(2048)));
static u64 frames[2][512] __attribute__((aligned(4096)));

static volatile u32 cs_counter, laa_counter;
static volatile u64 csg_counter, ts_counter;
static volatile u8 ts_lock;
static u64 pair[2] __attribute__((aligned(16)));
static volatile u32 torn, stale, wrong_calls;
static volatile u32 arrived, phase;

/* Every CPU has its own stack; the interruption handlers need none. */
asm("	.globl secondary_entry\n"
    "secondary_entry:\n"
    "	stap	0x400\n"
    "	llgh	%r1,0x400\n"
    "	sllg	%r1,%r1,13\n"
    "	larl	%r15,secondary_stacks\n"
    "	agr	%r15,%r1\n"
    "	aghi	%r15,8192-160\n"
    "	brasl	%r14,secondary_main\n"
    "0:	j	0b\n"
    "	.globl secondary_external\n"
    "secondary_external:\n"
    "	stg	%r1,0x500\n"
    "	llgh	%r1,0x86\n"
    "	nill	%r1,3\n"
    "	sllg	%r1,%r1,3\n"
    "	agsi	0x510(%r1),1\n"
    "	lg	%r1,0x500\n"
    "	lpswe	0x130\n"
    "	.globl secondary_program\n"
    "secondary_program:\n"
    "	agsi	0x530,1\n"
    "	lpswe	0x150\n");

static int sigp(u32 cpu, u32 order, u64 parameter, u64 *status)
{
	register u64 answer asm("2") = 0;
	register u64 given asm("3") = parameter;
	int cc;

	asm volatile("	sigp	%[answer],%[cpu],0(%[order])\n"
		     "	ipm	%[cc]\n	srl	%[cc],28\n"
		     : [cc] "=d"(cc), [answer] "+d"(answer)
		     : [cpu] "d"((u64)cpu), [order] "a"((u64)order), "d"(given)
		     : "memory", "cc");
	if (status)
		*status = answer & 0xffffffff;
	return cc;
}

/* An order that the CPU has not followed yet is answered with cc 2. */
static int sigp_patiently(u32 cpu, u32 order, u64 parameter)
{
	int cc;

	do
		cc = sigp(cpu, order, parameter, 0);
	while (cc == 2);
	return cc;
}

static void add_cs(volatile u32 *word, u32 amount)
{
	u32 old = *word, next;

	do
		next = old + amount;
	while (({
		int cc;
		asm volatile("	cs	%[old],%[next],%[word]\n	ipm	%[cc]\n	srl	%[cc],28\n"
			     : [old] "+d"(old), [word] "+Q"(*word), [cc] "=d"(cc)
			     : [next] "d"(next)
			     : "cc");
		cc;
	}));
}

static void add_csg(volatile u64 *word, u64 amount)
{
	u64 old = *word, next;

	do
		next = old + amount;
	while (({
		int cc;
		asm volatile("	csg	%[old],%[next],%[word]\n	ipm	%[cc]\n	srl	%[cc],28\n"
			     : [old] "+d"(old), [word] "+Q"(*word), [cc] "=d"(cc)
			     : [next] "d"(next)
			     : "cc");
		cc;
	}));
}

/* The second half is twice the first, always. */
static void add_cdsg(void)
{
	register u64 old_high asm("2") = 0;
	register u64 old_low asm("3") = 1; /* never there: the first try reads */
	register u64 new_high asm("4");
	register u64 new_low asm("5");
	int cc;

	do {
		if (old_low != 1 && old_low != 2 * old_high)
			add_cs(&torn, 1);
		new_high = old_high + 1;
		new_low = 2 * new_high;
		asm volatile("	cdsg	%[oh],%[nh],%[pair]\n	ipm	%[cc]\n	srl	%[cc],28\n"
			     : [oh] "+d"(old_high), "+d"(old_low), [pair] "+Q"(pair), [cc] "=d"(cc)
			     : [nh] "d"(new_high), "d"(new_low)
			     : "cc");
	} while (cc);
}

static void add_under_lock(void)
{
	int cc;

	do
		asm volatile("	ts	%[lock]\n	ipm	%[cc]\n	srl	%[cc],28\n"
			     : [lock] "+Q"(ts_lock), [cc] "=d"(cc)
			     :
			     : "cc", "memory");
	while (cc);
	ts_counter = ts_counter + 1;
	asm volatile("	bcr	15,0\n" : : : "memory");
	ts_lock = 0;
}

static void add_laa(void)
{
	register u64 amount asm("2") = 1;
	register u64 old asm("3");

	asm volatile("	.insn	rsy,0xeb00000000f8,%[old],%[amount],%[word]\n"
		     : [old] "=d"(old), [word] "+Q"(laa_counter)
		     : [amount] "d"(amount)
		     : "cc");
}

static void updates(void)
{
	int laa = test_facility(FACILITY_LAA);
	u32 n;

	for (n = 0; n < UPDATES; n++) {
		add_cs(&cs_counter, 1);
		add_csg(&csg_counter, 3);
		add_cdsg();
		add_under_lock();
		if (laa)
			add_laa();
	}
}

static void wait_for(u32 wanted)
{
	while (phase < wanted)
		asm volatile("diag 0,0,0x44" : : : "memory");
}

static void load_control(u64 cr0, u64 cr1)
{
	asm volatile("lctlg 0,0,%0" : : "Q"(cr0) : "memory");
	asm volatile("lctlg 1,1,%0" : : "Q"(cr1) : "memory");
}

/* Reads the window until the phase ends. What was there before an invalidation is poisoned after it. */
static void read_window(void)
{
	volatile u64 *window = (volatile u64 *)WINDOW;

	psw_load(PSW_MODE_64 | PSW_DAT);
	while (phase < 3)
		if (*window == POISON)
			add_cs(&stale, 1);
	psw_load(PSW_MODE_64);
}

void secondary_main(void);
void secondary_main(void)
{
	load_control(0xe0 | CR0_SIGNALS, (u64)segment_table);
	add_cs(&arrived, 1);
	wait_for(1);
	updates();
	add_cs(&arrived, 1);
	wait_for(2);
	read_window();
	add_cs(&arrived, 1);
	psw_load(PSW_MODE_64 | PSW_EXTERNAL);
	wait_for(4);
	psw_load(PSW_MODE_64);
	add_cs(&arrived, 1);
	for (;;)
		;
}

static void await_all(u32 others)
{
	u64 limit = tod_now() + TIMEOUT_US * TOD_US;

	while (arrived < others)
		if (tod_now() > limit) {
			say("only %u of %u CPUs came to phase %u", arrived, others, phase);
			stop(STOP_FATAL);
		}
	arrived = 0;
}

static void next_phase(void)
{
	asm volatile("	bcr	15,0\n" : : : "memory");
	phase = phase + 1;
}

static void build_tables(void)
{
	u32 n;

	for (n = 0; n < 512; n++)
		segment_table[n] = ENTRY_INVALID;
	for (n = 0; n < 256; n++) {
		page_tables[0][n] = n * PAGE_SIZE;
		page_tables[1][n] = PTE_INVALID;
	}
	segment_table[0] = (u64)page_tables[0];
	segment_table[1] = (u64)page_tables[1];
}

static void begin(u32 cpu)
{
	struct lowcore *lc = (struct lowcore *)prefixes[cpu];
	struct psw *restart = (struct psw *)(prefixes[cpu] + LC_RESTART_NEW_PSW);

	*restart = (struct psw){ PSW_MODE_64, (u64)secondary_entry };
	lc->external_new_psw = (struct psw){ PSW_MODE_64, (u64)secondary_external };
	lc->program_new_psw = (struct psw){ PSW_MODE_64, (u64)secondary_program };
	if (sigp_patiently(cpu, SIGP_INITIAL_RESET, 0) ||
	    sigp_patiently(cpu, SIGP_SET_PREFIX, (u64)prefixes[cpu]) ||
	    sigp_patiently(cpu, SIGP_RESTART, 0))
		say("cpu %u does not start", cpu);
}

static void change_mappings(void)
{
	u32 n;

	for (n = 0; n < MAPPINGS; n++) {
		u64 *now = frames[n & 1], *before = frames[~n & 1];

		now[0] = n;
		asm volatile("ipte %0,%1" : : "a"(page_tables[1]), "a"(WINDOW) : "memory");
		before[0] = POISON;
		asm volatile("	bcr	15,0\n" : : : "memory");
		*(volatile u64 *)&page_tables[1][0] = (u64)now;
	}
}

static u64 own_word(u32 cpu, u32 offset)
{
	return *(volatile u64 *)(prefixes[cpu] + offset);
}

/* Each signal is taken before the next is sent. Returns how many were. */
static u32 signals(u32 cpu, u32 order, u32 counter)
{
	u64 limit = tod_now() + TIMEOUT_US * TOD_US;
	u32 n;

	for (n = 0; n < SIGNALS; n++) {
		if (sigp_patiently(cpu, order, 0))
			wrong_calls++;
		while (own_word(cpu, counter) != n + 1)
			if (tod_now() > limit)
				return n;
	}
	return n;
}

/* Stops a CPU and looks at it; 1 when everything is as it should be. */
static int stopped_well(u32 cpu)
{
	u64 status;

	if (sigp(cpu, SIGP_SET_PREFIX, (u64)prefixes[cpu], &status) != 1 ||
	    status != STATUS_INCORRECT_STATE)
		return 0;
	if (sigp_patiently(cpu, SIGP_STOP, 0))
		return 0;
	do
		status = 0;
	while (sigp(cpu, SIGP_SENSE, 0, &status) != 1);
	if (status != STATUS_STOPPED || sigp_patiently(cpu, SIGP_STORE_STATUS_AT, (u64)status_area))
		return 0;
	return *(u32 *)(status_area + 0x118) == (u32)(u64)prefixes[cpu];
}

static const char *verdict(int good)
{
	return good ? "ok" : "WRONG";
}

void fixture_main(const struct machine_info *info)
{
	u32 cpus = 1, cpu, taken, well = 0;

	(void)info;
	while (cpus < CPUS_MAX && sigp(cpus, SIGP_SENSE, 0, 0) != 3)
		cpus++;
	build_tables();
	for (cpu = 1; cpu < cpus; cpu++)
		begin(cpu);
	await_all(cpus - 1);
	next_phase();
	updates();
	await_all(cpus - 1);
	say("cpus %u cs %s csg %s cdsg %s ts %s torn %u", cpus, verdict(cs_counter == cpus * UPDATES),
	    verdict(csg_counter == 3UL * cpus * UPDATES),
	    verdict(pair[0] == (u64)cpus * UPDATES && pair[1] == 2 * pair[0]),
	    verdict(ts_counter == (u64)cpus * UPDATES), torn);
	if (test_facility(FACILITY_LAA))
		say("laa %s", verdict(laa_counter == cpus * UPDATES));
	next_phase();
	change_mappings();
	next_phase();
	await_all(cpus - 1);
	say("mappings %u stale %u", MAPPINGS, stale);
	for (cpu = 1; cpu < cpus; cpu++) {
		taken = signals(cpu, SIGP_EMERGENCY, LC_EMERGENCIES);
		taken += signals(cpu, SIGP_EXTERNAL_CALL, LC_CALLS);
		say("cpu %u signals %s", cpu, verdict(taken == 2 * SIGNALS));
	}
	next_phase();
	await_all(cpus - 1);
	for (cpu = 1; cpu < cpus; cpu++)
		well += stopped_well(cpu);
	say("stopped %s wrong %u", verdict(well == cpus - 1), wrong_calls);
}
