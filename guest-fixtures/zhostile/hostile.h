/* SPDX-License-Identifier: Apache-2.0 */
/* One hostile operation: an instruction and all its registers. */
#ifndef HOSTILE_H
#define HOSTILE_H

#include "types.h"

struct targets {
	u32 count;
	u32 fid[64];
	u32 fh[64];
};

struct operation {
	u8 bytes[8];
	u64 gprs[16];
};

/* Sets the arena up; 0 when there is too little storage. */
int operations_init(u64 memory_bytes);
void operation_make(struct operation *operation, const struct targets *targets, u64 *random);

#endif
