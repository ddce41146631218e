/** What the VMs of a daemon do, as log records: one line per fact. Levels: CONTRIBUTING.md, design.md 13. */
import type { Logger } from "pino";
import { hex } from "../base/hex.ts";
import type { VmNotice } from "../control/daemon/managed-vm.ts";
import type { Supervisor } from "../control/daemon/supervisor.ts";
import type { LedgerEntry } from "../machine/ledger-entry.ts";
import type { RunState, VmEvent } from "../machine/vm-control.ts";

const bad: readonly RunState[] = ["internal-error", "guest-panicked", "io-error"];

/** @returns the end of it */
export function logSupervisor(supervisor: Supervisor, log: Logger): () => void {
  return supervisor.listen({
    event: (vm, event) => logEvent(log, vm, event, supervisor.find(vm).wantedDown),
    notice: (vm, notice) => logNotice(log, vm, notice),
    operation: ({ vm, command, fid, detail }) =>
      log.info(
        { vm, ...(fid === undefined ? {} : { fid: hex(fid, 8) }), command, ...detail },
        "operator command",
      ),
  });
}

function logEvent(log: Logger, vm: string, event: VmEvent, wantedDown: boolean): void {
  switch (event.type) {
    case "run-state": {
      const { from, to, reason } = event;
      const level = bad.includes(to) && !wantedDown ? "error" : "info";
      log[level]({ vm, from, state: to, reason }, "VM changed its state");
      return;
    }
    case "reset":
      log.info({ vm, byGuest: event.byGuest }, "VM was reset");
      return;
    case "worker-died": {
      const { fid, cause, deaths, restarts } = event;
      log.warn({ vm, fid: hex(fid, 8), cause, deaths, restarts }, "recovery worker died");
      return;
    }
    case "powerdown":
      log.info({ vm }, "the guest is asked to switch off");
      return;
    case "watchdog":
      log.warn({ vm, action: event.action }, "the guest's watchdog has fired");
      return;
    case "device-deleted":
      log.info({ vm, fid: hex(event.fid, 8), id: event.id }, "function was given up");
      return;
    case "unplug-failed":
      log.warn(
        { vm, fid: hex(event.fid, 8), id: event.id, reason: event.reason },
        "function stays",
      );
      return;
    case "entry":
      logEntry(log, vm, event.entry);
      return;
    case "console":
      return;
  }
}

/** States that an operator has to hear of; other transitions are for those who debug. */
const alarming: readonly unknown[] = ["failed", "quarantined", "detached"];

function logEntry(log: Logger, vm: string, entry: LedgerEntry): void {
  const fid = entry.fid === undefined ? {} : { fid: hex(entry.fid, 8) };
  if (entry.kind === "state") {
    const { from, to, event } = entry.detail;
    const level = alarming.includes(to) ? "warn" : "debug";
    log[level]({ vm, ...fid, state: from, event, next: to }, "function changed its state");
    return;
  }
  if (entry.kind === "recovered") {
    log.info({ vm, ...fid, ...entry.detail }, "function recovered");
    return;
  }
  if (log.isLevelEnabled("trace")) log.trace({ vm, ...fid, ...entry.detail }, entry.kind);
}

function logNotice(log: Logger, vm: string, notice: VmNotice): void {
  switch (notice.type) {
    case "restart":
      log.warn({ vm, attempt: notice.attempt, cause: notice.cause }, "VM is started again");
      return;
    case "stays-down":
      log.warn({ vm, cause: notice.cause, why: notice.why }, "VM stays down");
      return;
    case "start-failed":
      log.error({ vm, err: notice.error }, "VM could not be started");
      return;
  }
}
