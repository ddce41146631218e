/**
 * Hot file. What a trial measures: for each function when it could do I/O and when not, the parts of each recovery, and the
 * trial's sums over all functions and guests. Knows nothing of how things come about.
 */
import { binOfUs, type Histogram, type TimeToRecover } from "../ledger.ts";
import { type PhaseName, phases } from "../metrics.ts";

const PHASES = phases.length;
export const Phase = Object.freeze(
  Object.fromEntries(phases.map((name, index) => [name, index])),
) as Readonly<Record<PhaseName, number>>;

const secondsOf = (us: number): number => us / 1e6;

/** Counts by bin, grown as needed. */
class Bins {
  #counts = new Float64Array(2048);
  total = 0;

  add(us: number): void {
    const bin = binOfUs(us);
    if (bin >= this.#counts.length) {
      const grown = new Float64Array(bin + 512);
      grown.set(this.#counts);
      this.#counts = grown;
    }
    this.#counts[bin] = (this.#counts[bin] ?? 0) + 1;
    this.total += 1;
  }

  histogram(): Histogram {
    const list: [number, number][] = [];
    for (let bin = 0; bin < this.#counts.length; bin++) {
      const count = this.#counts[bin] as number;
      if (count > 0) list.push([bin, count]);
    }
    return list;
  }
}

export class Meter {
  readonly #deadlineUs: number;
  readonly #recovered = new Bins();
  readonly #censored = new Bins();
  readonly #phaseSums = new Float64Array(PHASES);
  // Trial sums
  failures = 0;
  recoveries = 0;
  losses = 0;
  downUs = 0;
  longestUs = 0;
  recoverUs = 0;
  totalUs = 0;
  // Functions of the guest under way
  readonly #downSince: Float64Array;
  readonly #markedAt: Float64Array;
  readonly #phase: Int8Array;
  readonly #parts: Float64Array;
  readonly #lost: Uint8Array;
  readonly #failing: Uint8Array;

  constructor(functions: number, deadlineUs: number) {
    this.#deadlineUs = deadlineUs;
    this.#downSince = new Float64Array(functions);
    this.#markedAt = new Float64Array(functions);
    this.#phase = new Int8Array(functions);
    this.#parts = new Float64Array(functions * PHASES);
    this.#lost = new Uint8Array(functions);
    this.#failing = new Uint8Array(functions);
  }

  /** A guest's trial begins: every function does I/O. */
  begin(): void {
    this.#downSince.fill(-1);
    this.#lost.fill(0);
    this.#failing.fill(0);
  }

  up(index: number): boolean {
    return (this.#downSince[index] as number) < 0;
  }

  lost(index: number): boolean {
    return this.#lost[index] === 1;
  }

  /** The function's first error: a failure begins. */
  fails(index: number, nowUs: number): void {
    this.failures += 1;
    this.#failing[index] = 1;
    this.#down(index, nowUs);
  }

  /** The function cannot do I/O, though nothing is wrong with it (the VM was stopped). */
  stops(index: number, nowUs: number): void {
    if (this.up(index)) this.#down(index, nowUs);
  }

  #down(index: number, nowUs: number): void {
    this.#downSince[index] = nowUs;
    this.#markedAt[index] = nowUs;
    this.#phase[index] = Phase.detect;
    this.#parts.fill(0, index * PHASES, (index + 1) * PHASES);
  }

  /** From now on the time counts as `phase`. */
  enters(index: number, phase: number, nowUs: number): void {
    if (this.up(index)) return;
    this.#account(index, nowUs);
    this.#phase[index] = phase;
  }

  /** Whether the failure is still where nobody has noticed it. */
  unnoticed(index: number): boolean {
    return !this.up(index) && this.#phase[index] === Phase.detect;
  }

  #account(index: number, nowUs: number): void {
    const at = index * PHASES + (this.#phase[index] as number);
    this.#parts[at] = (this.#parts[at] as number) + (nowUs - (this.#markedAt[index] as number));
    this.#markedAt[index] = nowUs;
  }

  /** The function left service and needs an operator. */
  loses(index: number): void {
    if (this.#lost[index] === 1) return;
    this.#lost[index] = 1;
    this.losses += 1;
  }

  /** I/O runs again. After a loss that was an operator's doing, not a recovery. */
  resumes(index: number, nowUs: number): void {
    if (this.up(index)) return;
    const took = nowUs - (this.#downSince[index] as number);
    this.#account(index, nowUs);
    if (this.#failing[index] === 1) {
      if (this.#lost[index] === 1) this.#censored.add(Math.min(took, this.#deadlineUs));
      else this.#recovery(index, took);
    }
    this.#ends(index, took);
  }

  #recovery(index: number, tookUs: number): void {
    this.recoveries += 1;
    this.recoverUs += tookUs;
    if (tookUs <= this.#deadlineUs) this.#recovered.add(tookUs);
    else this.#censored.add(this.#deadlineUs);
    for (let phase = 0; phase < PHASES; phase++) {
      const part = this.#parts[index * PHASES + phase] as number;
      this.#phaseSums[phase] = (this.#phaseSums[phase] as number) + part;
    }
  }

  #ends(index: number, tookUs: number): void {
    this.downUs += tookUs;
    if (tookUs > this.longestUs) this.longestUs = tookUs;
    this.#downSince[index] = -1;
    this.#lost[index] = 0;
    this.#failing[index] = 0;
  }

  /** The guest's trial is over: what is still down is censored. */
  end(horizonUs: number): void {
    for (let index = 0; index < this.#downSince.length; index++) {
      this.totalUs += horizonUs;
      if (this.up(index)) continue;
      const took = horizonUs - (this.#downSince[index] as number);
      if (this.#failing[index] === 1) this.#censored.add(Math.min(took, this.#deadlineUs));
      this.#ends(index, took);
    }
  }

  timeToRecover(): TimeToRecover {
    return { recovered: this.#recovered.histogram(), censored: this.#censored.histogram() };
  }

  phaseSeconds(): Record<PhaseName, number> {
    return Object.fromEntries(
      phases.map((name, phase) => [name, secondsOf(this.#phaseSums[phase] as number)]),
    ) as Record<PhaseName, number>;
  }
}
