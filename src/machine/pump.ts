/**
 * The interval at which the main thread looks after its VMs: one timer for all that want the same one. A daemon with many
 * VMs would otherwise wake up for each of them by itself. Main thread.
 */

/** How often the main thread looks after a VM. */
export const PUMP_MS = 20;

interface Pump {
  readonly timer: NodeJS.Timeout;
  readonly looks: Set<() => void>;
}

const pumps = new Map<number, Pump>();

function newPump(everyMs: number): Pump {
  const looks = new Set<() => void>();
  const timer = setInterval(() => {
    for (const look of looks) look();
  }, everyMs);
  return { timer, looks };
}

/** Calls `look` at each interval, until the function that is returned is called. Keeps the process alive meanwhile. */
export function lookEvery(everyMs: number, look: () => void): () => void {
  const pump = pumps.get(everyMs) ?? newPump(everyMs);
  pumps.set(everyMs, pump);
  // Its own, so that somebody may look twice.
  const mine = (): void => look();
  pump.looks.add(mine);
  return () => {
    pump.looks.delete(mine);
    if (pump.looks.size > 0 || pumps.get(everyMs) !== pump) return;
    clearInterval(pump.timer);
    pumps.delete(everyMs);
  };
}
