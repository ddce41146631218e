/** Several CPUs on the same storage: guest-fixtures/zsmp, on threads and under virtual time. */
import { afterEach, describe, expect, it } from "vitest";
import { ConsoleLines } from "../../src/machine/console-lines.ts";
import { DeterministicVm } from "../../src/machine/deterministic-vm.ts";
import { readFixture } from "../../src/machine/fixtures.ts";
import { VCPU_RUNNING } from "../../src/machine/loops.ts";
import { bootVm } from "../../src/machine/parts.ts";
import { VmController } from "../../src/machine/vm-controller.ts";
import { DETERMINISTIC_EPOCH_MS, type VmSpec } from "../../src/machine/vm-spec.ts";
import { loadPolicy } from "../../src/recovery/index.ts";

const { image, file } = readFixture("zsmp");

function spec(vcpus: number, accel: "interp" | "jit" = "interp"): VmSpec {
  return {
    name: "zsmp",
    ramBytes: 4 * 1024 ** 2,
    cpuModel: "zmend",
    accel,
    vcpus,
    functions: [],
    policy: loadPolicy("mediated"),
    epochMs: DETERMINISTIC_EPOCH_MS,
  };
}

/** What the guest says when nothing was lost, torn or stale. */
function expected(cpus: number): string[] {
  const others = Array.from({ length: cpus - 1 }, (_, n) => `zsmp: cpu ${n + 1} signals ok`);
  return [
    `zsmp: cpus ${cpus} cs ok csg ok cdsg ok ts ok torn 0`,
    "zsmp: laa ok",
    "zsmp: mappings 200 stale 0",
    ...others,
    "zsmp: stopped ok wrong 0",
  ];
}

/** Runs until the guest has ended. @returns its lines, its instructions and the time it took */
function runDeterministic(
  cpus: number,
  accel: "interp" | "jit" = "interp",
): { lines: string[]; instructions: number; timeUs: number } {
  const lines: string[] = [];
  const console = new ConsoleLines((line) => lines.push(line));
  const machine = new DeterministicVm(spec(cpus, accel), (bytes) => console.push(bytes, 0));
  bootVm(machine.vm, image, file);
  while (machine.stopped() === VCPU_RUNNING) machine.step();
  return { lines, instructions: machine.instructions(), timeUs: machine.clock.nowUs() };
}

describe("several CPUs", () => {
  let vm: VmController | undefined;
  afterEach(() => vm?.stop());

  it.each([
    [2, "interp"],
    [4, "interp"],
    [2, "jit"],
  ] as const)(
    "%i on threads (%s) lose no update, no signal, and use no old mapping",
    async (cpus, accel) => {
      const lines: string[] = [];
      const console = new ConsoleLines((line) => lines.push(line));
      const controller = new VmController({ spec: spec(cpus, accel), boot: { image, file } });
      vm = controller;
      const ended = new Promise<string>((resolve) => {
        controller.on((event) => {
          if (event.type === "console") console.push(event.bytes, event.timeUs);
          if (event.type === "run-state" && event.to !== "running") resolve(event.reason);
        });
      });
      await controller.start();
      // The first CPU ends in a disabled wait, the others were stopped: only then has the guest ended.
      expect(await ended).toBe("disabled-wait");
      expect(lines).toEqual(expected(cpus));
    },
  );

  it("take turns under virtual time: the same run each time", () => {
    const first = runDeterministic(3);
    expect(first.lines).toEqual(expected(3));
    expect(runDeterministic(3)).toEqual(first);
  });

  it("end at the same instruction and time in generated code", () => {
    expect(runDeterministic(3, "jit")).toEqual(runDeterministic(3));
  });

  it("are not waited for where there is one", () => {
    expect(runDeterministic(1).lines).toEqual(expected(1));
  });
});
