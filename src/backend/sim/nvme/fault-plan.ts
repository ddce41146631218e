/**
 * Faults of an NVMe controller as plain data, and the check that refuses a malformed plan whole. Conditions of a
 * trigger must hold all together; an empty trigger matches every command (for `stuckReady`: every change of
 * CC.EN).
 */
import { NvmeAdmin, NvmeIo } from "../../../abi/nvme.ts";
import {
  actionProblems,
  boolean,
  type Fields,
  fieldProblems,
  integer,
  isObject,
  optional,
  text,
  timesProblems,
} from "../plan-checks.ts";

/** Names of commands in triggers, with queue and opcode. */
const admin = Object.entries(NvmeAdmin).map(([name, opcode]) => [name, { io: false, opcode }]);
const io = Object.entries(NvmeIo).map(([name, opcode]) => [name, { io: true, opcode }]);
export const faultCommands: Readonly<Record<string, { io: boolean; opcode: number }>> =
  Object.fromEntries([...admin, ...io]);

export interface NvmeFaultTrigger {
  readonly queue?: "admin" | "io";
  /** A key of `faultCommands`: "read", "identify", … */
  readonly command?: string;
  readonly nsid?: number;
  /** Logical block that the command must touch; with `blocks`, the first of a range. */
  readonly lba?: number;
  readonly blocks?: number;
  /** From this time of the VM's clock on. */
  readonly atUs?: number;
  /** From the n-th command on that fulfils everything above (1 = the first). */
  readonly afterCommands?: number;
  /** 0 to 1, drawn for each command that fulfils everything above. */
  readonly probability?: number;
  /** Armed only when this command is given to the platform. */
  readonly onCommand?: string;
}

export type NvmeFaultAction =
  /** The completion comes later by this much. */
  | { readonly type: "delay"; readonly us: number }
  /** The command is not carried out and ends with this status (type << 8 | code). */
  | { readonly type: "status"; readonly status: number; readonly doNotRetry?: boolean }
  /** The command is carried out and no completion is posted. */
  | { readonly type: "drop" }
  /** Bytes of a read's or write's data are inverted. */
  | { readonly type: "corrupt"; readonly bytes?: number }
  /** CSTS does not follow a change of CC.EN; without `us` until the function is reset. */
  | { readonly type: "stuckReady"; readonly us?: number };

export interface NvmeFaultRule {
  readonly when: NvmeFaultTrigger;
  readonly action: NvmeFaultAction;
  /** How often it fires; "always" for ever. Default 1. */
  readonly times?: number | "always";
}

const CORRUPT_BYTES_MAX = 4096;
const US_MAX = 1e12;

const triggerKeys = {
  queue: [(value) => value === "admin" || value === "io", '"admin" or "io"'],
  command: [
    (value) => typeof value === "string" && Object.hasOwn(faultCommands, value),
    `one of ${Object.keys(faultCommands).join(", ")}`,
  ],
  nsid: [integer(1, 0xffffffff), "1 to 0xffffffff"],
  lba: [integer(0, Number.MAX_SAFE_INTEGER), "a logical block address"],
  blocks: [integer(1, Number.MAX_SAFE_INTEGER), "a number of blocks"],
  atUs: [integer(0, US_MAX), "microseconds"],
  afterCommands: [integer(1, Number.MAX_SAFE_INTEGER), "1 or more"],
  probability: [
    (value) => typeof value === "number" && value >= 0 && value <= 1,
    "a number from 0 to 1",
  ],
  onCommand: [text, "a name"],
} as const satisfies Record<keyof NvmeFaultTrigger, Fields[string]>;

const actionKeys: Record<NvmeFaultAction["type"], Fields> = {
  delay: { us: [integer(1, US_MAX), "1 or more microseconds"] },
  status: {
    status: [integer(1, 0x7ff), "a status from 0x001 to 0x7ff"],
    "doNotRetry?": [boolean, "true or false"],
  },
  drop: {},
  corrupt: { "bytes?": [integer(1, CORRUPT_BYTES_MAX), `1 to ${CORRUPT_BYTES_MAX}`] },
  stuckReady: { "us?": [integer(1, US_MAX), "1 or more microseconds"] },
};

/** Every problem of any JSON value as a list of rules, each with its path. */
export function faultProblems(rules: unknown, path: string): string[] {
  if (!Array.isArray(rules)) return [`${path}: expected a list of fault rules`];
  return rules.flatMap((rule, index) => ruleProblems(rule, `${path}[${index}]`));
}

function ruleProblems(rule: unknown, path: string): string[] {
  if (!isObject(rule)) return [`${path}: expected an object`];
  const problems = Object.keys(rule)
    .filter((key) => key !== "when" && key !== "action" && key !== "times")
    .map((key) => `${path}.${key}: unknown key`);
  const { when, action, times } = rule;
  problems.push(...timesProblems(times, path));
  if (!isObject(when)) problems.push(`${path}.when: expected an object`);
  else {
    problems.push(...fieldProblems(when, optional(triggerKeys), `${path}.when`));
    if (when["blocks"] !== undefined && when["lba"] === undefined) {
      problems.push(`${path}.when.blocks: needs lba`);
    }
  }
  if (!isObject(action)) problems.push(`${path}.action: expected an object`);
  else problems.push(...actionProblems(action, actionKeys, `${path}.action`));
  return problems;
}
