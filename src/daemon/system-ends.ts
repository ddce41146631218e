/**
 * The ends of a running `zmend-system-s390x`: opens what `qemu-ends.ts` has planned, connects the guest's console and
 * the monitors with it, closes it in the end. Main thread.
 */
import { createWriteStream, type WriteStream } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { PassThrough, Writable } from "node:stream";
import { ZmendError } from "../base/errors.ts";
import {
  Chardevs,
  type ListenAddress,
  listenOn,
  type MonitorMode,
  type QmpServer,
  RingBuffer,
  shownAddress,
} from "../control/qmp/index.ts";
import { GuestConsole } from "./guest-console.ts";
import { outputTaken } from "./output.ts";
import type { Backend, End } from "./qemu-ends.ts";
import { TypedInput } from "./typed-input.ts";

/** What the ends ask of the program. */
export interface EndOwner {
  /** Ctrl-A x, or Ctrl-C where it does not go to the guest. */
  readonly onExit: (byKey: "exit" | "interrupt") => void;
  /** Types on the guest's console; says how many bytes it had room for. */
  readonly push: (bytes: Uint8Array) => number;
}

interface ConsoleSink {
  /** A promise makes the guest wait. */
  readonly write: (bytes: Uint8Array) => Promise<void> | undefined;
  readonly close?: () => void | Promise<void>;
}

const nowhere: ConsoleSink = { write: () => undefined };

export class SystemEnds {
  /** Complete after `prepare`: the monitors' server needs it first. */
  readonly chardevs = new Chardevs();
  readonly #ends: readonly End[];
  readonly #owner: EndOwner;
  readonly #sinks: ConsoleSink[] = [];
  readonly #waits: Promise<void>[] = [];
  readonly #open = new Set<string>();
  /** For sockets that listen: whether somebody is there. */
  readonly #connected = new Map<string, () => boolean>();
  readonly #rings = new Map<string, RingBuffer>();

  constructor(ends: readonly End[], owner: EndOwner) {
    this.#ends = ends;
    this.#owner = owner;
    for (const end of ends) this.#describe(end);
  }

  hasMonitor(): boolean {
    return this.#ends.some(({ monitor }) => monitor !== undefined);
  }

  /** Opens everything. @throws ZmendError ENVIRONMENT naming what cannot be opened */
  async connect(server: QmpServer): Promise<void> {
    for (const end of this.#ends) {
      if (!end.console && end.monitor === undefined) continue;
      this.#open.add(end.label);
      if (end.backend.kind === "stdio") this.#terminal(end, end.backend.mux, server);
      else if (end.console) this.#sinks.push(await this.#consoleSink(end));
      else if (end.monitor !== undefined) await this.#monitor(end, end.monitor, server);
    }
  }

