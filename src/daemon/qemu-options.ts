/**
 * The option table of `zmend-system-s390x`: QEMU's syntax (`-name value`, one or two dashes), because
 * scripts written for qemu-system-s390x should run unchanged. Facts: qmp.md 9.
 */
import { ZmendError } from "../base/errors.ts";
import { suggestion } from "../base/nearest.ts";

export interface QemuOption {
  readonly name: string;
  /** Placeholder of the value; undefined for a flag. */
  readonly value?: string;
  readonly help: string;
}

export const qemuOptions = [
  { name: "kernel", value: "FILE", help: "Linux kernel, bare-metal ELF64 or flat image to run" },
  { name: "initrd", value: "FILE", help: "initial RAM disk for the kernel" },
  { name: "append", value: "TEXT", help: "command line for the kernel" },
  { name: "m", value: "SIZE", help: "guest memory, MiB unless a suffix K, M or G is given (128)" },
  { name: "cpu", value: "MODEL", help: "CPU model (zmend); '-cpu help' lists them" },
  { name: "smp", value: "N", help: "number of CPUs (1); only 1" },
  { name: "M", value: "MACHINE", help: "machine type (s390-ccw-virtio); '-M help' lists them" },
  { name: "machine", value: "MACHINE", help: "the same as -M" },
  { name: "accel", value: "NAME", help: "tcg or interp: the interpreter, which is all there is" },
  { name: "device", value: "MODEL,...", help: "add a device; '-device help' lists the models" },
  {
    name: "drive",
    value: "if=none,...",
    help: "disk image: file=FILE,id=ID,format=raw[,readonly=on]",
  },
  {
    name: "blockdev",
    value: "driver=...",
    help: "the same as nodes: driver raw or file, node-name=ID",
  },
  { name: "chardev", value: "stdio,id=ID", help: "end of a console: stdio[,mux=on] or null" },
  { name: "nographic", help: "console on the terminal, Ctrl-A x ends it (there is no display)" },
  { name: "serial", value: "WHERE", help: "console: mon:stdio, stdio (no Ctrl-A), none or null" },
  { name: "monitor", value: "WHERE", help: "none or null: there is no monitor" },
  { name: "display", value: "NAME", help: "none: there is no display" },
  { name: "loadvm", value: "FILE", help: "go on from a snapshot of this machine" },
  {
    name: "deterministic",
    help: "one thread, virtual time: same input, same run; its digest is told at the end",
  },
  { name: "no-reboot", help: "end when the guest asks for a re-IPL, instead of starting it again" },
  { name: "nodefaults", help: "no default devices; there are none" },
  { name: "no-user-config", help: "read no configuration file; none is read" },
  { name: "name", value: "NAME", help: "name of the guest" },
  { name: "version", help: "print the version and exit" },
  { name: "help", help: "print this help and exit" },
  { name: "h", help: "the same as -help" },
] as const satisfies readonly QemuOption[];

export type QemuOptionName = (typeof qemuOptions)[number]["name"];

/** @throws ZmendError USAGE naming the option; the caller adds the program's name */
export function parseQemuOptions(
  words: readonly string[],
): Partial<Record<QemuOptionName, string>> {
  return Object.fromEntries(qemuWords(words));
}

/** Every option in the order given, for those that may be given more than once. @throws ZmendError USAGE */
export function qemuWords(words: readonly string[]): [QemuOptionName, string][] {
  const result: [QemuOptionName, string][] = [];
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? "";
    const name = word.replace(/^--?/, "");
    const option = qemuOptions.find((entry) => entry.name === name);
    if (!word.startsWith("-") || option === undefined) {
      const hint = suggestion(
        name,
        qemuOptions.map((entry) => entry.name),
      );
      throw new ZmendError("USAGE", `${word}: invalid option${hint}; -help lists the options`);
    }
    if (!("value" in option)) {
      result.push([option.name, ""]);
      continue;
    }
    const value = words[++index];
    if (value === undefined) {
      throw new ZmendError("USAGE", `${word}: requires an argument (${option.value})`);
    }
    result.push([option.name, value]);
  }
  return result;
}

/** The values of every `-name` in `words`. */
export function valuesOf(
  words: readonly (readonly [QemuOptionName, string])[],
  name: QemuOptionName,
): string[] {
  return words.filter(([option]) => option === name).map(([, value]) => value);
}

/** `-m`: "512" is MiB; "64M", "1G", "size=512". @returns bytes or undefined */
export function parseMemoryOption(text: string): number | undefined {
  const match = /^(?:size=)?(\d+)([KMG])?$/i.exec(text);
  if (match === null) return undefined;
  const unit = { K: 1024, M: 1024 ** 2, G: 1024 ** 3 }[(match[2] ?? "M").toUpperCase()] ?? 0;
  return Number(match[1]) * unit;
}

/** Checks the options whose only use is to say what is so anyway. @throws ZmendError USAGE */
export function checkFixedOptions(options: Partial<Record<QemuOptionName, string>>): void {
  const one = (name: QemuOptionName, known: readonly string[]): void => {
    const value = options[name]?.split(",")[0];
    if (value === undefined || known.includes(value)) return;
    const hint = suggestion(value, known);
    throw new ZmendError(
      "USAGE",
      `-${name} ${options[name]}: not supported${hint}; known: ${known.join(", ")}`,
    );
  };
  one("accel", ["tcg", "interp"]);
  one("display", ["none"]);
  one("monitor", ["none", "null"]);
  const cpus = options.smp?.replace(/^cpus=/, "").split(",")[0];
  if (cpus !== undefined && cpus !== "1") {
    throw new ZmendError("USAGE", `-smp ${options.smp}: the machine has one CPU; use -smp 1`);
  }
  for (const name of ["M", "machine"] as const) checkMachine(name, options[name]);
}

/** `type[,accel=tcg]`, also `type=...` and QEMU's versioned names. */
function checkMachine(option: string, text: string | undefined): void {
  if (text === undefined) return;
  for (const [index, part] of text.split(",").entries()) {
    const [key = "", value] = part.includes("=") ? part.split("=", 2) : ["type", part];
    const type = key === "type" && (index === 0 || part.includes("="));
    if (type && new RegExp(`^${MACHINE}(-\\d+\\.\\d+)?$`).test(value ?? "")) continue;
    if (key === "accel" && /^(tcg|interp)$/.test(value ?? "")) continue;
    const what = type ? `unknown machine; the one there is: ${MACHINE}` : `'${part}' is unknown`;
    throw new ZmendError("USAGE", `-${option} ${text}: ${what}`);
  }
}

export const MACHINE = "s390-ccw-virtio";

export function qemuHelp(program: string, version: string): string {
  const lines = qemuOptions.map((option) => {
    const left = "value" in option ? `-${option.name} ${option.value}` : `-${option.name}`;
    return `  ${left.padEnd(18)}${option.help}`;
  });
  return [
    `${program} version ${version}`,
    `usage: ${program} [options]`,
    "",
    ...lines,
    "",
    "The guest ends when it is switched off or stops in a disabled wait.",
    "",
  ].join("\n");
}
