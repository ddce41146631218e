/**
 * The interval at which the main thread looks after its VMs: one timer for all that want the same one. A daemon with many
 * VMs would otherwise wake up for each of them by itself. When it has looked for a while it lets the event loop have a turn
 * before it goes on: who asks one VM something shall not wait for the entries of all. Main thread.
 */
import { monotonicNowUs } from "../base/clock.ts";

/** How often the main thread looks after a VM. */
export const PUMP_MS = 20;

/** About what a round trip of QMP takes otherwise. */
const TURN_US = 300;

interface Pump {
  readonly timer: NodeJS.Timeout;
  readonly looks: Set<() => void>;
}

const pumps = new Map<number, Pump>();

function newPump(everyMs: number): Pump {
  const looks = new Set<() => void>();
  /** Some of this interval's looks wait until the event loop has had its turn. */
  let waiting = false;
  const turn = (left: Iterator<() => void>): void => {
    waiting = false;
    const endUs = monotonicNowUs() + TURN_US;
    for (let next = left.next(); next.done !== true; next = left.next()) {
      next.value();
      if (monotonicNowUs() < endUs) continue;
      waiting = true;
      setImmediate(turn, left);
      return;
    }
  };
  const timer = setInterval(() => {
    if (!waiting) turn(looks.values());
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
