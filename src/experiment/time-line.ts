/**
 * One trial of a ledger as a time line: run again with its trace read, from the plan in the ledger's header alone. What is
 * measured is compared with the ledger's line.
 */
import { ZmendError } from "../base/errors.ts";
import { Ledger } from "../machine/ledger.ts";
import type { LedgerEntry } from "../machine/ledger-entry.ts";
import { ledgerText, type TrialRow } from "./ledger.ts";
import { trialOf, trialsPerRepetition } from "./plan.ts";
import { readHeader, readLedger } from "./runner/ledger-file.ts";
import { identityOf, measured, modelWorld } from "./trial/trial.ts";

export interface TimeLine {
  readonly row: TrialRow;
  /** The ledger's line is what the trial measures now. */
  readonly same: boolean;
}

/** @param entry called for each entry, in order, with the number of its guest */
export async function timeLine(
  file: string,
  trial: number,
  entry: (guest: number, entry: LedgerEntry) => void,
): Promise<TimeLine> {
  const { plan } = readHeader(file);
  const row = rowOf(file, trial, trialsPerRepetition(plan) * plan.repetitions);
  const found = trialOf(plan, trial);
  if (found === undefined) {
    throw new ZmendError("LEDGER_INVALID", `${file}: its plan has no trial ${trial}.`);
  }
  const { at, scenario, planned, guest } = found;
  if (planned.module !== undefined) {
    throw new ZmendError(
      "USAGE",
      `Trial ${trial} cannot be shown as a time line: its policy is a module.`,
    );
  }
  if (guest.kind === "machine") {
    const { Machines, MachineTrials } = await import("./machine/index.ts");
    const { prepareMachines } = await import("./machine/prepare.ts");
    const files = await prepareMachines(plan, process.cwd());
    const machines = new MachineTrials(await Machines.open(plan, files));
    const again = machines.run(plan, trial, undefined, entry);
    return { row, same: ledgerText(again) === ledgerText(row) };
  }
  let ledger: Ledger | undefined;
  let number = 0;
  const parts = modelWorld({
    scenario,
    policy: planned.policy,
    guest,
    seed: plan.seed,
    repetition: at.repetition,
    scenarioNumber: at.scenario,
    deadlineUs: plan.deadlineSeconds * 1e6,
    turn: () => {
      for (const one of ledger?.drain() ?? []) entry(number, one);
    },
  });
  ledger = new Ledger(parts.world.vm);
  for (number = 0; number < scenario.guests; number++) parts.world.run(number);
  const again = { ...identityOf(plan, at), status: "done" as const, ...measured(parts) };
  return { row, same: ledgerText(again) === ledgerText(row) };
}

function rowOf(file: string, trial: number, planned: number): TrialRow {
  for (const { row } of readLedger(file)) if (row.trial === trial) return row;
  throw new ZmendError(
    "USAGE",
    `${file} has no trial ${trial}${trial < planned ? "; it ended before" : `; the last one is ${planned - 1}`}.`,
  );
}
