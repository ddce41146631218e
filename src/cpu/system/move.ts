/**
 * Moves between address spaces and under other keys: MVCOS, MVCP, MVCS, MVCK, MVCSK, MVCDK. Both operands are translated whole before a byte is
 * stored. Sources: SA22-7832 chapters 7 and 10; s390x-machine.md 5.6 (how Linux uses MVCOS).
 */
import { SPACE_HOME, SPACE_PRIMARY, SPACE_SECONDARY } from "../dat.ts";
import { FETCH, STORE } from "../seam.ts";
import { Cpu, PswBit } from "../state.ts";
import { CR0_SECONDARY_SPACE, SPECIAL_OPERATION, type SystemContext } from "./context.ts";

/** MVCOS moves at most this many bytes and says so with cc 3. */
const MVCOS_MAX = 4096;
const MVCPS_MAX = 256;

/**
 * MOVE WITH OPTIONAL SPECIFICATIONS. GR0 bits 32-47 control the first operand's access, 48-63 the
 * second's: key (bits 0-3), address space (8-9), validity of the key (14) and of the space (15).
 */
export function mvcos(sys: SystemContext): void {
  const { guest, dat, psw } = sys;
  if ((psw.maskHigh & PswBit.datHigh) === 0) {
    guest.program(SPECIAL_OPERATION);
    return;
  }
  const control = guest.grLow(0);
  const toControl = control >>> 16;
  const fromControl = control & 0xffff;
  const current = dat.currentSpace(FETCH);
  const toSpace = (toControl & 1) !== 0 ? (toControl >>> 6) & 3 : current;
  const fromSpace = (fromControl & 1) !== 0 ? (fromControl >>> 6) & 3 : current;
  const toKey = (toControl & 2) !== 0 ? toControl >>> 12 : dat.pswKey();
  const fromKey = (fromControl & 2) !== 0 ? fromControl >>> 12 : dat.pswKey();
  // Only a first operand that names the home space is refused to the problem state.
  const home = (toControl & 1) !== 0 && toSpace === SPACE_HOME && psw.problemState();
  const secondary = toSpace === SPACE_SECONDARY || fromSpace === SPACE_SECONDARY;
  if (home || (secondary && (sys.state.low(Cpu.cr) & CR0_SECONDARY_SPACE) === 0)) {
    guest.program(SPECIAL_OPERATION);
    return;
  }
  if (sys.keyRefused(toKey) || sys.keyRefused(fromKey)) return;
  const wanted = lengthIn(sys, sys.r8);
  const length = Math.min(wanted, MVCOS_MAX);
  if (length > 0 && !move(sys, length, fromSpace, fromKey, toSpace, toKey)) return;
  guest.setCc(wanted > MVCOS_MAX ? 3 : 0);
}

/** MOVE TO PRIMARY: the second operand is in the secondary space, under the key in R3. */
export function mvcp(sys: SystemContext): void {
  const key = checkPair(sys);
  if (key < 0) return;
  moveCounted(sys, SPACE_SECONDARY, key, SPACE_PRIMARY, sys.dat.pswKey());
}

/** MOVE TO SECONDARY: the first operand is in the secondary space, under the key in R3. */
export function mvcs(sys: SystemContext): void {
  const key = checkPair(sys);
  if (key < 0) return;
  moveCounted(sys, SPACE_PRIMARY, sys.dat.pswKey(), SPACE_SECONDARY, key);
}

/** MOVE WITH KEY: the second operand under the key in R3; both in the present space. */
export function mvck(sys: SystemContext): void {
  const key = (sys.guest.grLow(sys.r12) >>> 4) & 15;
  if (sys.keyRefused(key)) return;
  const space = sys.dat.currentSpace(FETCH);
  moveCounted(sys, space, key, space, sys.dat.pswKey());
}

/** MOVE WITH SOURCE KEY, MOVE WITH DESTINATION KEY: length less one in GR0, key in GR1. */
function moveWithKey(ofSource: boolean) {
  return (sys: SystemContext): void => {
    const { guest, dat } = sys;
    const key = (guest.grLow(1) >>> 4) & 15;
    if (sys.keyRefused(key)) return;
    const length = (guest.grLow(0) & 0xff) + 1;
    const space = dat.currentSpace(FETCH);
    const own = dat.pswKey();
    move(sys, length, space, ofSource ? key : own, space, ofSource ? own : key);
  };
}

export const mvcsk = moveWithKey(true);
export const mvcdk = moveWithKey(false);

/** Access key of MVCP and MVCS, or -1 after an exception. */
function checkPair(sys: SystemContext): number {
  const { guest, dat } = sys;
  const space = dat.currentSpace(FETCH);
  if (
    (space !== SPACE_PRIMARY && space !== SPACE_SECONDARY) ||
    (sys.state.low(Cpu.cr) & CR0_SECONDARY_SPACE) === 0
  ) {
    guest.program(SPECIAL_OPERATION);
    return -1;
  }
  const key = (guest.grLow(sys.r12) >>> 4) & 15;
  return sys.keyRefused(key) ? -1 : key;
}

function moveCounted(
  sys: SystemContext,
  fromSpace: number,
  fromKey: number,
  toSpace: number,
  toKey: number,
): void {
  const wanted = lengthIn(sys, sys.r8);
  const length = Math.min(wanted, MVCPS_MAX);
  if (length > 0 && !move(sys, length, fromSpace, fromKey, toSpace, toKey)) return;
  sys.guest.setCc(wanted > MVCPS_MAX ? 3 : 0);
}

/** True length: bits 0-63 of the register in the 64-bit mode, else bits 32-63. */
function lengthIn(sys: SystemContext, register: number): number {
  const low = sys.guest.grLow(register) >>> 0;
  if ((sys.psw.maskHigh & PswBit.ea64High) === 0) return low;
  return (sys.guest.grHigh(register) >>> 0) * 0x1_0000_0000 + low;
}

function move(
  sys: SystemContext,
  length: number,
  fromSpace: number,
  fromKey: number,
  toSpace: number,
  toKey: number,
): boolean {
  const { guest } = sys;
  sys.formSecondAddress();
  if (!guest.prepare(length, FETCH, fromSpace, fromKey)) return false;
  guest.copyOut(sys.buffer, length);
  sys.formFirstAddress();
  if (!guest.prepare(length, STORE, toSpace, toKey)) return false;
  guest.copyIn(sys.buffer, length);
  return true;
}
