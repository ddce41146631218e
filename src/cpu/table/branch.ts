/**
 * Branches, loop closing, linkage, addressing modes. SA22-7832 chapter 7. A branch address is taken before
 * any register is changed, because link and address may be the same register.
 */

import { Core, Entry } from "../core-layout.ts";
import { Cpu, PswBit } from "../state.ts";
import { atomicFence, type I32, type I64, i32, i64 } from "../wasm/index.ts";
import type { Body } from "./body.ts";
import { Facility, type Row, row } from "./row.ts";
import { ZERO32 } from "./sources.ts";

const HW = Facility.z196;

function branchOnCondition(b: Body): void {
  b.if(b.maskSelectsCc(), () => b.jump(b.address()));
}

/** BCR: r2 = 0 never branches; masks 14 and 15 then serialize, which a fence does on the host. */
function branchOnConditionRegister(b: Body): void {
  b.if(b.maskSelectsCc(), () => b.jump(b.registerAddress("r2")));
  b.if(b.field32(Entry.c), () => b.fn.emit(atomicFence));
}

function branchRelative(b: Body): void {
  b.if(b.maskSelectsCc(), () => b.jumpRelative());
}

function branchOnCount32(b: Body): void {
  const count = b.let32(i32.sub(b.gr32("r1"), i32.const(1)));
  const target = b.let64(b.address());
  b.setGr32("r1", count);
  b.if(count, () => b.jump(target));
}

function branchOnCount64(b: Body): void {
  const count = b.let64(i64.sub(b.gr("r1"), i64.const(1)));
  const target = b.let64(b.address());
  b.setGr("r1", count);
  b.if(i32.eqz(i64.eqz(count)), () => b.jump(target));
}

function branchOnCountRegister32(b: Body): void {
  const target = b.let64(b.registerAddress("r2"));
  const count = b.let32(i32.sub(b.gr32("r1"), i32.const(1)));
  b.setGr32("r1", count);
  b.if(i32.and(i32.ne(count, ZERO32), i32.ne(b.extra, ZERO32)), () => b.jump(target));
}

function branchOnCountRegister64(b: Body): void {
  const target = b.let64(b.registerAddress("r2"));
  const count = b.let64(i64.sub(b.gr("r1"), i64.const(1)));
  b.setGr("r1", count);
  b.if(i32.and(i32.eqz(i64.eqz(count)), b.isNamed("r2")), () => b.jump(target));
}

function branchRelativeOnCount32(b: Body): void {
  const count = b.let32(i32.sub(b.gr32("r1"), i32.const(1)));
  b.setGr32("r1", count);
  b.if(count, () => b.jumpRelative());
}

function branchRelativeOnCount64(b: Body): void {
  const count = b.let64(i64.sub(b.gr("r1"), i64.const(1)));
  b.setGr("r1", count);
  b.if(i32.eqz(i64.eqz(count)), () => b.jumpRelative());
}

function branchRelativeOnCountHigh(b: Body): void {
  const count = b.let32(i32.sub(b.grHigh("r1"), i32.const(1)));
  b.setGrHigh("r1", count);
  b.if(count, () => b.jumpRelative());
}

/** BRANCH ON INDEX: r1 + r3 compared with the odd register of r3; `extra` leads there. */
function onIndex(long: boolean, high: boolean, leave: (b: Body, target: I64 | undefined) => void) {
  return (b: Body): void => {
    const relative = b.format === "RSI" || b.format === "RIE_e";
    const target = relative ? undefined : b.let64(b.address());
    const taken = long ? indexLong(b, high) : indexWord(b, high);
    b.if(taken, () => leave(b, target));
  };
}

function indexWord(b: Body, high: boolean): I32 {
  const comparand = b.let32(b.comparand32());
  const sum = b.let32(i32.add(b.gr32("r1"), b.gr32("r3")));
  b.setGr32("r1", sum);
  return high ? i32.gtS(sum, comparand) : i32.leS(sum, comparand);
}

function indexLong(b: Body, high: boolean): I32 {
  const comparand = b.let64(b.comparand64());
  const sum = b.let64(i64.add(b.gr("r1"), b.gr("r3")));
  b.setGr("r1", sum);
  return high ? i64.gtS(sum, comparand) : i64.leS(sum, comparand);
}

function leaveTo(b: Body, target: I64 | undefined): void {
  if (target) b.jump(target);
  else b.jumpRelative();
}

