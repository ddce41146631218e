import { expect, test } from "vitest";
import { VcpuExit } from "../../../src/cpu/index.ts";
import { cpuRig } from "../../support/cpu-rig.ts";

const PROGRAM_NEW_PSW = 0x1d0;
const PROGRAM_CODE = 0x8e;

test("an opcode that is not implemented is an operation exception each time and told once", () => {
  const told: string[] = [];
  const rig = cpuRig({
    notImplemented: (high, low, addressHigh, addressLow) =>
      told.push([high, low, addressHigh, addressLow].map((word) => word >>> 0).join(" ")),
  });
  rig.put(PROGRAM_NEW_PSW, "0002000180000000 0000000000000000");
  const run = (address: number, code: string): number => {
    rig.put(PROGRAM_CODE, "0000");
    rig.put(address, code);
    rig.start(address);
    expect(rig.vcpu.run(4)).toBe(VcpuExit.disabledWait);
    return rig.ram.u16(PROGRAM_CODE);
  };
  expect(run(0x10000, "b9ab0012")).toBe(1); // ESSA
  expect(run(0x10100, "b9ab0034")).toBe(1); // again, other operands
  expect(run(0x10200, "e60012340049")).toBe(1); // VLIP
  expect(run(0x10280, "e70012340006")).toBe(1); // VL: not on this model
  expect(run(0x10300, "0001")).toBe(1); // what kernels trap with
  expect(told).toEqual([
    `${0xb9ab0012} 0 0 ${0x10000}`,
    `${0xe6001234} ${0x00490000} 0 ${0x10200}`,
    `${0xe7001234} ${0x00060000} 0 ${0x10280}`,
  ]);
});
