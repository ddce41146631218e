/**
 * What the options of `zmend-system-s390x` say of the machine and of the program's behaviour, checked. Options that
 * ask for what is so anyway are accepted, everything else is refused by name. Sources: qmp.md 9; QEMU's
 * qemu-options.hx for the keys.
 */
import { loadparmForm } from "../abi/ebcdic.ts";
import { localOffsetMs, wallClockMs } from "../base/clock.ts";
import { ZmendError } from "../base/errors.ts";
import { GUEST_RAM_MAX_BYTES, GUEST_RAM_MIN_BYTES, VCPUS_MAX } from "../base/limits.ts";
import { suggestion } from "../base/nearest.ts";
import { MACHINE_TYPE } from "../control/qmp/index.ts";
import { cpuModels } from "../cpu/index.ts";
import { type WatchdogAction, watchdogActions } from "../shm/watchdog.ts";
import { deviceModels } from "./qemu-devices.ts";
import { GroupReader } from "./qemu-group.ts";
import { type QemuOptionName, valuesOf } from "./qemu-options.ts";

export type Words = readonly (readonly [QemuOptionName, string])[];

export interface SystemSettings {
  /** False for `-machine none`: no guest, only monitors. */
  readonly machine: boolean;
  readonly name: string;
  readonly uuid: string | undefined;
  readonly ramBytes: number;
  readonly cpuModel: string;
  readonly accel: Accel;
  readonly vcpus: number;
  readonly loadparm: string | undefined;
  readonly epochMs: number;
  readonly paused: boolean;
  readonly onGuestReset: "reset" | "shutdown";
  readonly onShutdown: "poweroff" | "pause";
  readonly onPanic: "shutdown" | "pause" | "exit-failure";
  readonly onWatchdog: WatchdogAction;
  readonly pidfile: string | undefined;
  readonly daemonize: boolean;
  readonly log: { readonly items: ReadonlySet<LogItem>; readonly file: string | undefined };
}

const DEFAULT_MEMORY = "128";

export type Accel = "interp" | "jit";

/** What `-accel` may name; QEMU's own means whatever runs without hardware's help. */
export const accelerators = { tcg: "interp", interp: "interp", jit: "jit" } as const;

const logItems = {
  events: "each line of the ledger, as JSON",
  stats: "instructions, time, generated code and errors of the run, at its end",
  guest_errors: "accepted: nothing is written",
  unimp: "instructions that this CPU does not have, the first time each: bytes and address",
} as const;
export type LogItem = keyof typeof logItems;

/** QEMU's models that mean "what this emulator offers". */
const cpuAliases: Readonly<Record<string, string>> = { qemu: "zmend" };

/** @throws ZmendError USAGE naming the option */
export function systemSettings(words: Words, program: string): SystemSettings {
  const last = (name: QemuOptionName): string | undefined => valuesOf(words, name).at(-1);
  const given = (name: QemuOptionName): boolean => last(name) !== undefined;
  checkWithoutEffect(words);
  const machines = words.filter(([name]) => name === "M" || name === "machine");
  const machine = machines.map(([name, text]) => machineOption(name, text)).at(-1);
  const memory = memoryOf(last("m") ?? DEFAULT_MEMORY);
  for (const text of valuesOf(words, "object")) checkObject(text, memory);
  const actions = actionsOf(valuesOf(words, "action"));
  return {
    machine: machine?.none !== true,
    name: nameOf(last("name"), program),
    uuid: uuidOf(last("uuid")),
    ramBytes: memory,
    cpuModel: cpuOf(last("cpu") ?? "zmend"),
    accel: accelOf(last("accel") ?? machines.map(([, text]) => accelOfMachine(text)).at(-1)),
    vcpus: cpusOption(last("smp") ?? "1"),
    loadparm: machine?.loadparm,
    epochMs: epochOf(last("rtc")),
    paused: given("S"),
    onGuestReset: given("no-reboot") ? "shutdown" : actions.reboot,
    onShutdown: given("no-shutdown") ? "pause" : actions.shutdown,
    onPanic: actions.panic,
    onWatchdog: actions.watchdog,
    pidfile: last("pidfile"),
    daemonize: given("daemonize"),
    log: { items: logItemsOf(valuesOf(words, "d")), file: last("D") },
  };
}

