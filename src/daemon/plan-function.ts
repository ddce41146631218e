/**
 * From the config of a function to the simulated one: shared by the demo and the daemon. And what a config file may
 * name, gathered from the modules that know.
 */
import {
  defaultTiming,
  type FaultAction,
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

/** What a config may name, and what its NVMe controllers may be; `folder`: where the files are that it names. */
export function configChecks(folder?: string): ConfigChecks {
  return {
    ...(folder === undefined ? {} : { folder }),
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
  const { pe } = entry.host;
  return { dialect: known, abi, ...(pe === undefined ? {} : { pe }) };
}

function faultRules(step: FaultStep): FaultRule[] {
  const when = triggerOf(step);
  const times = step.times === undefined ? {} : { times: step.times };
  const action = actionOf(step);
  if (action !== undefined) return [{ when, action, ...times }];
  const atUs = when.atUs;
  return loadCcdfSequence(step.ccdf ?? "").map((timed) => ({
    when: atUs === undefined ? when : { atUs: atUs + timed.atUs },
    action: timed.action,
    ...times,
  }));
}

function triggerOf(step: FaultStep): FaultRule["when"] {
  const { afterAccesses, afterTransfers, bar, dmaAt, perAccess, perTransfer } = step;
  if (afterAccesses !== undefined) return { afterAccesses };
  if (afterTransfers !== undefined) return { afterTransfers };
  if (bar !== undefined) return { bar: rangeOf(bar) };
  if (dmaAt !== undefined) return { dma: rangeOf(dmaAt) };
  if (perAccess !== undefined) return { perAccess };
  if (perTransfer !== undefined) return { perTransfer };
  return { atUs: (step.atMs ?? 0) * 1000 };
}

function rangeOf({ from, to }: { from: number; to?: number | undefined }) {
  return to === undefined ? { from } : { from, to };
}

/** Undefined for a CCDF sequence, which is several. */
function actionOf(step: FaultStep): FaultAction | undefined {
  const { storm, allOnes, blockedDma, linkDown, lostStores, lostInterrupts, lostSignals } = step;
  const during = ({ forMs }: { forMs?: number | undefined }) =>
    forMs === undefined ? {} : { forUs: Math.max(1, Math.round(forMs * 1000)) };
  if (step.dma !== undefined) return { type: "dma", kind: step.dma };
  if (step.unplug !== undefined) return { type: "unplug", how: step.unplug };
  if (step.plug !== undefined) return { type: "plug", as: step.plug };
  if (storm !== undefined) {
    const everyUs = Math.max(1, Math.round(storm.everyMs * 1000));
    return { type: "storm", pec: storm.pec, count: storm.count, everyUs };
  }
  if (allOnes !== undefined) return { type: "allOnes", ...during(allOnes) };
  if (blockedDma !== undefined) return { type: "blockedDma", ...during(blockedDma) };
  if (linkDown !== undefined) return { type: "linkDown", ...during(linkDown) };
  if (lostStores !== undefined) return { type: "lostStores", count: lostStores };
  if (lostInterrupts !== undefined) return { type: "lostInterrupts", count: lostInterrupts };
  if (lostSignals !== undefined) return { type: "lostSignals", count: lostSignals };
  if (step.pec === undefined) return undefined;
  const { pec, faddr = 0, stale = false } = step;
  return { type: "ccdf", pec, faddr, stale };
}
