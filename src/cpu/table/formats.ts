/**
 * Instruction formats (SA22-7832, "Instruction Formats"): how the bytes of an instruction become the
 * operand slots a, b, c, d and `extra` of a decoded entry. Register slots hold the host address of the
 * register, so a body reads it with one load; base and index register 0 point at a word that is zero.
 */

import { Core, Entry } from "../core-layout.ts";
import { Cpu } from "../state.ts";

/** The operand slot of each named field. */
export type Slot = "a" | "b" | "c";
export type RegisterField = "r1" | "r2" | "r3";

export interface FormatFields {
  readonly r1?: Slot;
  readonly r2?: Slot;
  readonly r3?: Slot;
  /** Base and index of the storage operand. */
  readonly base?: Slot;
  readonly index?: Slot;
  /** Slot with an immediate other than `d`. */
  readonly immediate?: Slot;
}

/**
 * `d` holds: the displacement (RX, RXY, RS, RSY, SI, SIY, SIL, S, RRS, RIS), the immediate (RI, RIL, RIE_a,
 * RIE_d), halfwords to the branch target or operand (the `relative` formats), both displacements (SS).
 * For relative formats `c` holds the host address of the target's entry when it is in the same page.
 */
export const formats = {
  none: {},
  I: {}, //                                         SVC: d = number
  RR: { r1: "a", r2: "b" },
  RR_f: { r1: "a", r2: "b" }, //                    floating-point registers
  RR_m: { r2: "b" }, //                             BCR: extra = m1, 0 if r2 is 0; c = 1 to serialize
  RR_l: { r1: "a", r2: "b" }, //                    BALR, BASR, ...: extra = r2
  RRE: { r1: "a", r2: "b" },
  RRE_f: { r1: "a", r2: "b" }, //                   both floating-point
  RRE_f1: { r1: "a" }, //                           r1 floating-point, no r2
  RRF_f: { r1: "a", r2: "b", r3: "c" }, //          all floating-point
  RRE_rf: { r1: "a", r2: "b" }, //                  r1 general, r2 floating-point
  RRE_fr: { r1: "a", r2: "b" },
  RRE_ra: { r1: "a", r2: "b" }, //                  r1 general, r2 access register
  RRE_ar: { r1: "a", r2: "b" },
  RRE_aa: { r1: "a", r2: "b" },
  RRF: { r1: "a", r2: "b", r3: "c" }, //            extra = m3
  RRF_a: { r1: "a", r2: "b", r3: "c" }, //          extra = m4
  RX: { r1: "a", base: "b", index: "c" },
  RX_f: { r1: "a", base: "b", index: "c" },
  RX_m: { base: "b", index: "c" }, //               extra = m1
  RX_l: { r1: "a", base: "b", index: "c" }, //      LAE: extra = b2
  RXY: { r1: "a", base: "b", index: "c" },
  RXY_f: { r1: "a", base: "b", index: "c" },
  RXY_l: { r1: "a", base: "b", index: "c" }, //     LAEY: extra = b2
  RS: { r1: "a", base: "b", r3: "c" }, //           extra = m3
  RS_x: { r1: "a", base: "b", r3: "c" }, //         extra = 0 if r3 is odd, else 8
  RS_a: { r1: "a", base: "b", r3: "c" }, //         access registers
  RSY: { r1: "a", base: "b", r3: "c" }, //          extra = m3
  RSY_x: { r1: "a", base: "b", r3: "c" },
  RSY_a: { r1: "a", base: "b", r3: "c" },
  RSI: { r1: "a", r3: "b" }, //                     relative; extra as RS_x
  RI: { r1: "a" }, //                               d signed
  RI_u: { r1: "a" }, //                             d unsigned
  RI_b: { r1: "a" }, //                             relative
  RI_m: {}, //                                      relative; extra = m1
  RIL: { r1: "a" },
  RIL_b: { r1: "a" }, //                            relative
  RIL_m: {}, //                                     relative; extra = m1
  RIE_a: { r1: "a" }, //                            extra = m3, d signed
  RIE_au: { r1: "a" }, //                           extra = m3, d unsigned
  RIE_b: { r1: "a", r2: "b" }, //                   relative; extra = m3
  RIE_c: { r1: "a", immediate: "b" }, //            relative; extra = m3; b signed
  RIE_cu: { r1: "a", immediate: "b" }, //           b unsigned
  RIE_d: { r1: "a", r3: "b" }, //                   d signed
  RIE_g: { r1: "a" }, //                            extra = m3, d signed
  RIE_e: { r1: "a", r3: "b" }, //                   relative; extra as RS_x
  RIE_f: { r1: "a", r2: "b" }, //                   extra = rotate | zero or test flag; c, d = mask
  RIE_fh: { r1: "a", r2: "b" }, //                  as RIE_f for bits 0-31 of r1
  RIE_fl: { r1: "a", r2: "b" }, //                  as RIE_f for bits 32-63 of r1
  RRS: { r1: "a", r2: "b", base: "c" }, //          extra = m3
  RIS: { r1: "a", immediate: "b", base: "c" }, //   extra = m3, b signed
  RIS_u: { r1: "a", immediate: "b", base: "c" },
  SI: { base: "b", immediate: "c" }, //             c unsigned
  SIY: { base: "b", immediate: "c" },
  SIY_s: { base: "b", immediate: "c" }, //          c signed
  SIL: { base: "b", immediate: "c" }, //            c signed
  SIL_u: { base: "b", immediate: "c" },
  S: { base: "b" },
  SS: {}, //                                        a = L, b and c the bases, d = d1 | d2 << 16
  SSF: { r3: "a" }, //                              b and c the bases, d = d1 | d2 << 16
  slow: {}, //                                      d = index of the TypeScript handler
} as const satisfies Record<string, FormatFields>;