/** Options whose only accepted values change nothing. */
function checkWithoutEffect(words: Words): void {
  const only = (name: QemuOptionName, known: readonly string[]): void => {
    for (const text of valuesOf(words, name)) {
      const value = text.split(",")[0] ?? "";
      if (known.includes(value)) continue;
      throw new ZmendError(
        "USAGE",
        `-${name} ${text}: not supported${suggestion(value, known)}; known: ${known.join(", ")}`,
      );
    }
  };
  only("accel", Object.keys(accelerators));
  for (const name of ["display", "net", "nic", "vga", "parallel"] as const) only(name, ["none"]);
  only("overcommit", ["mem-lock=off", "cpu-pm=off"]);
  only("icount", ["shift=auto", "auto"]);
  for (const text of valuesOf(words, "smp")) cpusOption(text);
  for (const text of valuesOf(words, "sandbox")) {
    const reader = new GroupReader("sandbox", text, "enable");
    reader.switch("enable");
  }
  for (const text of valuesOf(words, "msg")) {
    const reader = new GroupReader("msg", text);
    reader.switch("timestamp");
    reader.switch("guest-name");
    reader.end(["timestamp", "guest-name"], "a message");
  }
  for (const text of valuesOf(words, "boot")) {
    const keys = ["order", "once", "menu", "splash", "splash-time", "reboot-timeout", "strict"];
    const reader = new GroupReader("boot", text, "order");
    for (const key of keys) reader.text(key);
    reader.end(keys, "the boot order");
  }
  for (const text of valuesOf(words, "audiodev")) {
    const reader = new GroupReader("audiodev", text, "driver");
    reader.word("driver", ["none"]);
    reader.id("id");
    reader.end(["driver", "id"], "an audio device");
  }
  for (const text of valuesOf(words, "global")) checkGlobal(text);
}

function checkGlobal(text: string): void {
  const reader = new GroupReader("global", text);
  const [first] = reader.keys();
  const driver = reader.has("driver") ? reader.required("driver") : (first?.split(".")[0] ?? "");
  if (!deviceModels.some(({ name }) => name === driver)) return;
  reader.fail(`defaults of ${driver} cannot be changed; give the property to each -device`);
}

/**
 * `-smp`: as many CPUs as `cpus` says, or as the parts of the topology make; all of them are there from the start.
 * @throws ZmendError USAGE
 */
function cpusOption(text: string): number {
  const reader = new GroupReader("smp", text, "cpus");
  const parts = ["drawers", "books", "sockets", "dies", "clusters", "cores"];
  const product = parts.reduce((all, key) => all * (reader.number(key, 1, 0xffff) ?? 1), 1);
  const most = reader.number("maxcpus", 1, 0xffff);
  const cpus = reader.number("cpus", 1, 0xffff) ?? (product > 1 ? product : (most ?? 1));
  if ((reader.number("threads", 1, 0xffff) ?? 1) > 1) {
    reader.fail("a CPU of this machine has one thread; leave threads out");
  }
  if (cpus > VCPUS_MAX) reader.fail(`the machine has at most ${VCPUS_MAX} CPUs`);
  if (most !== undefined && most !== cpus) {
    reader.fail("CPUs cannot be added later; make maxcpus the same as cpus");
  }
  if (product > 1 && product !== cpus) {
    reader.fail(`its parts make ${product} CPUs, cpus says ${cpus}; make them agree`);
  }
  reader.end(["cpus", "maxcpus", ...parts, "threads"], "the CPUs");
  return cpus;
}

interface MachineOption {
  readonly none: boolean;
  readonly loadparm: string | undefined;
}

