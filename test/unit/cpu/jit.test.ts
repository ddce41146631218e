/** Generated code against the interpreter: same state, same count, whatever the slices; and its bounds. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Cpu } from "../../../src/cpu/index.ts";
import { REGION_BYTES_MAX, regionModule } from "../../../src/cpu/jit/region-code.ts";
import { planRegion } from "../../../src/cpu/jit/region-plan.ts";
import { traitsOf } from "../../../src/cpu/jit/row-traits.ts";
import { translationStatistics } from "../../../src/cpu/jit/statistics.ts";
import { instructionTable } from "../../../src/cpu/table/index.ts";
import { families, generateSequence } from "../../oracle/families.ts";
import { buildImage } from "../../oracle/harness.ts";
import { RAM_BYTES } from "../../oracle/layout.ts";
import { mixedLoop } from "../../oracle/mixed-loop.ts";
import { runUnderZmend } from "../../oracle/zmend-cpu.ts";
import { type CpuRig, cpuRig } from "../../support/cpu-rig.ts";

const CODE = 0x2000;
const WAIT_PSW = "00020001800000000000000000000000";
/** performance.md 2.6, 4. */
const BYTES_MAX = 30 * 1024;
const BLOCKS_MAX = 200;

function pair(hex: string, at = CODE): { interpreted: CpuRig; generated: CpuRig } {
  const [interpreted, generated] = [cpuRig(), cpuRig({ translateAfter: 1 })];
  for (const rig of [interpreted, generated]) {
    rig.put(0x1d0, WAIT_PSW);
    rig.put(at, hex);
    rig.start(at);
  }
  return { interpreted, generated };
}

/** What a program can see of a CPU, and the count of instructions. */
function seen({ vm, state, vcpu }: CpuRig): string {
  const bytes = vm.bytes.slice(state.base + Cpu.gr, state.base + Cpu.clockComparator);
  const breaking = state.u64(Cpu.breakingEvent).toString(16);
  return `${Buffer.from(bytes).toString("hex")} ${breaking} ${vcpu.instructions()}`;
}

/** Runs both for the same budgets and compares after each. */
function together(interpreted: CpuRig, generated: CpuRig, budgets: readonly number[]): void {
  for (const budget of budgets) {
    expect(generated.vcpu.run(budget)).toBe(interpreted.vcpu.run(budget));
    expect(seen(generated)).toBe(seen(interpreted));
  }
}

const executedInRegions = (rig: CpuRig): number => translationStatistics(rig.vm).instructions;

describe("generated code", () => {
  it("ends every slice at the same instruction, in the same state", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 5, maxLength: 60 }),
        (budgets) => {
          const image = mixedLoop(50);
          const options = { ramBytes: 2 << 20 };
          const [interpreted, generated] = [
            cpuRig(options),
            cpuRig({ ...options, translateAfter: 1 }),
          ];
          for (const rig of [interpreted, generated]) {
            rig.ram.write(0, image.bytes);
            rig.start(image.entry);
          }
          together(interpreted, generated, budgets);
          expect(executedInRegions(generated)).toBeGreaterThan(0);
        },
      ),
      { numRuns: 10 },
    );
  });

  it("ends random sequences of every family as the interpreter does", () => {
    for (const family of families) {
      const rounds = 2;
      const sequences = [0, 1, 2].map((n) => generateSequence(7, family, n, n, rounds).input);
      const { model = "zmend", external } = family;
      const image = buildImage(sequences, {
        rounds,
        ...(external === undefined ? {} : { external }),
      });
      const [interpreted, generated] = [0, 1].map((translateAfter) =>
        cpuRig({ ramBytes: RAM_BYTES, model, translateAfter }),
      ) as [CpuRig, CpuRig];
      const [got, wanted] = [generated, interpreted].map((rig) => runUnderZmend(rig, image));
      if (got === undefined || wanted === undefined || "failure" in got || "failure" in wanted) {
        throw new Error(`${family.name} did not end`);
      }
      expect(Buffer.from(got.memory).equals(wanted.memory), family.name).toBe(true);
      expect(got.executed, family.name).toBe(wanted.executed);
      expect(executedInRegions(generated), family.name).toBeGreaterThan(0);
    }
  });

  it("executes what a store has made of its own next instruction", () => {
    // lghi r1,32; larl r2,.; sth r1,12(r2): the immediate of the next one; aghi r0,0; brctg r1,sth; j .
    const code = "a7190020 c02000000000 4010200c a70b0000 a717fffc a7f40000";
    const { interpreted, generated } = pair(code);
    together(interpreted, generated, [40, 200]);
    expect(generated.state.gr(0)).toBe(interpreted.state.gr(0));
    expect(translationStatistics(generated.vm).dropped).toBeGreaterThan(0);
  });

  it("goes on in the next page where a block ends with the page", () => {
    // j 0x2ff0; there: aghi r1,1 three times and a NOP that ends the page; next page: aghi r2,1; j 0x2ff0
    const { interpreted, generated } = pair("a7f407f8");
    for (const rig of [interpreted, generated]) {
      rig.put(0x2ff0, "a71b0001 a71b0001 a71b0001 47000000 a72b0001 a7f4fff6");
    }
    together(interpreted, generated, [3, 4, 5, 100, 1000]);
    expect(executedInRegions(generated)).toBeGreaterThan(500);
  });

  it("reports a fault in the middle of a block with the interpreter's address, length and registers", () => {
    // loop: aghi r1,8; lg r3,0(r1,r2); agr r4,r3; j loop, over the end of storage (1 MiB)
    const code = "c02f000fff00 a71b0008 e33120000004 b9080043 a7f4fff9";
    const { interpreted, generated } = pair(code);
    together(interpreted, generated, [7, 50, 500]);
    expect(generated.hex(0x150, 16)).toBe(interpreted.hex(0x150, 16));
    expect(generated.hex(0x8c, 4)).toBe(interpreted.hex(0x8c, 4));
    expect(generated.hex(0x8c, 4)).toBe("00060005"); // length 6, addressing exception
  });

  it("leaves other addressing modes to the interpreter", () => {
    // sam31; loop: la r1,1(r1); j loop: addresses stay below 2^31
    const { interpreted, generated } = pair("010d 41101001 a7f4fffe");
    for (const rig of [interpreted, generated]) rig.state.setGr(1, 0x7fff_fff0n);
    together(interpreted, generated, [10, 200]);
    expect(executedInRegions(generated)).toBe(0);
  });
});

