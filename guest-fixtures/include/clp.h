/* SPDX-License-Identifier: Apache-2.0 */
/* Call logical processor, PCI: list, query, enable and disable functions. */
#ifndef CLP_H
#define CLP_H

#include "types.h"

#define CLP_OK 0x0010
#define CLP_ALREADY 0x0105
#define CLP_PERMANENT_ERROR 0x0106
#define CLP_BUSY 0x0108
/* Not an architected code: the instruction itself ended with a condition code other than 0. */
#define CLP_REFUSED 0xffff

#define CLP_ENABLE 0
#define CLP_DISABLE 1

struct clp_entry {
	u16 device;
	u16 vendor;
	u32 configured; /* bit 0 */
	u32 fid;
	u32 fh;
};

struct clp_function {
	u8 group;
	u16 uid;
	u64 dma_start;
	u64 dma_end;
};

struct clp_group {
	u16 vectors;
	u16 store_block_max;
	u8 refresh;
	u64 msi_address;
};

/* Calls `visit` for every listed function; 0 or the response code that ended the list. */
u16 clp_list(void (*visit)(const struct clp_entry *entry, void *context), void *context);
/* Current handle of a FID; 0 when it is not listed. */
u32 clp_find_handle(u32 fid);
u16 clp_query_function(u32 fh, struct clp_function *answer);
u16 clp_query_group(u8 group, struct clp_group *answer);
/* Enable or disable; on CLP_OK `*fh` becomes the new handle. */
u16 clp_set(u32 *fh, u8 operation);

#endif
