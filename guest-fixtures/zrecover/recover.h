/* SPDX-License-Identifier: Apache-2.0 */
/* zrecover's own parts: fetching events and bringing functions back. */
#ifndef RECOVER_H
#define RECOVER_H

#include "function.h"

/* STCRW and CHSC store-event-information until nothing is left. */
void events_fetch(void);

/* A current error event came for `f`: (re)starts its recovery. */
void recover_begin(struct function *f, u16 pec);
/* Does the next step of a recovery that is due. Never waits. */
void recover_step(struct function *f, u64 now);
/* No recovery: `f` is lost for good. */
void recover_give_up(struct function *f, u16 pec);

#endif
