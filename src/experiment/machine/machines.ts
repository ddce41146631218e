/** The machines of a plan as a thread that runs its trials has them: snapshots, read and checked. */
import { ZmendError } from "../../base/errors.ts";
import { readSnapshot, type Snapshot } from "../../machine/snapshot.ts";
import type { Plan, PlannedGuest } from "../plan.ts";
import type { MachineFiles } from "../runner/pool-data.ts";

export type PlannedMachine = Extract<PlannedGuest, { kind: "machine" }>;

/** Numbers of functions that the plan's scenarios ask for. */
export function functionCounts(plan: Plan): number[] {
  const counts = plan.points.flatMap(({ scenarios }) =>
    scenarios.map(({ functionsPerGuest }) => functionsPerGuest),
  );
  return [...new Set(counts)].sort((a, b) => a - b);
}

export function machinesOf(plan: Plan): PlannedMachine[] {
  return plan.guests.filter((guest) => guest.kind === "machine");
}

/** Key of a machine's file and snapshot. */
export function keyOf(label: string, functions: number): string {
  return `${label} ${functions}`;
}

/** @throws ZmendError SNAPSHOT_INVALID, EXPERIMENT_INVALID when it has another number of functions */
export async function openSnapshot(
  file: string,
  name: string,
  functions: number,
): Promise<Snapshot> {
  const snapshot = await readSnapshot(file);
  const found = snapshot.head.spec.functions.length;
  if (found === functions) return snapshot;
  throw new ZmendError(
    "EXPERIMENT_INVALID",
    `Snapshot ${name} has ${found} functions, a scenario asks for functionsPerGuest: ${functions}; make them equal.`,
  );
}

/** Snapshots of a plan's machines, read and checked once per thread. */
export class Machines {
  readonly #snapshots = new Map<string, Snapshot>();

  /**
   * @param files as `prepareMachines` returned them
   * @throws ZmendError SNAPSHOT_INVALID
   */
  static async open(plan: Plan, files: MachineFiles): Promise<Machines> {
    const machines = new Machines();
    for (const machine of machinesOf(plan)) {
      for (const functions of functionCounts(plan)) {
        const key = keyOf(machine.label, functions);
        const snapshot = await openSnapshot(files[key] ?? "", machine.machine, functions);
        machines.#snapshots.set(key, snapshot);
      }
    }
    return machines;
  }

  of(label: string, functions: number): Snapshot {
    const found = this.#snapshots.get(keyOf(label, functions));
    if (found === undefined) throw new RangeError(`no snapshot of ${label} with ${functions}`);
    return found;
  }
}
