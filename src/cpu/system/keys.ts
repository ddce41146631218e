/**
 * Storage keys: ISKE, IVSK, SSKE, RRBE, RRBM. Source: SA22-7832 chapter 10; what the conditional form of SSKE compares:
 * Linux arch/s390/mm/pgtable.c (it does the same for guests of KVM).
 */
import { FACILITY_CONDITIONAL_KEY, FACILITY_EDAT1 } from "../model.ts";
import { FETCH } from "../seam.ts";
import { Cpu, PswBit } from "../state.ts";
import { KEY_REFERENCE } from "../storage-keys.ts";
import { ADDRESSING, extractionRefused, SPECIAL_OPERATION, type SystemContext } from "./context.ts";

const TWO_32 = 0x1_0000_0000;
const FRAME = 4096;
const KEY_BITS = 0xfe;
const KEY_CHANGE = 0x02;
/** M3 of SSKE: ignore the reference bit, ignore the change bit, several frames. */
const SSKE_REFERENCE = 4;
const SSKE_CHANGE = 2;
const SSKE_MULTIPLE = 1;
/** Frames of one RRBM. */
const RRBM_FRAMES = 64;

export function iske(sys: SystemContext): void {
  const frame = keyFrame(sys);
  if (frame < 0) return;
  const { guest } = sys;
  const register = sys.r24;
  guest.setGr(
    register,
    guest.grHigh(register),
    (guest.grLow(register) & ~0xff) | sys.keys.get(frame),
  );
}

/**
 * With EDAT and bit 3 of M3: from R2 on to the end of its 1 MiB, with R2 going along. With bits 1 or 2 of M3 (conditional
 * SSKE) a key stays that differs in ignored bits at most; one frame tells by the condition code, and
 * the key that was goes to bits 48-55 of R1.
 */
export function sske(sys: SystemContext): void {
  const { guest, keys } = sys;
  const multiple = (sys.r16 & SSKE_MULTIPLE) !== 0 && sys.model.has(FACILITY_EDAT1);
  const ignored = sys.model.has(FACILITY_CONDITIONAL_KEY)
    ? ((sys.r16 & SSKE_REFERENCE) !== 0 ? KEY_REFERENCE : 0) |
      ((sys.r16 & SSKE_CHANGE) !== 0 ? KEY_CHANGE : 0)
    : 0;
  let frame = keyFrame(sys);
  if (frame < 0) return;
  const source = sys.r24;
  const key = guest.grLow(source) & KEY_BITS;
  if (ignored !== 0 && !multiple) {
    const old = keys.get(frame) & KEY_BITS;
    guest.setGr(source, guest.grHigh(source), (guest.grLow(source) & ~0xff00) | (old << 8));
    const alike = ((old ^ key) & ~ignored) === 0;
    guest.setCc(alike ? 0 : 1);
    if (alike) return;
  }
  setKey(sys, frame, key, ignored);
  const register = sys.r28;
  const wide = (sys.psw.maskHigh & PswBit.ea64High) !== 0;
  while (multiple) {
    const low = ((guest.addressLow & ~(FRAME - 1)) + FRAME) | 0;
    const high = low === 0 ? guest.addressHigh + 1 : guest.addressHigh;
    guest.setGr(register, wide ? high | 0 : guest.grHigh(register), low);
    if ((low & 0xfffff) === 0) break;
    frame = keyFrame(sys);
    if (frame < 0) break;
    setKey(sys, frame, key, ignored);
  }
  sys.purgeEverywhere();
}

function setKey(sys: SystemContext, frame: number, key: number, ignored: number): void {
  const alike = ((sys.keys.get(frame) ^ key) & KEY_BITS & ~ignored) === 0;
  if (ignored === 0 || !alike) sys.keys.set(frame, key);
}

/** RESET REFERENCE BIT EXTENDED: cc = the reference and change bits as they were. */
export function rrbe(sys: SystemContext): void {
  const frame = keyFrame(sys);
  if (frame < 0) return;
  const key = sys.keys.get(frame);
  sys.keys.set(frame, key & ~KEY_REFERENCE);
  sys.state.setI32(Cpu.cc, (key >>> 1) & 3);
  sys.purgeEverywhere();
}

/** RESET REFERENCE BITS MULTIPLE: the bits of 64 frames as they were, from the left, into R1. */
export function rrbm(sys: SystemContext): void {
  if (sys.problem()) return;
  const { guest, keys } = sys;
  guest.formRegisterAddress(sys.r28);
  const low = guest.addressLow & ~(RRBM_FRAMES * FRAME - 1);
  const real = (guest.addressHigh >>> 0) * TWO_32 + (low >>> 0);
  const halves: [number, number] = [0, 0];
  const frames: number[] = [];
  for (let n = 0; n < RRBM_FRAMES; n++) {
    const absolute = sys.dat.realToAbsolute(real + n * FRAME);
    if (!sys.ram.contains(absolute, FRAME)) {
      guest.program(ADDRESSING);
      return;
    }
    frames.push(absolute);
  }
  frames.forEach((frame, n) => {
    const key = keys.get(frame);
    keys.set(frame, key & ~KEY_REFERENCE);
    if ((key & KEY_REFERENCE) !== 0) halves[n < 32 ? 0 : 1] |= 0x80000000 >>> (n & 31);
  });
  guest.setGr(sys.r24, ...halves);
  sys.purgeEverywhere();
}

/** INSERT VIRTUAL STORAGE KEY: of a logical address; bits 0-4 of the key, without reference and change. */
export function ivsk(sys: SystemContext): void {
  if (extractionRefused(sys)) return;
  const { guest, dat } = sys;
  if ((sys.psw.maskHigh & PswBit.datHigh) === 0) {
    guest.program(SPECIAL_OPERATION);
    return;
  }
  guest.formRegisterAddress(sys.r28);
  const { addressHigh, addressLow } = guest;
  const space = dat.currentSpace(FETCH);
  const absolute = dat.probe(addressHigh, addressLow, FETCH, space, 0);
  if (absolute < 0) {
    dat.record(-absolute, space);
    return;
  }
  const register = sys.r24;
  const low = (guest.grLow(register) & ~0xff) | (sys.keys.get(absolute) & 0xf8);
  guest.setGr(register, guest.grHigh(register), low);
}

/** Absolute address in the frame that R2 designates by its real address; -1 after an exception. */
function keyFrame(sys: SystemContext): number {
  if (sys.problem()) return -1;
  const { guest } = sys;
  guest.formRegisterAddress(sys.r28);
  const real = (guest.addressHigh >>> 0) * TWO_32 + ((guest.addressLow & ~0xfff) >>> 0);
  const absolute = sys.dat.realToAbsolute(real);
  if (sys.ram.contains(absolute, 4096)) return absolute;
  guest.program(ADDRESSING);
  return -1;
}
