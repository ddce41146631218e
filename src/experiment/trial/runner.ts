/** Runs trials of one plan by number, and turns whatever happens into a ledger line. Thread: any, one trial at a time. */

import { type FailedTrial, ledgerText, type TrialRow } from "../ledger.ts";
import type { MachineTrials } from "../machine/trial.ts";
import { coordinatesOf, type Plan, type PlannedPolicy } from "../plan.ts";
import type { MachineFiles } from "../runner/pool-data.ts";
import { TrialMemories } from "./memory.ts";
import { PolicyModuleFault } from "./policy-calls.ts";
import { PolicyModule, PolicyModuleOverrun } from "./policy-module.ts";
import { identityOf, runModelTrial } from "./trial.ts";

export class TrialRunner {
  readonly #plan: Plan;
  readonly #folder: string;
  readonly #memories = new TrialMemories();
  #machines: MachineTrials | undefined;
  readonly #modules = new Map<PlannedPolicy, PolicyModule>();

  /** @param folder that the plan's policy modules are relative to */
  constructor(plan: Plan, folder: string) {
    this.#plan = plan;
    this.#folder = folder;
  }

  /**
   * Before the first trial: what the plan's machines need. Their modules are loaded only where there is one.
   * @param files as `prepareMachines` returned them
   * @throws ZmendError when a machine cannot be had
   */
  async prepare(files: MachineFiles): Promise<void> {
    if (this.#machines !== undefined || !this.hasMachines) return;
    const { Machines, MachineTrials } = await import("../machine/index.ts");
    this.#machines = new MachineTrials(await Machines.open(this.#plan, files));
  }

  /** Starts the threads of all policy modules; one that is not there is said by the trials that need it. */
  async loadModules(): Promise<void> {
    for (const { policies } of this.#plan.points) {
      for (const planned of policies) {
        try {
          await this.#module(planned)?.loaded;
        } catch (error) {
          if (!(error instanceof PolicyModuleFault)) throw error;
        }
      }
    }
  }

  get hasMachines(): boolean {
    return this.#plan.guests.some(({ kind }) => kind === "machine");
  }

  /** The ledger's line of trial `trial`; a trial that fails is one too. */
  line(trial: number): string {
    return ledgerText(this.row(trial));
  }

  row(trial: number): TrialRow {
    const at = coordinatesOf(this.#plan, trial);
    const planned = this.#plan.points[at.point]?.policies[at.policy];
    try {
      const module = this.#module(planned);
      if (this.#plan.guests[at.guest]?.kind !== "machine") {
        return runModelTrial(this.#plan, trial, module, this.#memories);
      }
      if (this.#machines === undefined) throw new RangeError("machines have to be prepared");
      return this.#machines.run(this.#plan, trial, module);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (!(error instanceof PolicyModuleOverrun)) return this.#failed(trial, reason);
      this.#drop(planned);
      return { ...this.#failed(trial, reason), withdraws: true };
    }
  }

  /** The policy's thread; one for all trials of this runner, or until it overruns. */
  #module(planned: PlannedPolicy | undefined): PolicyModule | undefined {
    if (planned?.module === undefined) return undefined;
    const found = this.#modules.get(planned) ?? new PolicyModule(planned, this.#folder);
    this.#modules.set(planned, found);
    return found;
  }

  #drop(planned: PlannedPolicy | undefined): void {
    if (planned === undefined) return;
    void this.#modules.get(planned)?.close();
    this.#modules.delete(planned);
  }

  #failed(trial: number, reason: string): FailedTrial {
    const identity = identityOf(this.#plan, coordinatesOf(this.#plan, trial));
    return { ...identity, status: "failed", reason: reason.replace(/\s+/g, " ").trim() };
  }

  /** Ends the threads of policy modules. */
  async close(): Promise<void> {
    for (const module of this.#modules.values()) await module.close();
  }
}
