/* SPDX-License-Identifier: Apache-2.0 */
/* Checked DMA and register work on a test function. */
#ifndef WORK_H
#define WORK_H

#include "function.h"

/* Milliseconds between two rounds of a function that is well; 0: as short as while one is being recovered. */
void work_pause(u64 ms);

/*
 * Does what is due: starts a round, or finishes a transfer whose interruption (or time-out) has come.
 * Returns 0, or the result that stopped the work (`work.trouble` names the access).
 */
u32 work_step(struct function *f, u64 now);

#endif
