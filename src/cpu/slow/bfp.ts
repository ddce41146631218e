/**
 * Binary floating-point instructions: operands, exceptions in their order, condition codes. Arithmetic itself is in
 * `bfp-arithmetic.ts` and `bfp-convert.ts`. Without the AFP-register control every one of them is a data
 * exception with DXC 2. Sources: SA22-7832 chapters 9 and 19; the M3 and M4 fields that facility 37 brought
 * are taken as zero without it, as QEMU does.
 */
import { ProgramCode } from "../../abi/lowcore.ts";
import { Cpu } from "../state.ts";
import * as arithmetic from "./bfp-arithmetic.ts";
import * as convert from "./bfp-convert.ts";
import { divideToInteger } from "./bfp-divide.ts";
import { afpOff, dataException, FACILITY_FLOATING_POINT_EXTENSION } from "./bfp-exceptions.ts";
import {
  type Bfp,
  type BfpFormat,
  dataClass,
  EXTENDED,
  Ieee,
  IeeeOutcome,
  isNan,
  Kind,
  LONG,
  type Rounding,
  roundingOfMode,
  SHORT,
  unpack,
} from "./bfp-number.ts";
import type { SlowContext, SlowInstruction } from "./context.ts";

/** M4 bit 1: no inexact exception. */
const INEXACT_SUPPRESSED = 4;

type SlowRow = readonly [number, string, SlowInstruction];
/** Stores the result; what an operation returns when it got so far. */
type Finish = () => void;
type Operation = (c: SlowContext, outcome: IeeeOutcome) => Finish | undefined;

// Registers

function readRegister(c: SlowContext, n: number, format: BfpFormat): bigint {
  const first = c.state.fpr(n);
  if (format === SHORT) return first >> 32n;
  return format === LONG ? first : (first << 64n) | c.state.fpr(n + 2);
}

function writeRegister(c: SlowContext, n: number, bits: bigint, format: BfpFormat): void {
  if (format === SHORT) {
    c.state.setFpr(n, (bits << 32n) | (c.state.fpr(n) & 0xffffffffn));
  } else if (format === LONG) {
    c.state.setFpr(n, bits);
  } else {
    c.state.setFpr(n, bits >> 64n);
    c.state.setFpr(n + 2, bits);
  }
}

/** An extended operand is in registers n and n + 2; others are a specification exception. */
function pairRefused(c: SlowContext, n: number, format: BfpFormat): boolean {
  return format === EXTENDED && (n & 2) !== 0 && c.program(ProgramCode.specification);
}

// Forms: where the operands are

interface Form {
  first(c: SlowContext): number;
  /** Bits of the second operand, or undefined with an exception recorded. */
  second(c: SlowContext, format: BfpFormat): bigint | undefined;
}

/** RRE and RRF. */
const inRegister: Form = {
  first: (c) => c.field(24, 4),
  second: (c, format) => {
    const n = c.field(28, 4);
    return pairRefused(c, n, format) ? undefined : readRegister(c, n, format);
  },
};

/** RXE and RXF. */
const inStorage: Form = {
  first: (c) => c.field(8, 4),
  second: (c, format) => {
    const bytes = c.read(c.indexedAddress(), format.bytes);
    return bytes && BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
  },
};

// Exceptions

function instruction(operation: Operation, chosen?: (c: SlowContext) => Rounding | undefined) {
  return (c: SlowContext): void => {
    if (afpOff(c)) return;
    const fpc = c.state.i32(Cpu.fpc);
    let rounding: Rounding | undefined = roundingOfMode(fpc);
    if (chosen !== undefined) rounding = chosen(c);
    if (rounding === undefined) return;
    const outcome = new IeeeOutcome((fpc >>> 24) & 0xff, rounding);
    const finish = operation(c, outcome);
    if (finish === undefined) return;
    if (!outcome.suppressed) {
      finish();
      c.state.setI32(Cpu.fpc, fpc | (outcome.flags << 16));
    }
    if (outcome.dxc !== 0) dataException(c, outcome.dxc);
  };
}

/** An instruction with R1 in format `to`, and a second operand in format `from`. */
function withOperands(
  form: Form,
  [from, to]: readonly [BfpFormat, BfpFormat],
  operation: (
    c: SlowContext,
    outcome: IeeeOutcome,
    r1: number,
    second: bigint,
  ) => Finish | undefined,
  chosen?: (c: SlowContext) => Rounding | undefined,
): SlowInstruction {
  return instruction((c, outcome) => {
    const r1 = form.first(c);
    if (pairRefused(c, r1, to)) return undefined;
    const second = form.second(c, from);
    return second === undefined ? undefined : operation(c, outcome, r1, second);
  }, chosen);
}