export type Format = keyof typeof formats;

export function fieldsOf(format: Format): FormatFields {
  return formats[format];
}

/** Whether the format's instructions may branch (or refer) relative to the instruction's address. */
export function isRelative(format: Format): boolean {
  return /^(RSI|RI_b|RI_m|RIL_b|RIL_m|RIE_b|RIE_c|RIE_cu|RIE_e)$/.test(format);
}

/** Fills the operand slots of the entry at host address `entry`; `high`/`low` as in ports/guest-cpu.ts. */
export function decodeOperands(
  view: DataView,
  area: number,
  entry: number,
  format: Format,
  high: number,
  low: number,
): void {
  const gr = (n: number): number => area + Cpu.gr + (n & 15) * 8;
  const fpr = (n: number): number => area + Cpu.vr + (n & 15) * 16;
  const ar = (n: number): number => area + Cpu.ar + (n & 15) * 4;
  const base = (n: number): number => ((n & 15) === 0 ? area + Core.zero : gr(n));
  const set = (offset: number, value: number): void => view.setInt32(entry + offset, value, true);
  const extra = (value: number): void => view.setUint8(entry + Entry.extra, value);
  const put = (a: number, b: number, c: number, d: number, small: number): void => {
    set(Entry.a, a);
    set(Entry.b, b);
    set(Entry.c, c);
    set(Entry.d, d);
    extra(small);
  };
  const n1 = high >>> 20; //       bits 8-11 (callers mask)
  const n2 = high >>> 16; //       bits 12-15
  const n3 = high >>> 12; //       bits 16-19
  const n6 = high >>> 4; //        bits 24-27
  const n7 = high; //              bits 28-31
  const displacement = high & 0xfff;
  const long = ((low >> 24) << 12) | displacement;
  const short16 = (high << 16) >> 16;
  const long32 = (high << 16) | (low >>> 16);
  const pairOdd = (n: number): number => ((n & 1) === 1 ? 0 : 8);

  switch (format) {
    case "none":
    case "slow":
      return put(0, 0, 0, 0, 0);
    case "I":
      return put(0, 0, 0, (high >>> 16) & 0xff, 0);
    case "RR":
      return put(gr(n1), gr(n2), 0, 0, 0);
    case "RR_f":
      return put(fpr(n1), fpr(n2), 0, 0, additional(n1) | additional(n2));
    case "RR_m": {
      const none = (n2 & 15) === 0;
      const serialize = none && (n1 & 14) === 14 ? 1 : 0;
      return put(0, gr(n2), serialize, 0, none ? 0 : n1 & 15);
    }
    case "RR_l":
      return put(gr(n1), gr(n2), 0, 0, n2 & 15);
    case "RRE":
      return put(gr(n6), gr(n7), 0, 0, 0);
    case "RRE_f":
      return put(fpr(n6), fpr(n7), 0, 0, additional(n6) | additional(n7));
    case "RRE_f1":
      return put(fpr(n6), 0, 0, 0, additional(n6));
    case "RRF_f":
      return put(fpr(n6), fpr(n7), fpr(n3), 0, additional(n6) | additional(n7) | additional(n3));
    case "RRE_rf":
      return put(gr(n6), fpr(n7), 0, 0, additional(n7));
    case "RRE_fr":
      return put(fpr(n6), gr(n7), 0, 0, additional(n6));
    case "RRE_ra":
      return put(gr(n6), ar(n7), 0, 0, 0);
    case "RRE_ar":
      return put(ar(n6), gr(n7), 0, 0, 0);
    case "RRE_aa":
      return put(ar(n6), ar(n7), 0, 0, 0);
    case "RRF":
      return put(gr(n6), gr(n7), gr(n3), 0, n3 & 15);
    case "RRF_a":
      return put(gr(n6), gr(n7), gr(n3), 0, (high >>> 8) & 15);
    case "RX":
      return put(gr(n1), base(n3), base(n2), displacement, 0);
    case "RX_f":
      return put(fpr(n1), base(n3), base(n2), displacement, additional(n1));
    case "RX_m":
      return put(0, base(n3), base(n2), displacement, n1 & 15);
    case "RX_l":
      return put(gr(n1), base(n3), base(n2), displacement, n3 & 15);
    case "RXY":
      return put(gr(n1), base(n3), base(n2), long, n1 & 15);
    case "RXY_f":
      return put(fpr(n1), base(n3), base(n2), long, additional(n1));
    case "RXY_l":
      return put(gr(n1), base(n3), base(n2), long, n3 & 15);
    case "RS":
      return put(gr(n1), base(n3), gr(n2), displacement, n2 & 15);
    case "RS_x":
      return put(gr(n1), base(n3), gr(n2), displacement, pairOdd(n2));
    case "RS_a":
      return put(ar(n1), base(n3), ar(n2), displacement, 0);
    case "RSY":
      return put(gr(n1), base(n3), gr(n2), long, n2 & 15);
    case "RSY_x":
      return put(gr(n1), base(n3), gr(n2), long, pairOdd(n2));
    case "RSY_a":
      return put(ar(n1), base(n3), ar(n2), long, 0);
    case "RSI":
      return put(gr(n1), gr(n2), 0, short16, pairOdd(n2));
    case "RI":
      return put(gr(n1), 0, 0, short16, 0);
    case "RI_u":
      return put(gr(n1), 0, 0, high & 0xffff, 0);
    case "RI_b":
      return put(gr(n1), 0, 0, short16, 0);
    case "RI_m":
      return put(0, 0, 0, short16, n1 & 15);
    case "RIL":
    case "RIL_b":
      return put(gr(n1), 0, 0, long32, n1 & 15);
    case "RIL_m":
      return put(0, 0, 0, long32, n1 & 15);
    case "RIE_a":
      return put(gr(n1), 0, 0, short16, (low >>> 28) & 15);
    case "RIE_au":
      return put(gr(n1), 0, 0, high & 0xffff, (low >>> 28) & 15);
    case "RIE_b":
      return put(gr(n1), gr(n2), 0, short16, (low >>> 28) & 15);
    case "RIE_c":
      return put(gr(n1), low >> 24, 0, short16, n2 & 15);
    case "RIE_cu":
      return put(gr(n1), low >>> 24, 0, short16, n2 & 15);
    case "RIE_d":
      return put(gr(n1), gr(n2), 0, short16, 0);
    case "RIE_g":
      return put(gr(n1), 0, 0, short16, n2 & 15);
    case "RIE_e":
      return put(gr(n1), gr(n2), 0, short16, pairOdd(n2));
    case "RIE_f":
    case "RIE_fh":
    case "RIE_fl":
      return decodeRotate(view, entry, format, gr(n1), gr(n2), high, low);
    case "RRS":
      return put(gr(n1), gr(n2), base(n3), displacement, (low >>> 28) & 15);
    case "RIS":
      return put(gr(n1), low >> 24, base(n3), displacement, n2 & 15);
    case "RIS_u":
      return put(gr(n1), low >>> 24, base(n3), displacement, n2 & 15);
    case "SI":
      return put(0, base(n3), (high >>> 16) & 0xff, displacement, 0);
    case "SIY":
      return put(0, base(n3), (high >>> 16) & 0xff, long, 0);
    case "SIY_s":
      return put(0, base(n3), (high << 8) >> 24, long, 0);
    case "SIL":
      return put(0, base(n3), low >> 16, displacement, 0);
    case "SIL_u":
      return put(0, base(n3), low >>> 16, displacement, 0);
    case "S":
      return put(0, base(n3), 0, displacement, 0);
    case "SSF": {
      const second = (low >>> 16) & 0xfff;
      return put(gr(n1), base(n3), base(low >>> 28), displacement | (second << 16), 0);
    }
    case "SS": {
      const second = (low >>> 16) & 0xfff;
      return put(
        (high >>> 16) & 0xff,
        base(n3),
        base(low >>> 28),
        displacement | (second << 16),
        0,
      );
    }
  }
}

