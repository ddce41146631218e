/**
 * The daemon's control socket: requests {id, command, arguments} and answers {id, return} or {id, error}, one JSON
 * object per line; a command that streams sends {id, event} before its answer. Everything a peer can make us keep
 * is bounded: connections, requests in flight, line length, answers that it does not read.
 */
import type { Server, Socket } from "node:net";
import { z } from "zod";
import { type ErrorCode, ZmendError } from "../../base/errors.ts";
import { suggestion } from "../../base/nearest.ts";
import { plainIssues, wording } from "../../base/wording.ts";
import { listenUnix } from "../unix-socket.ts";
import { JsonLines, REQUEST_MAX_BYTES } from "./lines.ts";

export const CONNECTIONS_MAX = 64;
/** A console with its input, a status and some to spare; further requests wait unread. */
export const IN_FLIGHT_MAX = 8;
/** What a peer has not read before streamed events are left out. */
const STREAM_BACKLOG_BYTES = 1024 * 1024;

/** Number of the form of requests and answers; the greeting tells it. */
export const CONTROL_PROTOCOL = 1;

export interface CommandCall {
  /** Sends an event of a streaming command; false when it was left out, because the peer does not read. */
  readonly stream: (event: unknown) => boolean;
  /** The peer has gone. */
  readonly signal: AbortSignal;
}

/** One command: what it takes, and what it does. */
export interface ControlCommand {
  readonly arguments: z.ZodType;
  readonly run: (values: unknown, call: CommandCall) => unknown;
}

/** Ties the type of `run`'s argument to the schema's. */
export function controlCommand<S extends z.ZodType>(
  schema: S,
  run: (values: z.output<S>, call: CommandCall) => unknown,
): ControlCommand {
  return { arguments: schema, run: run as ControlCommand["run"] };
}

export type ControlCommands = Readonly<Record<string, ControlCommand>>;

export interface ControlError {
  readonly code: ErrorCode | "INTERNAL";
  readonly message: string;
}

const requestSchema = z.strictObject({
  id: z.union([z.string().max(64), z.number()]),
  command: z.string().max(64),
  arguments: z.record(z.string(), z.unknown()).default({}),
});

export interface ControlServerOptions {
  readonly path: string;
  readonly greeting: Readonly<Record<string, unknown>>;
  readonly commands: ControlCommands;
  /** A mistake of ours, not the peer's. */
  readonly onInternalError: (error: unknown, command: string) => void;
}

export class ControlServer {
  readonly #options: ControlServerOptions;
  readonly #connections = new Set<Connection>();
  #server: Server | undefined;

  constructor(options: ControlServerOptions) {
    this.#options = options;
  }

  /** @throws ZmendError ENVIRONMENT when the socket cannot be had */
  async open(): Promise<void> {
    this.#server = await listenUnix(this.#options.path, (socket) => this.#accept(socket));
  }

  async close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = new Promise((resolve) => server.close(resolve));
    for (const connection of this.#connections) connection.end();
    await closed;
  }

  #accept(socket: Socket): void {
    if (this.#connections.size >= CONNECTIONS_MAX) {
      socket.on("error", () => {});
      const message = `The daemon has ${CONNECTIONS_MAX} connections open; close one of them.`;
      socket.end(`${JSON.stringify({ error: { code: "ENVIRONMENT", message } })}\n`);
      return;
    }
    const connection = new Connection(socket, this.#options);
    this.#connections.add(connection);
    socket.once("close", () => this.#connections.delete(connection));
  }
}

class Connection {
  readonly #socket: Socket;
  readonly #options: ControlServerOptions;
  readonly #abort = new AbortController();
  readonly #waiting: unknown[] = [];
  #inFlight = 0;

  constructor(socket: Socket, options: ControlServerOptions) {
    this.#socket = socket;
    this.#options = options;
    const lines = new JsonLines(REQUEST_MAX_BYTES, (value) => this.#waiting.push(value));
    socket.on("data", (chunk: Uint8Array) => {
      try {
        lines.push(chunk);
        this.#serve();
      } catch (error) {
        this.#send({ error: shown(error) });
        socket.end();
      }
    });
    socket.on("drain", () => this.#serve());
    socket.on("error", () => socket.destroy());
    socket.once("close", () => this.#abort.abort());
    this.#send({ zmend: options.greeting });
  }

  end(): void {
    this.#abort.abort();
    this.#socket.end();
    this.#socket.destroySoon();
  }

  /** Takes requests while there is room for them; a peer that does not read its answers is not read either. */
  #serve(): void {
    while (this.#waiting.length > 0) {
      if (this.#inFlight >= IN_FLIGHT_MAX || this.#socket.writableNeedDrain) {
        this.#socket.pause();
        return;
      }
      void this.#answer(this.#waiting.shift());
    }
    this.#socket.resume();
  }

  async #answer(value: unknown): Promise<void> {
    const request = requestSchema.safeParse(value);
    if (!request.success) {
      const text = "A request is {id, command, arguments}.";
      this.#send({ ...idOf(value), error: { code: "USAGE", message: text } });
      return;
    }
    const { id, command, arguments: values } = request.data;
    this.#inFlight++;
    try {
      const result = await this.#run(id, command, values);
      this.#send({ id, return: result ?? {} });
    } catch (error) {
      if (!(error instanceof ZmendError)) this.#options.onInternalError(error, command);
      this.#send({ id, error: shown(error) });
    } finally {
      this.#inFlight--;
      this.#serve();
    }
  }

  #run(id: string | number, name: string, values: Record<string, unknown>): unknown {
    const { commands } = this.#options;
    const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
    if (command === undefined) {
      const hint = suggestion(name, Object.keys(commands));
      throw new ZmendError("USAGE", `The daemon has no command '${name}'${hint}.`);
    }
    const parsed = command.arguments.safeParse(values, { error: wording });
    if (!parsed.success) {
      const problems = plainIssues(parsed.error.issues).map((issue) =>
        issue.path.length === 0 ? issue.message : `${issue.path.join(".")}: ${issue.message}`,
      );
      throw new ZmendError("USAGE", `${name}: ${problems.join("; ")}.`);
    }
    return command.run(parsed.data, {
      stream: (event) => {
        if (this.#socket.writableLength > STREAM_BACKLOG_BYTES) return false;
        this.#send({ id, event });
        return true;
      },
      signal: this.#abort.signal,
    });
  }

  #send(message: unknown): void {
    if (this.#socket.writable) this.#socket.write(`${JSON.stringify(message)}\n`);
  }
}

function idOf(value: unknown): { readonly id?: string | number } {
  const id = typeof value === "object" && value !== null && "id" in value ? value.id : undefined;
  return typeof id === "string" || typeof id === "number" ? { id } : {};
}

function shown(error: unknown): ControlError {
  if (error instanceof ZmendError) return { code: error.code, message: error.message };
  const text = error instanceof Error ? error.message : String(error);
  return { code: "INTERNAL", message: `internal error in the daemon, please report it: ${text}` };
}
