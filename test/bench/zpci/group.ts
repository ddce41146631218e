/**
 * Group `zpci`: PCILG, PCISTG and RPCIT in a tight loop of the same guest program, one CPU, against QEMU's translator
 * with an emulated function. Loads and stores go to configuration space, RPCIT refreshes one page at a time.
 * Both sides are one busy thread, so their processor time is compared: it counts what an instruction costs and not
 * who else wanted the machine. The time for few turns (the setting up of the function) is taken off on both.
 *
 * Estimate before the first run: QEMU needs 40 to 60 ns for one such instruction (performance.md 3.2), ours runs
 * on the vCPU's own thread without a hop: 1.0 to 2.0 of QEMU.
 */

import { qemuVersion } from "../../oracle/qemu.ts";
import type { Dump } from "../../oracle/run.ts";
import { onQemu, onZmend, qemuTarget, zmendTarget } from "../../oracle/zpci/machines.ts";
import { buildProgram, readEnds } from "../../oracle/zpci/program.ts";
import {
  type Loop,
  loopNames,
  type Target,
  zpciLoop,
  zpciTables,
} from "../../oracle/zpci/steps.ts";
import { compare, type Group } from "../harness.ts";

const FEW = 10;
const UNROLLED = 16;

const units: Readonly<Record<Loop, string>> = {
  pcilg: "M loads/s",
  pcistg: "M stores/s",
  rpcit: "M pages/s",
};

type Run = (image: ReturnType<typeof buildProgram>) => Promise<Dump> | Dump;

async function seconds(run: Run, target: Target, name: Loop, turns: number): Promise<number> {
  const steps = zpciLoop(target, name, UNROLLED, turns);
  const image = buildProgram(steps, 1, zpciTables);
  const { memory, cpuSeconds } = await run(image);
  const last = readEnds(memory, steps.length).at(-1);
  // A loop of refusals would be quick and mean nothing.
  if (last?.program !== 0 || last.cc !== 0) throw new Error(`the ${name} loop was refused`);
  if (cpuSeconds === undefined) throw new Error("the system does not tell processor times");
  return cpuSeconds;
}

export const zpci: Group = async (options, emit) => {
  const version = qemuVersion();
  if (version === undefined) {
    const refused = "qemu-system-s390x is not installed (Debian package qemu-system-misc)";
    for (const name of loopNames) emit({ name: `zpci.${name}`, refused });
    return;
  }
  const turns = options.quick ? 200_000 : 600_000;
  for (const name of loopNames) {
    const rate = async (run: Run, target: Target): Promise<number> => {
      const start = await seconds(run, target, name, FEW);
      const whole = await seconds(run, target, name, turns);
      return ((turns - FEW) * UNROLLED) / (whole - start) / 1e6;
    };
    emit(
      await compare(
        {
          name: `zpci.${name}`,
          unit: units[name],
          better: "higher",
          peer: version,
          ours: () => rate(onZmend, zmendTarget),
          theirs: () => rate(onQemu, qemuTarget),
        },
        options,
      ),
    );
  }
};
