/* SPDX-License-Identifier: Apache-2.0 */
/* Interruptions, time and stopping: what the CPU offers, without any device. */
#ifndef CPU_H
#define CPU_H

#include "lowcore.h"
#include "types.h"

/* TOD clock: bit 51 is one microsecond. */
#define TOD_US 4096UL
#define TOD_MS (1000 * TOD_US)
#define TOD_NEVER (~0UL)

/* The address of the disabled-wait PSW tells how a fixture ended. */
#define STOP_NORMAL 0x0
/* After a quiesce signal, as Linux ends (drivers/s390/char/sclp_quiesce.c). */
#define STOP_QUIESCED 0xfff
#define STOP_FATAL 0xdead

/* Set by handlers, cleared by the main loop. */
extern volatile u32 channel_report_pending;
extern volatile u32 machine_checks;
/* Bits of the MCIC that Linux needs and the last machine check lacked. */
extern volatile u64 mcic_missing;
/* A machine check whose save areas did not hold the interrupted registers. */
extern volatile u32 machine_check_save_errors;

/* Called by the I/O handler with the interruption identification word; NULL = ignore. */
extern void (*adapter_interruption)(u32 identification);
/* Called first at a program interruption; nonzero = handled, go on at the (changed) old PSW. */
extern int (*program_interruption)(u16 code);

void cpu_init(void);
/* PSW mask changes; execution goes on behind the call, for PSW_IDLE after the next interruption. */
void psw_load(u64 mask);
/* Sleeps until `deadline` (TOD) or any interruption, but not when `ready()` is nonzero. */
void idle_until(u64 deadline, int (*ready)(void));
/* Sleeps for a time; interruptions are taken meanwhile. */
void sleep_us(u64 us);
void stop(u64 code) __attribute__((noreturn));
int test_facility(u32 bit);

static inline u64 tod_now(void)
{
	u64 value;

	asm volatile("stck %0" : "=Q"(value) : : "cc", "memory");
	return value;
}

#endif