// M3 and M4 of RRF

/** Whether M3 or M4 counts always, or only with the floating-point extension. */
type Since = "always" | "extension";

function modifier(c: SlowContext, first: number, since: Since): number {
  return since === "always" || c.has(FACILITY_FLOATING_POINT_EXTENSION) ? c.field(first, 4) : 0;
}

function roundingField(since: Since) {
  return (c: SlowContext): Rounding | undefined => {
    return roundingNamed(c, modifier(c, 16, since));
  };
}

/** Rounding method of an M3 or M4 field, or undefined with a specification exception recorded. */
function roundingNamed(c: SlowContext, method: number): Rounding | undefined {
  const extension = c.has(FACILITY_FLOATING_POINT_EXTENSION);
  if (method === 2 || method > 7 || (method === 3 && !extension)) {
    c.program(ProgramCode.specification);
    return undefined;
  }
  return method === 0 ? roundingOfMode(c.state.i32(Cpu.fpc)) : (method as Rounding);
}

function inexactQuiet(c: SlowContext, since: Since): boolean {
  return (modifier(c, 20, since) & INEXACT_SUPPRESSED) !== 0;
}

function ccOf(value: Bfp): 0 | 1 | 2 | 3 {
  if (isNan(value)) return 3;
  if (value.kind === Kind.zero) return 0;
  return value.sign ? 1 : 2;
}

// Families of instructions

function binary(
  form: Form,
  format: BfpFormat,
  compute: arithmetic.Binary,
  setsCc: boolean,
): SlowInstruction {
  return withOperands(form, [format, format], (c, outcome, r1, second) => {
    const a = unpack(readRegister(c, r1, format), format);
    const bits = compute(a, unpack(second, format), format, outcome);
    return () => {
      writeRegister(c, r1, bits, format);
      if (setsCc) c.cc = ccOf(unpack(bits, format));
    };
  });
}

/** Product in the next longer format; always exact. */
function longProduct(form: Form, from: BfpFormat, to: BfpFormat): SlowInstruction {
  return withOperands(form, [from, to], (c, outcome, r1, second) => {
    const a = unpack(readRegister(c, r1, from), from);
    const bits = arithmetic.multiply(a, unpack(second, from), from, to, outcome);
    return () => writeRegister(c, r1, bits, to);
  });
}

/** DIEBR, DIDBR: R3 gets the quotient, R1 the remainder; M4 says how the quotient is rounded. */
function integerDivision(format: BfpFormat): SlowInstruction {
  return instruction((c, outcome) => {
    const [r3, r1, r2] = [c.field(16, 4), c.field(24, 4), c.field(28, 4)];
    if (r1 === r2 || r1 === r3 || r2 === r3) {
      c.program(ProgramCode.specification);
      return undefined;
    }
    const rounding = roundingNamed(c, c.field(20, 4));
    if (rounding === undefined) return undefined;
    const [a, b] = [r1, r2].map((n) => unpack(readRegister(c, n, format), format));
    if (a === undefined || b === undefined) return undefined;
    const result = divideToInteger(a, b, format, rounding, outcome);
    return () => {
      writeRegister(c, r1, result.remainder, format);
      writeRegister(c, r3, result.quotient, format);
      c.cc = result.cc;
    };
  });
}

/** RXF has R3 in bits 8-11 and R1 in 32-35; RRD has R1 in 16-19 and R3 in 24-27. */
function multiplyAdd(form: Form, format: BfpFormat, subtracts: boolean): SlowInstruction {
  const [at1, at3] = form === inStorage ? [32, 8] : [16, 24];
  return instruction((c, outcome) => {
    const second = form.second(c, format);
    if (second === undefined) return undefined;
    const r1 = c.field(at1, 4);
    const third = unpack(readRegister(c, c.field(at3, 4), format), format);
    const addend = unpack(readRegister(c, r1, format), format);
    const bits = arithmetic.multiplyAdd(
      unpack(second, format),
      third,
      addend,
      subtracts,
      format,
      outcome,
    );
    return () => writeRegister(c, r1, bits, format);
  });
}

