/**
 * The armed faults of one controller: which of them a command, or a change of CC.EN, sets off. Probabilities
 * and places come from the seeded generator, so the same commands meet the same faults. Thread: platform only.
 */
import { Prng } from "../../../base/prng.ts";
import { faultCommands, faultProblems, type NvmeFaultRule } from "./fault-plan.ts";

interface Armed {
  readonly rule: NvmeFaultRule;
  /** Commands that fulfilled the static conditions. */
  seen: number;
  left: number;
  waiting: boolean;
}

/** A rule that can still fire. */
export interface ArmedFault {
  readonly rule: NvmeFaultRule;
  /** Times it will still fire; Infinity for "always". */
  readonly left: number;
  /** It waits for its `onCommand`. */
  readonly waiting: boolean;
}

/** For a snapshot. */
export interface NvmeFaultsState {
  readonly armed: readonly Readonly<Armed>[];
  readonly random: readonly number[];
}

/** The command as the triggers see it. */
export interface FaultSubject {
  readonly io: boolean;
  readonly opcode: number;
  readonly nsid: number;
  /** Blocks that a read, write, compare or write zeroes touches; count 0 = none. */
  readonly lba: number;
  readonly blocks: number;
}

/** Rules that arming may add; a plan in the configuration may be longer. */
const ARMED_MAX = 4096;

export class NvmeFaults {
  #armed: Armed[];
  readonly #random: Prng;
  // What the last `match` found
  delayUs = 0;
  /** Status | STATUS_DNR; 0 = carry the command out. */
  status = 0;
  drop = false;
  corruptBytes = 0;

  constructor(rules: readonly NvmeFaultRule[], seed: number) {
    this.#armed = rules.map(armed);
    this.#random = new Prng(seed);
  }

  save(): NvmeFaultsState {
    return { armed: this.#armed.map((entry) => ({ ...entry })), random: this.#random.save() };
  }

  load({ armed, random }: NvmeFaultsState): void {
    this.#armed = armed.map((entry) => ({ ...entry }));
    this.#random.load(random);
  }

  list(): ArmedFault[] {
    return this.#armed.map(({ rule, left, waiting }) => ({ rule, left, waiting }));
  }

  /** Adds rules; all of them or, when one is malformed, none. Returns the problems. */
  arm(rules: unknown): string[] {
    const problems = faultProblems(rules, "faults");
    if (problems.length > 0) return problems;
    const more = rules as readonly NvmeFaultRule[];
    if (this.#armed.length + more.length > ARMED_MAX) return [`faults: more than ${ARMED_MAX}`];
    this.#armed.push(...more.map(armed));
    return [];
  }

  disarmAll(): void {
    this.#armed.length = 0;
  }

  /** Arms the rules that wait for this command; returns how many. */
  command(name: string): number {
    let count = 0;
    for (const entry of this.#armed) {
      if (!entry.waiting || entry.rule.when.onCommand !== name) continue;
      entry.waiting = false;
      count += 1;
    }
    return count;
  }

  /** Looks what happens to a command; the answer stands in the fields. */
  match(subject: FaultSubject, nowUs: number): void {
    this.delayUs = 0;
    this.status = 0;
    this.drop = false;
    this.corruptBytes = 0;
    if (this.#armed.length === 0) return;
    for (const entry of this.#armed) {
      const { action, when } = entry.rule;
      if (action.type === "stuckReady" || !touches(entry.rule, subject)) continue;
      if (!this.#fires(entry, nowUs, when.probability)) continue;
      if (action.type === "delay") this.delayUs = Math.max(this.delayUs, action.us);
      else if (action.type === "drop") this.drop = true;
      else if (action.type === "corrupt") this.corruptBytes += action.bytes ?? 1;
      else if (this.status === 0) {
        this.status = action.status | (action.doNotRetry === true ? 0x4000 : 0);
      }
    }
    this.#removeSpent();
  }

  /** How long CSTS stays behind a change of CC.EN: 0, microseconds, or Infinity. */
  stuckUs(nowUs: number): number {
    let us = 0;
    for (const entry of this.#armed) {
      const { action, when } = entry.rule;
      if (action.type !== "stuckReady" || !this.#fires(entry, nowUs, when.probability)) continue;
      us = Math.max(us, action.us ?? Number.POSITIVE_INFINITY);
    }
    this.#removeSpent();
    return us;
  }

  /** Inverts `corruptBytes` bytes of a transfer at places of the generator's choice. */
  corrupt(data: Uint8Array): void {
    for (let i = 0; i < this.corruptBytes && data.length > 0; i++) {
      const at = this.#random.below(data.length);
      data[at] = (data[at] ?? 0) ^ (1 + this.#random.below(255));
    }
  }

  #fires(entry: Armed, nowUs: number, probability: number | undefined): boolean {
    const { when } = entry.rule;
    if (entry.waiting || entry.left <= 0 || nowUs < (when.atUs ?? 0)) return false;
    entry.seen += 1;
    if (entry.seen < (when.afterCommands ?? 1)) return false;
    if (probability !== undefined && this.#random.unit() >= probability) return false;
    entry.left -= 1;
    return true;
  }

  #removeSpent(): void {
    for (let i = this.#armed.length - 1; i >= 0; i--) {
      if ((this.#armed[i]?.left ?? 0) <= 0) this.#armed.splice(i, 1);
    }
  }
}

function armed(rule: NvmeFaultRule): Armed {
  const left = rule.times === "always" ? Number.POSITIVE_INFINITY : (rule.times ?? 1);
  return { rule, seen: 0, left, waiting: rule.when.onCommand !== undefined };
}

function touches({ when, action }: NvmeFaultRule, subject: FaultSubject): boolean {
  if (when.queue !== undefined && (when.queue === "io") !== subject.io) return false;
  if (when.command !== undefined) {
    const wanted = faultCommands[when.command];
    if (wanted?.io !== subject.io || wanted.opcode !== subject.opcode) return false;
  }
  if (when.nsid !== undefined && when.nsid !== subject.nsid) return false;
  if (when.lba !== undefined) {
    const end = when.lba + (when.blocks ?? 1);
    if (subject.lba >= end || subject.lba + subject.blocks <= when.lba) return false;
  }
  // Corruption needs data: commands without any do not use it up.
  return action.type !== "corrupt" || subject.blocks > 0;
}
