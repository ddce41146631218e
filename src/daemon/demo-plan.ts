/** From the demo's config to the VM: which faults the simulated platform plays on which function. */
import {
  defaultTiming,
  type FaultRule,
  hostDialectNames,
  type NvmeInput,
  nvmeProblems,
  type SimFunctionConfig,
  type SimHostInterface,
  simFunctionConfig,
} from "../backend/sim/index.ts";
import { ZmendError } from "../base/errors.ts";
import { Prng } from "../base/prng.ts";
import {
  type DemoChecks,
  type DemoConfig,
  type DemoFunction,
  type DemoStep,
  hostProblem,
} from "../config/demo-config.ts";
import { cpuModels } from "../cpu/index.ts";
import { ccdfSequenceNames, loadCcdfSequence } from "../machine/ccdf-sequence.ts";
import { fixtureNames } from "../machine/fixtures.ts";
import type { VmSpec } from "../machine/vm-spec.ts";
import { EAGAIN, EIO } from "../ports/host-function.ts";
import { loadPolicy, policyNames } from "../recovery/index.ts";

const errnoByName = { EAGAIN, EIO } as const;

export interface DemoPlanOptions {
  readonly policy: string;
  readonly epochMs: number;
  /** Instead of every function's own: how the host tells of errors, and the shape of its interface. */
  readonly dialect?: string;
  readonly abi?: string;
  /** Deterministic runs: the host's reset times vary with the seed, 0.5 to 1.5 of `resetMs`. */
  readonly seed?: number;
}

/** What a demo config may name, and what its NVMe controllers may be. */
export function demoChecks(): DemoChecks {
  return {
    names: {
      fixture: fixtureNames(),
      policy: policyNames(),
      "CCDF sequence": ccdfSequenceNames(),
      "CPU model": Object.keys(cpuModels),
    },
    nvme: nvmeProblems,
  };
}

/** @throws ZmendError for a policy or CCDF file that is missing or wrong */
export function planDemo(config: DemoConfig, options: DemoPlanOptions): VmSpec {
  const chance = options.seed === undefined ? undefined : new Prng(options.seed);
  return {
    name: config.vm.name,
    ramBytes: config.vm.memory,
    cpuModel: config.vm.cpu,
    functions: config.functions.map((entry, index) =>
      simFunction(entry, index, config, options, chance),
    ),
    policy: loadPolicy(options.policy),
    epochMs: options.epochMs,
  };
}

function simFunction(
  entry: DemoFunction,
  index: number,
  config: DemoConfig,
  options: DemoPlanOptions,
  chance: Prng | undefined,
): SimFunctionConfig {
  const resetUs = entry.resetMs * 1000 * (chance === undefined ? 1 : 0.5 + chance.unit());
  return simFunctionConfig(
    {
      fid: entry.fid,
      uid: entry.uid,
      device: entry.device,
      // Checked as a whole by `demoChecks`.
      ...(entry.nvme === undefined ? {} : { nvme: entry.nvme as NvmeInput }),
      profile: entry.profile,
      host: hostOf(entry, options),
      clearError: entry.clearError,
      timing: { ...defaultTiming, resetUs },
      resetFailures: entry.resetFailures.map((name) => errnoByName[name]),
      faults: config.sequence.filter((step) => step.function === entry.fid).flatMap(faultRules),
    },
    index,
  );
}

/** A dialect from the command line comes in its merged shape unless `abi` says otherwise. */
function hostOf(entry: DemoFunction, options: DemoPlanOptions): SimHostInterface {
  const dialect = options.dialect ?? entry.host.dialect;
  const abi = options.abi ?? (options.dialect === undefined ? entry.host.abi : "merged");
  const problem = hostProblem(dialect, abi);
  const known = hostDialectNames.find((name) => name === dialect);
  if (problem !== undefined || known === undefined) {
    throw new ZmendError("USAGE", `--${problem?.key ?? "dialect"}: ${problem?.text ?? dialect}.`);
  }
  return { dialect: known, abi };
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
