/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry point and interruption entries. Everything runs with DAT off in 64-bit mode at prefix 0.
 * A handler runs on its own stack with all interruptions masked, so one interruption stack serves
 * external, I/O and machine checks; program checks have another because they can hit a handler.
 */
#include "lowcore.h"

#define FRAME 160 /* register save area that the s390x ELF ABI wants below a caller's stack pointer */

	.section .text.start, "ax"
	.globl _start
_start:
	larl	%r2, __bss_start
	larl	%r3, __bss_end
0:	clgrjhe	%r2, %r3, 1f
	mvghi	0(%r2), 0
	aghi	%r2, 8
	j	0b
1:	larl	%r15, boot_stack_end
	aghi	%r15, -FRAME
	brasl	%r14, fixture_start
2:	j	2b

	.macro	entry name, save, stack, handler, old_psw
	.globl	\name
\name:
	stmg	%r0, %r15, \save(%r0)
	larl	%r15, \stack
	aghi	%r15, -FRAME
	brasl	%r14, \handler
	lmg	%r0, %r15, \save(%r0)
	lpswe	\old_psw
	.endm

	.text
	entry	external_entry, LC_SAVE_EXTERNAL, irq_stack_end, handle_external, LC_EXTERNAL_OLD_PSW
	entry	io_entry, LC_SAVE_IO, irq_stack_end, handle_io, LC_IO_OLD_PSW
	entry	machine_check_entry, LC_SAVE_MACHINE_CHECK, irq_stack_end, handle_machine_check, LC_MACHINE_CHECK_OLD_PSW
	entry	program_entry, LC_SAVE_PROGRAM, program_stack_end, handle_program, LC_PROGRAM_OLD_PSW

	.section .bss.stacks, "aw", @nobits
	.balign	16
	.skip	16384
boot_stack_end:
	.skip	8192
irq_stack_end:
	.skip	8192
program_stack_end:
	.section .note.GNU-stack, "", @progbits
