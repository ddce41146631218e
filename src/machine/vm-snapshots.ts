/**
 * Saving a VM while it lives, and its going on from a snapshot: who has to stand, what has to have come to rest, which run
 * states operators see meanwhile. What is in the file is snapshot.ts's. Main thread.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { RecoveryCommand } from "../shm/blocks.ts";
import type { ControllerParts } from "./controller-parts.ts";
import type { EntryStream } from "./entry-stream.ts";
import { HOLD_ALL, HOLD_NOBODY, HOLD_VCPUS } from "./hold.ts";
import type { HotPlug } from "./hot-plug.ts";
import { readSnapshot, type Snapshot, type SnapshotHead, writeSnapshot } from "./snapshot.ts";

export class VmSnapshots {
  readonly #parts: ControllerParts;
  readonly #entries: EntryStream;
  readonly #hotPlug: HotPlug;

  constructor(parts: ControllerParts, entries: EntryStream, hotPlug: HotPlug) {
    this.#parts = parts;
    this.#entries = entries;
    this.#hotPlug = hotPlug;
  }

  /** Every thread stands while the file is written. The file is whole or it is not there. */
  save(file: string): Promise<void> {
    const { machine, states, commands, pumpMs } = this.#parts;
    return states.inTurn(async () => {
      const before = states.current;
      if (before !== "running" && before !== "paused") {
        const why = `it is in state ${before}; only a VM that runs or is paused can be`;
        throw states.refused("be saved", why);
      }
      // A command on its way is in nobody's memory but ours.
      while (commands.waiting()) await sleep(pumpMs);
      states.enter("save-vm", "operator");
      try {
        await machine.hold(HOLD_ALL);
        const failure = states.takeFailure();
        if (failure !== undefined) throw failure;
        const saved = await machine.order({ kind: "save" });
        await writeSnapshot(file, machine.vm, {
          spec: machine.spec,
          ...machine.heldTimes(),
          paused: before === "paused",
          cpus: [],
          platform: saved as SnapshotHead["platform"],
        });
      } finally {
        machine.release(before === "paused" ? HOLD_VCPUS : HOLD_NOBODY);
        if (states.takeFailure() === undefined) states.enter(before, "saved");
      }
    });
  }

  /** Goes on from a snapshot, and runs if it ran. The threads are others; whoever watches or controls the VM stays. */
  load(file: string): Promise<void> {
    const { machine, states, commands } = this.#parts;
    return states.inTurn(async () => {
      const before = states.current;
      if (before === "internal-error" || !states.started) {
        throw states.refused("go on from a snapshot", `it is in state ${before}; start it anew`);
      }
      const snapshot = await readSnapshot(file);
      states.enter("restore-vm", "operator");
      await machine.hold(HOLD_ALL);
      try {
        snapshot.requireMachine(machine.spec);
      } catch (error) {
        const stood = before === "paused" || before === "prelaunch";
        machine.release(stood ? HOLD_VCPUS : HOLD_NOBODY);
        states.enter(before, "refused");
        throw error;
      }
      this.#entries.pump(Number.POSITIVE_INFINITY);
      commands.forget();
      this.#hotPlug.forget();
      await machine.restore(snapshot, before !== "running").catch((error) => states.fail(error));
      const failure = states.takeFailure();
      if (failure !== undefined) throw failure;
      this.restored(snapshot, before !== "running");
    });
  }

  /** Deadlines stand or run as the machine does: one that was saved while it ran has recoveries under way. */
  restored({ head }: Snapshot, paused: boolean): void {
    const { states, commands } = this.#parts;
    this.#entries.resync();
    if (paused && !head.paused) commands.postAll(RecoveryCommand.pause);
    if (!paused && head.paused) commands.postAll(RecoveryCommand.resume);
    states.enter(paused ? "paused" : "running", "restored");
  }
}
