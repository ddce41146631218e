/** Branches, EXECUTE, self-modifying code, page ends, addressing modes, budget and exits of run(). */
import { describe, expect, test } from "vitest";
import { PciOpcode } from "../../../src/abi/pci-insn.ts";
import { Cpu, VcpuExit } from "../../../src/cpu/index.ts";
import type { GuestCpu, InterceptTable } from "../../../src/ports/guest-cpu.ts";
import { load, store } from "../../../src/shm/atomics.ts";
import { type ExitKind, exitKinds, PENDING_COMMAND, VcpuHeader } from "../../../src/shm/blocks.ts";
import { type CpuRig, cpuRig, MASK_64_HIGH } from "../../support/cpu-rig.ts";

const CODE = 0x1000;
const WAIT_PSW = "00020001800000000000000000000000";
const address = (rig: CpuRig): number => rig.state.low(Cpu.pswAddress);

function rigWith(hex: string, registers: Record<number, bigint> = {}, at = CODE): CpuRig {
  const rig = cpuRig();
  rig.put(0x1d0, WAIT_PSW);
  rig.put(at, hex);
  for (const [n, value] of Object.entries(registers)) rig.state.setGr(Number(n), value);
  rig.start(at);
  return rig;
}

test("run executes exactly its budget and counts it", () => {
  const rig = rigWith("a71b0001 a7f4fffe"); // aghi; j .-4
  expect(rig.vcpu.run(1)).toBe(VcpuExit.budget);
  expect(address(rig)).toBe(CODE + 4);
  expect(rig.vcpu.run(1000)).toBe(VcpuExit.budget);
  expect(rig.vcpu.instructions()).toBe(1001);
  expect(rig.state.gr(1)).toBe(501n);
});

test("a page end is not an instruction, and an instruction may cross it", () => {
  const rig = rigWith("1812 1812 a7190007 b9040031", {}, 0x1ffa);
  rig.vcpu.run(4);
  expect(rig.state.gr(3)).toBe(7n);
  expect(rig.vcpu.instructions()).toBe(4);
  const crossing = rigWith("1812 c01100000007 b9040031", {}, 0x1ffc);
  crossing.vcpu.run(3); // lr, lgfi across the page, lgr
  expect(crossing.state.gr(3)).toBe(7n);
  expect(address(crossing)).toBe(0x2008);
});

test("an instruction that crosses a page is seen again after either part was changed", () => {
  const loop = "c01100000007 a7f4fffd"; // lgfi %r1,7; j .-6
  const rig = rigWith(loop, {}, 0x1ffc);
  rig.vcpu.run(20);
  expect(rig.state.gr(1)).toBe(7n);
  rig.put(0x2000, "0009");
  rig.vcpu.run(2);
  expect(rig.state.gr(1)).toBe(9n);
  rig.put(0x1ffc, "c021");
  rig.vcpu.run(2);
  expect(rig.state.gr(2)).toBe(9n);
});

test("the last instruction of storage runs", () => {
  const rig = rigWith("a7190003 07fe", { 14: 0x2000n }, (1 << 20) - 6);
  rig.vcpu.run(2);
  expect(rig.state.gr(1)).toBe(3n);
  expect(address(rig)).toBe(0x2000);
});

test("an instruction stored by the one before it is executed as stored", () => {
  // mvc 4(4,%r5),0(%r6) over the lghi behind it, in a loop that ran before
  const rig = rigWith("d20350066000 a7190001 a7f4fffb", { 5: 0x1000n, 6: 0x2000n });
  rig.put(0x2000, "a7190001");
  rig.vcpu.run(30);
  expect(rig.state.gr(1)).toBe(1n);
  rig.put(0x2000, "a7290005");
  rig.vcpu.run(3);
  expect(rig.state.gr(2)).toBe(5n);
});

