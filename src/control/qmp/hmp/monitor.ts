/**
 * The human monitor: one table of commands with their help, the texts as QEMU prints them. Lines end in CR LF. An
 * unknown command is text too. Source: qmp.md 6 (HMP texts).
 */

import { ZmendError } from "../../../base/errors.ts";
import type { QmpHost } from "../command.ts";
import { QmpError } from "../errors.ts";
import { infoTable } from "./info.ts";
import { dumpMemory } from "./memory.ts";

export interface MonitorCommand {
  /** Name, and other names for the same. */
  readonly names: readonly string[];
  readonly args: string;
  readonly help: string;
  readonly run: (host: QmpHost, args: string, cpu: number) => string | Promise<string>;
}

/** Runs a QMP command; its success is silence. */
function quietly(name: string, argsOf: (text: string) => object = () => ({})) {
  return async (host: QmpHost, text: string): Promise<string> => {
    await host.execute(name, argsOf(text));
    return "";
  };
}

function needed(text: string, what: string): string {
  if (text === "") throw new QmpError(`${what} expected`);
  return text;
}

/** `driver,key=value,…` as -device has it; a doubled comma stands for one. */
function deviceArguments(text: string): object {
  const parts = needed(text, "driver").match(/(?:,,|[^,])+/g) ?? [];
  const pairs = parts.map((part, index) => {
    const plain = part.replaceAll(",,", ",");
    const at = plain.indexOf("=");
    if (at < 0 && index === 0) return ["driver", plain];
    return at < 0 ? [plain, "on"] : [plain.slice(0, at), plain.slice(at + 1)];
  });
  return Object.fromEntries(pairs);
}

const monitorTable: readonly MonitorCommand[] = [
  { names: ["help", "?"], args: "[cmd]", help: "show the help", run: (_, text) => help(text) },
  {
    names: ["info"],
    args: "[subcommand]",
    help: "show various information about the system state",
    run: info,
  },
  { names: ["cont", "c"], args: "", help: "resume emulation", run: quietly("cont") },
  { names: ["stop", "s"], args: "", help: "stop emulation", run: quietly("stop") },
  { names: ["quit", "q"], args: "", help: "quit the emulator", run: quietly("quit") },
  { names: ["system_reset"], args: "", help: "reset the system", run: quietly("system_reset") },
  {
    names: ["system_powerdown"],
    args: "",
    help: "send system power down event",
    run: quietly("system_powerdown"),
  },
  {
    names: ["watchdog_action"],
    args: "[reset|shutdown|poweroff|pause|debug|none|inject-nmi]",
    help: "what happens when the guest's watchdog fires",
    run: quietly("watchdog-set-action", (action) => ({ action: needed(action, "action") })),
  },
  { names: ["nmi"], args: "", help: "inject an NMI", run: quietly("inject-nmi") },
  {
    names: ["device_add"],
    args: "driver[,prop=value][,...]",
    help: "add device, like -device on the command line",
    run: quietly("device_add", deviceArguments),
  },
  {
    names: ["device_del"],
    args: "device",
    help: "remove device",
    run: quietly("device_del", (text) => ({ id: needed(text, "device") })),
  },
  {
    names: ["savevm"],
    args: "file",
    help: "write a snapshot of the VM to a file",
    run: quietly("x-zmend-save", (text) => ({ file: needed(text, "file") })),
  },
  {
    names: ["loadvm"],
    args: "file",
    help: "go on from a snapshot of the VM that savevm wrote",
    run: quietly("x-zmend-load", (text) => ({ file: needed(text, "file") })),
  },
  {
    names: ["xp"],
    args: "/fmt addr",
    help: "physical memory dump starting at 'addr'",
    run: dumpMemory,
  },
  {
    names: ["x-zmend-inject"],
    args: "device pec [count]",
    help: "raise an error event on a function",
    run: quietly("x-zmend-inject-error", (text) => {
      const [id = "", pec = "", count] = text.split(/\s+/);
      return {
        id: needed(id, "device"),
        pec: needed(pec, "pec"),
        ...(count === undefined ? {} : { count: Number(count) }),
      };
    }),
  },
  {
    names: ["x-zmend-policy"],
    args: "policy [device]",
    help: "set the recovery policy",
    run: quietly("x-zmend-set-policy", (text) => {
      const [policy = "", id] = text.split(/\s+/);
      return { policy: needed(policy, "policy"), ...(id === undefined ? {} : { id }) };
    }),
  },
];

/** @returns what the monitor prints, lines ended by CR LF */
export async function runMonitorLine(host: QmpHost, line: string, cpu: number): Promise<string> {
  const trimmed = line.trim();
  if (trimmed === "") return "";
  const [, name = "", args = ""] = /^(\S+)\s*([\s\S]*)$/.exec(trimmed) ?? [];
  // `x/4xw 0` and `xp/4xw 0` are written without a blank, too.
  const slash = name.indexOf("/");
  const bare = slash < 0 ? name : name.slice(0, slash);
  const rest = slash < 0 ? args : `${name.slice(slash)} ${args}`;
  const row = monitorTable.find(({ names }) => names.includes(bare));
  if (row === undefined) return `unknown command: '${name}'\r\n`;
  try {
    return toCrLf(await row.run(host, rest, cpu));
  } catch (error) {
    if (error instanceof QmpError || error instanceof ZmendError) {
      return `Error: ${toCrLf(`${error.message}\n`)}`;
    }
    throw error;
  }
}

function toCrLf(text: string): string {
  return text.replace(/\r?\n/g, "\r\n");
}

function info(host: QmpHost, text: string, cpu: number): string {
  const row = infoTable.find(({ name }) => name === text.split(/\s+/)[0]);
  if (row !== undefined) return row.run(host, cpu);
  if (text !== "") return `unknown command: 'info ${text}'\n`;
  return infoTable.map(({ name, help: says }) => `info ${name}  -- ${says}\n`).join("");
}

function help(text: string): string {
  if (text === "info") {
    return infoTable.map(({ name, help: says }) => `info ${name}  -- ${says}\n`).join("");
  }
  const rows =
    text === "" ? monitorTable : monitorTable.filter(({ names }) => names.includes(text));
  return rows
    .map(({ names, args, help: says }) => `${names.join("|")} ${args} -- ${says}\n`)
    .join("");
}
