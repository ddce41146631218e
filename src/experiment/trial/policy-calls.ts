/**
 * How a trial asks a policy module, which runs on a thread of its own: a block of shared words with one question and
 * its answer at a time, and text for what went wrong. Both sides are in this file's hands.
 */
import { loadShared, notify, storeShared, wait } from "../../shm/atomics.ts";

export const questions = ["onError", "onDeadline", "onResetFailure"] as const;
export type Question = (typeof questions)[number];

/** What a module is told of the function it decides about. */
export interface FunctionFacts {
  /** Number of the function in its guest. */
  readonly index: number;
  /** Seconds since the trial's start. */
  readonly nowSeconds: number;
  readonly state: string;
  readonly errors: number;
  readonly recoveries: number;
  readonly resets: number;
  readonly reinjections: number;
}

/** What can be answered, by question; the answer's number is its index. */
export const answers: Readonly<Record<Question, readonly string[]>> = {
  onError: ["inject", "reset", "quarantine", "unplug", "stop-vm"],
  onDeadline: ["wait", "reinject", "reset-and-reinject", "quarantine", "unplug", "stop-vm", "fail"],
  onResetFailure: ["quarantine", "unplug", "stop-vm", "fail"],
};

/** Words of the call: whose turn it is, the answer, the length of the text. */
const TURN = 0;
const ANSWER = 1;
const LENGTH = 2;
const TEXT = 16; // bytes
const CALL_BYTES = 4096;

const IDLE = 0;
const ASKED = 1;
const ANSWERED = 2;

/** Answers that are none: the base policy decides; the module threw; answered something else; cannot be asked. */
export const NO_OPINION = -1;
const THREW = -2;
const NONSENSE = -3;
const UNUSABLE = -4;

/** The module threw, answered nonsense, or is none: the trial fails and says so. */
export class PolicyModuleFault extends Error {
  override readonly name = "PolicyModuleFault";
}

/** The module did not answer in time: it is withdrawn. */
export class PolicyModuleOverrun extends Error {
  override readonly name = "PolicyModuleOverrun";
}

export class PolicyCall {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(CALL_BYTES)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
    this.#bytes = new Uint8Array(buffer);
  }

  #write(text: string): void {
    const bytes = new TextEncoder().encode(text).subarray(0, CALL_BYTES - TEXT);
    this.#bytes.set(bytes, TEXT);
    storeShared(this.#words, LENGTH, bytes.length);
  }

  #read(): string {
    const length = loadShared(this.#words, LENGTH);
    return new TextDecoder().decode(this.#bytes.slice(TEXT, TEXT + length));
  }

  #pass(turn: number): void {
    storeShared(this.#words, TURN, turn);
    notify(this.#words, TURN);
  }

  // The trial's side ------------------------------------------------------------------------------------

  /**
   * Asks and waits. @returns the answer's number, or NO_OPINION
   * @throws PolicyModuleFault, PolicyModuleOverrun
   */
  ask(question: Question, facts: FunctionFacts, label: string, limitMs: number): number {
    this.#write(JSON.stringify({ question, facts }));
    this.#pass(ASKED);
    wait(this.#words, TURN, ASKED, limitMs);
    if (loadShared(this.#words, TURN) !== ANSWERED) {
      throw new PolicyModuleOverrun(
        `policy '${label}' gave no answer to ${question} within ${limitMs} ms`,
      );
    }
    const answer = loadShared(this.#words, ANSWER);
    storeShared(this.#words, TURN, IDLE);
    if (answer === THREW) {
      throw new PolicyModuleFault(`policy '${label}' threw in ${question}: ${this.#read()}`);
    }
    if (answer === UNUSABLE) {
      throw new PolicyModuleFault(`policy '${label}' is no policy module: ${this.#read()}`);
    }
    if (answer === NONSENSE) {
      const wanted = answers[question].join(", ");
      throw new PolicyModuleFault(
        `policy '${label}' answered ${this.#read()} to ${question}; expected one of ${wanted}`,
      );
    }
    return answer;
  }

  // The module's side -----------------------------------------------------------------------------------

  /** Waits for the next question; never returns undefined text. */
  next(): { readonly question: Question; readonly facts: FunctionFacts } {
    while (loadShared(this.#words, TURN) !== ASKED) {
      wait(this.#words, TURN, loadShared(this.#words, TURN) === ANSWERED ? ANSWERED : IDLE, 1000);
    }
    return JSON.parse(this.#read());
  }

  answer(question: Question, given: unknown): void {
    const number = given === undefined ? NO_OPINION : answers[question].indexOf(String(given));
    if (number < 0 && given !== undefined) {
      this.#write(shorten(given));
      storeShared(this.#words, ANSWER, NONSENSE);
    } else storeShared(this.#words, ANSWER, number);
    this.#pass(ANSWERED);
  }

  threw(error: unknown): void {
    this.#failed(error, THREW);
  }

  /** There is nobody to ask: the module could not be loaded, or is no policy. */
  unusable(error: unknown): void {
    this.#failed(error, UNUSABLE);
  }

  #failed(error: unknown, how: number): void {
    this.#write(error instanceof Error ? error.message : shorten(error));
    storeShared(this.#words, ANSWER, how);
    this.#pass(ANSWERED);
  }
}

function shorten(value: unknown): string {
  let text: string;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    text = typeof value;
  }
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