/** `type[,accel=tcg]`, also `type=...`, QEMU's versioned names and switches that say what is so anyway. */
function machineOption(option: string, text: string): MachineOption {
  const reader = new GroupReader(option, text, "type");
  const type = reader.text("type") ?? MACHINE_TYPE;
  const none = type === "none";
  if (!none && !new RegExp(`^${MACHINE_TYPE}(-\\d+\\.\\d+)?$`).test(type)) {
    reader.fail(`unknown machine; the ones there are: ${MACHINE_TYPE}, none`);
  }
  const accel = reader.text("accel");
  if (accel !== undefined && !accel.split(":").some((name) => Object.hasOwn(accelerators, name))) {
    reader.fail(`accel=${accel}: not supported; known: ${Object.keys(accelerators).join(", ")}`);
  }
  const off = ["usb", "graphics", "dump-guest-core", "mem-merge", "suppress-vmdesc"];
  const wrap = ["aes-key-wrap", "dea-key-wrap"];
  for (const key of [...off, ...wrap]) reader.switch(key);
  // The one memory there is; -object has been checked against -m.
  reader.text("memory-backend");
  const loadparm = reader.text("loadparm");
  if (loadparm !== undefined && !loadparmForm.test(loadparm)) {
    reader.fail(`loadparm=${loadparm}: expected up to 8 letters, digits, dots and blanks`);
  }
  reader.end(["accel", ...off, ...wrap, "memory-backend", "loadparm"], `machine '${type}'`);
  return { none, loadparm };
}

/** The first that there is of `a:b:c`, behind which `-accel` has properties of no effect. */
function accelOf(text: string | undefined): Accel {
  const names = (text ?? "interp").split(",")[0]?.split(":") ?? [];
  const name = names.find((candidate) => Object.hasOwn(accelerators, candidate)) ?? "interp";
  return accelerators[name as keyof typeof accelerators];
}

function accelOfMachine(text: string): string | undefined {
  return /(?:^|,)accel=([^,]*)/.exec(text)?.[1];
}

/** `-m`: "512" is MiB; "64M", "1G", "size=512". @returns bytes or undefined */
export function parseMemoryOption(text: string): number | undefined {
  const match = /^(?:size=)?(\d+)([bKMG])?$/i.exec(text);
  if (match === null) return undefined;
  const units: Readonly<Record<string, number>> = {
    B: 1,
    K: 1024,
    M: 1024 ** 2,
    G: 1024 ** 3,
  };
  return Number(match[1]) * (units[(match[2] ?? "M").toUpperCase()] ?? 0);
}

function memoryOf(text: string): number {
  const bytes = parseMemoryOption(text);
  if (bytes === undefined || bytes < GUEST_RAM_MIN_BYTES || bytes > GUEST_RAM_MAX_BYTES) {
    throw new ZmendError("USAGE", `-m ${text}: expected 1M to 3584M, for example 512 or 1G`);
  }
  return bytes;
}

/** Memory of the guest under a name; and secrets, which management programs hand over to nobody. */
function checkObject(text: string, ramBytes: number): void {
  const reader = new GroupReader("object", text, "qom-type");
  const type = reader.required("qom-type");
  reader.id("id") ?? reader.fail("id= is missing");
  if (type === "secret") return;
  if (!["memory-backend-ram", "memory-backend-memfd"].includes(type)) {
    reader.fail(`'${type}' is not supported; known: memory-backend-ram, memory-backend-memfd`);
  }
  const sizeText = reader.required("size");
  const size = parseMemoryOption(/^\d+$/.test(sizeText) ? `${sizeText}b` : sizeText);
  if (size !== ramBytes) {
    reader.fail(`size=${sizeText}: -m says ${ramBytes} bytes; the two have to be the same`);
  }
  for (const key of ["share", "prealloc", "dump", "merge", "reserve", "seal"]) reader.switch(key);
  reader.text("x-use-canonical-path-for-ramblock-id");
  reader.end(["id", "size", "share"], `object '${type}'`);
}