describe("a generated function stays within its bounds", () => {
  const build = (page: Uint8Array): { bytes: number; blocks: number } => {
    const plan = planRegion(
      page,
      0,
      () => true,
      () => true,
    );
    if (plan === undefined) return { bytes: 0, blocks: 0 };
    const { functionBytes } = regionModule(plan, page, 0x10000, 1);
    return { bytes: functionBytes, blocks: plan.blocks.length };
  };

  it("whose every instruction is a branch, taken, not taken, and back", () => {
    for (const mask of ["a714", "a754", "a7f4"]) {
      const page = new Uint8Array(4096);
      for (let at = 0; at < 4096; at += 4) {
        page.set(Buffer.from(mask, "hex"), at);
        new DataView(page.buffer).setInt16(at + 2, at % 8 === 0 ? 6 : -(at >> 2));
      }
      const { bytes, blocks } = build(page);
      expect(blocks).toBeLessThanOrEqual(BLOCKS_MAX);
      expect(bytes).toBeLessThanOrEqual(BYTES_MAX);
    }
  });

  it("whose every instruction is the longest: LMG and STMG of all registers, MVC, CLC, ICM, CDSG", () => {
    const longest = "eb0fb0080004 eb0fb0080024 d2ff10002000 d5ff10002000 bf1f2000 eb241000003e";
    const code = Buffer.from(longest.replaceAll(" ", ""), "hex");
    const page = new Uint8Array(4096).map((_, at) => code[at % code.length] ?? 0);
    const { bytes } = build(page);
    expect(bytes).toBeGreaterThan(BYTES_MAX / 2);
    expect(bytes).toBeLessThanOrEqual(BYTES_MAX);
  });

  it("whatever the page holds", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 4096, maxLength: 4096 }), (page) => {
        const { bytes, blocks } = build(page);
        expect(bytes).toBeLessThanOrEqual(BYTES_MAX);
        expect(blocks).toBeLessThanOrEqual(BLOCKS_MAX);
      }),
      { numRuns: 15 },
    );
  });

  it("and the translator refuses what would not", () => {
    expect(REGION_BYTES_MAX).toBe(BYTES_MAX);
  });

  it("with nearly all instructions of the table, and none that changes the mode or runs another one", () => {
    const left = instructionTable.filter((row) => !traitsOf(row).translatable);
    const names = left.map(({ mnemonic }) => mnemonic);
    for (const name of ["EX", "EXRL", "SAM24", "SAM31", "SAM64", "BSM", "BASSM"]) {
      expect(names).toContain(name);
    }
    expect(left.length).toBeLessThan(instructionTable.length / 20);
  });
});