function saveRelative(b: Body): void {
  b.setLink("r1", b.nextAddress);
  b.jumpRelative();
}

function saveTo(b: Body): void {
  const target = b.let64(b.address());
  b.setLink("r1", b.nextAddress);
  b.jump(target);
}

function saveRegister(b: Body): void {
  const target = b.let64(b.registerAddress("r2"));
  b.setLink("r1", b.nextAddress);
  b.if(i32.ne(b.extra, ZERO32), () => b.jump(target));
}

/** BAL, BALR: as BAS, but in 24-bit mode bits 32-39 hold ILC, condition code and program mask. */
function setOldLink(b: Body, halfwords: number): void {
  b.if(
    i64.eq(b.addressMask, i64.const(0xffffff)),
    () => {
      const programMask = i32.and(
        i32.shl(i32.load(b.area, Cpu.pswMask + 4), i32.const(16)),
        i32.const(0x0f000000),
      );
      // Behind EXECUTE the ILC is that of EXECUTE; next - start tells.
      const ilc = b.executedLength(halfwords);
      const top = i32.or(
        i32.or(i32.shl(ilc, i32.const(30)), i32.shl(b.cc(), i32.const(28))),
        programMask,
      );
      b.setGr32("r1", i32.or(i32.wrap(b.nextAddress), top));
    },
    () => b.setLink("r1", b.nextAddress),
  );
}

function branchAndLink(b: Body): void {
  const target = b.let64(b.address());
  setOldLink(b, 2);
  b.jump(target);
}

function branchAndLinkRegister(b: Body): void {
  const target = b.let64(b.registerAddress("r2"));
  setOldLink(b, 1);
  b.if(i32.ne(b.extra, ZERO32), () => b.jump(target));
}

/** Makes the addressing mode what an address with mode bits asks for; returns the plain address. */
function setModeFrom(b: Body, value: I64): I64 {
  const target = b.variable64(value);
  const high = b.variable32(
    i32.and(i32.load(b.area, Cpu.pswMask + 4), i32.const(~PswBit.ea64High)),
  );
  const low = b.variable32(i32.const(PswBit.ba31Low | 0));
  const mask = b.variable64(i64.const(-1));
  b.if(
    i32.and(i32.wrap(value), i32.const(1)),
    () => {
      b.set(high, i32.or(high.get, i32.const(PswBit.ea64High)));
      b.set(target, i64.and(value, i64.const(-2)));
    },
    () =>
      b.if(
        i32.ltS(i32.wrap(value), ZERO32),
        () => b.set(mask, i64.const(0x7fffffff)),
        () => {
          b.set(low, ZERO32);
          b.set(mask, i64.const(0xffffff));
        },
      ),
  );
  b.fn.emit(i32.store(b.area, high.get, Cpu.pswMask + 4));
  b.fn.emit(i32.store(b.area, low.get, Cpu.pswMask));
  b.fn.emit(i64.store(b.area, mask.get, Core.addressMask));
  return b.let64(i64.and(target.get, mask.get));
}

/** BRANCH AND SET MODE. */
function branchAndSetMode(b: Body): void {
  const value = b.let64(b.gr("r2"));
  const named = b.let32(b.extra);
  b.if(b.isNamed("r1"), () =>
    b.if(
      b.in64BitMode(),
      () => b.setGr("r1", i64.or(b.gr("r1"), i64.const(1))),
      () =>
        b.setGr32(
          "r1",
          i32.or(
            i32.and(b.gr32("r1"), i32.const(0x7fffffff)),
            i32.shl(b.in31BitMode(), i32.const(31)),
          ),
        ),
    ),
  );
  b.if(i32.ne(named, ZERO32), () => {
    const target = setModeFrom(b, value);
    b.jumpInNewMode(target);
  });
}

/** BRANCH AND SAVE AND SET MODE. */
function branchAndSaveAndSetMode(b: Body): void {
  const value = b.let64(b.gr("r2"));
  const named = b.let32(b.extra);
  b.setLink("r1", b.nextAddress);
  b.if(b.in64BitMode(), () => b.setGr("r1", i64.or(b.gr("r1"), i64.const(1))));
  b.if(i32.ne(named, ZERO32), () => {
    const target = setModeFrom(b, value);
    b.jumpInNewMode(target);
  });
}

