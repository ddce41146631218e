/**
 * What operators may ask of a VM, and what it tells them: the seam between the machine and everything that controls
 * it (QMP, the daemon's socket, metrics, the page, the journal). All of it runs on the main thread; nothing here
 * waits for a guest unless it says so. Implemented by `VmController`.
 */
import type { SimFunctionConfig } from "../backend/sim/index.ts";
import type { Policy, StateName } from "../recovery/index.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import type { WatchdogAction } from "../shm/watchdog.ts";
import type { Books } from "./books.ts";
import type { LedgerEntry } from "./ledger-entry.ts";
import type { RecentEntries } from "./recent-records.ts";
import type { VmSpec } from "./vm-spec.ts";

/** QMP's run states (qmp.md), as far as this machine has them. */
export const runStates = [
  "prelaunch", //      built, its threads wait; no instruction executed
  "running",
  "paused", //         by an operator: CPUs stand, deadlines are frozen
  "save-vm",
  "restore-vm",
  "io-error", //       stopped by policy `qemu-11` or `stop-vm`
  "guest-panicked", // disabled wait or check stop
  "watchdog", //       paused by the guest's watchdog
  "internal-error", // a thread of the VM died
  "shutdown", //       the guest powered off, or an operator ended it
] as const;
export type RunState = (typeof runStates)[number];

/** Guest-visible state of a function, the words of `FunctionState` in kebab-case. */
export type GuestFunctionState =
  | "reserved"
  | "standby"
  | "disabled"
  | "enabled"
  | "blocked"
  | "error"
  | "permanent-error";

export interface FunctionStatus {
  readonly index: number;
  /** The device's id: `-device …,id=`, `functions[].id`, or `fn-FID`. */
  readonly id: string;
  readonly fid: number;
  readonly uid: number;
  readonly device: "test" | "nvme";
  readonly guestHandle: number;
  readonly guestState: GuestFunctionState;
  /** The recovery machine's state. */
  readonly state: StateName;
  readonly policy: string;
  readonly books: Books;
}

export interface InjectRequest {
  readonly pec: number;
  readonly faddr?: number;
  /** How many events, one after the other; 1 by default. */
  readonly count?: number;
  /** Milliseconds between two of them; else all come at once. */
  readonly everyMs?: number;
  /** The events carry a handle that is no longer current. */
  readonly stale?: boolean;
}

export interface UnplugOptions {
  /** 10 s by default. */
  readonly deadlineMs?: number;
  /** The function is taken, whether the guest gives it up or not. */
  readonly force?: boolean;
}

export type OperatorCommand = "reset" | "quarantine" | "release" | "unplug" | "stop-vm";

export type VmEvent =
  | {
      readonly type: "run-state";
      readonly from: RunState;
      readonly to: RunState;
      readonly reason: string;
    }
  /** The machine was reset (re-IPL by the guest, or `reset()`). */
  | { readonly type: "reset"; readonly byGuest: boolean }
  /** A line of the ledger: everything that happens to functions, in order of time. */
  | { readonly type: "entry"; readonly entry: LedgerEntry }
  | { readonly type: "console"; readonly bytes: Uint8Array; readonly timeUs: number }
  /** A recovery worker's thread died; `restarts` says whether it has a successor, else the VM ends. */
  | {
      readonly type: "worker-died";
      readonly fid: number;
      readonly cause: string;
      /** Deaths of this worker within the last minute. */
      readonly deaths: number;
      readonly restarts: boolean;
      readonly timeUs: number;
    }
  /** The guest was asked to shut down. */
  | { readonly type: "powerdown" }
  /** The guest's watchdog has fired. */
  | { readonly type: "watchdog"; readonly action: WatchdogAction }
  | { readonly type: "device-deleted"; readonly id: string; readonly fid: number }
  | {
      readonly type: "unplug-failed";
      readonly id: string;
      readonly fid: number;
      readonly reason: string;
    };

/** A promise that a listener returns is awaited before the guest may write on, or the next entry is told. */
export type VmListener = (event: VmEvent) => unknown;

export interface StartOptions {
  /** The CPUs stand until `resume()` (QEMU's -S). */
  readonly paused?: boolean;
  /** Asked while threads come up: true gives the start up, and `stop()` has to follow. */
  readonly interrupted?: () => boolean;
}

export interface VmControl {
  readonly name: string;
  readonly spec: VmSpec;
  /** The shared memory, for those who only read counters. */
  readonly vm: VmMemory;
  runState(): RunState;
  /** Why the VM is in `internal-error`, if it is. */
  failure(): Error | undefined;
  /** Microseconds of the VM's time. */
  timeUs(): number;
  instructions(): number;
  functions(): readonly FunctionStatus[];
  /** The last entries of the ledger from number `from` on. */
  recent(from: number): RecentEntries;

  /** Starts the threads and the VM's time. Rejects with the reason when one of them dies meanwhile. */
  start(options?: StartOptions): Promise<void>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** System reset and IPL again, as QMP `system_reset`. */
  reset(): Promise<void>;
  /** Asks the guest to shut down (SCLP signal quiesce). */
  powerdown(): void;
  /** A restart interruption on the first CPU, as QMP `inject-nmi`. @throws ZmendError STATE_REFUSED if it has ended */
  nmi(): void;
  /** What happens when the guest's watchdog fires. */
  setWatchdogAction(action: WatchdogAction): void;
  /** Ends the VM; never refuses, never hangs. */
  stop(): Promise<void>;

  /** @throws ZmendError NOT_FOUND when no function has the FID */
  inject(fid: number, request: InjectRequest): void;
  command(fid: number, command: OperatorCommand): void;
  /** For one function, or for all of them. */
  setPolicy(policy: Policy, fid?: number): Promise<void>;
  /** Adds a function to the running VM (availability event 0x0302 standby or 0x0301 reserved-to-configured). */
  plug(id: string, config: SimFunctionConfig): Promise<void>;
  /**
   * Asks the guest to give the function up. Before the deadline an event tells the end: `device-deleted`, or
   * `unplug-failed` when the guest keeps it; the function then stays in service.
   */
  unplug(fid: number, options?: UnplugOptions): void;
  /** Faults that are armed on a function's simulated hardware. */
  faults(fid: number): Promise<readonly object[]>;

  /** Writes a snapshot of the whole machine (the VM is paused while it is taken). */
  save(file: string): Promise<void>;

  /**
   * Goes on from a snapshot of this machine; it runs afterwards if it ran before. The content of disk files is not part of a
   * snapshot. @throws ZmendError SNAPSHOT_INVALID: then nothing has happened to the VM
   */
  load(file: string): Promise<void>;

  /** Types on the guest's console; returns how many bytes it had room for. */
  pushInput(bytes: Uint8Array): number;
  /** Calls `listener` for each event until the returned function is called. */
  on(listener: VmListener): () => void;
}
