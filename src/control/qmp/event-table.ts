/**
 * The events: their names and data, one table for the schema and for those who send them. Source: qmp.md 4. Events that
 * QEMU has and nothing here could send are not in it: MEMORY_FAILURE (storage of an emulated machine does not fail; where
 * the host's does, the kernel ends the process), VFU_CLIENT_HANGUP (no vfio-user server runs in this process).
 */
import { watchdogActions } from "../../shm/watchdog.ts";
import {
  arrayOf,
  bool,
  enumeration,
  int,
  int64,
  optional,
  str,
  struct,
  type Type,
  union,
} from "./schema.ts";

const shutdownReasons = [
  "none",
  "host-error",
  "host-qmp-quit",
  "host-qmp-system-reset",
  "host-signal",
  "host-ui",
  "guest-shutdown",
  "guest-reset",
  "guest-panic",
  "subsystem-reset",
  "snapshot-load",
] as const;
export type ShutdownReason = (typeof shutdownReasons)[number];

const shutdownCause = enumeration(shutdownReasons);

const s390Crash = struct({
  core: int,
  "psw-mask": int64,
  "psw-addr": int64,
  reason: enumeration(["unknown", "disabled-wait", "extint-loop", "pgmint-loop", "opint-loop"]),
});

const deviceGone = struct({ device: optional(str), path: str });

/** Phases of a recovery as metrics and `X_ZMEND_RECOVERY` name them. */
const phase = struct({ phase: str, "duration-us": int });

export interface EventRow {
  readonly name: string;
  readonly data: Type<unknown>;
  readonly features?: readonly string[];
  /** At most one of them in this time; the last of a burst is sent late. */
  readonly rateMs?: number;
}

const UNSTABLE = ["unstable"];

export const eventTable = [
  { name: "STOP", data: struct({}) },
  { name: "RESUME", data: struct({}) },
  { name: "RESET", data: struct({ guest: bool, reason: shutdownCause }) },
  { name: "SHUTDOWN", data: struct({ guest: bool, reason: shutdownCause }) },
  { name: "POWERDOWN", data: struct({}) },
  {
    name: "GUEST_PANICKED",
    data: struct({
      action: enumeration(["pause", "poweroff", "run"]),
      info: optional(
        union({ type: enumeration(["s390"]) }, "type", {
          s390: s390Crash,
        }),
      ),
    }),
  },
  { name: "DEVICE_DELETED", data: deviceGone },
  { name: "DEVICE_UNPLUG_GUEST_ERROR", data: deviceGone },
  {
    name: "WATCHDOG",
    data: struct({ action: enumeration(watchdogActions) }),
    rateMs: 1000,
  },
  {
    name: "X_ZMEND_ERROR",
    data: struct({
      id: str,
      fid: int,
      pec: int,
      /** What the host did with it: `stored`, `queue-full`, `stale`, … */
      disposition: str,
      "time-us": int,
    }),
    features: UNSTABLE,
  },
  {
    name: "X_ZMEND_RECOVERY",
    data: struct({
      id: str,
      fid: int,
      /** The state that ended, how long it lasted, what came after it and why. */
      phase: str,
      "duration-us": int,
      state: str,
      cause: str,
      "time-us": int,
      /** When the recovery is over: all its phases, and the time since the first error. */
      phases: optional(arrayOf(phase)),
      "total-us": optional(int),
    }),
    features: UNSTABLE,
  },
] as const satisfies readonly EventRow[];

export type EventName = (typeof eventTable)[number]["name"];

export function eventRow(name: EventName): EventRow {
  return eventTable.find((row) => row.name === name) as EventRow;
}
