/** What the daemon tells of itself and its VMs: plain data, read from shared memory when somebody asks. */
import { monotonicNowUs } from "../../base/clock.ts";
import { hex } from "../../base/hex.ts";
import { booksBalance } from "../../machine/books.ts";
import type { FunctionStatus } from "../../machine/vm-control.ts";
import type { ManagedVm } from "./managed-vm.ts";

export interface FunctionReport {
  readonly vm: string;
  readonly id: string;
  readonly fid: string;
  readonly uid: number;
  readonly device: string;
  /** The recovery machine's state. */
  readonly state: string;
  /** What the guest sees. */
  readonly guestState: string;
  readonly guestHandle: string;
  readonly policy: string;
  readonly errorsRaised: number;
  readonly injected: number;
  readonly fetchedByGuest: number;
  readonly notDelivered: Readonly<Record<string, number>>;
  /** Raised and neither fetched nor accounted for yet. */
  readonly open: number;
  readonly recoveries: number;
  readonly hostResets: number;
  readonly workerRestarts: number;
}

export interface VmReport {
  readonly name: string;
  readonly state: string;
  readonly timeUs: number;
  readonly instructions: number;
  readonly memoryBytes: number;
  readonly functions: number;
  /** Functions that are not operational. */
  readonly troubled: number;
  readonly restarts: number;
  readonly restartPending: boolean;
  readonly qmp: string;
  /** Why the VM is in internal-error. */
  readonly failure?: string;
}

export interface JournalReport {
  /** Records that could not be written. */
  readonly lost: number;
  /** Why, when the last write failed. */
  readonly problem?: string;
}

export interface DaemonReport {
  readonly pid: number;
  readonly version: string;
  readonly uptimeUs: number;
  readonly stateDir: string;
  readonly metrics: string;
  readonly page: string;
  readonly residentBytes: number;
  readonly journal: JournalReport;
  /** Why the last reload was refused. */
  readonly reloadError?: string;
}

export function functionReport(vm: string, status: FunctionStatus): FunctionReport {
  const { books } = status;
  return {
    vm,
    id: status.id,
    fid: hex(status.fid, 8),
    uid: status.uid,
    device: status.device,
    state: status.state,
    guestState: status.guestState,
    guestHandle: hex(status.guestHandle, 8),
    policy: status.policy,
    errorsRaised: books.errorsRaised,
    injected: books.injected,
    fetchedByGuest: books.fetchedByGuest,
    notDelivered: books.notDelivered,
    open: booksBalance(books),
    recoveries: books.recoveries,
    hostResets: books.hostResets,
    workerRestarts: books.workerRestarts,
  };
}

export function functionReports(vm: ManagedVm): FunctionReport[] {
  return vm.control.functions().map((status) => functionReport(vm.name, status));
}

export function vmReport(vm: ManagedVm, qmp: string): VmReport {
  const { control } = vm;
  const functions = control.functions();
  const failure = control.failure();
  return {
    name: vm.name,
    state: control.runState(),
    timeUs: control.timeUs(),
    instructions: control.instructions(),
    memoryBytes: control.spec.ramBytes,
    functions: functions.length,
    troubled: functions.filter((status) => status.state !== "operational").length,
    restarts: vm.restarts,
    restartPending: vm.restartPending,
    qmp,
    ...(failure === undefined ? {} : { failure: failure.message }),
  };
}

/** Microseconds since `startedUs`, a reading of the same clock. */
export function uptimeUs(startedUs: number): number {
  return Math.floor(monotonicNowUs() - startedUs);
}
