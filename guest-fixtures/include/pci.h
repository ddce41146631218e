/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI loads, stores and function controls of one handle. Results: 0, or PCI_RESULT(cc, status).
 * Condition code 2 (busy) is retried a bounded number of times by loads, stores and RPCIT; function
 * controls return it, because their caller can do something better meanwhile.
 */
#ifndef PCI_H
#define PCI_H

#include "types.h"

#define PCI_RESULT(cc, status) ((u32)(cc) << 8 | (u32)(status))
#define PCI_CC(result) ((result) >> 8)
#define PCI_STATUS(result) ((result) & 0xff)

#define PCI_BUSY PCI_RESULT(2, 0)
#define PCI_STATUS_SEQUENCE 24
#define PCI_STATUS_RECOVERY 40

#define PCI_CONFIG 15

/* MPCIFC operations, zpci-guest.md 3.2. */
#define FC_REGISTER_INTERRUPTS 2
#define FC_DEREGISTER_INTERRUPTS 3
#define FC_REGISTER_IOAT 4
#define FC_DEREGISTER_IOAT 5
#define FC_RESET_ERROR 7
#define FC_RESET_BLOCK 9
#define FC_SET_MEASUREMENT 10

/* Function information block, zpci-guest.md 3.1. */
struct fib {
	u8 format;
	u8 reserved_1[7];
	u8 controls;
	u8 reserved_9[7];
	u64 pba;
	u64 pal;
	u64 iota;
	u32 interrupts;
	u32 reserved_44;
	u64 aibv;
	u64 aisb;
	u64 fmb;
	u32 reserved_72;
	u32 gisa;
};

/* Loads and stores in PCI byte order: 16, 32 and 64-bit values are what a little-endian driver sees. */
u32 pci_load(u32 fh, u32 space, u64 offset, u32 length, u64 *value);
u32 pci_store(u32 fh, u32 space, u64 offset, u32 length, u64 value);
/* Bytes keep their order; the caller keeps to the rules for PCISTB (zpci-guest.md 1.6). */
u32 pci_store_block(u32 fh, u32 space, u64 offset, u32 length, const void *source);
u32 pci_refresh(u32 fh, u64 iova, u64 length);
u32 pci_control(u32 fh, u32 operation, struct fib *fib);

#endif
