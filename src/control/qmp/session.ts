/**
 * One client of a QMP monitor: greeting, negotiation, commands in order, out-of-band commands beside them, events.
 * Input is read only as fast as it is answered; a client that does not take what it is sent is cut off.
 * Source: qmp.md 1 to 3.
 */
import type { Readable, Writable } from "node:stream";
import type { Call, Command } from "./command.ts";
import { errorReply, QmpError } from "./errors.ts";
import { isObject, type Json, type JsonObject, JsonStream, jsonText } from "./json-stream.ts";

/** Commands that a client may have in flight; more are not read (qmp-spec). */
const IN_FLIGHT_MAX = 8;
/** Above this, nothing more is answered until the client has read. */
const OUTPUT_WAIT_BYTES = 1024 * 1024;
/** Above this, which only events can reach, the client is cut off. */
export const OUTPUT_MAX_BYTES = 8 * 1024 * 1024;
/** So long may a client leave unread what makes us wait. */
const STALL_MAX_MS = 30_000;

export interface SessionServer {
  readonly greeting: object;
  readonly find: (name: string) => Command | undefined;
  readonly execute: (command: Command, args: unknown, call: Call["afterReply"]) => Promise<unknown>;
}

/** What could not be understood, in its place among the requests. */
interface Mistake {
  readonly problem: string;
  readonly id?: Json;
}

interface Request {
  readonly command: Command | undefined;
  readonly name: string;
  readonly args: JsonObject;
  readonly id: Json | undefined;
  readonly outOfBand: boolean;
}

export class QmpSession {
  readonly #server: SessionServer;
  readonly #input: Readable;
  readonly #output: Writable;
  readonly #onEnd: () => void;
  readonly #json: JsonStream;
  readonly #queue: (Request | Mistake)[] = [];
  #negotiated = false;
  #oob = false;
  #busy = false;
  #inputDone = false;
  #ended = false;
  #patience: NodeJS.Timeout | undefined;
  readonly #data = (chunk: Uint8Array): void => this.#read(chunk);

