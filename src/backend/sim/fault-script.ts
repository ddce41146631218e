/**
 * The fault script of one function: which rule is due. Rules by time and by access count fire once, rules by
 * command each time they are named. Thread: platform only.
 */
import type { FaultAction, FaultRule } from "./config.ts";

/** What can still fire, for a snapshot. */
export interface FaultScriptState {
  readonly timed: readonly { readonly at: number; readonly action: FaultAction }[];
  readonly counted: readonly { readonly at: number; readonly action: FaultAction }[];
}

export class FaultScript {
  readonly #timed: { readonly at: number; readonly action: FaultAction }[];
  readonly #counted: { readonly at: number; readonly action: FaultAction }[];
  readonly #named: readonly FaultRule[];

  constructor(rules: readonly FaultRule[]) {
    const byTime = rules.filter((rule) => rule.when.atUs !== undefined);
    const rest = rules.filter((rule) => rule.when.atUs === undefined);
    const byCount = rest.filter((rule) => rule.when.afterAccesses !== undefined);
    this.#timed = ordered(byTime, (rule) => rule.when.atUs ?? 0);
    this.#counted = ordered(byCount, (rule) => rule.when.afterAccesses ?? 0);
    this.#named = rest.filter((rule) => rule.when.afterAccesses === undefined);
  }

  /** The next action that is due, taken out; undefined when there is none. */
  takeDue(nowUs: number, accesses: number): FaultAction | undefined {
    const timed = this.#timed[0];
    if (timed !== undefined && timed.at <= nowUs) {
      this.#timed.shift();
      return timed.action;
    }
    const counted = this.#counted[0];
    if (counted !== undefined && counted.at <= accesses) {
      this.#counted.shift();
      return counted.action;
    }
    return undefined;
  }

  save(): FaultScriptState {
    return { timed: [...this.#timed], counted: [...this.#counted] };
  }

  load({ timed, counted }: FaultScriptState): void {
    this.#timed.splice(0, this.#timed.length, ...timed);
    this.#counted.splice(0, this.#counted.length, ...counted);
  }

  /** Rules that can still fire. */
  list(): FaultRule[] {
    return [
      ...this.#timed.map(({ at, action }) => ({ when: { atUs: at }, action })),
      ...this.#counted.map(({ at, action }) => ({ when: { afterAccesses: at }, action })),
      ...this.#named,
    ];
  }

  named(command: string): FaultAction[] {
    return this.#named.filter((rule) => rule.when.command === command).map((rule) => rule.action);
  }

  nextTimeUs(): number {
    return this.#timed[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  /** Access count of the next counted rules (0 = none) and their actions. */
  nextCount(): number {
    return this.#counted[0]?.at ?? 0;
  }

  actionsAt(count: number): FaultAction[] {
    return this.#counted.filter((entry) => entry.at === count).map((entry) => entry.action);
  }
}

function ordered(
  rules: readonly FaultRule[],
  at: (rule: FaultRule) => number,
): { at: number; action: FaultAction }[] {
  return rules.map((rule) => ({ at: at(rule), action: rule.action })).sort((a, b) => a.at - b.at);
}
