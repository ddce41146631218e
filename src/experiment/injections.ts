/**
 * A scenario's faults as a list for a live VM: the same events at the same times as the first guest of the experiment's
 * trials meets them, so that what a simulation found can be tried on a real kernel. A signal cannot be lost on purpose
 * there, and the live host does its own resets.
 */
import type { Plan } from "./plan.ts";
import { EventDraw, FunctionArrivals } from "./trial/arrivals.ts";
import { seedWords } from "./trial/trial.ts";

export interface Injection {
  readonly atUs: number;
  /** Number of the function in its VM, from 0. */
  readonly index: number;
  readonly pec: number;
  readonly stale: boolean;
}

export interface InjectionOptions {
  readonly plan: Plan;
  /** Number of the scenario in the plan. */
  readonly scenario: number;
  readonly repetition: number;
  /** Functions of the live VM. */
  readonly functions: number;
}

/** In order of time; a scenario may have many, so one at a time. */
export function* injectionsOf(options: InjectionOptions): Generator<Injection> {
  const { plan, functions } = options;
  const scenario = plan.points[0]?.scenarios[options.scenario];
  if (scenario === undefined) return;
  const [seedA, seedB] = seedWords(plan.seed, options.repetition, options.scenario);
  const arrivals = Array.from(
    { length: functions },
    (_, index) => new FunctionArrivals(scenario.sources, seedA, seedB, 0, index),
  );
  const events = new Array<number>(functions).fill(0);
  const event = new EventDraw();
  for (;;) {
    let index = 0;
    for (const [number, one] of arrivals.entries()) {
      if (one.nextUs < (arrivals[index]?.nextUs ?? 0)) index = number;
    }
    const next = arrivals[index];
    if (next === undefined || !(next.nextUs < scenario.horizonUs)) return;
    const atUs = next.nextUs;
    event.draw(next.take(), seedA, seedB, index, events[index] ?? 0);
    events[index] = (events[index] ?? 0) + 1;
    yield { atUs, index, pec: event.pec, stale: event.stale };
  }
}
