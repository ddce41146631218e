/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery of one function in steps that never wait, so that the other functions go on working.
 * Source: zpci-guest.md 9.2 (clear: MPCIFC 9, look, MPCIFC 7), 9.3 (full reset: CLP disable and enable,
 * MPCIFC 2 and 4), 9.4 (what a driver does before and after), 2.5 (busy: 100 tries of 20 ms).
 */
#include "recover.h"

#include "clp.h"
#include "config-space.h"
#include "cpu.h"
#include "print.h"
#include "work.h"

#define ATTEMPTS_MAX 8
#define CLP_TRIES 100
#define CLP_PAUSE (20 * TOD_MS)
#define CONTROL_PAUSE TOD_MS
/* Linux would wait for ever for a busy function control. */
#define CONTROL_TRIES 5000
/* Time for the event that explains why a step of the recovery failed. */
#define RESTART_PAUSE (100 * TOD_MS)
/* Rounds of checked work that prove a recovery. */
#define PROOF_ROUNDS 3
#define HANDLE_ENABLED 0x80000000u

enum step {
	STEP_BLOCK,
	STEP_LOOK,
	STEP_CLEAR,
	STEP_TEAR_DOWN,
	STEP_DISABLE,
	STEP_ENABLE,
	STEP_INTERRUPTS,
	STEP_TRANSLATION,
	STEP_PROGRAM,
	STEP_PROVE,
	STEP_RESTART,
};

static void next(struct function *f, enum step step)
{
	f->recovery.step = step;
	f->recovery.tries = 0;
}

/* An attempt that was cut short by another error may have left the function without its registrations. */
static enum step register_or_program(const struct function *f)
{
	if (f->recovery.lost & LOST_INTERRUPTS)
		return STEP_INTERRUPTS;
	return f->recovery.lost & LOST_TRANSLATION ? STEP_TRANSLATION : STEP_PROGRAM;
}

static void fail(struct function *f, const char *at, u32 code)
{
	say("fid %08x fh %08x recovery failed at %s code %04x pec %04x", f->fid, f->fh, at, code,
	    f->recovery.pec);
	f->state = FUNCTION_FAILED;
}

void recover_give_up(struct function *f, u16 pec)
{
	if (f->state == FUNCTION_PERMANENT)
		return;
	say("fid %08x fh %08x given up pec %04x checked %u corrupt %u", f->fid, f->fh, pec, f->checked,
	    f->corrupt);
	f->state = FUNCTION_PERMANENT;
}

static void attempt(struct function *f)
{
	struct recovery *r = &f->recovery;

	if (r->attempts++ == ATTEMPTS_MAX) {
		fail(f, "attempt", r->attempts);
		return;
	}
	r->fresh = 1;
	r->due = tod_now();
	next(f, STEP_BLOCK);
}

void recover_begin(struct function *f, u16 pec)
{
	struct recovery *r = &f->recovery;

	if (f->state == FUNCTION_FAILED || f->state == FUNCTION_PERMANENT)
		return;
	if (f->state != FUNCTION_RECOVERING) {
		f->state = FUNCTION_RECOVERING;
		r->attempts = 0;
		r->fresh = 0;
	}
	/* Events that were fetched together belong to one attempt, which bears the first one's code. */
	if (r->fresh)
		return;
	r->pec = pec;
	attempt(f);
}

/* A step met a function in error again: its event restarts the recovery, or the clock does. */
static void restart_later(struct function *f, const char *at, u32 result)
{
	say("fid %08x fh %08x recovery interrupted at %s cc %u status %u", f->fid, f->fh, at,
	    PCI_CC(result), PCI_STATUS(result));
	next(f, STEP_RESTART);
	f->recovery.due = tod_now() + RESTART_PAUSE;
}

/* Asks again later after a busy answer, for `limit` times. */
static void busy(struct function *f, const char *at, u64 pause, u32 limit)
{
	if (++f->recovery.tries >= limit)
		fail(f, at, CLP_BUSY);
	f->recovery.due = tod_now() + pause;
}

/* One of the two error controls; anything but success leads to the full reset. */
static void step_control(struct function *f, u32 operation, enum step good)
{
	struct fib fib = { 0 };
	u32 result = pci_control(f->fh, operation, &fib);

	if (PCI_CC(result) == 2)
		busy(f, "control", CONTROL_PAUSE, CONTROL_TRIES);
	else
		next(f, result ? STEP_TEAR_DOWN : good);
}

/*
 * A driver's farewell: it reads all ones, writes what it made of them, and must not be heard
 * (zpci-guest.md 9.4, 2-6). Only the machine's refusal is expected, so no result is looked at.
 */
