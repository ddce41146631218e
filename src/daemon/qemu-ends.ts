/**
 * Where the guest's console and the monitors end: `-chardev`, `-serial`, `-device sclpconsole`, `-monitor`, `-qmp` and
 * `-mon` as one list of ends. Sources: qmp.md 9; QEMU chardev/char.c and softmmu/vl.c (behaviour).
 */
import { ZmendError } from "../base/errors.ts";
import { suggestion } from "../base/nearest.ts";
import type { ListenAddress, MonitorMode } from "../control/qmp/index.ts";
import { GroupReader, shownOption } from "./qemu-group.ts";

export type Backend =
  | { readonly kind: "null" }
  /** The terminal; `mux`: Ctrl-A is an escape, and several can share it. */
  | { readonly kind: "stdio"; readonly mux: boolean }
  | { readonly kind: "file"; readonly path: string; readonly append: boolean }
  | { readonly kind: "fd"; readonly fd: number }
  | {
      readonly kind: "socket";
      readonly address: ListenAddress;
      readonly server: boolean;
      /** The guest starts when somebody has connected. */
      readonly wait: boolean;
    }
  | { readonly kind: "ringbuf"; readonly size: number };

export interface End {
  readonly label: string;
  readonly backend: Backend;
  /** The guest's console is here. */
  readonly console: boolean;
  /** A monitor is here. */
  readonly monitor?: MonitorMode;
}

export interface EndOptions {
  readonly chardev: readonly string[];
  readonly serial: readonly string[];
  readonly monitor: readonly string[];
  readonly qmp: readonly string[];
  readonly mon: readonly string[];
  readonly addFd: readonly string[];
  /** `chardev=` of a `-device sclpconsole`; "" when that names none. */
  readonly device?: string | undefined;
  readonly nodefaults: boolean;
  readonly nographic: boolean;
}

const RING_SIZE = 65536;
const BACKENDS = ["stdio", "null", "file", "socket", "ringbuf"] as const;
const WHERE = "mon:stdio, stdio, file:FILE, unix:PATH, tcp:HOST:PORT, chardev:ID, null, none";

/** @throws ZmendError USAGE naming the option */
export function parseEnds(options: EndOptions): readonly End[] {
  const ends = new EndList(fdSets(options.addFd));
  for (const text of options.chardev) ends.define(text);
  consoleEnd(options, ends);
  for (const text of options.monitor) ends.connect("monitor", text, { monitor: "readline" });
  for (const text of options.qmp) ends.connect("qmp", text, { monitor: "control" });
  for (const text of options.mon) monOption(text, ends);
  if (wantsDefaultConsole(options) && (options.nographic || !ends.hasTerminal())) {
    const alone = options.monitor.length > 0;
    ends.connect("serial", alone ? "stdio,mux=on" : "mon:stdio", { console: true });
  }
  return ends.list();
}

/** Ends as they are used, and who uses them. */
class EndList {
  readonly #fdSets: ReadonlyMap<number, number>;
  readonly #backends = new Map<string, Backend>();
  readonly #uses = new Map<string, { console: boolean; monitor?: MonitorMode }>();
  #serials = 0;
  #monitors = 0;

  constructor(fdSets: ReadonlyMap<number, number>) {
    this.#fdSets = fdSets;
  }