/** 1 for the floating-point registers that need the AFP-register control: all but 0, 2, 4, 6. */
function additional(n: number): number {
  return (n & 15) > 6 || (n & 1) === 1 ? 1 : 0;
}

/** Rotate-then-selected-bits: extra = I5 bits 2-7, with I4 bit 0 (zero) and I3 bit 0 (test) above. */
function decodeRotate(
  view: DataView,
  entry: number,
  format: Format,
  r1: number,
  r2: number,
  high: number,
  low: number,
): void {
  const i3 = (high >>> 8) & 0xff;
  const i4 = high & 0xff;
  const i5 = (low >>> 24) & 0xff;
  const within = selectedBits(32 + (i3 & 31), 32 + (i4 & 31)) & 0xffffffffn;
  const mask =
    format === "RIE_f"
      ? selectedBits(i3 & 63, i4 & 63)
      : format === "RIE_fl"
        ? within
        : within << 32n;
  view.setInt32(entry + Entry.a, r1, true);
  view.setInt32(entry + Entry.b, r2, true);
  view.setBigUint64(entry + Entry.c, mask, true);
  view.setUint8(entry + Entry.extra, (i5 & 63) | (i4 & 0x80) | ((i3 & 0x80) >> 1));
}

/** Ones from bit `first` to bit `last`, wrapping around when `first` is behind `last`. */
export function selectedBits(first: number, last: number): bigint {
  const fromFirst = (1n << BigInt(64 - first)) - 1n;
  const toLast = BigInt.asUintN(64, -1n << BigInt(63 - last));
  return first <= last ? fromFirst & toLast : fromFirst | toLast;
}