function cpuOf(text: string): string {
  const [given = "", ...features] = text.split(",");
  const name = cpuAliases[given] ?? given;
  const names = [...Object.keys(cpuModels), ...Object.keys(cpuAliases)];
  if (!Object.hasOwn(cpuModels, name)) {
    throw new ZmendError(
      "USAGE",
      `-cpu ${text}: unknown model${suggestion(given, names)}; -cpu help lists them`,
    );
  }
  const feature = features[0];
  if (feature !== undefined) {
    throw new ZmendError("USAGE", `-cpu ${text}: '${feature}' cannot be changed; leave it out`);
  }
  return name;
}

function nameOf(text: string | undefined, program: string): string {
  if (text === undefined) return program;
  const reader = new GroupReader("name", text, "guest");
  const name = reader.text("guest") ?? program;
  reader.text("process");
  reader.switch("debug-threads");
  reader.end(["guest", "process", "debug-threads"], "the name");
  return name;
}

function uuidOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return text.toLowerCase();
  throw new ZmendError(
    "USAGE",
    `-uuid ${text}: expected a UUID such as 01234567-89ab-cdef-0123-456789abcdef`,
  );
}

/** Real time at the guest's start, milliseconds since 1970. */
function epochOf(text: string | undefined): number {
  const now = wallClockMs();
  if (text === undefined) return now;
  const reader = new GroupReader("rtc", text);
  const base = reader.text("base") ?? "utc";
  reader.word("clock", ["host", "rt"]);
  reader.word("driftfix", ["none", "slew"]);
  reader.end(["base", "clock", "driftfix"], "the clock");
  if (base === "utc") return now;
  if (base === "localtime") return now + localOffsetMs(now);
  const date = /^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d)?$/.test(base)
    ? Date.parse(base.includes("T") ? `${base}Z` : `${base}T00:00:00Z`)
    : Number.NaN;
  if (Number.isNaN(date)) {
    reader.fail(`base=${base}: expected utc, localtime, 2026-11-21 or 2026-11-21T12:00:00`);
  }
  return date;
}

interface Actions {
  readonly reboot: SystemSettings["onGuestReset"];
  readonly shutdown: SystemSettings["onShutdown"];
  readonly panic: SystemSettings["onPanic"];
  readonly watchdog: WatchdogAction;
}

function actionsOf(texts: readonly string[]): Actions {
  let reboot: Actions["reboot"] = "reset";
  let shutdown: Actions["shutdown"] = "poweroff";
  let panic: Actions["panic"] = "shutdown";
  let watchdog: WatchdogAction = "reset";
  for (const text of texts) {
    const reader = new GroupReader("action", text);
    reboot = reader.word("reboot", ["reset", "shutdown"]) ?? reboot;
    shutdown = reader.word("shutdown", ["poweroff", "pause"]) ?? shutdown;
    panic = reader.word("panic", ["shutdown", "pause", "exit-failure"]) ?? panic;
    watchdog = reader.word("watchdog", watchdogActions) ?? watchdog;
    reader.end(["reboot", "shutdown", "panic", "watchdog"], "an action");
  }
  return { reboot, shutdown, panic, watchdog };
}

function logItemsOf(texts: readonly string[]): ReadonlySet<LogItem> {
  const known = Object.keys(logItems) as LogItem[];
  const items = texts.flatMap((text) =>
    text.split(",").map((name) => {
      const item = known.find((entry) => entry === name);
      if (item !== undefined) return item;
      throw new ZmendError(
        "USAGE",
        `-d ${text}: unknown item '${name}'${suggestion(name, known)}; -d help lists them`,
      );
    }),
  );
  return new Set(items);
}

export function logHelp(): string {
  const lines = Object.entries(logItems).map(([name, help]) => `${name.padEnd(16)}${help}\n`);
  return `Log items (comma separated):\n${lines.join("")}`;
}
