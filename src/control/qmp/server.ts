/**
 * A VM's control server: sockets and streams with their clients, the command table, events to all of them. Main
 * thread. Where QEMU serves one client per monitor and lets others wait, this serves many at once; beyond a limit
 * they wait as there.
 */
import { createServer, type Server, type Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { UNPLUG_DEADLINE_MS } from "../../machine/hot-plug.ts";
import type { VmControl } from "../../machine/vm-control.ts";
import { Chardevs } from "./chardevs.ts";
import type { BlockNode, Command, CommandLineParameter, QmpHost, QmpOperation } from "./command.ts";
import { commandTable } from "./commands/index.ts";
import { builtinCatalogue, type DeviceCatalogue } from "./device-catalogue.ts";
import { Devices, type ZpciDevice } from "./devices.ts";
import { type EventName, eventTable, type ShutdownReason } from "./event-table.ts";
import { Events } from "./events.ts";
import { runMonitorLine } from "./hmp/monitor.ts";
import { MonitorSession } from "./hmp/session.ts";
import { qmpSchema } from "./introspection.ts";
import { JsonText } from "./json-lexer.ts";
import { jsonText } from "./json-stream.ts";
import { type ListenAddress, listenOn } from "./listener.ts";
import { QmpSession } from "./session.ts";
import { protocolVersion } from "./version.ts";
import { type EndRules, VmEvents } from "./vm-events.ts";

/** Clients served at once; so many may wait besides, more are turned away. */
const CLIENTS_MAX = 256;
const WAITING_MAX = 1024;
/** Of `device_del`'s deadline, what the recovery worker may need to take the function back into service. */
const UNPLUG_SETTLING_MS = 500;

/** QMP (JSON), or the human monitor with its prompt. */
export type MonitorMode = "control" | "readline";

export interface QmpServerOptions {
  readonly uuid?: string;
  /** Devices that device_add knows; test functions and NVMe controllers in memory without it. */
  readonly catalogue?: DeviceCatalogue;
  /** zpci devices that were given a name of their own. */
  readonly zpci?: readonly ZpciDevice[];
  readonly chardevs?: Chardevs;
  /** Disk images behind the devices. */
  readonly blocks?: () => readonly BlockNode[];
  readonly unplugDeadlineMs?: number;
  readonly commandLineOptions?: () => readonly {
    readonly option: string;
    readonly parameters: readonly CommandLineParameter[];
  }[];
  readonly endRules?: Partial<EndRules>;
  /** Told of every act of a client, once it was carried out. */
  readonly onOperation?: (operation: QmpOperation) => void;
  /** What `quit` does after its answer and the SHUTDOWN event; it stops the VM without this. */
  readonly onQuit?: () => void;
}

export interface QmpServer {
  /**
   * Listens; may be called for several addresses.
   * @returns when it listens; `first` resolves with the first client
   * @throws ZmendError ENVIRONMENT
   */
  listen(address: ListenAddress, mode?: MonitorMode): Promise<Listening>;
  /** Serves one client over a pair of streams (a terminal, a socket that somebody else accepted). */
  attach(input: Readable, output: Writable, mode?: MonitorMode): Client;
  /** Runs a line of the human monitor and returns its text. */
  monitor(line: string): Promise<string>;
  /** Tells clients why the machine ends; once until the next reset. */
  shutdown(reason: ShutdownReason): void;
  /** The program is about to end: however the machine ends from now on, this is why. Told with its end. */
  ending(reason: ShutdownReason): void;
  readonly host: QmpHost;
  /** Ends all connections after what was written, and removes the sockets. */
  close(): Promise<void>;
}

export interface Listening {
  readonly first: Promise<void>;
  /** Whether a client is connected now. */
  readonly connected: () => boolean;
}

export interface Client {
  event(line: string): void;
  end(): void;
}

/** @param control undefined for `-machine none`: commands that need a machine are refused */
export function createQmpServer(
  control: VmControl | undefined,
  options: QmpServerOptions = {},
): QmpServer {
  return new ControlServer(control, options);
}

class ControlServer implements QmpServer {
  readonly host: QmpHost;
  readonly #commands = new Map<string, Command>(commandTable.map((row) => [row.name, row]));
  readonly #clients = new Set<Client>();
  readonly #waiting: (() => void)[] = [];
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #events: Events;
  readonly #unsubscribe: () => void;
  readonly #onOperation: (operation: QmpOperation) => void;
  #schema: JsonText | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #shutdownTold = false;
  #ending: ShutdownReason | undefined;
  #closed = false;

  constructor(control: VmControl | undefined, options: QmpServerOptions) {
    this.#events = new Events(
      (line) => {
        for (const client of this.#clients) client.event(line);
      },
      () => this.#clients.size > 0,
    );
    this.#onOperation = options.onOperation ?? (() => {});
    const devices = new Devices(control, options.zpci ?? []);
    this.host = {
      control,
      uuid: options.uuid,
      catalogue: options.catalogue ?? builtinCatalogue,
      devices,
      chardevs: options.chardevs ?? new Chardevs(),
      blocks: options.blocks ?? (() => []),
      unplugAfterMs: Math.max(
        0,
        (options.unplugDeadlineMs ?? UNPLUG_DEADLINE_MS) - UNPLUG_SETTLING_MS,
      ),
      commandLineOptions: options.commandLineOptions ?? (() => []),
      monitor: (line, cpu) => runMonitorLine(this.host, line, cpu),
      commands: () => commandTable,
      schema: () => this.#schemaText(),
      execute: (name, args) => this.#executeNamed(name, args),
      emit: (name, data) => this.#emit(name, data),
      shutdown: (reason) => this.shutdown(reason),
      quit: () => this.#quit(control, options.onQuit),
    };
    const rules: EndRules = { panic: "pause", staysAfterShutdown: true, ...options.endRules };
    const vmEvents =
      control === undefined
        ? undefined
        : new VmEvents(control, devices, this.host.catalogue, this.host, rules);
    this.#unsubscribe =
      control?.on((event) => {
        try {
          vmEvents?.take(event);
        } catch (error) {
          // A mistake of ours in telling must not reach the one who is told of: the VM goes on.
          process.emitWarning(error as Error);
        }
      }) ?? (() => {});
  }

  async listen(address: ListenAddress, mode: MonitorMode = "control"): Promise<Listening> {
    let clients = 0;
    // A client that has said all it wants is still answered.
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.setNoDelay(true);
      this.#sockets.add(socket);
      clients += 1;
      socket.on("close", () => {
        clients -= 1;
        this.#sockets.delete(socket);
      });
      // Until it is served, its own errors are its own business.
      socket.on("error", () => socket.destroy());
      this.#admit(() => this.attach(socket, socket, mode), socket);
    });
    const first = new Promise<void>((resolve) => {
      server.once("connection", () => resolve());
    });
    await listenOn(server, address);
    this.#servers.push(server);
    return { first, connected: () => clients > 0 };
  }

  #admit(serve: () => void, socket: Socket): void {
    if (this.#closed || this.#waiting.length >= WAITING_MAX) {
      socket.destroy();
      return;
    }
    if (this.#clients.size < CLIENTS_MAX) return serve();
    const turn = (): void => {
      if (!socket.destroyed) serve();
    };
    this.#waiting.push(turn);
    socket.on("close", () => {
      const at = this.#waiting.indexOf(turn);
      if (at >= 0) this.#waiting.splice(at, 1);
    });
  }

  attach(input: Readable, output: Writable, mode: MonitorMode = "control"): Client {
    const left = (): void => {
      this.#clients.delete(client);
      while (this.#clients.size < CLIENTS_MAX && this.#waiting.length > 0)
        this.#waiting.shift()?.();
    };
    const client: Client =
      mode === "readline"
        ? new MonitorSession(this.host, input, output, left)
        : new QmpSession(
            {
              greeting: { QMP: { version: protocolVersion(), capabilities: ["oob"] } },
              find: (name) => this.#commands.get(name),
              execute: (command, args, afterReply) => this.#execute(command, args, afterReply),
            },
            input,
            output,
            left,
          );
    this.#clients.add(client);
    return client;
  }

  monitor(line: string): Promise<string> {
    return runMonitorLine(this.host, line, 0);
  }

  ending(reason: ShutdownReason): void {
    this.#ending = reason;
    this.#shutdownTold = false;
  }

  shutdown(cause: ShutdownReason): void {
    if (this.#shutdownTold) return;
    this.#shutdownTold = true;
    const reason = this.#ending ?? cause;
    this.#events.emit("SHUTDOWN", { guest: reason.startsWith("guest-"), reason });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    if (this.#ending !== undefined) this.shutdown(this.#ending);
    this.#closed = true;
    this.#unsubscribe();
    this.#events.close();
    this.#waiting.length = 0;
    for (const client of [...this.#clients]) client.end();
    const ends = [...this.#sockets].map(
      (socket) => new Promise<void>((resolve) => void socket.once("close", () => resolve())),
    );
    // A client that does not take the last bytes is left behind.
    const patience = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, CLOSE_MS);
    for (const socket of this.#sockets) socket.destroySoon();
    await Promise.all(ends);
    clearTimeout(patience);
    await Promise.all(
      this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    );
  }

  #emit(name: EventName, data?: object | (() => object)): void {
    if (name === "RESET") this.#shutdownTold = false;
    this.#events.emit(name, data);
  }

  #quit(control: VmControl | undefined, onQuit: (() => void) | undefined): void {
    if (onQuit !== undefined) return onQuit();
    void control?.stop().finally(() => {
      for (const client of [...this.#clients]) client.end();
    });
  }

  #schemaText(): JsonText {
    this.#schema ??= new JsonText(jsonText(qmpSchema(commandTable, eventTable)));
    return this.#schema;
  }

  #executeNamed(name: string, args: object): Promise<unknown> {
    const command = this.#commands.get(name);
    if (command === undefined) throw new RangeError(`no command ${name}`);
    return this.#execute(command, args, (action) => setImmediate(action));
  }

  async #execute(
    command: Command,
    args: unknown,
    afterReply: (action: () => void) => void,
  ): Promise<unknown> {
    const checked = command.arguments.check(args, "");
    const call = { host: this.host, afterReply };
    // Read before: a function that is taken away has no id afterwards.
    const operation = command.operates === true ? this.#operation(command, checked) : undefined;
    const result = await this.#inTurn(command, () => command.run(checked, call));
    if (operation !== undefined) this.#onOperation(operation);
    return result;
  }

  /** One command that changes the machine after the other, whoever sent them. */
  #inTurn(command: Command, run: () => unknown): unknown {
    if (command.exclusive !== true) return run();
    const turn = this.#turn.then(run);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  #operation({ name }: Command, given: unknown): QmpOperation {
    const arguments_ = given as Readonly<Record<string, unknown>>;
    const status = this.host.control?.functions().find(({ id }) => id === arguments_["id"]);
    const detail = Object.keys(arguments_).length === 0 ? {} : { arguments: { ...arguments_ } };
    return { command: name, ...(status === undefined ? {} : { fid: status.fid }), detail };
  }
}

/** How long the end of a connection may take. */
const CLOSE_MS = 1000;
