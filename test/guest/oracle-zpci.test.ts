/**
 * The same program of zPCI instructions under QEMU and under zmend: they end alike but for a written list; and the
 * comparison sees a difference when there is one.
 */
import { describe, expect, it } from "vitest";
import { qemuVersion } from "../oracle/qemu.ts";
import { compareEnds, tell, zpciDifferences } from "../oracle/zpci/compare.ts";
import { onZmend, runBoth, zmendTarget } from "../oracle/zpci/machines.ts";
import { buildProgram, readEnds, type StepEnd } from "../oracle/zpci/program.ts";
import { zpciSteps, zpciTables } from "../oracle/zpci/steps.ts";

const steps = zpciSteps(zmendTarget);
const ends = readEnds(onZmend(buildProgram(steps, 1, zpciTables)).memory, steps.length).map(
  (end, index) => ({ step: steps[index] as (typeof steps)[number], end }),
);

describe.skipIf(qemuVersion() === undefined)("zPCI under QEMU (qemu-system-misc)", () => {
  it("ends as under zmend, but for the listed differences", async () => {
    const { steps: count, same, listed, different } = await runBoth();
    expect(different).toEqual([]);
    expect([count, same, listed]).toEqual([
      steps.length,
      steps.length - zpciDifferences.length,
      zpciDifferences.length,
    ]);
  }, 60_000);
});

describe("the comparison", () => {
  it("asks more than 130 instructions, each by a name of its own", () => {
    expect(steps.length).toBeGreaterThan(130);
    expect(new Set(steps.map(({ name }) => name)).size).toBe(steps.length);
  });

  it("ends every step of the program in some way, with what the device answers among it", () => {
    const told = new Map(ends.map(({ step, end }) => [step.name, tell(step, end)]));
    expect(told.get("PCILG config, header type")).toBe("cc0 data 0");
    expect(told.get("PCILG function in error")).toBe("cc1 status 12");
    expect(told.get("PCILG odd R2")).toBe("program 0006");
    expect(told.get("CLP set: enable")).toBe("cc0 0020 0010");
  });

  it("sees another condition code, status, interruption or response", () => {
    const turned = (change: (end: StepEnd) => StepEnd, name: string): readonly string[] =>
      compareEnds(
        ends.filter(({ step }) => step.name === name),
        ends
          .filter(({ step }) => step.name === name)
          .map(({ step, end }) => ({ step, end: change(end) })),
      ).different;
    const same = (end: StepEnd): StepEnd => end;
    expect(turned(same, "PCILG function in error")).toEqual([]);
    expect(turned((end) => ({ ...end, cc: 3 }), "PCILG function in error")).toHaveLength(1);
    expect(turned((end) => ({ ...end, program: 6 }), "PCILG function in error")).toHaveLength(1);
    const registers = Array.from({ length: 15 }, () => 0n);
    expect(turned((end) => ({ ...end, registers }), "PCILG function in error")).toHaveLength(1);
    const block = new Uint8Array(4096);
    expect(turned((end) => ({ ...end, block }), "CLP set: enable")).toHaveLength(1);
  });
});
