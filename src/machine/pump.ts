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

/**
 * What is to be done at each interval. One that has much to do asks `hasTime` in between, and returns false when it has to go
 * on: it is called again after the event loop's turn.
 */
export type Look = (hasTime: () => boolean) => unknown;

interface Pump {
  readonly timer: NodeJS.Timeout;
  readonly looks: Set<Look>;
}

const pumps = new Map<number, Pump>();

function newPump(everyMs: number): Pump {
  const looks = new Set<Look>();
  /** Some of this interval's looks wait until the event loop has had its turn. */
  let waiting = false;
  let endUs = 0;
  const hasTime = (): boolean => monotonicNowUs() < endUs;
  /** @param unfinished the look that `left` has handed out and that has to go on */
  const turn = (left: Iterator<Look>, unfinished?: Look): void => {
    waiting = false;
    endUs = monotonicNowUs() + TURN_US;
    let look = unfinished ?? left.next().value;
    while (look !== undefined) {
      // One that was taken away meanwhile is not called again.
      const done = !looks.has(look) || look(hasTime) !== false;
      const next: Look | undefined = done ? left.next().value : look;
      if (next !== undefined && !hasTime()) {
        waiting = true;
        setImmediate(turn, left, next);
        return;
      }
      look = next;
    }
  };
  const timer = setInterval(() => {
    if (!waiting) turn(looks.values());
  }, everyMs);
  return { timer, looks };
}

/** Calls `look` at each interval, until the function that is returned is called. Keeps the process alive meanwhile. */
export function lookEvery(everyMs: number, look: Look): () => void {
  const pump = pumps.get(everyMs) ?? newPump(everyMs);
  pumps.set(everyMs, pump);
  // Its own, so that somebody may look twice.
  const mine: Look = (hasTime) => look(hasTime);
  pump.looks.add(mine);
  return () => {
    pump.looks.delete(mine);
    if (pump.looks.size > 0 || pumps.get(everyMs) !== pump) return;
    clearInterval(pump.timer);
    pumps.delete(everyMs);
  };
}
