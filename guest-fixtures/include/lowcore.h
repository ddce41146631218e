/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The prefix area (absolute 0-0x1fff, prefix 0): where the CPU leaves interruption codes and where it
 * finds the new PSWs. Offsets: z/Architecture "assigned storage locations".
 * 0x200-0xdff belong to software; the entry code in lib/start.S keeps its registers there because
 * addresses below 4096 need no base register.
 */
#ifndef LOWCORE_H
#define LOWCORE_H

#define LC_SAVE_EXTERNAL 0x200
#define LC_SAVE_IO 0x280
#define LC_SAVE_MACHINE_CHECK 0x300
#define LC_SAVE_PROGRAM 0x380
/* zhostile's trampoline: its own registers, the hostile registers, the registers afterwards. */
#define LC_TRAMPOLINE_HOME 0x400
#define LC_TRAMPOLINE_GPRS 0x480
#define LC_TRAMPOLINE_RESULT 0x500

#define LC_EXTERNAL_OLD_PSW 0x130
#define LC_PROGRAM_OLD_PSW 0x150
#define LC_MACHINE_CHECK_OLD_PSW 0x160
#define LC_IO_OLD_PSW 0x170

#ifndef __ASSEMBLER__
#include "types.h"

struct psw {
	u64 mask;
	u64 address;
};

#define PSW_IO 0x0200000000000000UL
#define PSW_EXTERNAL 0x0100000000000000UL
#define PSW_MACHINE_CHECK 0x0004000000000000UL
#define PSW_WAIT 0x0002000000000000UL
#define PSW_MODE_64 0x0000000180000000UL

/* Code with everything masked, ordinary code, and the idle loop. */
#define PSW_DISABLED PSW_MODE_64
#define PSW_RUNNING (PSW_MODE_64 | PSW_IO | PSW_EXTERNAL | PSW_MACHINE_CHECK)
#define PSW_IDLE (PSW_RUNNING | PSW_WAIT)

struct lowcore {
	u8 pad_0[0x80];
	u32 external_parameter; /* 0x80 */
	u16 external_cpu; /* 0x84 */
	u16 external_code; /* 0x86 */
	u32 svc; /* 0x88 */
	u16 program_ilc; /* 0x8c */
	u16 program_code; /* 0x8e */
	u8 pad_90[0xa3 - 0x90];
	u8 architecture_mode; /* 0xa3 */
	u8 pad_a4[4];
	u64 translation_exception; /* 0xa8 */
	u8 pad_b0[8];
	u32 subsystem_id; /* 0xb8 */
	u32 io_parameter; /* 0xbc */
	u32 io_identification; /* 0xc0 */
	u8 pad_c4[0xe8 - 0xc4];
	u64 mcic; /* 0xe8 */
	u8 pad_f0[0x130 - 0xf0];
	struct psw external_old_psw; /* 0x130 */
	struct psw svc_old_psw; /* 0x140 */
	struct psw program_old_psw; /* 0x150 */
	struct psw machine_check_old_psw; /* 0x160 */
	struct psw io_old_psw; /* 0x170 */
	u8 pad_180[0x1b0 - 0x180];
	struct psw external_new_psw; /* 0x1b0 */
	struct psw svc_new_psw; /* 0x1c0 */
	struct psw program_new_psw; /* 0x1d0 */
	struct psw machine_check_new_psw; /* 0x1e0 */
	struct psw io_new_psw; /* 0x1f0 */
	u64 save_external[16]; /* 0x200 */
	u64 save_io[16]; /* 0x280 */
	u64 save_machine_check[16]; /* 0x300 */
	u64 save_program[16]; /* 0x380 */
	u64 trampoline_home[16]; /* 0x400 */
	u64 trampoline_gprs[16]; /* 0x480 */
	u64 trampoline_result[16]; /* 0x500 */
	u8 pad_580[0x11b0 - 0x580];
	u64 mcesa; /* 0x11b0 */
	u8 pad_11b8[0x1280 - 0x11b8];
	u64 saved_gprs[16]; /* 0x1280, machine check */
	u8 pad_1300[0x1318 - 0x1300];
	u32 saved_prefix; /* 0x1318 */
	u8 pad_131c[0x1380 - 0x131c];
	u64 saved_crs[16]; /* 0x1380 */
};

assert_layout(__builtin_offsetof(struct lowcore, mcic) == 0xe8);
assert_layout(__builtin_offsetof(struct lowcore, io_old_psw) == LC_IO_OLD_PSW);
assert_layout(__builtin_offsetof(struct lowcore, save_external) == LC_SAVE_EXTERNAL);
assert_layout(__builtin_offsetof(struct lowcore, trampoline_result) == LC_TRAMPOLINE_RESULT);
assert_layout(__builtin_offsetof(struct lowcore, saved_gprs) == 0x1280);
assert_layout(__builtin_offsetof(struct lowcore, saved_crs) == 0x1380);

/* Address 0, hidden from the compiler, which would call a constant null pointer an error. */
static inline struct lowcore *lowcore(void)
{
	struct lowcore *zero;

	asm("lghi %0,0" : "=d"(zero));
	return zero;
}
#endif
#endif