function comparison(form: Form, format: BfpFormat, signals: boolean): SlowInstruction {
  return withOperands(form, [format, format], (c, outcome, r1, second) => {
    const a = unpack(readRegister(c, r1, format), format);
    const b = unpack(second, format);
    arithmetic.raiseForNans(a, b, signals, outcome);
    return () => {
      c.cc = arithmetic.compare(a, b);
    };
  });
}

function loadAndTest(format: BfpFormat): SlowInstruction {
  return withOperands(inRegister, [format, format], (c, outcome, r1, second) => {
    const value = unpack(second, format);
    const bits = arithmetic.nanResult([value], format, format, outcome) ?? second;
    return () => {
      writeRegister(c, r1, bits, format);
      c.cc = ccOf(value);
    };
  });
}

/** LOAD POSITIVE, NEGATIVE, COMPLEMENT: the sign bit only, also of NaNs. */
function withSign(
  format: BfpFormat,
  change: (bits: bigint, signBit: bigint) => bigint,
): SlowInstruction {
  const signBit = 1n << (format.bits - 1n);
  return withOperands(inRegister, [format, format], (c, _, r1, second) => {
    const bits = change(second, signBit);
    return () => {
      writeRegister(c, r1, bits, format);
      c.cc = ccOf(unpack(bits, format));
    };
  });
}

function squareRoot(form: Form, format: BfpFormat): SlowInstruction {
  return withOperands(form, [format, format], (c, outcome, r1, second) => {
    const bits = arithmetic.squareRoot(unpack(second, format), format, outcome);
    return () => writeRegister(c, r1, bits, format);
  });
}

function lengthen(form: Form, from: BfpFormat, to: BfpFormat): SlowInstruction {
  return withOperands(form, [from, to], (c, outcome, r1, second) => {
    const bits = convert.lengthened(unpack(second, from), from, to, outcome);
    return () => writeRegister(c, r1, bits, to);
  });
}

function round(from: BfpFormat, to: BfpFormat): SlowInstruction {
  return withOperands(
    inRegister,
    [from, from],
    (c, outcome, r1, second) => {
      const quiet = inexactQuiet(c, "extension");
      const bits = convert.rounded(unpack(second, from), from, to, quiet, outcome);
      // A trap delivers the result in the format of the source.
      const wide = (outcome.dxc & (Ieee.overflow | Ieee.underflow)) !== 0;
      return () => writeRegister(c, r1, bits, wide ? from : to);
    },
    roundingField("extension"),
  );
}

function loadIntegral(format: BfpFormat): SlowInstruction {
  return withOperands(
    inRegister,
    [format, format],
    (c, outcome, r1, second) => {
      const quiet = inexactQuiet(c, "extension");
      const bits = convert.toIntegral(unpack(second, format), format, quiet, outcome);
      return () => writeRegister(c, r1, bits, format);
    },
    roundingField("always"),
  );
}

function fromFixed(type: convert.IntegerType, format: BfpFormat): SlowInstruction {
  const since: Since = type.signed ? "extension" : "always";
  return instruction((c, outcome) => {
    const r1 = inRegister.first(c);
    if (pairRefused(c, r1, format)) return undefined;
    const register = BigInt.asUintN(type.bits, c.gr(c.field(28, 4)));
    const value = type.signed ? BigInt.asIntN(type.bits, register) : register;
    const bits = convert.fromInteger(value, format, inexactQuiet(c, since), outcome);
    return () => writeRegister(c, r1, bits, format);
  }, roundingField(since));
}

function toFixed(format: BfpFormat, type: convert.IntegerType): SlowInstruction {
  const since: Since = type.signed ? "extension" : "always";
  return instruction((c, outcome) => {
    const second = inRegister.second(c, format);
    if (second === undefined) return undefined;
    const number = unpack(second, format);
    const result = convert.toInteger(number, type, inexactQuiet(c, since), outcome);
    return () => {
      const r1 = c.field(24, 4);
      if (type.bits === 64) c.setGr(r1, result.value);
      else c.setGr32(r1, Number(result.value));
      c.cc = result.cc;
    };
  }, roundingField("always"));
}

/** TEST DATA CLASS: two bits of the second-operand address per class, for plus and minus. */
function testDataClass(format: BfpFormat): SlowInstruction {
  return instruction((c) => {
    const r1 = c.field(8, 4);
    if (pairRefused(c, r1, format)) return undefined;
    const bits = readRegister(c, r1, format);
    const mask = Number(c.indexedAddress() & 0xfffn);
    return () => {
      c.cc = (mask >> (11 - dataClass(bits, format))) & 1;
    };
  });
}

