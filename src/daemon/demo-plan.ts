/** From the demo's config to the VM: which faults the simulated platform plays on which function. */
import { Prng } from "../base/prng.ts";
import type { DemoConfig } from "../config/demo-config.ts";
import { readFixture } from "../machine/fixtures.ts";
import { readImage, readInitrd } from "../machine/image.ts";
import { readLinuxFixture } from "../machine/linux-fixture.ts";
import type { BootSource } from "../machine/vm-controller.ts";
import type { VmSpec } from "../machine/vm-spec.ts";
import { loadPolicy } from "../recovery/index.ts";
import { planFunction } from "./plan-function.ts";

export interface DemoPlanOptions {
  readonly policy: string;
  readonly epochMs: number;
  /** Instead of every function's own: how the host tells of errors, and the shape of its interface. */
  readonly dialect?: string;
  readonly abi?: string;
  /** Deterministic runs: the host's reset times vary with the seed, 0.5 to 1.5 of `resetMs`. */
  readonly seed?: number;
}

/** @throws ZmendError FIXTURE_MISSING naming the file, or the command that fetches a kernel */
export function demoGuest({
  fixture,
  linux,
  kernel,
  initrd,
  append,
}: DemoConfig["vm"]): BootSource {
  if (fixture !== undefined) return readFixture(fixture);
  const commandLine = append === undefined ? {} : { commandLine: append };
  if (linux !== undefined) {
    const cached = readLinuxFixture(linux);
    return { ...cached.kernel, linux: { ...commandLine, initrd: cached.initrd } };
  }
  const file = kernel ?? "";
  const disk = initrd === undefined ? {} : { initrd: { bytes: readInitrd(initrd), file: initrd } };
  return { image: readImage(file), file, linux: { ...commandLine, ...disk } };
}

/** @throws ZmendError for a policy or CCDF file that is missing or wrong */
export function planDemo(config: DemoConfig, options: DemoPlanOptions): VmSpec {
  const chance = options.seed === undefined ? undefined : new Prng(options.seed);
  const { dialect, abi } = options;
  return {
    name: config.vm.name,
    ramBytes: config.vm.memory,
    cpuModel: config.vm.cpu,
    accel: config.vm.accel,
    functions: config.functions.map((entry, index) => {
      const faults = config.sequence.filter((step) => step.function === entry.fid);
      const resetUs = entry.resetMs * 1000 * (chance === undefined ? 1 : 0.5 + chance.unit());
      return planFunction(entry, index, faults, {
        resetUs,
        ...(dialect === undefined ? {} : { dialect }),
        ...(abi === undefined ? {} : { abi }),
      });
    }),
    policy: loadPolicy(options.policy),
    uidChecking: config.vm.uidChecking,
    epochMs: options.epochMs,
  };
}
