/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Main loop. Between rounds the CPU sleeps in an enabled wait until the earliest due time (clock
 * comparator) or any interruption.
 */
#include "loop.h"

#include "cpu.h"
#include "print.h"
#include "work.h"

#define FACILITY_PCI 69
#define FACILITY_ADAPTER_EVENTS 71
#define FACILITY_SUPPRESSION 72

static u32 adapter_interruptions_seen;
static int channel_reports_wanted;

/* Runs with interruptions masked: is there something that must not wait for the clock? */
static int ready(void)
{
	return (channel_reports_wanted && channel_report_pending) || sclp_events_pending() ||
	       adapter_interruptions != adapter_interruptions_seen;
}

void loop_suspect(struct function *f, u32 result)
{
	say("fid %08x fh %08x suspect at %s cc %u status %u", f->fid, f->fh, f->work.trouble,
	    PCI_CC(result), PCI_STATUS(result));
	f->state = FUNCTION_SUSPECT;
}

static void step_function(struct function *f, const struct loop_hooks *hooks)
{
	u64 now = tod_now();
	u32 result;

	if (f->state == FUNCTION_OK) {
		result = work_step(f, now);
		if (result)
			loop_suspect(f, result);
	} else if (f->state == FUNCTION_RECOVERING && hooks->recover) {
		hooks->recover(f, now);
	}
}

static u64 due(const struct function *f)
{
	switch (f->state) {
	case FUNCTION_OK:
		return f->work.due;
	case FUNCTION_RECOVERING:
		return f->recovery.due;
	default:
		return TOD_NEVER;
	}
}

/* Problems that a handler saw but could not print. */
static void say_machine_check_faults(void)
{
	static int said;

	if (said || (!mcic_missing && !machine_check_save_errors))
		return;
	said = 1;
	say("machine check faulty: mcic lacks %016lx, %u with wrong save areas", mcic_missing,
	    machine_check_save_errors);
}

/* A guest that does not look at its channel reports says so once. */
static void say_ignored_report(void)
{
	static int said;

	if (said || channel_reports_wanted || !channel_report_pending)
		return;
	said = 1;
	say("channel report ignored");
}

static void report(void)
{
	u32 i;

	for (i = 0; i < function_count; i++) {
		const struct function *f = &functions[i];

		if (f->state == FUNCTION_FOREIGN)
			continue;
		say_raw("report fid=%08x state=%s events=%u recoveries=%u checked=%u corrupt=%u timeouts=%u",
			f->fid, function_state_name(f), f->events, f->recoveries, f->checked, f->corrupt,
			f->timeouts);
	}
	say_raw("report end");
}

void loop_run(const struct machine_info *info, const struct loop_hooks *hooks)
{
	u32 i;

	channel_reports_wanted = hooks->channel_report != 0;
	work_pause(loadparm_number(info));
	say("boot ram %lu MiB facilities%s%s%s", info->memory_bytes >> 20,
	    test_facility(FACILITY_PCI) ? " 69" : "",
	    test_facility(FACILITY_ADAPTER_EVENTS) ? " 71" : "",
	    test_facility(FACILITY_SUPPRESSION) ? " 72" : "");
	if (test_facility(FACILITY_PCI)) {
		functions_init();
		functions_scan();
	}
	say("working on %u functions", function_count);

	for (;;) {
		u64 next = TOD_NEVER;

		adapter_interruptions_seen = adapter_interruptions;
		say_machine_check_faults();
		say_ignored_report();
		if (channel_reports_wanted && channel_report_pending)
			hooks->channel_report();
		if (sclp_events_pending() && sclp_read_quiesce())
			break;
		for (i = 0; i < function_count; i++) {
			step_function(&functions[i], hooks);
			next = min_u64(next, due(&functions[i]));
		}
		if (next > tod_now())
			idle_until(next, ready);
	}
	report();
	stop(STOP_QUIESCED);
}
