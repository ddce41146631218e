/**
 * Instructions over address translation: IPTE, IDTE, CSP, CSPG, PTLB, PALB, LRA, LRAG, LRAY, LURA,
 * LURAG, STURA, STURG, TPROT, TAR, TB. Source: SA22-7832 chapter 10. Invalidation instructions
 * may clear more of the TLB than they must; they clear all of it.
 */
import { ProgramCode } from "../../abi/lowcore.ts";
import { SPACE_REAL } from "../dat.ts";
import { FETCH, STORE } from "../seam.ts";
import { Cpu, PswBit } from "../state.ts";
import { ADDRESSING, SPECIAL_OPERATION, SPECIFICATION, type SystemContext } from "./context.ts";

const TWO_32 = 0x1_0000_0000;
const ALET_PRIMARY_LIST = 0x01000000;
const {
  protection: PROTECTION,
  segmentTranslation: SEGMENT_TRANSLATION,
  pageTranslation: PAGE_TRANSLATION,
  translationSpecification: TRANSLATION_SPECIFICATION,
} = ProgramCode;

/** INVALIDATE PAGE TABLE ENTRY: page-table origin in R1, page index from the address in R2. */
export function ipte(sys: SystemContext): void {
  if (sys.problem()) return;
  const { guest, ram } = sys;
  const origin = (guest.grHigh(sys.r24) >>> 0) * TWO_32 + ((guest.grLow(sys.r24) & ~0x7ff) >>> 0);
  const entry = sys.realEntry(origin + ((guest.grLow(sys.r28) >>> 12) & 0xff) * 8);
  if (entry < 0) return;
  ram.orByte(entry + 6, 0x04); // bit 53: invalid
  sys.purgeEverywhere();
}

/** INVALIDATE DAT TABLE ENTRY: up to 2048 region or segment entries, or only clearing by ASCE. */
export function idte(sys: SystemContext): void {
  if (sys.problem()) return;
  const { guest, ram } = sys;
  const tableLow = guest.grLow(sys.r24);
  const controlHigh = guest.grHigh(sys.r28);
  const controlLow = guest.grLow(sys.r28);
  if ((controlLow & 0xff000) !== 0) {
    guest.program(SPECIFICATION);
    return;
  }
  if ((controlLow & 0x800) === 0) {
    const origin = (guest.grHigh(sys.r24) >>> 0) * TWO_32 + ((tableLow & ~0xfff) >>> 0);
    const level = (tableLow >>> 2) & 3;
    let index: number;
    if (level === 3) index = controlHigh >>> 21;
    else if (level === 2) index = (controlHigh >>> 10) & 0x7ff;
    else if (level === 1) index = ((controlHigh & 0x3ff) << 1) | (controlLow >>> 31);
    else index = (controlLow >>> 20) & 0x7ff;
    const count = (controlLow & 0x7ff) + 1;
    for (let i = 0; i < count; i++) {
      const entry = sys.realEntry(origin + ((index + i) & 0x7ff) * 8);
      if (entry < 0) return;
      ram.orByte(entry + 7, 0x20); // bit 58: invalid
    }
  }
  sys.purgeEverywhere();
}

export const csp = (sys: SystemContext): void => compareAndSwapAndPurge(sys, 4);
export const cspg = (sys: SystemContext): void => compareAndSwapAndPurge(sys, 8);

function compareAndSwapAndPurge(sys: SystemContext, size: 4 | 8): void {
  if (sys.problem()) return;
  const { guest, view } = sys;
  const first = sys.r24;
  if ((first & 1) !== 0) {
    guest.program(SPECIFICATION);
    return;
  }
  guest.formRegisterAddress(sys.r28);
  const purge = (guest.addressLow & 3) !== 0; // bit 63 TLB, bit 62 access-list buffer
  guest.addressLow &= -size;
  if (!guest.prepare(size, STORE, sys.dat.currentSpace(STORE), sys.dat.pswKey())) return;
  const wanted = size === 8 ? guest.grHigh(first) : 0;
  const next = size === 8 ? guest.grHigh(first + 1) : 0;
  const at = guest.operand();
  const swapped =
    size === 8
      ? sys.ram.compareExchange64(at, wanted, guest.grLow(first), next, guest.grLow(first + 1))
      : sys.ram.compareExchange32(at, guest.grLow(first), guest.grLow(first + 1));
  if (!swapped) {
    guest.copyOut(sys.buffer, size);
    guest.setGr(
      first,
      size === 8 ? view.getInt32(0) : guest.grHigh(first),
      view.getInt32(size - 4),
    );
    guest.setCc(1);
    return;
  }
  guest.setCc(0);
  if (purge) sys.purgeEverywhere();
}

export function ptlb(sys: SystemContext): void {
  if (!sys.problem()) sys.dat.purge();
}

/** PURGE ALB: access lists are looked up anew each time. */
export function palb(sys: SystemContext): void {
  sys.problem();
}

/** LRA and LRAY: 32-bit result below the 64-bit mode. */
export function lra(sys: SystemContext): void {
  loadRealAddress(sys, (sys.state.high(Cpu.pswMask) & PswBit.ea64High) !== 0);
}

export function lrag(sys: SystemContext): void {
  loadRealAddress(sys, true);
}

