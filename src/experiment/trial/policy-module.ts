/**
 * A policy as an ES module: a default export with `onError`, `onDeadline` and `onResetFailure`, each of them optional,
 * which get facts of a function and answer with a word of the policy language. It runs on a thread of its own, so that
 * one that loops costs its time limit and no more. The recovery machine is the real one; only the fields of the policy
 * that it reads at a decision are set before it takes one.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import type { Policy } from "../../recovery/policy.ts";
import { PolicyStep, State, states } from "../../recovery/vocabulary.ts";
import { FunctionBlock } from "../../shm/blocks.ts";
import type { PlannedPolicy } from "../plan.ts";
import type { DecidedWorld, Decider } from "./decider.ts";
import {
  answers,
  NO_OPINION,
  PolicyCall,
  PolicyModuleFault,
  PolicyModuleOverrun,
  type Question,
} from "./policy-calls.ts";

/** For one decision; the first one waits for the module to be loaded too. */
const LIMIT_MS = 1_000;
const FIRST_LIMIT_MS = 10_000;
/** A module's only rung may be taken as often as it says. */
const FOR_EVER = 1_000_000_000;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function workerUrl(): URL {
  const relative = import.meta.url.endsWith(".ts")
    ? "../../../dist/workers/policy.worker.js"
    : "../../../workers/policy.worker.js";
  return new URL(relative, import.meta.url);
}

export class PolicyModule implements Decider {
  /** The policy that the recovery machines of a trial read. */
  readonly policy: Policy;
  readonly #label: string;
  readonly #base: Policy;
  readonly #changing: Mutable<Policy>;
  readonly #step: number[];
  readonly #call = new PolicyCall();
  readonly #worker: Worker;
  /** The thread has loaded the module, has failed to, or takes longer than a first decision may. */
  readonly loaded: Promise<void>;
  #asked = false;

  /** @throws PolicyModuleFault when the module is not the one that was planned */
  constructor(planned: PlannedPolicy, folder: string) {
    const { label, policy, module } = planned;
    const path = resolve(folder, module?.file ?? "");
    if (!existsSync(path))
      throw new PolicyModuleFault(`policy module ${module?.file} is not there`);
    const sha256 = createHash("sha256").update(readFileSync(path)).digest("hex");
    if (sha256 !== module?.sha256) {
      throw new PolicyModuleFault(`policy module ${module?.file} is not the one that was planned`);
    }
    this.#label = label;
    this.#base = policy;
    this.#step = [policy.escalationStep[0] ?? PolicyStep.fail];
    this.#changing = { ...policy, escalationStep: this.#step, escalationTimes: [FOR_EVER] };
    this.policy = this.#changing;
    this.#worker = new Worker(workerUrl(), {
      workerData: { url: pathToFileURL(path).href, buffer: this.#call.buffer },
      env: {},
      stdout: true,
      stderr: true,
    });
    this.#worker.on("error", () => {}); // said by the call that it leaves unanswered
    this.#worker.unref();
    this.loaded = new Promise((resolve) => {
      const timer = setTimeout(resolve, FIRST_LIMIT_MS);
      const over = (): void => {
        clearTimeout(timer);
        resolve();
      };
      this.#worker.once("message", over).once("error", over).once("exit", over);
    });
  }

  /** Before a recovery machine is stepped: decides what it may be about to decide. */
  before(index: number, world: DecidedWorld): void {
    const state = world.state(index);
    if (world.deadlineDue(index)) {
      if (state === State.resetting) this.#resetFailure(index, world);
      else this.#deadline(index, world);
      return;
    }
    if (state === State.operational && world.pending(index)) {
      const answer = this.#ask("onError", index, world);
      this.#changing.onError = answer === NO_OPINION ? this.#base.onError : answer;
    }
  }

  #deadline(index: number, world: DecidedWorld): void {
    const answer = this.#ask("onDeadline", index, world);
    const { escalationStep } = this.#base;
    const name = answers.onDeadline[answer] as keyof typeof PolicyStep | undefined;
    this.#step[0] = name === undefined ? (escalationStep[0] ?? PolicyStep.fail) : PolicyStep[name];
  }

  #resetFailure(index: number, world: DecidedWorld): void {
    const answer = this.#ask("onResetFailure", index, world);
    const name = answers.onResetFailure[answer] as keyof typeof PolicyStep | undefined;
    this.#changing.onResetFailure =
      name === undefined ? this.#base.onResetFailure : PolicyStep[name];
  }

  #ask(question: Question, index: number, world: DecidedWorld): number {
    const limit = this.#asked ? LIMIT_MS : FIRST_LIMIT_MS;
    this.#asked = true;
    const facts = {
      index,
      nowSeconds: world.clock.nowUs() / 1e6,
      state: states[world.state(index)] ?? "",
      errors: world.word(index, FunctionBlock.readByWorker),
      recoveries: world.word(index, FunctionBlock.recoveries),
      resets: world.word(index, FunctionBlock.hostResets),
      reinjections: world.word(index, FunctionBlock.reinjections),
    };
    return this.#call.ask(question, facts, this.#label, limit);
  }

  /** Not while the thread loads: Node 20 aborts the whole process when that is cut short. */
  async close(): Promise<void> {
    await this.loaded;
    await this.#worker.terminate();
  }
}

export { PolicyModuleOverrun };
