/**
 * What the page shows, as plain data: VMs, functions with their states over the last minutes, the last recoveries. Fed by
 * the VMs' ledger entries; numbers are read from shared memory when a view is made. Memory is bounded per function.
 */
import { wallClockMs } from "../../base/clock.ts";
import { booksBalance } from "../../machine/books.ts";
import { PhaseTracker, type Recovery } from "../../machine/phases.ts";
import type { FunctionStatus, VmControl, VmEvent } from "../../machine/vm-control.ts";
import type { JournalStatus } from "../journal/index.ts";

/** State changes kept per function: a function that recovers once a second fills three minutes with them. */
const CHANGES_MAX = 1000;
const RECOVERIES_MAX = 100;

/** From `ms` (wall clock) on, the function was in `state`. */
export interface StateChange {
  readonly vm: string;
  readonly fid: number;
  readonly ms: number;
  readonly state: string;
}

export interface ShownRecovery extends Omit<Recovery, "endedUs"> {
  readonly vm: string;
  readonly endedMs: number;
}

export interface ShownFunction
  extends Pick<FunctionStatus, "fid" | "id" | "device" | "state" | "guestState" | "policy"> {
  readonly raised: number;
  readonly fetched: number;
  readonly notDelivered: number;
  readonly recoveries: number;
  readonly hostResets: number;
  readonly workerRestarts: number;
}

export interface ShownVm {
  readonly name: string;
  readonly runState: string;
  readonly failure?: string;
  readonly timeUs: number;
  readonly instructions: number;
  readonly functions: readonly ShownFunction[];
}

interface NumberedChange {
  readonly number: number;
  readonly change: StateChange;
}

/** One message to the page. In the first one `changes` and `recoveries` hold everything that is kept. */
export interface View {
  readonly nowMs: number;
  readonly vms: readonly ShownVm[];
  readonly changes: readonly StateChange[];
  readonly recoveries: readonly ShownRecovery[];
  readonly journal?: Pick<JournalStatus, "written" | "lost" | "bytes" | "problem">;
}

/** What has been told since: position in the observer's running count of changes and recoveries. */
export interface ViewPosition {
  changes: number;
  recoveries: number;
}

export interface ObserverOptions {
  readonly vms: () => readonly VmControl[];
  readonly journal?: () => JournalStatus | undefined;
}

export class Observer {
  readonly #options: ObserverOptions;
  /** Of each function, by VM and FID, oldest first. */
  readonly #changes = new Map<string, NumberedChange[]>();
  #recoveries: { readonly number: number; readonly recovery: ShownRecovery }[] = [];
  #changeCount = 0;
  #recoveryCount = 0;

  constructor(options: ObserverOptions) {
    this.#options = options;
  }

  /** @returns the end of it */
  attach(vm: VmControl): () => void {
    for (const { fid, state } of vm.functions()) this.#change(vm.name, fid, wallClockMs(), state);
    const phases = new PhaseTracker({
      sample: () => {},
      recovery: ({ endedUs, ...recovery }) => {
        this.#recoveryCount += 1;
        const shown = { vm: vm.name, endedMs: wallMs(vm, endedUs), ...recovery };
        this.#recoveries.push({ number: this.#recoveryCount, recovery: shown });
        if (this.#recoveries.length > RECOVERIES_MAX) this.#recoveries.shift();
      },
    });
    return vm.on((event) => this.#event(vm, phases, event));
  }

  forget(vm: string): void {
    this.#recoveries = this.#recoveries.filter(({ recovery }) => recovery.vm !== vm);
    for (const key of this.#changes.keys()) {
      if (key.startsWith(`${vm}\n`)) this.#changes.delete(key);
    }
  }

  /** Everything new since `since`, which is moved along; by default everything. */
  view(since: ViewPosition = { changes: 0, recoveries: 0 }): View {
    const changes = [...this.#changes.values()]
      .flatMap((of) => of.filter(({ number }) => number > since.changes))
      .sort((a, b) => a.number - b.number);
    const recoveries = this.#recoveries.filter(({ number }) => number > since.recoveries);
    since.changes = this.#changeCount;
    since.recoveries = this.#recoveryCount;
    const journal = this.#options.journal?.();
    return {
      nowMs: wallClockMs(),
      vms: this.#options.vms().map(shownVm),
      changes: changes.map(({ change }) => change),
      recoveries: recoveries.map(({ recovery }) => recovery),
      ...(journal === undefined ? {} : { journal: shownJournal(journal) }),
    };
  }

  #event(vm: VmControl, phases: PhaseTracker, event: VmEvent): void {
    if (event.type !== "entry") return;
    const { entry } = event;
    phases.add(entry);
    if (entry.kind !== "state" || entry.fid === undefined) return;
    this.#change(vm.name, entry.fid, wallMs(vm, entry.timeUs), String(entry.detail["to"]));
  }

  #change(vm: string, fid: number, ms: number, state: string): void {
    this.#changeCount += 1;
    const key = `${vm}\n${fid}`;
    const changes = this.#changes.get(key) ?? [];
    this.#changes.set(key, changes);
    changes.push({ number: this.#changeCount, change: { vm, fid, ms, state } });
    if (changes.length > CHANGES_MAX) changes.shift();
  }
}

/** The wall clock at a moment of the VM's time. */
function wallMs(vm: VmControl, timeUs: number): number {
  return wallClockMs() - Math.max(0, vm.timeUs() - timeUs) / 1000;
}

function shownVm(vm: VmControl): ShownVm {
  const failure = vm.failure();
  return {
    name: vm.name,
    runState: vm.runState(),
    ...(failure === undefined ? {} : { failure: failure.message }),
    timeUs: vm.timeUs(),
    instructions: vm.instructions(),
    functions: vm.functions().map(shownFunction),
  };
}

function shownFunction(status: FunctionStatus): ShownFunction {
  const { fid, id, device, state, guestState, policy, books } = status;
  const { errorsRaised, fetchedByGuest, recoveries, hostResets, workerRestarts } = books;
  return {
    fid,
    id,
    device,
    state,
    guestState,
    policy,
    raised: errorsRaised,
    fetched: fetchedByGuest,
    notDelivered: errorsRaised - fetchedByGuest - booksBalance(books),
    recoveries,
    hostResets,
    workerRestarts,
  };
}

function shownJournal({ written, lost, bytes, problem }: JournalStatus): View["journal"] & object {
  return { written, lost, bytes, ...(problem === undefined ? {} : { problem }) };
}
