/**
 * The man pages, made from the command table, the option table of zmend-system-s390x and the daemon's config schema.
 * `npm run generate` writes them to config/man. Form: man(7).
 */
import type { Command, Option } from "commander";
import { zmendVersion } from "../base/version.ts";
import { daemonJsonSchema } from "../config/daemon-config.ts";
import { qemuOptions } from "./qemu-options.ts";

/** Text of a user as roff: backslashes, hyphens that are part of a word on the command line, dots at a line's start. */
function roff(text: string): string {
  return text
    .replace(/\\/g, "\\e")
    .replace(/-/g, "\\-")
    .split("\n")
    .map((line) => (/^[.']/.test(line) ? `\\&${line}` : line))
    .join("\n");
}

function header(name: string, section: number, summary: string): string[] {
  return [
    `.\\" Made by npm run generate; do not edit.`,
    `.TH ${name.toUpperCase()} ${section} "" "zmend ${zmendVersion()}" "zmend"`,
    ".SH NAME",
    `${roff(name)} \\- ${roff(summary)}`,
  ];
}

function item(title: string, text: string): string[] {
  return [".TP", `\\fB${roff(title)}\\fR`, roff(text)];
}

const exitStatus = [
  ".SH EXIT STATUS",
  ...item("0", "done"),
  ...item("1", "the run failed, or the daemon refused"),
  ...item("2", "bad usage or config"),
  ...item("3", "this machine or environment lacks something, said in one sentence"),
  ...item("130", "interrupted"),
];

/** zmend(1) */
export function zmendPage(program: Command): string {
  return page([
    ...header(
      "zmend",
      1,
      "headless s390x VMM whose guests survive the failure of a passed-through PCI function",
    ),
    ".SH SYNOPSIS",
    "\\fBzmend\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR]",
    ".SH DESCRIPTION",
    roff(
      "zmend runs s390x guests with passed-through PCI functions. When a function breaks, its recovery worker hands " +
        "the error to the guest as an event of the platform, carries out what the guest's driver asks for, and accounts " +
        "for every event. zmend daemon runs many guests; most other commands talk to it through its control socket.",
    ),
    ".SH COMMANDS",
    ...program.commands.flatMap((command) => commandText(command, [])),
    ...exitStatus,
    ".SH ENVIRONMENT",
    ...item(
      "ZMEND_STATE_DIR",
      "the daemon's state directory, where --state-dir does not say; else systemd's STATE_DIRECTORY, else " +
        "$XDG_STATE_HOME/zmend or ~/.local/state/zmend",
    ),
    ".SH FILES",
    ...item("STATE/control.sock", "the daemon's control socket: newline-delimited JSON"),
    ...item("STATE/qmp/VM.sock", "QMP of a VM"),
    ...item("STATE/journal/", "the journal"),
    ...item("STATE/daemon.pid, STATE/lock", "who runs here"),
    ".SH SEE ALSO",
    "\\fBzmend\\-system\\-s390x\\fR(1), \\fBzmend.yaml\\fR(5)",
  ]);
}

function commandText(command: Command, path: readonly string[]): string[] {
  const name = [...path, command.name()];
  if (command.commands.length > 0) {
    return command.commands.flatMap((child) => commandText(child, name));
  }
  const words = command.registeredArguments.map((argument) => {
    const word = argument.variadic ? `${argument.name()}...` : argument.name();
    return argument.required ? `<${word}>` : `[${word}]`;
  });
  const options = command.options.flatMap((option) => [
    ".RS",
    ...item(option.flags, optionText(option)),
    ".RE",
  ]);
  return [...item([...name, ...words].join(" "), command.description()), ...options];
}

function optionText(option: Option): string {
  const choices = option.argChoices === undefined ? "" : ` (${option.argChoices.join(", ")})`;
  const value = option.defaultValue;
  const said = value === undefined || value === false || value === true ? "" : `; default ${value}`;
  const demanded = option.mandatory ? "; required" : "";
  return `${option.description}${choices}${said}${demanded}`;
}

/** zmend-system-s390x(1) */
export function systemPage(): string {
  return page([
    ...header("zmend-system-s390x", 1, "run one s390x guest with QEMU's options"),
    ".SH SYNOPSIS",
    "\\fBzmend\\-system\\-s390x\\fR [\\fIOPTIONS\\fR]",
    ".SH DESCRIPTION",
    roff(
      "Runs a Linux kernel or a bare-metal image until it is switched off or stops in a disabled wait; its console is " +
        "the terminal, where Ctrl-A c changes to the monitor and back, Ctrl-A x ends the program and Ctrl-A h helps. " +
        "Options and exit statuses are those of qemu-system-s390x(1); so is the protocol of its monitors.",
    ),
    ".SH OPTIONS",
    ...qemuOptions.flatMap((option) =>
      item("value" in option ? `-${option.name} ${option.value}` : `-${option.name}`, option.help),
    ),
    ".SH EXIT STATUS",
    ...item(
      "0",
      "the guest ended, or it was ended: quit on a monitor, Ctrl-A x, SIGTERM, SIGINT, SIGHUP",
    ),
    ...item(
      "1",
      "a bad option, image or host condition; the guest's CPU is in check stop; -action panic=exit-failure",
    ),
    ".SH SEE ALSO",
    "\\fBzmend\\fR(1), \\fBqemu\\-system\\-s390x\\fR(1)",
  ]);
}

interface SchemaNode {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly SchemaNode[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly items?: SchemaNode;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
}

/** zmend.yaml(5) */
export function configPage(): string {
  const schema = daemonJsonSchema() as SchemaNode;
  return page([
    ...header("zmend.yaml", 5, "configuration of zmend daemon"),
    ".SH DESCRIPTION",
    roff(
      "A YAML file with the virtual machines of zmend daemon. Unknown keys are errors; zmend daemon --check-config says " +
        "everything that is wrong with a file at once. Paths in it are relative to the file. Sizes are numbers of " +
        "bytes or words such as 16MiB. SIGHUP makes a running daemon read policies, logLevel and stopTimeoutMs again; everything " +
        "else waits for its next start. config/zmend.schema.json is the same as JSON Schema.",
    ),
    ".SH KEYS",
    ...keysText(schema, ""),
    ".SH EXAMPLE",
    ".nf",
    roff(
      "version: 1\nvms:\n  - name: alpha\n    fixture: zrecover\n    functions:\n      - { fid: 0x1, uid: 1 }",
    ),
    ".fi",
    ".SH SEE ALSO",
    "\\fBzmend\\fR(1)",
  ]);
}

function keysText(node: SchemaNode, path: string): string[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, child]) => {
    const place = path === "" ? key : `${path}.${key}`;
    const required = node.required?.includes(key) === true && child.default === undefined;
    const inner = child.type === "array" ? child.items : child;
    const innerPath = child.type === "array" ? `${place}[]` : place;
    return [
      ...item(
        place,
        [child.description ?? "", valuesText(child), required ? "required" : ""]
          .filter((text) => text !== "")
          .join("; "),
      ),
      ...(inner === undefined ? [] : keysText(inner, innerPath)),
    ];
  });
}

/** Beyond this a bound is the type's own and tells nobody anything. */
const BOUND_MAX = 0xffff_ffff;

function valuesText(node: SchemaNode): string {
  const said: string[] = [];
  if (node.enum !== undefined) said.push(node.enum.join(", "));
  if (node.type === "boolean") said.push("true or false");
  if (node.minimum !== undefined && node.maximum !== undefined && node.maximum <= BOUND_MAX) {
    said.push(`${node.minimum} to ${node.maximum}`);
  }
  const value = node.default;
  if (value !== undefined && typeof value !== "object") said.push(`default ${String(value)}`);
  return said.join("; ");
}

function page(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}