  /** Resolves when everybody that the guest's start waits for has connected. */
  async awaited(): Promise<void> {
    await Promise.all(this.#waits);
  }

  /** The guest's console text. A promise makes the guest wait. */
  write(bytes: Uint8Array): Promise<unknown> | undefined {
    let slow: Promise<void>[] | undefined;
    for (const sink of this.#sinks) {
      const answer = sink.write(bytes);
      if (answer !== undefined) slow = [...(slow ?? []), answer];
    }
    return slow === undefined ? undefined : Promise.all(slow);
  }

  async close(): Promise<void> {
    await Promise.all(this.#sinks.map((sink) => sink.close?.()));
  }

  #describe({ label, backend }: End): void {
    const ring = backend.kind === "ringbuf" ? new RingBuffer(backend.size) : undefined;
    if (ring !== undefined) this.#rings.set(label, ring);
    this.chardevs.add({
      label,
      filename: () => filenameOf(backend, this.#connected.get(label)?.() === true),
      frontendOpen: () => this.#open.has(label),
      ...(ring === undefined ? {} : { ring }),
    });
  }

  /** Console, monitor or both on standard input and output. */
  #terminal(end: End, escapes: boolean, server: QmpServer): void {
    const { stdin, stdout } = process;
    const { onExit, push } = this.#owner;
    const mode = end.monitor;
    if (!end.console && mode !== undefined) return this.#plainMonitor(mode, server);
    const monitor = (): ((bytes: Uint8Array) => void) => {
      const input = new PassThrough();
      server.attach(input, stdout, mode ?? "readline");
      return (bytes) => void input.write(bytes);
    };
    const terminal = new GuestConsole(stdin, {
      escapes,
      onExit: () => onExit(escapes ? "exit" : "interrupt"),
      push,
      ...(mode === undefined ? {} : { monitor }),
    });
    this.#sinks.push({
      write: (bytes) => {
        stdout.write(bytes);
        return outputTaken();
      },
      close: () => terminal.close(),
    });
  }

  #plainMonitor(mode: MonitorMode, server: QmpServer): void {
    const { stdin, stdout } = process;
    const raw = mode === "readline" && stdin.isTTY;
    const input = new PassThrough();
    if (raw) stdin.setRawMode(true);
    stdin.on("data", (chunk: Buffer) => {
      if (raw && chunk.includes(CTRL_C)) this.#owner.onExit("interrupt");
      else if (!input.write(chunk)) stdin.pause();
    });
    input.on("drain", () => stdin.resume());
    stdin.on("end", () => input.end());
    server.attach(input, stdout, mode);
    this.#sinks.push({
      write: () => undefined,
      close: () => {
        if (raw) stdin.setRawMode(false);
        stdin.destroy();
      },
    });
  }

  async #consoleSink({ label, backend }: End): Promise<ConsoleSink> {
    switch (backend.kind) {
      case "ringbuf": {
        const ring = this.#rings.get(label);
        return {
          write: (bytes) => {
            ring?.write(bytes);
            return undefined;
          },
        };
      }
      case "file":
        return fileSink(
          createWriteStream(backend.path, { flags: backend.append ? "a" : "w", mode: 0o600 }),
          backend.path,
        );
      case "fd":
        return fileSink(createWriteStream("", { fd: backend.fd }), `descriptor ${backend.fd}`);
      case "socket":
        return this.#socketSink(label, backend);
      default:
        return nowhere;
    }
  }

  /** One client at a time; without one, text goes nowhere. */
  async #socketSink(
    label: string,
    backend: Extract<Backend, { kind: "socket" }>,
  ): Promise<ConsoleSink> {
    let client: Socket | undefined;
    this.#connected.set(label, () => client !== undefined);
    const serve = (socket: Socket): void => {
      if (client !== undefined) {
        socket.destroy();
        return;
      }
      client = socket;
      const input = new TypedInput(socket, this.#owner.push);
      socket.on("data", (chunk: Buffer) => input.hold(chunk));
      socket.on("error", () => socket.destroy());
      socket.on("close", () => {
        input.close();
        client = undefined;
      });
    };
    const server = await this.#socket(backend, serve);
    return {
      write: (bytes) => {
        const socket = client;
        if (socket === undefined || socket.write(bytes)) return undefined;
        return new Promise((resolve) => {
          socket.once("drain", resolve);
          socket.once("close", () => resolve());
        });
      },
      close: () => {
        client?.destroySoon();
        server?.close();
      },
    };
  }

  async #monitor({ label, backend }: End, mode: MonitorMode, server: QmpServer): Promise<void> {
    if (backend.kind !== "socket") {
      // It takes what a monitor says, and never asks.
      server.attach(new PassThrough(), new Writable({ write: (_c, _e, done) => done() }), mode);
      return;
    }
    if (!backend.server) {
      const socket = await connected(backend.address);
      server.attach(socket, socket, mode);
      return;
    }
    const listening = await server.listen(backend.address, mode);
    this.#connected.set(label, listening.connected);
    if (backend.wait) this.#waitFor(backend.address, listening.first);
  }

  async #socket(
    { address, server, wait }: Extract<Backend, { kind: "socket" }>,
    serve: (socket: Socket) => void,
  ): Promise<Server | undefined> {
    if (!server) {
      serve(await connected(address));
      return undefined;
    }
    const listening = createServer(serve);
    const first = new Promise<void>((resolve) => {
      listening.once("connection", () => resolve());
    });
    await listenOn(listening, address);
    if (wait) this.#waitFor(address, first);
    return listening;
  }

  #waitFor(address: ListenAddress, first: Promise<void>): void {
    process.stderr.write(
      `zmend-system-s390x: waiting for a connection on ${shownAddress(address)}\n`,
    );
    this.#waits.push(first);
  }
}

const CTRL_C = 0x03;

/** As QEMU prints it. */
function filenameOf(backend: Backend, connected: boolean): string {
  if (backend.kind === "file") return `file:${backend.path}`;
  if (backend.kind !== "socket") return backend.kind;
  const { address, server } = backend;
  const kind = "port" in address ? "tcp" : "unix";
  return `${connected || !server ? "" : "disconnected:"}${kind}:${shownAddress(address)}${server ? ",server=on" : ""}`;
}

async function fileSink(stream: WriteStream, name: string): Promise<ConsoleSink> {
  await new Promise<void>((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void =>
      reject(
        new ZmendError(
          "ENVIRONMENT",
          `Console file ${name} cannot be opened (${error.code}); name one that you may write to.`,
          { name },
          { cause: error },
        ),
      );
    stream.once("error", failed);
    stream.once("ready", () => {
      stream.off("error", failed);
      resolve();
    });
    // A descriptor is open already.
    if (stream.pending === false) resolve();
  });
  let broken = false;
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (broken) return;
    broken = true;
    process.stderr.write(
      `zmend-system-s390x: Console file ${name} cannot be written (${error.code}); the guest goes on.\n`,
    );
  });
  return {
    write: (bytes) => {
      if (broken || stream.write(bytes)) return undefined;
      return new Promise((resolve) => {
        stream.once("drain", resolve);
        stream.once("error", () => resolve());
      });
    },
    close: () =>
      new Promise<void>((resolve) => {
        if (broken) resolve();
        else stream.end(() => resolve());
      }),
  };
}

function connected(address: ListenAddress): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect("fd" in address ? { path: "" } : { ...address });
    socket.once("connect", () => resolve(socket));
    socket.once("error", (error: NodeJS.ErrnoException) =>
      reject(
        new ZmendError(
          "ENVIRONMENT",
          `Socket ${shownAddress(address)} cannot be reached (${error.code}); start its server first, or use server=on.`,
          {},
          { cause: error },
        ),
      ),
    );
  });
}