/**
 * cc 0: real address. cc 1 and 2: address of the segment- or page-table entry that is invalid. cc 3: the
 * code of any other translation exception, with bit 32 one.
 */
function loadRealAddress(sys: SystemContext, wide: boolean): void {
  if (sys.problem()) return;
  const { guest, dat } = sys;
  const target = sys.r8;
  guest.formOperandAddress();
  const space = (sys.psw.maskHigh >>> 14) & 3;
  const real = dat.loadReal(guest.addressHigh, guest.addressLow, space);
  const code = real < 0 ? -real : 0;
  if (code === ADDRESSING || code === TRANSLATION_SPECIFICATION) {
    guest.program(code);
    return;
  }
  let result = real;
  let cc: 0 | 1 | 2 | 3 = 0;
  if (code !== 0) {
    cc = 3;
    result = dat.entryOrigin;
    if (code === SEGMENT_TRANSLATION && dat.entryInvalid) cc = 1;
    else if (code === PAGE_TRANSLATION) cc = 2;
    // An entry address that does not fit into 31 bits is reported like the other exceptions.
    if (!wide && result > 0x7fffffff) cc = 3;
  } else if (!wide && real > 0x7fffffff) {
    guest.program(SPECIAL_OPERATION);
    return;
  }
  if (cc === 3) {
    guest.setGr(target, guest.grHigh(target), 0x80000000 | code);
  } else {
    const high = wide ? Math.floor(result / TWO_32) | 0 : guest.grHigh(target);
    guest.setGr(target, high, result | 0);
  }
  guest.setCc(cc);
}

export const lura = (sys: SystemContext): void => useRealAddress(sys, 4, false);
export const lurag = (sys: SystemContext): void => useRealAddress(sys, 8, false);
export const stura = (sys: SystemContext): void => useRealAddress(sys, 4, true);
export const sturg = (sys: SystemContext): void => useRealAddress(sys, 8, true);

function useRealAddress(sys: SystemContext, size: 4 | 8, store: boolean): void {
  if (sys.problem()) return;
  const { guest, ram } = sys;
  guest.formRegisterAddress(sys.r28);
  if ((guest.addressLow & (size - 1)) !== 0) {
    guest.program(SPECIFICATION);
    return;
  }
  const kind = store ? STORE : FETCH;
  const key = sys.dat.pswKey();
  const { addressHigh, addressLow } = guest;
  const absolute = sys.dat.translateIn(addressHigh, addressLow, kind, SPACE_REAL, key);
  if (absolute < 0) return;
  const register = sys.r24;
  if (store) {
    if (size === 8) ram.setU32(absolute, guest.grHigh(register));
    ram.setU32(absolute + size - 4, guest.grLow(register));
  } else {
    const high = size === 8 ? ram.u32(absolute) | 0 : guest.grHigh(register);
    guest.setGr(register, high, ram.u32(absolute + size - 4) | 0);
  }
}

/** TEST PROTECTION with the access key in bits 56-59 of the second-operand address. */
export function tprot(sys: SystemContext): void {
  if (sys.problem()) return;
  const { guest, dat } = sys;
  sys.formSecondAddress();
  const key = (guest.addressLow >>> 4) & 15;
  sys.formFirstAddress();
  const space = dat.currentSpace(FETCH);
  const { addressHigh, addressLow } = guest;
  const stored = dat.probe(addressHigh, addressLow, STORE, space, key);
  if (stored >= 0) {
    guest.setCc(0);
    return;
  }
  if (stored === -PROTECTION) {
    guest.setCc(dat.probe(addressHigh, addressLow, FETCH, space, key) >= 0 ? 1 : 2);
    return;
  }
  if (stored === -ADDRESSING || stored === -TRANSLATION_SPECIFICATION) guest.program(-stored);
  else guest.setCc(3);
}

/** TEST ACCESS: condition code 0 ALET 0, 1 and 2 an entry of the DU's or the primary list, 3 none that can be used. */
export function tar(sys: SystemContext): void {
  const alet = sys.state.i32(Cpu.ar + sys.r24 * 4);
  if (alet === 0 || alet === 1) {
    sys.guest.setCc(alet === 0 ? 0 : 3);
    return;
  }
  const failed = sys.dat.accessLists.translate(alet, sys.guest.grLow(sys.r28) >>> 16);
  if (failed === ADDRESSING) sys.guest.program(ADDRESSING);
  else if (failed !== 0) sys.guest.setCc(3);
  else sys.guest.setCc((alet & ALET_PRIMARY_LIST) !== 0 ? 2 : 1);
}

/** TEST BLOCK: the frame is cleared; every one of ours is usable. */
export function tb(sys: SystemContext): void {
  if (sys.problem()) return;
  const { guest, dat, ram } = sys;
  guest.formRegisterAddress(sys.r28);
  const low = guest.addressLow & ~0xfff;
  // Low-address protection applies, key-controlled protection does not.
  const absolute = dat.probe(guest.addressHigh, low, STORE, SPACE_REAL, 0);
  if (absolute < 0) {
    dat.record(-absolute, SPACE_REAL);
    return;
  }
  ram.fill(absolute, 4096, 0);
  guest.setGr(0, 0, 0);
  guest.setCc(0);
}
