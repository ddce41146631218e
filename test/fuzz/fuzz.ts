/**
 * The two fuzzers. `guest`: a hostile guest on an honest host. `host`: the same guest, and a host that lies. Laws: no
 * exception escapes, every call returns (a watchdog in `main.ts` looks), guest storage is the guest's and
 * nothing else is. Same seed and count, same digest.
 */
import { createHash } from "node:crypto";
import { hostInterfaces } from "../../src/abi/zpci-err.ts";
import {
  factCarriers,
  type SimFunctionConfig,
  simFunctionConfig,
} from "../../src/backend/sim/config.ts";
import { FunctionBlock } from "../../src/shm/blocks.ts";
import { HostileHost, hostileFacts } from "./hostile-host.ts";
import { Rails } from "./rails.ts";
import { Random } from "./random.ts";

export type FuzzTarget = "guest" | "host";

export interface FuzzResult {
  /** Device instructions that the guest executed. */
  instructions: number;
  /** Answers that the host gave wrongly; absent for an honest host. */
  answers?: number;
  /** Instructions with condition code 0; of a lying host's answers, records that reached the guest. */
  accepted: number;
  refused: number;
  /** Batches after which the guest no longer ran its own program. */
  derailed: number;
  escapes: number;
  hangs: number;
  guardHits: number;
  seed: number;
  /** SHA-256 over each batch's counts and the guest storage of each life. */
  digest: string;
  /** The first exception that escaped, with its place. */
  firstEscape?: string;
}

/** Batches of one VM's life; then another, with other functions. */
const BATCHES_PER_LIFE = { guest: 32, host: 24 };
/** Turns of the host's side between two batches: an honest host has little to say. */
const TURNS = { guest: 0, host: 150 };
/** Books of a lying host may be off by what it made up, not by more. */
const DISCARDED_MAX = 1 << 16;
const POLICIES = ["mediated", "reset-first", "quarantine"];
const FUNCTIONS = 3;

export interface FuzzLimits {
  /** Instructions (guest) or answers (host) after which it ends. */
  readonly count: number;
  /** Called between batches; ends the run when it says so. */
  readonly over?: (done: number) => boolean;
}

export function fuzz(target: FuzzTarget, seed: number, limits: FuzzLimits): FuzzResult {
  const random = new Random(seed);
  const hash = createHash("sha256");
  const result: FuzzResult = {
    instructions: 0,
    ...(target === "host" ? { answers: 0 } : {}),
    accepted: 0,
    refused: 0,
    derailed: 0,
    escapes: 0,
    hangs: 0,
    guardHits: 0,
    seed,
    digest: "",
  };
  const done = (): number => (target === "host" ? (result.answers ?? 0) : result.instructions);
  while (done() < limits.count && limits.over?.(done()) !== true) {
    const life = new Life(target, random);
    for (let batch = 0; batch < BATCHES_PER_LIFE[target] && done() < limits.count; batch++) {
      if (limits.over?.(done()) === true) break;
      if (!life.batch(result)) break;
    }
    life.end(result);
    hash.update(life.storage());
    hash.update(`${result.instructions} ${result.accepted} ${result.refused} ${result.derailed}\n`);
  }
  result.digest = hash.digest("hex");
  return result;
}

class Life {
  readonly #rails: Rails;
  readonly #hosts: HostileHost[] = [];
  readonly #hostile: boolean;
  readonly #turns: number;

  constructor(target: FuzzTarget, random: Random) {
    this.#hostile = target === "host";
    this.#turns = TURNS[target];
    const functions = Array.from({ length: FUNCTIONS }, (_, index) =>
      this.#function(index, random),
    );
    this.#rails = new Rails({
      functions,
      policy: random.pick(POLICIES),
      random,
      ...(this.#hostile
        ? {
            host: (inner, vm, index) => {
              const host = new HostileHost(inner, vm, index, random);
              this.#hosts.push(host);
              return host;
            },
            facts: (vm, index, config) => hostileFacts(vm, index, config, random),
          }
        : {}),
    });
  }

  #function(index: number, random: Random): SimFunctionConfig {
    const faults = Array.from({ length: 4 }, () => ({
      when: { afterAccesses: 1 + random.below(4000) },
      action: { type: "ccdf" as const, pec: random.pick([0x3a, 0x01, 0x2a, 0x08]) },
    }));
    const dialect = this.#hostile ? random.pick(["zpci", "zpci", "eeh", "aer"] as const) : "zpci";
    return simFunctionConfig(
      {
        fid: 0x10 + index,
        uid: index + 1,
        device: index === 2 ? "nvme" : "test",
        clearError: random.chance(2),
        host: {
          dialect,
          abi: this.#hostile ? random.pick(hostInterfaces[dialect]) : "merged",
          facts: this.#hostile ? random.pick(factCarriers) : "capabilities",
          future: this.#hostile && random.chance(4),
        },
        faults,
      },
      index,
    );
  }

  /** @returns false when an exception escaped: this VM is not used again */
  batch(result: FuzzResult): boolean {
    try {
      const { executed, accepted, derailed } = this.#rails.batch();
      this.#rails.shake(this.#turns);
      result.instructions += executed;
      if (derailed) result.derailed += 1;
      if (!this.#hostile) {
        result.accepted += accepted;
        result.refused += executed - accepted;
      }
      result.guardHits += this.#rails.guardHits();
      if (this.#hostile) this.#countAnswers(result);
      return true;
    } catch (error) {
      result.escapes += 1;
      result.firstEscape ??= error instanceof Error ? (error.stack ?? error.message) : `${error}`;
      return false;
    }
  }

  #countAnswers(result: FuzzResult): void {
    for (const host of this.#hosts) {
      result.answers = (result.answers ?? 0) + host.lies;
      host.lies = 0;
    }
  }

  end(result: FuzzResult): void {
    result.guardHits += this.#rails.leaks();
    for (let index = 0; index < FUNCTIONS; index++) {
      const dropped = this.#rails.word(index, FunctionBlock.droppedByPolicy);
      const raised = this.#rails.word(index, FunctionBlock.errorsRaised);
      // What a host says it discarded is at most a queue's worth for each time that it was closed.
      if (dropped <= raised + DISCARDED_MAX) continue;
      result.escapes += 1;
      result.firstEscape ??= `function ${index}: ${dropped} records dropped by policy, ${raised} raised`;
    }
    if (!this.#hostile) return;
    for (let index = 0; index < FUNCTIONS; index++) {
      result.accepted += this.#rails.word(index, FunctionBlock.injected);
    }
    result.refused = Math.max(0, (result.answers ?? 0) - result.accepted);
  }

  storage(): Uint8Array {
    return Buffer.from(this.#rails.storage());
  }
}
