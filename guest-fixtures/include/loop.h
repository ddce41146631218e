/* SPDX-License-Identifier: Apache-2.0 */
/* The main loop that zrecover and zhang share: work, sleep, and the report at a quiesce signal. */
#ifndef LOOP_H
#define LOOP_H

#include "function.h"
#include "sclp.h"

struct loop_hooks {
	/* A channel report is pending; NULL = nobody looks. */
	void (*channel_report)(void);
	/* One step of a function in state RECOVERING. */
	void (*recover)(struct function *f, u64 now);
};

/* Starts all functions, works until the machine signals quiesce, and ends there. */
void loop_run(const struct machine_info *info, const struct loop_hooks *hooks);
/* Says why work on `f` stopped; the function waits for its event. */
void loop_suspect(struct function *f, u32 result);

#endif