  constructor(server: SessionServer, input: Readable, output: Writable, onEnd: () => void) {
    this.#server = server;
    this.#input = input;
    this.#output = output;
    this.#onEnd = onEnd;
    this.#json = new JsonStream({
      value: (value) => this.#message(value),
      problem: (problem) => this.#enqueue({ problem }),
    });
    input.on("data", this.#data);
    input.on("end", () => this.#inputEnded());
    for (const stream of new Set<Readable | Writable>([input, output])) {
      stream.on("error", () => this.end());
      stream.on("close", () => this.end());
    }
    output.on("drain", () => {
      clearTimeout(this.#patience);
      this.#patience = undefined;
      this.#pump();
    });
    this.#send(this.#server.greeting);
  }

  /** Sends an event's line, if the client is past the negotiation; with those of the same turn in one piece. */
  event(line: string): void {
    if (!this.#negotiated) return;
    if (this.#output.writableCorked === 0) {
      this.#output.cork();
      process.nextTick(() => this.#output.uncork());
    }
    this.#write(line);
  }

  /** Ends the connection after what was written. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#queue.length = 0;
    clearTimeout(this.#patience);
    this.#input.off("data", this.#data);
    if (this.#output !== process.stdout) this.#output.end();
    else this.#input.destroy();
    this.#onEnd();
  }

  #cutOff(): void {
    if (this.#output !== process.stdout) this.#output.destroy();
    this.end();
  }

  #write(line: string): void {
    if (this.#ended) return;
    this.#output.write(line, "latin1");
    if (this.#output.writableLength > OUTPUT_MAX_BYTES) this.#cutOff();
    else if (this.#stalled()) {
      this.#patience ??= setTimeout(() => this.#cutOff(), STALL_MAX_MS).unref();
    }
  }

  #send(message: object): void {
    this.#write(`${jsonText(message)}\r\n`);
  }

  #read(chunk: Uint8Array): void {
    this.#json.feed(chunk);
    this.#throttle();
    this.#pump();
  }

  /** What came before the end of input is still answered. */
  #inputEnded(): void {
    this.#inputDone = true;
    if (!this.#busy && this.#queue.length === 0) this.end();
  }

  #message(value: Json): void {
    if (this.#ended) return;
    const checked = this.#checked(value);
    if ("problem" in checked || !checked.outOfBand) return this.#enqueue(checked);
    void this.#run(checked);
  }

  /** The request's envelope, in the order in which QEMU looks at it. */
  #checked(value: Json): Request | Mistake {
    if (!isObject(value)) return { problem: "QMP input must be a JSON object" };
    const id = value["id"];
    const fail = (problem: string): Mistake => (id === undefined ? { problem } : { problem, id });
    let name: string | undefined;
    let args: JsonObject = {};
    let outOfBand = false;
    for (const [key, member] of Object.entries(value)) {
      if (key === "id") continue;
      if (key === "execute" || (key === "exec-oob" && this.#oob)) {
        if (typeof member !== "string") return fail(`QMP input member '${key}' must be a string`);
        if (name !== undefined) {
          return fail("QMP input member 'execute' clashes with 'exec-oob'");
        }
        name = member;
        outOfBand = key === "exec-oob";
      } else if (key === "arguments") {
        if (!isObject(member)) return fail("QMP input member 'arguments' must be an object");
        args = member;
      } else return fail(`QMP input member '${key}' is unexpected`);
    }
    if (name === undefined) return fail("QMP input lacks member 'execute'");
    return { command: this.#server.find(name), name, args, id, outOfBand };
  }

  #enqueue(request: Request | Mistake): void {
    if (this.#ended) return;
    this.#queue.push(request);
  }

  #throttle(): void {
    const full = this.#queue.length >= IN_FLIGHT_MAX || this.#stalled();
    if (full) this.#input.pause();
    else if (this.#input.isPaused()) this.#input.resume();
  }

  #stalled(): boolean {
    return this.#output.writableLength > OUTPUT_WAIT_BYTES;
  }

  #pump(): void {
    if (this.#busy) return;
    this.#busy = true;
    void this.#work();
  }

  /** Carries out what is queued, one after the other, as far as the client reads the answers. */
  async #work(): Promise<void> {
    while (!this.#ended && !this.#stalled()) {
      const request = this.#queue.shift();
      if (request === undefined) break;
      if ("problem" in request) {
        this.#reply(request.id, { error: { class: "GenericError", desc: request.problem } });
      } else await this.#run(request);
    }
    this.#busy = false;
    this.#throttle();
    if (this.#inputDone && this.#queue.length === 0) this.end();
  }

  async #run(request: Request): Promise<void> {
    const after: (() => void)[] = [];
    try {
      const value = await this.#execute(request, (action) => after.push(action));
      this.#reply(request.id, { return: value ?? {} });
    } catch (error) {
      this.#reply(request.id, { error: errorReply(error) });
    }
    for (const action of after) action();
  }

  #reply(id: Json | undefined, answer: { return: unknown } | { error: object }): void {
    if (id === undefined) this.#send(answer);
    else this.#send("return" in answer ? { ...answer, id } : { id, ...answer });
  }

  #execute(request: Request, afterReply: Call["afterReply"]): Promise<unknown> | unknown {
    const { name, command } = request;
    if (request.outOfBand && command !== undefined && command.oob !== true) {
      throw new QmpError(`The command ${name} does not support OOB`);
    }
    if (name === "qmp_capabilities") return this.#negotiate(request);
    if (!this.#negotiated) {
      throw new QmpError(
        "Expecting capabilities negotiation with 'qmp_capabilities'",
        "CommandNotFound",
      );
    }
    if (command === undefined) {
      throw new QmpError(`The command ${name} has not been found`, "CommandNotFound");
    }
    return this.#server.execute(command, request.args, afterReply);
  }

  #negotiate({ command, args }: Request): unknown {
    if (this.#negotiated) {
      throw new QmpError(
        "Capabilities negotiation is already complete, command ignored",
        "CommandNotFound",
      );
    }
    const checked = command?.arguments.check(args, "") as { enable?: readonly string[] };
    this.#oob = checked.enable?.includes("oob") === true;
    this.#negotiated = true;
    return {};
  }
}
