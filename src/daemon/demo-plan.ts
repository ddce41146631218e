/** From the demo's config to the VM: which faults the simulated platform plays on which function. */
import {
  defaultTiming,
  type FaultRule,
  type SimFunctionConfig,
  simFunctionConfig,
} from "../backend/sim/index.ts";
import { ZmendError } from "../base/errors.ts";
import { suggestion } from "../base/nearest.ts";
import { Prng } from "../base/prng.ts";
import type { DemoConfig, DemoFunction, DemoStep } from "../config/demo-config.ts";
import { cpuModels } from "../cpu/index.ts";
import { loadCcdfSequence } from "../machine/ccdf-sequence.ts";
import type { VmSpec } from "../machine/vm-spec.ts";
import { EAGAIN, EIO } from "../ports/host-function.ts";
import { loadPolicy } from "../recovery/index.ts";

const errnoByName = { EAGAIN, EIO } as const;

export interface DemoPlanOptions {
  readonly policy: string;
  readonly epochMs: number;
  /** Deterministic runs: the host's reset times vary with the seed, 0.5 to 1.5 of `resetMs`. */
  readonly seed?: number;
}

/** @throws ZmendError for an unknown policy, CPU model, or CCDF sequence */
export function planDemo(config: DemoConfig, options: DemoPlanOptions): VmSpec {
  const chance = options.seed === undefined ? undefined : new Prng(options.seed);
  if (!(config.vm.cpu in cpuModels)) {
    const names = Object.keys(cpuModels);
    throw new ZmendError(
      "CONFIG_INVALID",
      `vm.cpu: CPU model '${config.vm.cpu}' is unknown${suggestion(config.vm.cpu, names)}; name one of ${names.join(", ")}.`,
    );
  }
  return {
    name: config.vm.name,
    ramBytes: config.vm.memory,
    cpuModel: config.vm.cpu,
    functions: config.functions.map((entry, index) => simFunction(entry, index, config, chance)),
    policy: loadPolicy(options.policy),
    epochMs: options.epochMs,
  };
}

function simFunction(
  entry: DemoFunction,
  index: number,
  config: DemoConfig,
  chance: Prng | undefined,
): SimFunctionConfig {
  const resetUs = entry.resetMs * 1000 * (chance === undefined ? 1 : 0.5 + chance.unit());
  return simFunctionConfig(
    {
      fid: entry.fid,
      uid: entry.uid,
      profile: entry.profile,
      clearError: entry.clearError,
      timing: { ...defaultTiming, resetUs },
      resetFailures: entry.resetFailures.map((name) => errnoByName[name]),
      faults: config.sequence.filter((step) => step.function === entry.fid).flatMap(faultRules),
    },
    index,
  );
}

function faultRules(step: DemoStep): FaultRule[] {
  const atUs = (step.atMs ?? 0) * 1000;
  const when = step.afterAccesses === undefined ? { atUs } : { afterAccesses: step.afterAccesses };
  if (step.dma !== undefined) return [{ when, action: { type: "dma", kind: step.dma } }];
  if (step.pec !== undefined) {
    const { pec, faddr = 0, stale = false } = step;
    return [{ when, action: { type: "ccdf", pec, faddr, stale } }];
  }
  return loadCcdfSequence(step.ccdf ?? "").map((timed) => ({
    when: step.afterAccesses === undefined ? { atUs: atUs + timed.atUs } : when,
    action: timed.action,
  }));
}
