/** What a QMP command is: one row of the command table. Validation, introspection and help come from it. */
import type { VmControl } from "../../machine/vm-control.ts";
import type { Chardevs } from "./chardevs.ts";
import type { DeviceCatalogue } from "./device-catalogue.ts";
import type { Devices } from "./devices.ts";
import { QmpError } from "./errors.ts";
import type { EventName, ShutdownReason } from "./event-table.ts";
import type { JsonText } from "./json-lexer.ts";
import { struct, type Type } from "./schema.ts";

export interface CommandLineParameter {
  readonly name: string;
  readonly type: "string" | "boolean" | "number" | "size";
  readonly help?: string;
}

/** A disk image that stands behind a device, for query-block and `info block`. */
export interface BlockNode {
  readonly id: string;
  readonly file: string;
  readonly readOnly: boolean;
  /** Device id that has it, if any. */
  readonly device?: string;
}

/** What commands may see and do beside the VM itself; one per server. */
export interface QmpHost {
  readonly control: VmControl | undefined;
  readonly uuid: string | undefined;
  readonly catalogue: DeviceCatalogue;
  readonly devices: Devices;
  readonly chardevs: Chardevs;
  readonly blocks: () => readonly BlockNode[];
  /** How long a guest may take to give a function up. */
  readonly unplugAfterMs: number;
  readonly commandLineOptions: () => readonly {
    readonly option: string;
    readonly parameters: readonly CommandLineParameter[];
  }[];
  /** What HMP's `human-monitor-command` runs. */
  readonly monitor: (line: string, cpu: number) => Promise<string>;
  readonly commands: () => readonly Command[];
  readonly schema: () => JsonText;
  /** Runs a command by its name, as the human monitor does. */
  readonly execute: (name: string, args: object) => Promise<unknown>;
  readonly emit: (name: EventName, data?: object | (() => object)) => void;
  /** The machine's shutdown as clients are told of it: at most one event. */
  readonly shutdown: (reason: ShutdownReason) => void;
  /** Ends the program that owns the VM, or the VM where it is one of many. */
  readonly quit: () => void;
}

/** What a client has done to the machine: a command that was carried out, and what it was given. */
export interface QmpOperation {
  readonly command: string;
  /** Of the function that it was done to. */
  readonly fid?: number;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** One call of a command. */
export interface Call {
  readonly host: QmpHost;
  /** Runs `action` when the reply has been written. */
  readonly afterReply: (action: () => void) => void;
}

export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly arguments: Type<unknown>;
  readonly returns: Type<unknown>;
  readonly oob?: boolean;
  readonly features?: readonly string[];
  /** Changes the machine: one such command at a time, whoever sent it. */
  readonly exclusive?: boolean;
  /** An operator's act, to be remembered. */
  readonly operates?: boolean;
  readonly run: (args: unknown, call: Call) => unknown;
}

const noArguments = struct({});
/** The result of commands that return nothing. */
export const nothing = struct({});

/** A row whose handler sees checked arguments; without `returns` the result is `{}`. */
export function command<A = Record<never, never>, R = unknown>(row: {
  readonly name: string;
  readonly summary: string;
  readonly arguments?: Type<A>;
  readonly returns?: Type<R>;
  readonly oob?: boolean;
  readonly features?: readonly string[];
  readonly exclusive?: boolean;
  readonly operates?: boolean;
  readonly run: (args: A, call: Call) => R | Promise<R> | void | Promise<void>;
}): Command {
  const { run, ...rest } = row;
  return {
    ...rest,
    arguments: row.arguments ?? noArguments,
    returns: row.returns ?? nothing,
    run: (args, call) => run(args as A, call),
  };
}

/** The VM, for commands that mean nothing without one. */
export function machineOf(host: QmpHost): VmControl {
  if (host.control !== undefined) return host.control;
  throw new QmpError("This program runs no machine (-machine none); start one to control it");
}
