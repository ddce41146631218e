/** Whatever bytes a guest executes, run() returns within its budget, throws nothing and stays in its storage. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { Cpu, Vcpu, VcpuExit } from "../../../src/cpu/index.ts";
import { lengthOf } from "../../../src/cpu/interpreter/dispatch.ts";
import { instructionTable } from "../../../src/cpu/table/index.ts";
import { cpuRig } from "../../support/cpu-rig.ts";

/** Not a multiple of 64 KiB: some bytes of the memory lie behind guest storage. */
const RAM_BYTES = (1 << 18) - 0x3000;
const BUDGET = 3000;

/** Bytes that begin with the opcode of a row, the operand fields random. */
const instruction = fc
  .tuple(fc.constantFrom(...instructionTable), fc.uint8Array({ minLength: 6, maxLength: 6 }))
  .map(([row, bytes]) => {
    const code = bytes.slice(0, lengthOf(row));
    const { key } = row;
    if (key <= 0xff) code[0] = key;
    else if (key <= 0xfff) {
      code[0] = key >> 4;
      code[1] = ((code[1] as number) & 0xf0) | (key & 15);
    } else {
      code[0] = key >> 8;
      if (code.length === 6 && key >> 8 !== 0xe5) code[5] = key & 0xff;
      else code[1] = key & 0xff;
    }
    return code;
  });

const program = fc
  .array(fc.oneof({ weight: 6, arbitrary: instruction }, fc.uint8Array({ maxLength: 6 })), {
    minLength: 20,
    maxLength: 80,
  })
  .map((parts) => Buffer.concat(parts));

const register = fc.oneof(
  fc.bigInt({ min: 0n, max: BigInt(RAM_BYTES) }),
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  fc.constantFrom(0n, BigInt(RAM_BYTES - 4), 0xfffn, (1n << 64n) - 8n, 0x7ffffffen),
);

test("random instructions end with the budget or in a state that is an exit", () => {
  const rig = cpuRig({ ramBytes: RAM_BYTES });
  const area = rig.vm.map.vcpuAreas[0] as number;
  /** All of the VM's memory that is neither this CPU's, nor storage keys, nor guest storage. */
  const others = (): string =>
    Buffer.concat([
      rig.vm.bytes.subarray(0, area),
      rig.vm.bytes.subarray(rig.vm.map.ramOffset + RAM_BYTES, rig.vm.map.totalBytes),
    ]).toString("hex");
  const before = others();
  const exits: readonly number[] = Object.values(VcpuExit);
  fc.assert(
    fc.property(
      program,
      fc.array(register, { minLength: 16, maxLength: 16 }),
      fc.constantFrom([1, 0x80000000 | 0], [0, 0x80000000 | 0], [0, 0]),
      (code, registers, [high, low]) => {
        rig.vcpu.reset();
        rig.ram.fill(0, RAM_BYTES, 0);
        rig.ram.write(0x10f0, code); // soon crosses a page
        // Interruptions go on in the middle of the program.
        rig.put(0x1d0, "00000001800000000000000000001100");
        rig.put(0x1c0, "00000001800000000000000000001120");
        registers.forEach((value, n) => {
          rig.state.setGr(n, value);
        });
        rig.start(0x10f0, high as number, low as number);
        const count = rig.vcpu.instructions();
        const exit = rig.vcpu.run(BUDGET);
        expect(exits).toContain(exit);
        expect(rig.vcpu.instructions() - count).toBeLessThanOrEqual(BUDGET);
        expect([0, 1, 2, 3]).toContain(rig.state.i32(Cpu.cc));
      },
    ),
    { numRuns: 300 },
  );
  expect(others()).toBe(before);
});

test("the same program gives the same state whatever the slices it runs in", () => {
  fc.assert(
    fc.property(
      program,
      fc.array(register, { minLength: 16, maxLength: 16 }),
      fc.integer({ min: 1, max: 40 }),
      (code, registers, slice) => {
        const results = [BUDGET, slice].map((step) => {
          const rig = cpuRig({ ramBytes: RAM_BYTES });
          rig.ram.write(0x10f0, code);
          rig.put(0x1d0, "00000001800000000000000000001100");
          rig.put(0x1c0, "00000001800000000000000000001120");
          registers.forEach((value, n) => {
            rig.state.setGr(n, value);
          });
          rig.start(0x10f0);
          for (let left = 400; left > 0; left -= step) {
            if (rig.vcpu.run(Math.min(step, left)) !== VcpuExit.budget) break;
          }
          const area = rig.vm.map.vcpuAreas[0] as number;
          const state = rig.vm.bytes.subarray(area + Cpu.gr, area + Cpu.pswMask);
          return [rig.vcpu.instructions(), Buffer.from(state).toString("hex"), rig.hex(0, 0x3000)];
        });
        expect(results[1]).toEqual(results[0]);
      },
    ),
    { numRuns: 25 },
  );
});

test("a compiled module may be shared by several vCPUs of a process", () => {
  const first = cpuRig();
  expect(first.vcpu).toBeInstanceOf(Vcpu);
  const second = cpuRig();
  for (const rig of [first, second]) {
    rig.put(0x1000, "a7190007");
    rig.start(0x1000);
    rig.vcpu.run(1);
  }
  expect([first.state.gr(1), second.state.gr(1)]).toEqual([7n, 7n]);
});
