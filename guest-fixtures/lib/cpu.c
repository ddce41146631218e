/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interruptions, time and stopping. Handlers only note what happened; the work is done by main loops.
 * Sources: z/Architecture interruption and timing chapters; zpci-guest.md 7.7 for the machine check.
 */
#include "cpu.h"
#include "print.h"
#include "sclp.h"

#define CR0_CLOCK_COMPARATOR 0x800UL
#define CR0_SERVICE_SIGNAL 0x200UL
#define CR6_ISC_2 0x20000000UL
#define CR14_CHANNEL_REPORT 0x10000000UL

#define EXTERNAL_CLOCK_COMPARATOR 0x1004
#define EXTERNAL_SERVICE_SIGNAL 0x2401

#define FACILITY_VECTOR 129
#define MCIC_CHANNEL_REPORT 0x0040000000000000UL
/* What Linux 6.12 and later want to see before they go on: zpci-guest.md 7.7. */
#define MCIC_NEEDED 0x00000f5d40330000UL

void external_entry(void);
void io_entry(void);
void machine_check_entry(void);
void program_entry(void);

volatile u32 channel_report_pending;
volatile u32 machine_checks;
volatile u64 mcic_missing;
volatile u32 machine_check_save_errors;
void (*adapter_interruption)(u32 identification);
int (*program_interruption)(u16 code);

static u64 facilities[4];
/* Where a machine check stores the vector registers. */
static u8 extended_save_area[PAGE_SIZE] __attribute__((aligned(4096)));
static u64 control_0, control_6, control_14;

static void set_clock_comparator(u64 value)
{
	asm volatile("sckc %0" : : "Q"(value));
}

/* An interruption that ends a wait returns to disabled code: the waiter looks at its flags first. */
static void end_wait(struct psw *old)
{
	if (old->mask & PSW_WAIT)
		old->mask = PSW_DISABLED;
}

void handle_external(void)
{
	struct lowcore *lc = lowcore();

	if (lc->external_code == EXTERNAL_CLOCK_COMPARATOR)
		set_clock_comparator(TOD_NEVER);
	else if (lc->external_code == EXTERNAL_SERVICE_SIGNAL)
		sclp_service_signal(lc->external_parameter);
	end_wait(&lc->external_old_psw);
}

void handle_io(void)
{
	struct lowcore *lc = lowcore();

	if (adapter_interruption)
		adapter_interruption(lc->io_identification);
	end_wait(&lc->io_old_psw);
}

/* Linux rebuilds the interrupted context from the save areas, so what they hold is checked here. */
static int save_areas_good(const struct lowcore *lc)
{
	int i;

	for (i = 0; i < 16; i++)
		if (lc->saved_gprs[i] != lc->save_machine_check[i])
			return 0;
	return lc->architecture_mode == 1 && lc->saved_prefix == 0 && lc->saved_crs[0] == control_0 &&
	       lc->saved_crs[6] == control_6 && lc->saved_crs[14] == control_14;
}

void handle_machine_check(void)
{
	struct lowcore *lc = lowcore();

	machine_checks++;
	if (!save_areas_good(lc))
		machine_check_save_errors++;
	mcic_missing |= MCIC_NEEDED & ~lc->mcic;
	if (lc->mcic & MCIC_CHANNEL_REPORT)
		channel_report_pending = 1;
	end_wait(&lc->machine_check_old_psw);
}

void handle_program(void)
{
	static int fatal;
	struct lowcore *lc = lowcore();
	u16 code = lc->program_code;

	if (program_interruption && program_interruption(code))
		return;
	if (fatal++)
		stop(STOP_FATAL);
	say("fatal program check code %04x ilc %u psw %016lx %016lx", code, lc->program_ilc & 7,
	    lc->program_old_psw.mask, lc->program_old_psw.address);
	stop(STOP_FATAL);
}

static void read_facilities(void)
{
	register u64 last asm("0") = ARRAY_SIZE(facilities) - 1;

	asm volatile("stfle %0" : "=Q"(facilities), "+d"(last) : : "cc");
}

int test_facility(u32 bit)
{
	return bit < 64 * ARRAY_SIZE(facilities) && (facilities[bit / 64] >> (63 - bit % 64) & 1);
}

void cpu_init(void)
{
	struct lowcore *lc = lowcore();

	lc->external_new_psw = (struct psw){ PSW_DISABLED, (u64)external_entry };
	lc->io_new_psw = (struct psw){ PSW_DISABLED, (u64)io_entry };
	lc->machine_check_new_psw = (struct psw){ PSW_DISABLED, (u64)machine_check_entry };
	lc->program_new_psw = (struct psw){ PSW_DISABLED, (u64)program_entry };
	set_clock_comparator(TOD_NEVER);

	asm volatile("stctg 0,0,%0" : "=Q"(control_0));
	control_0 |= CR0_CLOCK_COMPARATOR | CR0_SERVICE_SIGNAL;
	control_6 = CR6_ISC_2;
	control_14 = CR14_CHANNEL_REPORT;
	asm volatile("lctlg 0,0,%0" : : "Q"(control_0) : "memory");
	asm volatile("lctlg 6,6,%0" : : "Q"(control_6) : "memory");
	asm volatile("lctlg 14,14,%0" : : "Q"(control_14) : "memory");
	read_facilities();
	lc->mcesa = test_facility(FACILITY_VECTOR) ? (u64)extended_save_area : 0;
}

void psw_load(u64 mask)
{
	struct psw psw = { mask, 0 };
	u64 address;

	asm volatile("	larl	%[address],0f\n"
		     "	stg	%[address],8(%[psw])\n"
		     "	lpswe	0(%[psw])\n"
		     "0:\n"
		     : [address] "=&a"(address), "+m"(psw)
		     : [psw] "a"(&psw)
		     : "memory", "cc");
}

void idle_until(u64 deadline, int (*ready)(void))
{
	psw_load(PSW_DISABLED);
	if (!ready || !ready()) {
		set_clock_comparator(deadline);
		psw_load(PSW_IDLE);
	}
	psw_load(PSW_RUNNING);
}

void sleep_us(u64 us)
{
	u64 deadline = tod_now() + us * TOD_US;

	while (tod_now() < deadline)
		idle_until(deadline, 0);
}

void stop(u64 code)
{
	struct psw psw = { PSW_MODE_64 | PSW_WAIT, code };

	for (;;)
		asm volatile("lpswe %0" : : "Q"(psw) : "memory");
}
