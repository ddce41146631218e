/**
 * Run states as QMP clients know them. A VM that a policy stopped is in QEMU's `internal-error`, as it is there
 * after the same fault: QEMU's `io-error` would promise that `cont` repeats the request. Source: qmp.md 6 and 8.
 */
import type { RunState } from "../../machine/vm-control.ts";

export const runStateNames = [
  "debug",
  "inmigrate",
  "internal-error",
  "io-error",
  "paused",
  "postmigrate",
  "prelaunch",
  "finish-migrate",
  "restore-vm",
  "running",
  "save-vm",
  "shutdown",
  "suspended",
  "watchdog",
  "guest-panicked",
  "colo",
] as const;

export function runStateName(state: RunState): (typeof runStateNames)[number] {
  return state === "io-error" ? "internal-error" : state;
}