const WORD = { bits: 32, signed: true } as const;
const GRANDE = { bits: 64, signed: true } as const;
const LOGICAL_WORD = { bits: 32, signed: false } as const;
const LOGICAL_GRANDE = { bits: 64, signed: false } as const;

const positive = (bits: bigint, signBit: bigint): bigint => bits & ~signBit;
const negative = (bits: bigint, signBit: bigint): bigint => bits | signBit;
const complement = (bits: bigint, signBit: bigint): bigint => bits ^ signBit;

const { add, subtract, times, divide } = arithmetic;

export const bfpRows: readonly SlowRow[] = [
  [0xb30a, "AEBR", binary(inRegister, SHORT, add, true)],
  [0xb31a, "ADBR", binary(inRegister, LONG, add, true)],
  [0xb34a, "AXBR", binary(inRegister, EXTENDED, add, true)],
  [0xed0a, "AEB", binary(inStorage, SHORT, add, true)],
  [0xed1a, "ADB", binary(inStorage, LONG, add, true)],
  [0xb30b, "SEBR", binary(inRegister, SHORT, subtract, true)],
  [0xb31b, "SDBR", binary(inRegister, LONG, subtract, true)],
  [0xb34b, "SXBR", binary(inRegister, EXTENDED, subtract, true)],
  [0xed0b, "SEB", binary(inStorage, SHORT, subtract, true)],
  [0xed1b, "SDB", binary(inStorage, LONG, subtract, true)],
  [0xb317, "MEEBR", binary(inRegister, SHORT, times, false)],
  [0xb31c, "MDBR", binary(inRegister, LONG, times, false)],
  [0xb34c, "MXBR", binary(inRegister, EXTENDED, times, false)],
  [0xed17, "MEEB", binary(inStorage, SHORT, times, false)],
  [0xed1c, "MDB", binary(inStorage, LONG, times, false)],
  [0xb30c, "MDEBR", longProduct(inRegister, SHORT, LONG)],
  [0xed0c, "MDEB", longProduct(inStorage, SHORT, LONG)],
  [0xb307, "MXDBR", longProduct(inRegister, LONG, EXTENDED)],
  [0xed07, "MXDB", longProduct(inStorage, LONG, EXTENDED)],
  [0xb30d, "DEBR", binary(inRegister, SHORT, divide, false)],
  [0xb31d, "DDBR", binary(inRegister, LONG, divide, false)],
  [0xb34d, "DXBR", binary(inRegister, EXTENDED, divide, false)],
  [0xed0d, "DEB", binary(inStorage, SHORT, divide, false)],
  [0xed1d, "DDB", binary(inStorage, LONG, divide, false)],
  [0xb353, "DIEBR", integerDivision(SHORT)],
  [0xb35b, "DIDBR", integerDivision(LONG)],
  [0xb30e, "MAEBR", multiplyAdd(inRegister, SHORT, false)],
  [0xb31e, "MADBR", multiplyAdd(inRegister, LONG, false)],
  [0xed0e, "MAEB", multiplyAdd(inStorage, SHORT, false)],
  [0xed1e, "MADB", multiplyAdd(inStorage, LONG, false)],
  [0xb30f, "MSEBR", multiplyAdd(inRegister, SHORT, true)],
  [0xb31f, "MSDBR", multiplyAdd(inRegister, LONG, true)],
  [0xed0f, "MSEB", multiplyAdd(inStorage, SHORT, true)],
  [0xed1f, "MSDB", multiplyAdd(inStorage, LONG, true)],
  [0xb314, "SQEBR", squareRoot(inRegister, SHORT)],
  [0xb315, "SQDBR", squareRoot(inRegister, LONG)],
  [0xb316, "SQXBR", squareRoot(inRegister, EXTENDED)],
  [0xed14, "SQEB", squareRoot(inStorage, SHORT)],
  [0xed15, "SQDB", squareRoot(inStorage, LONG)],
  [0xb309, "CEBR", comparison(inRegister, SHORT, false)],
  [0xb319, "CDBR", comparison(inRegister, LONG, false)],
  [0xb349, "CXBR", comparison(inRegister, EXTENDED, false)],
  [0xed09, "CEB", comparison(inStorage, SHORT, false)],
  [0xed19, "CDB", comparison(inStorage, LONG, false)],
  [0xb308, "KEBR", comparison(inRegister, SHORT, true)],
  [0xb318, "KDBR", comparison(inRegister, LONG, true)],
  [0xb348, "KXBR", comparison(inRegister, EXTENDED, true)],
  [0xed08, "KEB", comparison(inStorage, SHORT, true)],
  [0xed18, "KDB", comparison(inStorage, LONG, true)],
  [0xb302, "LTEBR", loadAndTest(SHORT)],
  [0xb312, "LTDBR", loadAndTest(LONG)],
  [0xb342, "LTXBR", loadAndTest(EXTENDED)],
  [0xb300, "LPEBR", withSign(SHORT, positive)],
  [0xb310, "LPDBR", withSign(LONG, positive)],
  [0xb340, "LPXBR", withSign(EXTENDED, positive)],
  [0xb301, "LNEBR", withSign(SHORT, negative)],
  [0xb311, "LNDBR", withSign(LONG, negative)],
  [0xb341, "LNXBR", withSign(EXTENDED, negative)],
  [0xb303, "LCEBR", withSign(SHORT, complement)],
  [0xb313, "LCDBR", withSign(LONG, complement)],
  [0xb343, "LCXBR", withSign(EXTENDED, complement)],
  [0xb304, "LDEBR", lengthen(inRegister, SHORT, LONG)],
  [0xb305, "LXDBR", lengthen(inRegister, LONG, EXTENDED)],
  [0xb306, "LXEBR", lengthen(inRegister, SHORT, EXTENDED)],
  [0xed04, "LDEB", lengthen(inStorage, SHORT, LONG)],
  [0xed05, "LXDB", lengthen(inStorage, LONG, EXTENDED)],
  [0xed06, "LXEB", lengthen(inStorage, SHORT, EXTENDED)],
  [0xb344, "LEDBR", round(LONG, SHORT)],
  [0xb345, "LDXBR", round(EXTENDED, LONG)],
  [0xb346, "LEXBR", round(EXTENDED, SHORT)],
  [0xb357, "FIEBR", loadIntegral(SHORT)],
  [0xb35f, "FIDBR", loadIntegral(LONG)],
  [0xb347, "FIXBR", loadIntegral(EXTENDED)],
  [0xb394, "CEFBR", fromFixed(WORD, SHORT)],
  [0xb395, "CDFBR", fromFixed(WORD, LONG)],
  [0xb396, "CXFBR", fromFixed(WORD, EXTENDED)],
  [0xb3a4, "CEGBR", fromFixed(GRANDE, SHORT)],
  [0xb3a5, "CDGBR", fromFixed(GRANDE, LONG)],
  [0xb3a6, "CXGBR", fromFixed(GRANDE, EXTENDED)],
  [0xb390, "CELFBR", fromFixed(LOGICAL_WORD, SHORT)],
  [0xb391, "CDLFBR", fromFixed(LOGICAL_WORD, LONG)],
  [0xb392, "CXLFBR", fromFixed(LOGICAL_WORD, EXTENDED)],
  [0xb3a0, "CELGBR", fromFixed(LOGICAL_GRANDE, SHORT)],
  [0xb3a1, "CDLGBR", fromFixed(LOGICAL_GRANDE, LONG)],
  [0xb3a2, "CXLGBR", fromFixed(LOGICAL_GRANDE, EXTENDED)],
  [0xb398, "CFEBR", toFixed(SHORT, WORD)],
  [0xb399, "CFDBR", toFixed(LONG, WORD)],
  [0xb39a, "CFXBR", toFixed(EXTENDED, WORD)],
  [0xb3a8, "CGEBR", toFixed(SHORT, GRANDE)],
  [0xb3a9, "CGDBR", toFixed(LONG, GRANDE)],
  [0xb3aa, "CGXBR", toFixed(EXTENDED, GRANDE)],
  [0xb39c, "CLFEBR", toFixed(SHORT, LOGICAL_WORD)],
  [0xb39d, "CLFDBR", toFixed(LONG, LOGICAL_WORD)],
  [0xb39e, "CLFXBR", toFixed(EXTENDED, LOGICAL_WORD)],
  [0xb3ac, "CLGEBR", toFixed(SHORT, LOGICAL_GRANDE)],
  [0xb3ad, "CLGDBR", toFixed(LONG, LOGICAL_GRANDE)],
  [0xb3ae, "CLGXBR", toFixed(EXTENDED, LOGICAL_GRANDE)],
  [0xed10, "TCEB", testDataClass(SHORT)],
  [0xed11, "TCDB", testDataClass(LONG)],
  [0xed12, "TCXB", testDataClass(EXTENDED)],
];
