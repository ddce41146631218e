/**
 * PERFORM FRAME MANAGEMENT FUNCTION, which came with enhanced DAT: clears frames and sets their keys, 4 KiB or 1 MiB at
 * a time. A large frame is done one 4 KiB block after the other, and the address in R2 goes along.
 * Source: SA22-7832 chapter 10; bits of R1 of PFMF: Linux arch/s390 asm/page.h and KVM's handler.
 */
import { SPACE_REAL } from "../dat.ts";
import { STORE } from "../seam.ts";
import { Cpu, PswBit } from "../state.ts";
import { ADDRESSING, SPECIFICATION, type SystemContext } from "./context.ts";

const TWO_32 = 0x1_0000_0000;
const BLOCK = 4096;
const LARGE_FRAME = 0x100000;

/** R1 of PFMF, bits 32-63. */
const PFMF_RESERVED = 0xfffc0101 | 0;
const PFMF_SET_KEY = 0x00020000;
const PFMF_CLEAR = 0x00010000;
const PFMF_FRAME_SIZE = 0x00007000;
const FRAME_4K = 0x0000;
const FRAME_1M = 0x1000;
const KEY_BITS = 0xfe;

/** PERFORM FRAME MANAGEMENT FUNCTION. */
export function pfmf(sys: SystemContext): void {
  if (sys.problem()) return;
  const { guest } = sys;
  const control = guest.grLow(sys.r24);
  const size = control & PFMF_FRAME_SIZE;
  if ((control & PFMF_RESERVED) !== 0 || (size !== FRAME_4K && size !== FRAME_1M)) {
    guest.program(SPECIFICATION);
    return;
  }
  guest.formRegisterAddress(sys.r28);
  if (size === FRAME_4K) manageBlock(sys, control);
  else manageLargeFrame(sys, control);
  if ((control & PFMF_SET_KEY) !== 0) sys.purgeEverywhere();
}

/** From R2 on to the end of its 1 MiB. */
function manageLargeFrame(sys: SystemContext, control: number): void {
  const { guest, state } = sys;
  const wide = (state.high(Cpu.pswMask) & PswBit.ea64High) !== 0;
  do {
    if (!manageBlock(sys, control)) return;
    guest.addressLow = ((guest.addressLow & ~(BLOCK - 1)) + BLOCK) | 0;
    if (guest.addressLow === 0) guest.addressHigh++;
    guest.setGr(sys.r28, wide ? guest.addressHigh : guest.grHigh(sys.r28), guest.addressLow);
  } while ((guest.addressLow & (LARGE_FRAME - 1)) !== 0);
}

/** @returns false with the exception recorded */
function manageBlock(sys: SystemContext, control: number): boolean {
  const { guest, dat, ram, keys } = sys;
  const block = guest.addressLow & ~(BLOCK - 1);
  if ((control & PFMF_CLEAR) !== 0) {
    // Low-address protection applies to a real address, key-controlled protection does not.
    const absolute = dat.probe(guest.addressHigh, block, STORE, SPACE_REAL, 0);
    if (absolute < 0) {
      dat.record(-absolute, SPACE_REAL);
      return false;
    }
  }
  const real = (guest.addressHigh >>> 0) * TWO_32 + (block >>> 0);
  const absolute = dat.realToAbsolute(real);
  if (!ram.contains(absolute, BLOCK)) {
    guest.program(ADDRESSING);
    return false;
  }
  if ((control & PFMF_CLEAR) !== 0) ram.fill(absolute, BLOCK, 0);
  if ((control & PFMF_SET_KEY) !== 0) keys.set(absolute, control & KEY_BITS);
  return true;
}
