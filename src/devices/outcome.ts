/**
 * How an instruction ends, as one number: a condition code (with a status for the request register), a
 * program interruption, or an access exception that the CPU has recorded already. Handlers compute it
 * and `conclude` tells the CPU. State-table cells use the same numbers.
 * Sources: z/Architecture program interruption codes; zpci-guest.md 1.2, 1.3.
 */
import type { GuestCpu } from "../ports/guest-cpu.ts";

/** No end yet: the instruction goes on. */
export const GO = 0;
const CC = 0x1_0000;
const PROGRAM = 0x2_0000;
/** An access exception stands in the CPU's state; nothing is to be added. */
export const FAULTED = 0x4_0000;
/** Ends without touching the condition code. */
export const UNCHANGED = 0x8_0000;

export const CC0 = CC;
/** Condition code 1 whose status field stays as it is. */
export const CC1 = CC | 0x100;
export const CC2 = CC | 0x200;
export const CC3 = CC | 0x300;

/** Condition code 1 with a status (never 0) for bits 32-39 of the request register. */
export function cc1(status: number): number {
  return CC1 | status;
}

function program(code: number): number {
  return PROGRAM | code;
}

export const PRIVILEGED_OPERATION = program(0x0002);
export const ADDRESSING = program(0x0005);
export const SPECIFICATION = program(0x0006);
export const OPERAND = program(0x0015);

/** Condition code of an outcome, or -1 when it has none. */
export function conditionCode(outcome: number): number {
  return (outcome & CC) !== 0 ? (outcome >>> 8) & 3 : -1;
}

/** Status of a `cc1` outcome, else 0. */
export function statusOf(outcome: number): number {
  return conditionCode(outcome) === 1 ? outcome & 0xff : 0;
}

/** Tells the CPU; `requestRegister` takes the status. */
export function conclude(cpu: GuestCpu, requestRegister: number, outcome: number): void {
  if (outcome === CC0) {
    cpu.setCc(0); // the most frequent end
  } else if ((outcome & PROGRAM) !== 0) {
    cpu.program(outcome & 0xffff);
  } else if ((outcome & CC) !== 0) {
    const status = statusOf(outcome);
    if (status !== 0) {
      const low = (cpu.grLow(requestRegister) & 0x00ffffff) | (status << 24);
      cpu.setGr(requestRegister, cpu.grHigh(requestRegister), low);
    }
    cpu.setCc(conditionCode(outcome) as 0 | 1 | 2 | 3);
  }
}
