/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one instruction with sixteen hostile registers. Everything is addressed through the prefix area,
 * because no register survives; a program check inside is sent to trampoline_exit by the C handler.
 */
#include "lowcore.h"

	.text
	.globl	trampoline, trampoline_slot, trampoline_exit
	.balign	8
trampoline:
	stmg	%r0, %r15, LC_TRAMPOLINE_HOME(%r0)
	lmg	%r0, %r15, LC_TRAMPOLINE_GPRS(%r0)
trampoline_slot:
	.skip	8, 0x07 /* BCR 0,7: no operation */
trampoline_exit:
	stmg	%r0, %r15, LC_TRAMPOLINE_RESULT(%r0)
	lmg	%r3, %r15, LC_TRAMPOLINE_HOME + 24(%r0)
	lghi	%r2, 0
	ipm	%r2
	srl	%r2, 28
	br	%r14
	.section .note.GNU-stack, "", @progbits
