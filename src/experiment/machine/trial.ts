/** One trial with a real machine as the guest, and its ledger line. */
import type { LedgerEntry } from "../../machine/ledger-entry.ts";
import type { Policy } from "../../recovery/policy.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";
import type { TrialRow } from "../ledger.ts";
import { type Plan, trialOf } from "../plan.ts";
import { Books } from "../trial/books.ts";
import type { Decider } from "../trial/decider.ts";
import { Meter } from "../trial/meter.ts";
import { identityOf, measured, seedWords } from "../trial/trial.ts";
import type { Machines } from "./machines.ts";
import { MachineWorld, memoryFor } from "./world.ts";

/** A thread's machines, each with the memory that its trials run in one after the other. */
export class MachineTrials {
  readonly #machines: Machines;
  readonly #memories = new Map<string, VmMemory>();

  constructor(machines: Machines) {
    this.#machines = machines;
  }

  /** @param entry called with everything that happens, with the number of its guest */
  run(
    plan: Plan,
    trial: number,
    decider?: Decider & { readonly policy: Policy },
    entry?: (guest: number, entry: LedgerEntry) => void,
  ): TrialRow {
    const found = trialOf(plan, trial);
    if (found?.guest.kind !== "machine") {
      throw new RangeError(`the plan has no trial ${trial} with a machine`);
    }
    const { at, scenario, planned, guest } = found;
    const { functionsPerGuest } = scenario;
    const snapshot = this.#machines.of(guest.label, functionsPerGuest);
    const key = `${guest.label} ${functionsPerGuest}`;
    const memory = this.#memories.get(key) ?? memoryFor(snapshot);
    this.#memories.set(key, memory);
    const deadlineUs = plan.deadlineSeconds * 1e6;
    const meter = new Meter(functionsPerGuest, deadlineUs);
    const books = new Books();
    const [seedA, seedB] = seedWords(plan.seed, at.repetition, at.scenario);
    let number = 0;
    const world = new MachineWorld({
      snapshot,
      memory,
      scenario,
      policy: decider?.policy ?? planned.policy,
      seedA,
      seedB,
      deadlineUs,
      meter,
      books,
      decider,
      entry: entry === undefined ? undefined : (one) => entry(number, one),
    });
    for (; number < scenario.guests; number++) world.run(number);
    return { ...identityOf(plan, at), status: "done", ...measured({ world, meter, books }) };
  }
}
