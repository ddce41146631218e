/**
 * What the supervisor does between the death of a recovery worker and the start of its successor, so that no
 * event is lost or doubled (design.md 4): let the host end the call that the worker died in, settle the
 * record that was under way, count the restart. Any thread, while no worker of this function runs.
 */
import type { RecoveryUnitOptions } from "./machine.ts";
import { RecoveryUnit } from "./unit.ts";

/** `options` as the dead worker had them, except hooks; the trace ring is the dead worker's own. */
export function repairAfterDeath(options: Omit<RecoveryUnitOptions, "killHook">): void {
  new RecoveryUnit(options).repair();
}
