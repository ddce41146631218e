/** A client of the daemon's control socket: what every `zmend` command that talks to a daemon is made of. */
import { connect, type Socket } from "node:net";
import { resolve } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { type ErrorCode, errorCatalogue, ZmendError } from "../base/errors.ts";
import { ANSWER_MAX_BYTES, JsonLines } from "../control/daemon/lines.ts";
import { defaultStateDir, statePaths } from "../control/daemon/state-dir.ts";

export interface ClientOptions {
  readonly stateDir?: string;
  readonly json?: boolean;
}

const EXIT_STATUS =
  "Exit status: 0 done, 1 the daemon refused, 2 bad usage, 3 no daemon runs there.";

/** Adds what every client command understands. */
export function clientCommand(command: Command, exitStatus = EXIT_STATUS): Command {
  return command
    .option("--state-dir <dir>", "the daemon's state directory (ZMEND_STATE_DIR)")
    .option("--json", "print JSON")
    .addHelpText("after", `\n${exitStatus}`);
}

export function stateDirOf(options: { readonly stateDir?: string }): string {
  if (options.stateDir === "") {
    throw new ZmendError("USAGE", "--state-dir is empty; name a directory, or leave it out.");
  }
  return resolve(options.stateDir ?? defaultStateDir());
}

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly onEvent: ((event: unknown) => void) | undefined;
}

interface Answer {
  readonly id?: number;
  readonly zmend?: unknown;
  readonly return?: unknown;
  readonly event?: unknown;
  readonly error?: { readonly code: string; readonly message: string };
}

export class DaemonClient {
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  readonly #stateDir: string;
  #next = 1;
  #ended: Error | undefined;

  private constructor(socket: Socket, stateDir: string) {
    this.#socket = socket;
    this.#stateDir = stateDir;
    const lines = new JsonLines(ANSWER_MAX_BYTES, (value) => this.#answer(value as Answer));
    socket.on("data", (chunk: Uint8Array) => {
      try {
        lines.push(chunk);
      } catch (error) {
        this.#end(error as Error);
        socket.destroy();
      }
    });
    socket.on("error", () => {});
    socket.on("close", () => this.#end(this.#gone()));
  }

  /** @throws ZmendError ENVIRONMENT when no daemon answers there */
  static connect(stateDir: string): Promise<DaemonClient> {
    const { control } = statePaths(stateDir);
    return new Promise((resolve, reject) => {
      const socket = connect(control);
      socket.once("connect", () => resolve(new DaemonClient(socket, stateDir)));
      socket.once("error", (error: NodeJS.ErrnoException) => reject(noDaemon(stateDir, error)));
    });
  }

  /** @throws ZmendError as the daemon refused; `onEvent` takes what a streaming command sends */
  request(
    command: string,
    values: Readonly<Record<string, unknown>> = {},
    onEvent?: (event: unknown) => void,
  ): Promise<unknown> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject, onEvent });
      this.#socket.write(`${JSON.stringify({ id, command, arguments: values })}\n`);
    });
  }

  close(): void {
    this.#socket.end();
    this.#socket.unref();
  }

  #answer(answer: Answer): void {
    if (answer.zmend !== undefined) return;
    const error = answer.error === undefined ? undefined : refusal(answer.error);
    if (answer.id === undefined) {
      if (error !== undefined) this.#end(error);
      return;
    }
    const pending = this.#pending.get(answer.id);
    if (pending === undefined) return;
    if (answer.event !== undefined) {
      pending.onEvent?.(answer.event);
      return;
    }
    this.#pending.delete(answer.id);
    if (error !== undefined) pending.reject(error);
    else pending.resolve(answer.return);
  }

  #end(error: Error): void {
    this.#ended ??= error;
    for (const pending of this.#pending.values()) pending.reject(this.#ended);
    this.#pending.clear();
  }

  #gone(): ZmendError {
    return new ZmendError(
      "ENVIRONMENT",
      `The zmend daemon of state directory ${this.#stateDir} ended the connection; its log says why.`,
    );
  }
}

function refusal(error: { readonly code: string; readonly message: string }): Error {
  if (!Object.hasOwn(errorCatalogue, error.code)) return new Error(error.message);
  return new ZmendError(error.code as ErrorCode, error.message);
}

function noDaemon(stateDir: string, error: NodeJS.ErrnoException): ZmendError {
  const remedy =
    error.code === "EACCES"
      ? "it belongs to another user; ask as that one"
      : `start one with 'zmend daemon --config FILE --state-dir ${stateDir}'`;
  return new ZmendError(
    "ENVIRONMENT",
    `No zmend daemon answers on state directory ${stateDir}; ${remedy}.`,
    { stateDir, code: error.code },
    { cause: error },
  );
}

/** One request on a connection of its own. */
export async function ask<T>(
  options: ClientOptions,
  command: string,
  values: Readonly<Record<string, unknown>> = {},
): Promise<T> {
  const client = await DaemonClient.connect(stateDirOf(options));
  try {
    return (await client.request(command, values)) as T;
  } finally {
    client.close();
  }
}

/** Prints an answer: as JSON, or as `text` says. */
export function show<T>(value: T, options: ClientOptions, text: (value: T) => string): void {
  process.stdout.write(`${options.json === true ? JSON.stringify(value) : text(value)}\n`);
}

/** A number as people write it: 58, 0x3a. */
export function wholeNumber(least: number, most: number) {
  return (text: string): number => {
    const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN;
    if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(
      `expected a number from ${least} to ${most}, such as 58 or 0x3a.`,
    );
  };
}

/** A function by FID (a number) or by its device's id. */
export function functionName(text: string): string | number {
  return /^(0x[0-9a-f]{1,8}|\d+)$/i.test(text) ? Number(text) : text;
}