/** SET ADDRESSING MODE: the instruction must lie where the new mode can address it. */
function setMode(bits: 24 | 31 | 64) {
  return (b: Body): void => {
    const limit = bits === 24 ? 0xffffff : 0x7fffffff;
    const next = b.let64(b.nextAddress);
    if (bits !== 64) b.specificationIf(i64.gtU(b.startAddress, i64.const(limit)));
    const high = i32.load(b.area, Cpu.pswMask + 4);
    const rest = i32.and(high, i32.const(~PswBit.ea64High));
    b.fn.emit(
      i32.store(
        b.area,
        bits === 64 ? i32.or(rest, i32.const(PswBit.ea64High)) : rest,
        Cpu.pswMask + 4,
      ),
    );
    b.fn.emit(i32.store(b.area, i32.const(bits === 24 ? 0 : PswBit.ba31Low | 0), Cpu.pswMask));
    const mask = i64.const(bits === 64 ? -1 : limit);
    b.fn.emit(i64.store(b.area, mask, Core.addressMask));
    b.continueInNewMode(i64.and(next, mask));
  };
}

/** TEST ADDRESSING MODE: 0 for 24-bit, 1 for 31-bit, 3 for 64-bit. */
function testMode(b: Body): void {
  b.setCc(i32.select(i32.const(3), b.in31BitMode(), b.in64BitMode()));
}

/** EXECUTE: bits 56-63 of r1 are ORed into the target's second byte, unless r1 is 0. */
function execute(b: Body, target: I64): void {
  const named = b.isNamed("r1");
  const modifier = i32.and(b.gr32("r1"), i32.const(0xff));
  b.execute(target, i32.select(modifier, ZERO32, named));
}

export const branchRows: readonly Row[] = [
  row("BC", 0x47, "RX_m", branchOnCondition),
  row("BCR", 0x07, "RR_m", branchOnConditionRegister),
  row("BRC", 0xa74, "RI_m", branchRelative),
  row("BRCL", 0xc04, "RIL_m", branchRelative),
  row("BCT", 0x46, "RX", branchOnCount32),
  row("BCTR", 0x06, "RR_l", branchOnCountRegister32),
  row("BCTG", 0xe346, "RXY", branchOnCount64),
  row("BCTGR", 0xb946, "RRE", branchOnCountRegister64),
  row("BRCT", 0xa76, "RI_b", branchRelativeOnCount32),
  row("BRCTG", 0xa77, "RI_b", branchRelativeOnCount64),
  row("BRCTH", 0xcc6, "RIL_b", branchRelativeOnCountHigh, HW),
  row("BXH", 0x86, "RS_x", onIndex(false, true, leaveTo)),
  row("BXLE", 0x87, "RS_x", onIndex(false, false, leaveTo)),
  row("BXHG", 0xeb44, "RSY_x", onIndex(true, true, leaveTo)),
  row("BXLEG", 0xeb45, "RSY_x", onIndex(true, false, leaveTo)),
  row("BRXH", 0x84, "RSI", onIndex(false, true, leaveTo)),
  row("BRXLE", 0x85, "RSI", onIndex(false, false, leaveTo)),
  row("BRXHG", 0xec44, "RIE_e", onIndex(true, true, leaveTo)),
  row("BRXLG", 0xec45, "RIE_e", onIndex(true, false, leaveTo)),
  row("BAL", 0x45, "RX", branchAndLink),
  row("BALR", 0x05, "RR_l", branchAndLinkRegister),
  row("BAS", 0x4d, "RX", saveTo),
  row("BASR", 0x0d, "RR_l", saveRegister),
  row("BRAS", 0xa75, "RI_b", saveRelative),
  row("BRASL", 0xc05, "RIL_b", saveRelative),
  row("BASSM", 0x0c, "RR_l", branchAndSaveAndSetMode),
  row("BSM", 0x0b, "RR_l", branchAndSetMode),
  row("SAM24", 0x010c, "none", setMode(24)),
  row("SAM31", 0x010d, "none", setMode(31)),
  row("SAM64", 0x010e, "none", setMode(64)),
  row("EX", 0x44, "RX", (b) => execute(b, b.let64(b.address()))),
  row("EXRL", 0xc60, "RIL_b", (b) => execute(b, b.let64(b.relativeAddress()))),
  row("TAM", 0x010b, "none", testMode),
];
