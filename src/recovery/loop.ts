/**
 * A recovery worker's life on a thread of its own: step, then sleep on the doorbell until the next deadline.
 * Thread: recovery worker.
 */
import type { Clock } from "../ports/clock.ts";
import type { RecoveryUnit } from "./unit.ts";

/** Longest sleep: a stop without a ring is noticed after this. */
const SLEEP_MAX_MS = 250;

export type LoopEnd = "vm-stopped" | "detached" | "unsupported";

/**
 * Returns when the VM is told to stop, the function has left, or the host lacks the feature.
 * @param between called before each step; returns the unit to go on with: the same, or its successor
 * @param comesBack a function that has left is waited for
 */
export function runRecoveryLoop(
  first: RecoveryUnit,
  clock: Clock,
  between: (unit: RecoveryUnit) => RecoveryUnit = (unit) => unit,
  comesBack = false,
): LoopEnd {
  let unit = first;
  for (;;) {
    unit = between(unit);
    const wakeUs = unit.step();
    if (unit.vmStopping()) return "vm-stopped";
    if (unit.ended && !comesBack) return "detached";
    if (!unit.supported) return "unsupported";
    const waitMs = (wakeUs - clock.nowUs()) / 1000;
    if (waitMs > 0) unit.sleep(Math.min(waitMs, SLEEP_MAX_MS));
  }
}