test("code changed from outside is executed as it is now, neighbours as before", () => {
  const rig = rigWith("a7190001 a7290002 a7f4fffc");
  rig.vcpu.run(30);
  rig.put(CODE + 4, "a7290003");
  rig.vcpu.run(3);
  expect([rig.state.gr(1), rig.state.gr(2)]).toEqual([1n, 3n]);
});

test("EXECUTE ORs the low byte of r1 into the target, except for r1 = 0", () => {
  const rig = rigWith("44105000 44005000", { 1: 0x03n, 5: 0x2000n, 6: 0x3000n, 7: 0x4000n });
  rig.put(0x2000, "d20060007000"); // mvc 0(1,%r6),0(%r7)
  rig.put(0x4000, "11223344");
  rig.vcpu.run(1);
  expect(rig.hex(0x3000, 5)).toBe("1122334400");
  rig.put(0x4000, "99887766");
  rig.vcpu.run(1);
  expect(rig.hex(0x3000, 5)).toBe("9922334400");
  expect(address(rig)).toBe(CODE + 8);
});

test("a target that is changed is executed as it is now", () => {
  const rig = rigWith("44005000 a7f4fffe", { 5: 0x2000n });
  rig.put(0x2000, "a7190001");
  rig.vcpu.run(6);
  rig.put(0x2000, "a7190002");
  rig.vcpu.run(2);
  expect(rig.state.gr(1)).toBe(2n);
});

test("EXECUTE of EXECUTE is an execute exception; an odd target a specification exception", () => {
  const nested = rigWith("44005000", { 5: 0x2000n });
  nested.put(0x2000, "44005000");
  nested.vcpu.run(2);
  expect(nested.ram.u16(0x8e)).toBe(3);
  const relative = rigWith("44005000", { 5: 0x2000n });
  relative.put(0x2000, "c60000000000");
  relative.vcpu.run(2);
  expect(relative.ram.u16(0x8e)).toBe(3);
  const odd = rigWith("44005000", { 5: 0x2001n });
  odd.vcpu.run(2);
  expect(odd.ram.u16(0x8e)).toBe(6);
  expect(odd.ram.u16(0x8c)).toBe(4);
});

test("a relative branch under EXRL counts from the target, and links behind EXRL", () => {
  const rig = rigWith("c60000000800"); // exrl %r0,.+0x1000
  rig.put(0x2000, "a7e50010"); // bras %r14,.+0x20
  rig.vcpu.run(1);
  expect(address(rig)).toBe(0x2020);
  expect(rig.state.gr(14)).toBe(BigInt(CODE + 6));
});

test("an exception of an execute target has the ILC of EXECUTE and its PSW address", () => {
  const rig = rigWith("c60000000800");
  rig.put(0x2000, "0000");
  rig.vcpu.run(2);
  expect(rig.ram.u16(0x8e)).toBe(1);
  expect(rig.ram.u16(0x8c)).toBe(6);
  expect(rig.ram.u32(0x15c)).toBe(CODE + 6);
});

test("BALR in 24-bit mode leaves ILC, condition code and program mask; in 31-bit mode the mode bit", () => {
  const rig = rigWith("0510", { 1: 0xaaaaaaaa00000000n });
  rig.state.setI32(Cpu.cc, 2);
  rig.start(CODE, 0x00000a00, 0);
  rig.vcpu.run(1);
  expect(rig.state.gr(1)).toBe(0xaaaaaaaa6a001002n);
  const wide = rigWith("0d10", { 1: 0xaaaaaaaa00000000n });
  wide.start(CODE, 0, 0x80000000 | 0);
  wide.vcpu.run(1);
  expect(wide.state.gr(1)).toBe(0xaaaaaaaa80001002n);
});