static void step_tear_down(struct function *f)
{
	u64 value;

	pci_load(f->fh, PCI_CONFIG, CONFIG_VENDOR, 4, &value);
	pci_store(f->fh, f->msix_bar, f->msix_table + 12, 4, 1);
	pci_load(f->fh, PCI_CONFIG, f->msix + MSIX_CONTROL, 2, &value);
	pci_store(f->fh, PCI_CONFIG, f->msix + MSIX_CONTROL, 2, value & ~(u64)MSIX_CONTROL_ENABLE);
	pci_load(f->fh, PCI_CONFIG, CONFIG_COMMAND, 2, &value);
	pci_store(f->fh, PCI_CONFIG, CONFIG_COMMAND, 2, value & ~(u64)COMMAND_MASTER);
	function_set_measurement(f, 0);
	next(f, f->fh & HANDLE_ENABLED ? STEP_DISABLE : STEP_ENABLE);
}

static void step_disable(struct function *f)
{
	u16 code = clp_set(&f->fh, CLP_DISABLE);

	if (code == CLP_ALREADY) {
		f->fh = clp_find_handle(f->fid);
		code = CLP_OK;
	}
	if (code == CLP_BUSY) {
		busy(f, "disable", CLP_PAUSE, CLP_TRIES);
	} else if (code == CLP_OK) {
		f->recovery.lost = LOST_INTERRUPTS | LOST_TRANSLATION;
		next(f, STEP_ENABLE);
	} else {
		fail(f, "disable", code);
	}
}

static void step_enable(struct function *f)
{
	u16 code = clp_set(&f->fh, CLP_ENABLE);

	f->recovery.by = "reset";
	if (code == CLP_BUSY)
		busy(f, "enable", CLP_PAUSE, CLP_TRIES);
	else if (code == CLP_OK)
		next(f, STEP_INTERRUPTS);
	else if (code == CLP_PERMANENT_ERROR)
		recover_give_up(f, f->recovery.pec);
	else
		fail(f, "enable", code);
}

static void step_register(struct function *f, u32 (*operation)(struct function *f), const char *at,
			  u32 registration)
{
	u32 result = operation(f);

	if (PCI_CC(result) == 2) {
		busy(f, at, CONTROL_PAUSE, CONTROL_TRIES);
	} else if (result) {
		restart_later(f, at, result);
	} else {
		f->recovery.lost &= ~registration;
		next(f, register_or_program(f));
	}
}

static void step_program(struct function *f)
{
	u32 result;

	function_set_measurement(f, 1);
	result = function_program(f);
	if (result) {
		restart_later(f, "programming", result);
		return;
	}
	f->work.due = tod_now();
	f->recovery.checked_before = f->checked;
	next(f, STEP_PROVE);
}

static void step_prove(struct function *f, u64 now)
{
	struct recovery *r = &f->recovery;
	u32 result = work_step(f, now);

	r->due = f->work.due;
	if (result) {
		restart_later(f, f->work.trouble, result);
		return;
	}
	if (f->checked - r->checked_before < PROOF_ROUNDS)
		return;
	f->recoveries++;
	f->state = FUNCTION_OK;
	say("fid %08x fh %08x recovered by %s pec %04x checked %u corrupt %u", f->fid, f->fh, r->by,
	    r->pec, f->checked, f->corrupt);
}

static void step_restart(struct function *f)
{
	u32 fh = clp_find_handle(f->fid);

	if (fh == 0) {
		fail(f, "handle", 0);
		return;
	}
	f->fh = fh;
	if (f->recovery.attempts < ATTEMPTS_MAX) {
		attempt(f);
		return;
	}
	/* The function is broken, and the event that says so is late. */
	say("fid %08x fh %08x recovery rests until an event pec %04x", f->fid, f->fh, f->recovery.pec);
	f->state = FUNCTION_SUSPECT;
}

static void one_step(struct function *f, u64 now)
{
	switch ((enum step)f->recovery.step) {
	case STEP_BLOCK:
		if (f->recovery.tries == 0)
			say("fid %08x fh %08x recovery attempt %u pec %04x", f->fid, f->fh,
			    f->recovery.attempts, f->recovery.pec);
		step_control(f, FC_RESET_BLOCK, STEP_LOOK);
		break;
	case STEP_LOOK:
		next(f, function_look(f) ? STEP_TEAR_DOWN : STEP_CLEAR);
		break;
	case STEP_CLEAR:
		f->recovery.by = "clear";
		step_control(f, FC_RESET_ERROR, register_or_program(f));
		break;
	case STEP_TEAR_DOWN:
		step_tear_down(f);
		break;
	case STEP_DISABLE:
		step_disable(f);
		break;
	case STEP_ENABLE:
		step_enable(f);
		break;
	case STEP_INTERRUPTS:
		step_register(f, function_register_interrupts, "interrupts", LOST_INTERRUPTS);
		break;
	case STEP_TRANSLATION:
		step_register(f, function_register_translation, "translation", LOST_TRANSLATION);
		break;
	case STEP_PROGRAM:
		step_program(f);
		break;
	case STEP_PROVE:
		step_prove(f, now);
		break;
	case STEP_RESTART:
		step_restart(f);
		break;
	}
}

void recover_step(struct function *f, u64 now)
{
	/* While proving, interruptions move the work on before its time-out is due. */
	if (now < f->recovery.due && f->recovery.step != STEP_PROVE)
		return;
	f->recovery.fresh = 0;
	one_step(f, now);
}