  list(): End[] {
    return [...this.#backends].map(([label, backend]) => ({
      label,
      backend,
      console: false,
      ...this.#uses.get(label),
    }));
  }

  hasTerminal(): boolean {
    return [...this.#backends.values()].some(({ kind }) => kind === "stdio");
  }

  /** `-chardev`. */
  define(text: string): void {
    const reader = new GroupReader("chardev", text, "backend");
    const kind = reader.word("backend", BACKENDS) ?? reader.fail("a backend is missing");
    const id = reader.id("id") ?? reader.fail("id= is missing");
    if (this.#backends.has(id)) reader.fail(`the id '${id}' is already taken by another chardev`);
    this.#add(id, backendOf(kind, reader, this.#fdSets), (problem) => reader.fail(problem));
    reader.end(["id", ...keysOf[kind]], `chardev '${kind}'`);
  }

  /** What `-serial`, `-monitor` and `-qmp` name. */
  connect(
    option: string,
    text: string,
    use: { readonly console?: true; readonly monitor?: MonitorMode },
  ): void {
    if (text === "none") return;
    if (text.startsWith("chardev:")) {
      return this.use(text.slice("chardev:".length), use, shownOption(option, text));
    }
    const label =
      use.console === true ? `serial${this.#serials++}` : `compat_monitor${this.#monitors++}`;
    const fail = (problem: string): never => {
      throw new ZmendError("USAGE", `${shownOption(option, text)}: ${problem}`);
    };
    const mux = text.startsWith("mon:");
    this.#add(label, backendFrom(option, mux ? text.slice(4) : text, mux, fail), fail);
    this.#uses.set(label, {
      console: use.console === true,
      ...(use.monitor === undefined ? {} : { monitor: use.monitor }),
      ...(mux ? { monitor: "readline" as const } : {}),
    });
  }

  #add(label: string, backend: Backend, fail: (problem: string) => never): void {
    if (backend.kind === "stdio" && this.hasTerminal()) {
      fail("cannot use stdio by multiple character devices");
    }
    this.#backends.set(label, backend);
  }

  use(
    id: string,
    use: { readonly console?: true; readonly monitor?: MonitorMode },
    shown: string,
  ): void {
    const backend = this.#backends.get(id);
    const names = [...this.#backends.keys()];
    if (backend === undefined) {
      const known = names.length === 0 ? "no -chardev is given" : `known: ${names.join(", ")}`;
      throw new ZmendError(
        "USAGE",
        `${shown}: no chardev has the id '${id}'${suggestion(id, names)}; ${known}`,
      );
    }
    const before = this.#uses.get(id) ?? { console: false };
    const shared = backend.kind === "stdio" && backend.mux;
    const taken =
      (use.console === true && before.console) ||
      (use.monitor !== undefined && before.monitor !== undefined) ||
      (!shared && this.#uses.has(id));
    if (taken) throw new ZmendError("USAGE", `${shown}: the chardev '${id}' is already in use`);
    this.#uses.set(id, { ...before, ...use, console: before.console || use.console === true });
  }
}

const keysOf: Readonly<Record<(typeof BACKENDS)[number], readonly string[]>> = {
  stdio: ["mux", "signal"],
  null: [],
  file: ["path", "append"],
  socket: ["path", "fd", "host", "port", "server", "wait"],
  ringbuf: ["size"],
};

function backendOf(
  kind: (typeof BACKENDS)[number],
  reader: GroupReader,
  fdSets: ReadonlyMap<number, number>,
): Backend {
  switch (kind) {
    case "null":
      return { kind };
    case "stdio": {
      const mux = reader.switch("mux") ?? false;
      reader.switch("signal");
      return { kind, mux };
    }
    case "file": {
      const path = reader.required("path");
      const append = reader.switch("append") ?? false;
      const set = /^\/dev\/fdset\/(\d+)$/.exec(path)?.[1];
      if (set === undefined) return { kind, path, append };
      const fd = fdSets.get(Number(set)) ?? reader.fail(`no -add-fd has set=${set}`);
      return { kind: "fd", fd };
    }
    case "socket":
      return socketOf(reader);
    case "ringbuf": {
      const size = reader.number("size", 1, 0x4000_0000) ?? RING_SIZE;
      if ((size & (size - 1)) !== 0) reader.fail(`size=${size}: expected a power of two`);
      return { kind, size };
    }
  }
}

function socketOf(reader: GroupReader): Backend {
  const path = reader.text("path");
  const fd = reader.number("fd", 0, 0xffff);
  const host = reader.text("host");
  const port = reader.number("port", 0, 0xffff);
  const server = reader.switch("server") ?? false;
  const wait = reader.switch("wait") ?? server;
  if (wait && !server) reader.fail("wait=on needs server=on");
  if (path !== undefined) return { kind: "socket", address: { path }, server, wait };
  if (fd !== undefined) return { kind: "socket", address: { fd }, server, wait };
  if (port === undefined) return reader.fail("path=, fd= or port= is missing");
  return {
    kind: "socket",
    address: { host: loopback(host ?? "127.0.0.1", (text) => reader.fail(text)), port },
    server,
    wait,
  };
}

/** Monitors can do anything with the VM and ask nobody who they are: TCP stays on this machine. */
function loopback(host: string, fail: (problem: string) => never): string {
  if (host === "" || host === "localhost") return "127.0.0.1";
  if (/^127\.\d+\.\d+\.\d+$/.test(host) || host === "::1") return host;
  return fail(`host '${host}' is not this machine; use 127.0.0.1, ::1 or a UNIX path`);
}

/** The short forms: `stdio`, `file:FILE`, `unix:PATH,server=on,wait=off`, `tcp:HOST:PORT,…`. */
function backendFrom(
  option: string,
  text: string,
  mux: boolean,
  fail: (problem: string) => never,
): Backend {
  if (text === "null") return { kind: "null" };
  if (text === "stdio") return { kind: "stdio", mux };
  if (text === "stdio,mux=on") return { kind: "stdio", mux: true };
  if (text.startsWith("file:")) return { kind: "file", path: text.slice(5), append: false };
  const unix = /^unix:((?:,,|[^,])+)(?:,(.*))?$/.exec(text);
  const tcp = /^tcp:([^:,]*):(\d+)(?:,(.*))?$/.exec(text);
  if (unix === null && tcp === null) {
    return fail(`not supported${suggestion(text, ["stdio", "null", "none"])}; known: ${WHERE}`);
  }
  const rest = unix?.[2] ?? tcp?.[3];
  const reader = new GroupReader(option, rest ?? "server=off");
  const server = reader.switch("server") ?? false;
  // `nowait` is how scripts of old say wait=off.
  const old = reader.text("nowait") !== undefined;
  const wait = old ? false : (reader.switch("wait") ?? server);
  reader.text("nodelay");
  reader.end(["server", "wait"], "a socket");
  if (unix !== null) {
    const path = (unix[1] ?? "").replaceAll(",,", ",");
    return { kind: "socket", address: { path }, server, wait };
  }
  const port = Number(tcp?.[2]);
  if (port > 0xffff) fail(`port ${port}: expected 0 to 65535`);
  return {
    kind: "socket",
    address: { host: loopback(tcp?.[1] ?? "", fail), port },
    server,
    wait,
  };
}

function consoleEnd(options: EndOptions, ends: EndList): void {
  const { serial, device } = options;
  const [first, ...more] = serial;
  const second = more.find((text) => text !== "none" && text !== "null");
  if (second !== undefined) {
    throw new ZmendError("USAGE", `-serial ${second}: there is one console; give one -serial`);
  }
  if (device !== undefined) {
    if (first !== undefined && first !== "none" && first !== "null") {
      throw new ZmendError("USAGE", `-serial ${first}: -device sclpconsole is the console already`);
    }
    const shown = `-device sclpconsole,chardev=${device}`;
    if (device !== "") ends.use(device, { console: true }, shown);
    return;
  }
  if (first !== undefined) ends.connect("serial", first, { console: true });
}

function wantsDefaultConsole({ serial, device, nodefaults }: EndOptions): boolean {
  return serial.length === 0 && device === undefined && !nodefaults;
}

function monOption(text: string, ends: EndList): void {
  const reader = new GroupReader("mon", text, "chardev");
  const chardev = reader.required("chardev");
  const mode = reader.word("mode", ["readline", "control"]) ?? "readline";
  reader.switch("pretty");
  reader.id("id");
  reader.end(["chardev", "mode", "id"], "a monitor");
  ends.use(chardev, { monitor: mode }, reader.shown);
}

function fdSets(texts: readonly string[]): ReadonlyMap<number, number> {
  const sets = new Map<number, number>();
  for (const text of texts) {
    const reader = new GroupReader("add-fd", text);
    const set = reader.number("set", 0, 0x7fffffff) ?? reader.fail("set= is missing");
    const fd = reader.number("fd", 3, 0xffff) ?? reader.fail("fd= is missing");
    reader.text("opaque");
    reader.end(["set", "fd", "opaque"], "a descriptor");
    sets.set(set, fd);
  }
  return sets;
}
