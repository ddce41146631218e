/** Commands of our own: errors, recoveries, policies, snapshots. The prefix says that they may change. */
import type { LedgerEntry } from "../../../machine/ledger-entry.ts";
import type { FunctionStatus } from "../../../machine/vm-control.ts";
import { loadPolicy } from "../../../recovery/index.ts";
import { command, machineOf, type QmpHost } from "../command.ts";
import { QmpError } from "../errors.ts";
import {
  alternate,
  any,
  arrayOf,
  bool,
  enumeration,
  int,
  intRange,
  number,
  optional,
  str,
  struct,
} from "../schema.ts";

const UNSTABLE = ["unstable"];

/** A line of the ledger, without what stands beside the canonical line. */
function traced({ instructions: _, ccdf: _1, choice: _2, ...line }: LedgerEntry): LedgerEntry {
  return line;
}

/** A number, or text such as "0x3a", which JSON has no form for. */
const numeric = alternate([int, str]);

function numberOf(name: string, given: number | string, maximum: number): number {
  const value = typeof given === "string" && given.trim() !== "" ? Number(given) : given;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > maximum) {
    throw new QmpError(
      `Parameter '${name}' expects an integer from 0 to 0x${maximum.toString(16)}, such as "0x3a"`,
    );
  }
  return value;
}

const counters = {
  errorsRaised: int,
  droppedByHost: int,
  staleIgnored: int,
  read: int,
  injected: int,
  fetchedByGuest: int,
  notDelivered: struct({
    hostQueueFull: int,
    staleHandle: int,
    fmbCode: int,
    superseded: int,
    policy: int,
    unverifiable: int,
    vmStopped: int,
  }),
  recoveries: int,
  hostResets: int,
  workerRestarts: int,
};

function chosen(host: QmpHost, id: string | undefined): readonly FunctionStatus[] {
  return id === undefined ? machineOf(host).functions() : [host.devices.function(id)];
}

export const recoveryCommands = [
  command({
    name: "x-zmend-inject-error",
    summary: "raise an architected error event on a function",
    arguments: struct({
      id: str,
      pec: numeric,
      faddr: optional(numeric),
      count: optional(intRange(1, 1000)),
      stale: optional(bool),
    }),
    features: UNSTABLE,
    operates: true,
    run: ({ id, pec, faddr, count, stale }, { host }) => {
      const control = machineOf(host);
      const request = {
        pec: numberOf("pec", pec, 0xffff),
        ...(faddr === undefined
          ? {}
          : { faddr: numberOf("faddr", faddr, Number.MAX_SAFE_INTEGER) }),
        ...(count === undefined ? {} : { count }),
        ...(stale === undefined ? {} : { stale }),
      };
      if (request.pec === 0) throw new QmpError("Parameter 'pec' expects a code other than 0");
      control.inject(host.devices.function(id).fid, request);
    },
  }),
  command({
    name: "x-zmend-query-recovery",
    summary: "state, policy and books of every function",
    arguments: struct({ id: optional(str) }),
    returns: arrayOf(
      struct({
        id: str,
        fid: int,
        uid: int,
        state: str,
        "guest-state": str,
        "guest-handle": int,
        policy: str,
        ...counters,
      }),
    ),
    features: UNSTABLE,
    run: ({ id }, { host }) =>
      chosen(host, id).map((status) => ({
        id: status.id,
        fid: status.fid,
        uid: status.uid,
        state: status.state,
        "guest-state": status.guestState,
        "guest-handle": status.guestHandle,
        policy: status.policy,
        ...status.books,
      })),
  }),
  command({
    name: "x-zmend-set-policy",
    summary: "another recovery policy, by name or file, for one function or all",
    arguments: struct({ policy: str, id: optional(str) }),
    features: UNSTABLE,
    exclusive: true,
    operates: true,
    run: async ({ policy, id }, { host }) => {
      const control = machineOf(host);
      const fid = id === undefined ? undefined : host.devices.function(id).fid;
      await control.setPolicy(loadPolicy(policy), fid);
    },
  }),
  command({
    name: "x-zmend-query-faults",
    summary: "faults that are armed on the simulated hardware",
    arguments: struct({ id: optional(str) }),
    returns: arrayOf(struct({ id: str, fid: int, faults: arrayOf(any) })),
    features: UNSTABLE,
    run: ({ id }, { host }) =>
      Promise.all(
        chosen(host, id).map(async (status) => ({
          id: status.id,
          fid: status.fid,
          faults: await machineOf(host).faults(status.fid),
        })),
      ),
  }),
  command({
    name: "x-zmend-trace",
    summary: "the last lines of the ledger; ask again from `next` on",
    arguments: struct({
      from: optional(intRange(0, Number.MAX_SAFE_INTEGER)),
      id: optional(str),
      kind: optional(str),
      limit: optional(intRange(1, 4096)),
    }),
    returns: struct({
      next: int,
      lost: int,
      entries: arrayOf(
        struct({
          seq: int,
          timeUs: number,
          actor: str,
          kind: str,
          fid: optional(int),
          correlation: optional(int),
          detail: any,
        }),
      ),
    }),
    features: UNSTABLE,
    run: ({ from = 0, id, kind, limit = 256 }, { host }) => {
      const fid = id === undefined ? undefined : host.devices.function(id).fid;
      const { entries, first, next } = machineOf(host).recent(from);
      const wanted = entries.filter(
        (entry) =>
          (fid === undefined || entry.fid === fid) && (kind === undefined || entry.kind === kind),
      );
      return { next, lost: Math.max(0, first - from), entries: wanted.slice(-limit).map(traced) };
    },
  }),
  command({
    name: "x-zmend-command",
    summary: "operator command for a function",
    arguments: struct({
      id: str,
      command: enumeration(["reset", "quarantine", "release", "unplug", "stop-vm"]),
    }),
    features: UNSTABLE,
    operates: true,
    run: ({ id, command: name }, { host }) =>
      machineOf(host).command(host.devices.function(id).fid, name),
  }),
  command({
    name: "x-zmend-save",
    summary: "write a snapshot of the whole machine",
    arguments: struct({ file: str }),
    features: UNSTABLE,
    exclusive: true,
    operates: true,
    run: ({ file }, { host }) => machineOf(host).save(file),
  }),
  command({
    name: "x-zmend-load",
    summary: "go on from a snapshot of this machine",
    arguments: struct({ file: str }),
    features: UNSTABLE,
    exclusive: true,
    operates: true,
    run: ({ file }, { host }) => machineOf(host).load(file),
  }),
];
