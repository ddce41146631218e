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
  { name: "kernel", value: "FILE", help: "bare-metal ELF64 or flat image to run" },
  { name: "m", value: "SIZE", help: "guest memory, MiB unless a suffix K, M or G is given (128)" },
  { name: "cpu", value: "MODEL", help: "CPU model (zmend); '-cpu help' lists them" },
  { name: "nographic", help: "console on standard output (there is no other display)" },
  { name: "version", help: "print the version and exit" },
  { name: "help", help: "print this help and exit" },
  { name: "h", help: "the same as -help" },
] as const satisfies readonly QemuOption[];

export type QemuOptionName = (typeof qemuOptions)[number]["name"];

/** @throws ZmendError USAGE naming the option; the caller adds the program's name */
export function parseQemuOptions(
  words: readonly string[],
): Partial<Record<QemuOptionName, string>> {
  const result: Partial<Record<QemuOptionName, string>> = {};
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
      result[option.name] = "";
      continue;
    }
    const value = words[++index];
    if (value === undefined) {
      throw new ZmendError("USAGE", `${word}: requires an argument (${option.value})`);
    }
    result[option.name] = value;
  }
  return result;
}

/** `-m`: "512" is MiB; "64M", "1G", "size=512". @returns bytes or undefined */
export function parseMemoryOption(text: string): number | undefined {
  const match = /^(?:size=)?(\d+)([KMG])?$/i.exec(text);
  if (match === null) return undefined;
  const unit = { K: 1024, M: 1024 ** 2, G: 1024 ** 3 }[(match[2] ?? "M").toUpperCase()] ?? 0;
  return Number(match[1]) * unit;
}

export function qemuHelp(program: string, version: string): string {
  const lines = qemuOptions.map((option) => {
    const left = "value" in option ? `-${option.name} ${option.value}` : `-${option.name}`;
    return `  ${left.padEnd(16)}${option.help}`;
  });
  return [
    `${program} version ${version}`,
    `usage: ${program} [options]`,
    "",
    ...lines,
    "",
    "The guest ends when it stops in a disabled wait.",
    "",
  ].join("\n");
}