test("SAM24, SAM31 and SAM64 change the mode and BASSM takes it from the address", () => {
  const rig = rigWith("010d a5140001 a51c1234 010c 010e 0c2f", { 1: 0n, 15: 0x80002000n });
  rig.vcpu.run(1);
  expect(rig.state.low(Cpu.pswMask)).toBe(0x80000000 | 0);
  expect(rig.state.high(Cpu.pswMask) & 1).toBe(0);
  rig.vcpu.run(3);
  expect(rig.state.low(Cpu.pswMask)).toBe(0);
  rig.vcpu.run(1);
  expect(rig.state.high(Cpu.pswMask) & 1).toBe(1);
  rig.vcpu.run(1); // bassm %r2,%r15 to 31-bit mode
  expect(rig.state.high(Cpu.pswMask) & 1).toBe(0);
  expect(rig.state.gr(2)).toBe(BigInt(CODE + 16) | 1n);
  expect(address(rig)).toBe(0x2000);
});

test("an address in 31-bit mode wraps, also within one operand", () => {
  const rig = rigWith("58105004", { 5: 0x7ffffffen });
  rig.put(2, "11223344");
  rig.start(CODE, 0, 0x80000000 | 0);
  rig.vcpu.run(1);
  expect(rig.state.gr(1)).toBe(0x11223344n);
});

test("the breaking-event address is the branch that was taken last", () => {
  const rig = rigWith("a7f40004 0000 0000 a7f40400 ", {}, CODE);
  rig.put(CODE + 0x808, "0000");
  rig.vcpu.run(3);
  expect(rig.ram.u32(0x114)).toBe(CODE + 8);
});

test("an odd branch target is a specification exception", () => {
  const rig = rigWith("07fe", { 14: 0x2001n });
  rig.vcpu.run(2);
  expect(rig.ram.u16(0x8e)).toBe(6);
});

test("a branch to where no storage is faults without losing the budget's bound", () => {
  const rig = rigWith("07fe", { 14: 0x10000000n });
  rig.put(0x1d0, "00000001800000000000000010000000");
  expect([VcpuExit.budget, VcpuExit.checkStop]).toContain(rig.vcpu.run(1000));
});

test("a disabled wait, an enabled wait and a command each end run with their own reason", () => {
  const rig = rigWith("b2b25000", { 5: 0x2000n }); // lpswe
  rig.put(0x2000, WAIT_PSW);
  expect(rig.vcpu.run(10)).toBe(VcpuExit.disabledWait);
  rig.put(0x2000, "0302000180000000");
  rig.start(CODE);
  expect(rig.vcpu.run(10)).toBe(VcpuExit.wait);
  const header = (rig.vm.map.vcpuAreas[0] as number) / 4;
  store(rig.vm.words, header + VcpuHeader.pending, PENDING_COMMAND);
  expect(rig.vcpu.run(10)).toBe(VcpuExit.command);
  rig.start(CODE, MASK_64_HIGH);
  expect(rig.vcpu.run(0)).toBe(VcpuExit.budget);
});

test("SVC swaps PSWs and stores its number", () => {
  const rig = rigWith("0a2a");
  rig.put(0x1c0, "00000001800000000000000000002000");
  rig.vcpu.run(1);
  expect(address(rig)).toBe(0x2000);
  expect(rig.hex(0x88, 4)).toBe("0002002a");
});

test("more pages of code than decode slots: every page runs, again and again", () => {
  const rig = cpuRig({ ramBytes: 8 << 20 });
  const pages = 700;
  // each page: aghi %r1,1; then jump to the next page, the last one back to the first
  for (let n = 0; n < pages; n++) {
    const at = 0x10000 + n * 4096;
    const next = n === pages - 1 ? 0x10000 : at + 4096;
    const halfwords = ((next - at - 4) / 2) >>> 0;
    rig.put(at, `a71b0001 c0f4${halfwords.toString(16).padStart(8, "0")}`);
  }
  rig.start(0x10000);
  rig.vcpu.run(pages * 2 * 3);
  expect(rig.state.gr(1)).toBe(BigInt(pages * 3));
});

