/**
 * Hot file. When the events of one function's fault sources arrive: one stream of arrivals per source, the same for
 * every function of a correlated source's scope, and a draw of the function's own for whether and when it is hit.
 */
import { constant, type Distribution, Stream } from "../../base/distribution.ts";
import type { Arrivals, FaultSource } from "../scenario.ts";

const NEVER = Number.POSITIVE_INFINITY;

/** What a stream is for: bits 28-31 of its third key word, above the number of the function. */
export const Purpose = { arrivals: 1, hits: 2, event: 3, host: 4, guest: 5, operator: 6 } as const;

/** Third key word. */
export function streamOf(purpose: number, owner: number): number {
  return (purpose << 28) | owner;
}

/** Owner number of a scope that is no single function: beyond every function's (schema.ts: at most 1,000,000). */
const FLEET = 0x0fff_ffff;
const GUESTS = 0x0800_0000;

function distanceOf(arrivals: Arrivals): Distribution {
  if (arrivals.kind === "trace") return constant(0);
  if (arrivals.kind === "weibull") {
    return { kind: "weibull", scale: arrivals.scaleUs, shape: arrivals.shape };
  }
  return { kind: "exponential", mean: arrivals.meanUs };
}

class SourceState {
  readonly source: FaultSource;
  readonly #arrivals = new Stream();
  readonly #hits = new Stream();
  readonly #seedA: number;
  readonly #seedB: number;
  readonly #hitKey: number;
  readonly #number: number;
  /** Between arrivals, or between bursts. */
  readonly #distance: Distribution;
  #clockUs = 0;
  #left = 0;
  #ordinal = 0;
  /** Time of the next event for this function. */
  nextUs = 0;

  constructor(
    source: FaultSource,
    number: number,
    seedA: number,
    seedB: number,
    guest: number,
    owner: number,
  ) {
    this.source = source;
    this.#seedA = seedA;
    this.#seedB = seedB;
    this.#number = number;
    this.#distance = distanceOf(source.arrivals);
    const scope =
      source.scope === "fleet" ? FLEET : source.scope === "guest" ? GUESTS | guest : owner;
    this.#arrivals.key(seedA, seedB, streamOf(Purpose.arrivals, scope), number);
    this.#hitKey = streamOf(Purpose.hits, owner);
    this.advance();
  }

  /** To the next event that hits this function. */
  advance(): void {
    const { source } = this;
    for (;;) {
      this.#arrive();
      if (this.#clockUs === NEVER) {
        this.nextUs = NEVER;
        return;
      }
      this.#ordinal += 1;
      if (source.share === 1 && source.spreadUs.kind === "constant") {
        this.nextUs = Math.round(this.#clockUs + source.spreadUs.value);
        return;
      }
      const draws = this.#hits.key(
        this.#seedA,
        this.#seedB,
        this.#hitKey,
        (this.#number << 24) ^ this.#ordinal,
      );
      if (draws.unit() < source.share) {
        this.nextUs = Math.round(this.#clockUs + draws.draw(source.spreadUs));
        return;
      }
    }
  }

  #arrive(): void {
    const { arrivals } = this.source;
    const draws = this.#arrivals;
    switch (arrivals.kind) {
      case "poisson":
      case "weibull":
        this.#clockUs += draws.draw(this.#distance);
        return;
      case "trace":
        this.#clockUs = arrivals.atUs[this.#left] ?? NEVER;
        this.#left += 1;
        return;
      case "bursts":
        if (this.#left > 0) {
          this.#left -= 1;
          this.#clockUs += draws.draw(arrivals.gap);
          return;
        }
        this.#clockUs += draws.draw(this.#distance);
        this.#left = Math.max(1, Math.round(draws.draw(arrivals.size))) - 1;
    }
  }
}

/** All sources of one function. */
export class FunctionArrivals {
  readonly #states: readonly SourceState[];
  /** Time of the next event; Infinity = none will come. */
  nextUs = NEVER;
  #next = 0;

  /** @param owner number of the function among all functions of the trial */
  constructor(
    sources: readonly FaultSource[],
    seedA: number,
    seedB: number,
    guest: number,
    owner: number,
  ) {
    this.#states = sources.map(
      (source, number) => new SourceState(source, number, seedA, seedB, guest, owner),
    );
    this.#choose();
  }

  /** Takes the event that is due at `nextUs`; returns its source. */
  take(): FaultSource {
    const state = this.#states[this.#next] as SourceState;
    state.advance();
    this.#choose();
    return state.source;
  }

  #choose(): void {
    this.nextUs = NEVER;
    for (let n = 0; n < this.#states.length; n++) {
      const at = (this.#states[n] as SourceState).nextUs;
      if (at < this.nextUs) {
        this.nextUs = at;
        this.#next = n;
      }
    }
  }
}

/** What an event is, once it arrives: drawn from a stream of its own, so that nobody's policy shifts it. */
export class EventDraw {
  readonly #draws = new Stream();
  pec = 0;
  stale = false;
  /** False: the ERR signal is lost. */
  signal = true;

  /** @param owner number of the function among all of the trial @param ordinal of the function's events, from 0 */
  draw(source: FaultSource, seedA: number, seedB: number, owner: number, ordinal: number): void {
    const draws = this.#draws.key(seedA, seedB, streamOf(Purpose.event, owner), ordinal);
    this.pec = pick(source, draws.unit());
    this.stale = draws.chance(source.stale);
    this.signal = !draws.chance(source.lostSignal);
  }
}

function pick(source: FaultSource, unit: number): number {
  const { pecs } = source;
  let left = unit;
  for (let n = 0; n < pecs.length - 1; n++) {
    const row = pecs[n] as { pec: number; weight: number };
    if (left < row.weight) return row.pec;
    left -= row.weight;
  }
  return pecs[pecs.length - 1]?.pec ?? 0;
}
