/**
 * From the config of a function to the simulated one: shared by the demo and the daemon. And what a config file may
 * name, gathered from the modules that know.
 */
import {
  defaultTiming,
  type FaultRule,
  hostDialectNames,
  type NvmeInput,
  nvmeProblems,
  type SimFunctionConfig,
  simFunctionConfig,
} from "../backend/sim/index.ts";
import { ZmendError } from "../base/errors.ts";
import type { DemoFunction } from "../config/demo-config.ts";
import { type ConfigChecks, type FaultStep, hostProblem } from "../config/parts.ts";
import { cpuModels } from "../cpu/index.ts";
import { ccdfSequenceNames, loadCcdfSequence } from "../machine/ccdf-sequence.ts";
import { fixtureNames } from "../machine/fixtures.ts";
import { linuxFixtureNames } from "../machine/linux-fixture.ts";
import { EAGAIN, EIO } from "../ports/host-function.ts";
import { policyNames } from "../recovery/index.ts";

const errnoByName = { EAGAIN, EIO } as const;

/** What a config may name, and what its NVMe controllers may be. */
export function configChecks(): ConfigChecks {
  return {
    names: {
      fixture: fixtureNames(),
      "Linux kernel": linuxFixtureNames(),
      policy: policyNames(),
      "CCDF sequence": ccdfSequenceNames(),
      "CPU model": Object.keys(cpuModels),
    },
    nvme: nvmeProblems,
  };
}

/** The keys that a function has in every config. */
export type FunctionEntry = Omit<DemoFunction, "expect">;

export interface FunctionOverrides {
  readonly resetUs?: number;
  /** Of the command line; a dialect comes in its merged shape unless `abi` says otherwise. */
  readonly dialect?: string;
  readonly abi?: string;
}

/** @throws ZmendError for a CCDF file that is missing or wrong, USAGE for an unknown override */
export function planFunction(
  entry: FunctionEntry,
  index: number,
  faults: readonly FaultStep[],
  overrides: FunctionOverrides = {},
): SimFunctionConfig {
  return simFunctionConfig(
    {
      fid: entry.fid,
      uid: entry.uid,
      present: entry.present,
      device: entry.device,
      // Checked as a whole by `configChecks`.
      ...(entry.nvme === undefined ? {} : { nvme: entry.nvme as NvmeInput }),
      profile: entry.profile,
      host: hostOf(entry, overrides),
      clearError: entry.clearError,
      ...(entry.pins === undefined ? {} : { pins: entry.pins }),
      timing: { ...defaultTiming, resetUs: overrides.resetUs ?? entry.resetMs * 1000 },
      resetFailures: entry.resetFailures.map((name) => errnoByName[name]),
      faults: faults.flatMap(faultRules),
    },
    index,
  );
}

function hostOf(entry: FunctionEntry, overrides: FunctionOverrides): SimFunctionConfig["host"] {
  const dialect = overrides.dialect ?? entry.host.dialect;
  const abi = overrides.abi ?? (overrides.dialect === undefined ? entry.host.abi : "merged");
  const problem = hostProblem(dialect, abi);
  const known = hostDialectNames.find((name) => name === dialect);
  if (problem !== undefined || known === undefined) {
    throw new ZmendError("USAGE", `--${problem?.key ?? "dialect"}: ${problem?.text ?? dialect}.`);
  }
  return { dialect: known, abi };
}

function faultRules(step: FaultStep): FaultRule[] {
  const atUs = (step.atMs ?? 0) * 1000;
  const when = step.afterAccesses === undefined ? { atUs } : { afterAccesses: step.afterAccesses };
  if (step.dma !== undefined) return [{ when, action: { type: "dma", kind: step.dma } }];
  if (step.unplug !== undefined) return [{ when, action: { type: "unplug", how: step.unplug } }];
  if (step.plug !== undefined) return [{ when, action: { type: "plug", as: step.plug } }];
  if (step.pec !== undefined) {
    const { pec, faddr = 0, stale = false } = step;
    return [{ when, action: { type: "ccdf", pec, faddr, stale } }];
  }
  return loadCcdfSequence(step.ccdf ?? "").map((timed) => ({
    when: step.afterAccesses === undefined ? { atUs: atUs + timed.atUs } : when,
    action: timed.action,
  }));
}