test("an intercept runs with the PSW behind it and may ask for a program interruption", () => {
  const seen: number[] = [];
  const intercepts = new Map([
    [
      0xb9d2,
      {
        execute(cpu: { setCc(cc: 0 | 1 | 2 | 3): void; grLow(n: number): number }, high: number) {
          seen.push(high >>> 0, cpu.grLow(1));
          cpu.setCc(2);
        },
      },
    ],
    [0xb9d3, { execute: (cpu: { program(code: number): void }) => cpu.program(0x15) }],
  ]);
  const rig = cpuRig({ intercepts });
  rig.put(0x1d0, WAIT_PSW);
  rig.put(CODE, "a7190007 b9d20012 b9d30012");
  rig.start(CODE);
  rig.vcpu.run(2);
  expect(seen).toEqual([0xb9d20012, 7]);
  expect(rig.state.i32(Cpu.cc)).toBe(2);
  rig.vcpu.run(2);
  expect(rig.ram.u16(0x8e)).toBe(0x15);
  expect(rig.ram.u32(0x15c)).toBe(CODE + 12);
});

describe("an intercept that generated code calls directly", () => {
  const loads: number[] = [];
  const refused = (cpu: GuestCpu) => (): void => cpu.program(0x15);
  const table: InterceptTable = new Map([
    [
      PciOpcode.PCILG,
      {
        execute: () => expect.fail("the way round was taken"),
        direct: (cpu: GuestCpu) => (high: number) => {
          loads.push(high >>> 0, cpu.grLow(1));
          cpu.setGr(2, 5, 6);
          cpu.setCc(1);
        },
      },
    ],
    [PciOpcode.RPCIT, { execute: () => expect.fail("the way round was taken"), direct: refused }],
  ]);
  const started = (hex: string, at = CODE): CpuRig => {
    loads.length = 0;
    const rig = cpuRig({ intercepts: table });
    rig.put(0x1d0, WAIT_PSW);
    rig.put(at, hex);
    rig.start(at);
    return rig;
  };
  const exits = (rig: CpuRig, kind: ExitKind): number =>
    load(rig.vm.words, rig.state.base / 4 + VcpuHeader.exits + exitKinds.indexOf(kind));

  test("sees the registers, and its condition code decides a branch", () => {
    // lghi; pcilg; jl .+6 over an lghi; lgr
    const rig = started("a7190007 b9d20024 a7440004 a7290000 b9040032");
    rig.vcpu.run(4);
    expect(loads).toEqual([0xb9d20024, 7]);
    expect(rig.state.gr(3)).toBe(0x5_0000_0006n);
    expect(exits(rig, "pcilg")).toBe(1);
  });

  test("may be the target of EXECUTE and cross a page", () => {
    // exrl 0,.+8; j .+6; pcilg; pcilg
    const rig = started("c60000000005 a7f40004 b9d20024 b9d20026");
    rig.vcpu.run(3);
    expect(loads.filter((_, n) => n % 2 === 0)).toEqual([0xb9d20024, 0xb9d20026]);
    const crossing = started("b9d20024 a7190001", 0x1ffe);
    crossing.vcpu.run(2);
    expect([loads[0], crossing.state.gr(1)]).toEqual([0xb9d20024, 1n]);
    expect(exits(crossing, "pcilg")).toBe(1);
  });

  test("may ask for a program interruption, whose old PSW stands behind it", () => {
    const rig = started("a7190007 b9d30024");
    rig.vcpu.run(3);
    expect([rig.ram.u16(0x8c), rig.ram.u16(0x8e), rig.ram.u32(0x15c)]).toEqual([4, 0x15, CODE + 8]);
    expect(exits(rig, "rpcit")).toBe(1);
  });

  test("is an instruction that the CPU does not have where nobody offers it", () => {
    const rig = started("b9d00024");
    rig.vcpu.run(2);
    expect([rig.ram.u16(0x8c), rig.ram.u16(0x8e)]).toEqual([4, 1]);
  });
});
