/**
 * The armed faults of one function: which rule is due. A rule by time fires once; the others as often as their `times`
 * says, by command as often as it is given unless told otherwise. Chance comes from the seeded generator, so the same
 * accesses meet the same faults. Thread: platform only.
 */
import { Prng } from "../../base/prng.ts";
import type { FaultAction, FaultRule } from "./config.ts";

/** A rule whose next firing is known beforehand. */
interface Due {
  readonly at: number;
  readonly rule: FaultRule;
  readonly left: number;
}

/** A rule that waits for something to look at. */
interface Armed {
  readonly rule: FaultRule;
  seen: number;
  left: number;
}

/** What can still fire, for a snapshot. */
export interface FaultScriptState {
  readonly timed: readonly Due[];
  readonly counted: readonly Due[];
  readonly armed: readonly Readonly<Armed>[];
  readonly random: readonly number[];
}

export class FaultScript {
  #timed: Due[] = [];
  #counted: Due[] = [];
  #armed: Armed[] = [];
  readonly #random: Prng;

  constructor(rules: readonly FaultRule[], seed = 0) {
    this.#random = new Prng(seed);
    this.add(rules, 0, 0);
  }

  /** Arms further rules; counts go on from `accesses`, times are of the VM's clock. */
  add(rules: readonly FaultRule[], accesses: number, nowUs: number): void {
    for (const rule of rules) {
      const { atUs, afterAccesses, perAccess } = rule.when;
      const left = timesOf(rule);
      if (atUs !== undefined)
        this.#insert(this.#timed, { at: Math.max(atUs, nowUs), rule, left: 1 });
      else if (afterAccesses !== undefined) {
        this.#insert(this.#counted, { at: accesses + afterAccesses, rule, left });
      } else if (perAccess !== undefined) {
        this.#insert(this.#counted, { at: accesses + this.#wait(perAccess), rule, left });
      } else this.#armed.push({ rule, seen: 0, left });
    }
  }

  /** An action of its own, at a time: the parts of a storm. */
  later(atUs: number, action: FaultAction): void {
    this.#insert(this.#timed, { at: atUs, rule: { when: { atUs }, action }, left: 1 });
  }

  /** The next action that is due, taken out; undefined when there is none. */
  takeDue(nowUs: number, accesses: number): FaultAction | undefined {
    const timed = this.#timed[0];
    if (timed !== undefined && timed.at <= nowUs) {
      this.#timed.shift();
      return timed.rule.action;
    }
    const counted = this.#counted[0];
    if (counted === undefined || counted.at > accesses) return undefined;
    this.#counted.shift();
    const left = counted.left - 1;
    if (left > 0) {
      const { afterAccesses, perAccess } = counted.rule.when;
      const step = afterAccesses ?? this.#wait(perAccess ?? 1);
      this.#insert(this.#counted, { ...counted, at: counted.at + step, left });
    }
    return counted.rule.action;
  }

  /** The device begins a transfer: what it meets. Rules by count, by address and by chance. */
  onTransfer(address: number, length: number): FaultAction[] {
    return this.#fire(({ when }, entry) => {
      if (when.afterTransfers !== undefined) {
        entry.seen += 1;
        return entry.seen % when.afterTransfers === 0;
      }
      if (when.dma !== undefined) return touches(when.dma, address, length);
      return when.perTransfer !== undefined && this.#random.unit() < when.perTransfer;
    });
  }

  /** The guest has accessed the watched offsets, `hits` times since the last look. */
  onWatchHits(hits: number): FaultAction[] {
    const watched = this.#watched();
    if (watched === undefined || hits === 0) return [];
    const fired = Math.min(hits, watched.left);
    watched.left -= fired;
    this.#prune();
    return new Array<FaultAction>(fired).fill(watched.rule.action);
  }

  /** Offsets of BAR 0 that the vCPU's side has to watch: those of the first such rule. */
  watch(): { readonly from: number; readonly to: number } | undefined {
    const bar = this.#watched()?.rule.when.bar;
    return bar === undefined ? undefined : { from: bar.from, to: bar.to ?? bar.from };
  }

  watchAction(): FaultAction | undefined {
    return this.#watched()?.rule.action;
  }

  named(command: string): FaultAction[] {
    return this.#fire(({ when }) => when.command === command);
  }

  /** Rules that can still fire, with how often. */
  list(): FaultRule[] {
    const shown = ({ rule, left }: { rule: FaultRule; left: number }): FaultRule =>
      rule.times === undefined || rule.times === "always" ? rule : { ...rule, times: left };
    return [...this.#timed, ...this.#counted, ...this.#armed].map(shown);
  }

  nextTimeUs(): number {
    return this.#timed[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  /** Access count of the next counted rules (0 = none) and their actions. */
  nextCount(): number {
    return this.#counted[0]?.at ?? 0;
  }

  actionsAt(count: number): FaultAction[] {
    return this.#counted.filter((entry) => entry.at === count).map(({ rule }) => rule.action);
  }

  save(): FaultScriptState {
    return {
      timed: [...this.#timed],
      counted: [...this.#counted],
      armed: this.#armed.map((entry) => ({ ...entry })),
      random: this.#random.save(),
    };
  }

  load({ timed, counted, armed, random }: FaultScriptState): void {
    this.#timed = [...timed];
    this.#counted = [...counted];
    this.#armed = armed.map((entry) => ({ ...entry }));
    this.#random.load(random);
  }

  #watched(): Armed | undefined {
    return this.#armed.find(({ rule }) => rule.when.bar !== undefined);
  }

  #fire(hit: (rule: FaultRule, entry: Armed) => boolean): FaultAction[] {
    const found: FaultAction[] = [];
    for (const entry of this.#armed) {
      if (!hit(entry.rule, entry)) continue;
      entry.left -= 1;
      found.push(entry.rule.action);
    }
    if (found.length > 0) this.#prune();
    return found;
  }

  #prune(): void {
    this.#armed = this.#armed.filter(({ left }) => left > 0);
  }

  /** Accesses until one of them meets a fault of this probability: at least 1. */
  #wait(probability: number): number {
    let count = 1;
    while (count < 1e6 && this.#random.unit() >= probability) count += 1;
    return count;
  }

  /** In order of `at`; equal ones in the order in which they were armed. */
  #insert(list: Due[], entry: Due): void {
    let at = list.length;
    while (at > 0 && (list[at - 1] as Due).at > entry.at) at -= 1;
    list.splice(at, 0, entry);
  }
}

function timesOf({ when, times }: FaultRule): number {
  const once = when.command === undefined ? 1 : "always";
  const wanted = times ?? once;
  return wanted === "always" ? Number.POSITIVE_INFINITY : wanted;
}

function touches(
  range: { readonly from: number; readonly to?: number },
  address: number,
  length: number,
): boolean {
  return address <= (range.to ?? range.from) && address + length > range.from;
}
