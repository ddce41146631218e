/**
 * One VM as its operators see it (vm-control.ts): run states, commands, events. Owns the VM's threads from `start` to
 * `stop`, looks after them at a fixed interval, and carries out one command that changes the run state after
 * the other. Main thread. Run states and what is refused in which follow QEMU (qmp.md; QEMU docs, "QMP reference",
 * RunState); a reset is QEMU's: devices and CPUs reset, storage cleared, the image loaded again.
 */
import type { FaultAction, SimFunctionConfig } from "../backend/sim/index.ts";
import { ZmendError } from "../base/errors.ts";
import { hex } from "../base/hex.ts";
import { Signals } from "../cpu/index.ts";
import { type Policy, State } from "../recovery/index.ts";
import { load } from "../shm/atomics.ts";
import { FunctionBlock, RecoveryCommand } from "../shm/blocks.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { Watchdog, type WatchdogAction } from "../shm/watchdog.ts";
import { type BootSource, boot, bootAgain } from "./boot.ts";
import { closeBooks } from "./closing.ts";
import { CommandQueue } from "./command-queue.ts";
import { EntryStream } from "./entry-stream.ts";
import { functionStatuses } from "./function-status.ts";
import { frozenUs, HOLD_ALL, HOLD_NOBODY, HOLD_VCPUS, holdOf } from "./hold.ts";
import { HotPlug } from "./hot-plug.ts";
import type { Actor, LedgerEntry } from "./ledger-entry.ts";
import {
  VCPU_CHECK_STOP,
  VCPU_DISABLED_WAIT,
  VCPU_POLICY_STOP,
  VCPU_POWER_OFF,
  VCPU_RESET,
  VCPU_RUNNING,
} from "./loops.ts";
import { lookEvery } from "./pump.ts";
import { refused } from "./refused.ts";
import { readSnapshot, type Snapshot, type SnapshotHead, writeSnapshot } from "./snapshot.ts";
import { ThreadedVm } from "./threaded-vm.ts";
import type {
  FunctionStatus,
  InjectRequest,
  OperatorCommand,
  RunState,
  StartOptions,
  UnplugOptions,
  VmControl,
  VmEvent,
  VmListener,
} from "./vm-control.ts";
import { functionIndices, type VmSpec } from "./vm-spec.ts";

export type { BootSource } from "./boot.ts";

export interface VmControllerOptions {
  readonly spec: VmSpec;
  readonly boot: BootSource;
  /** The machine goes on from there; `boot` is for its next reset. It has to be the machine of `spec`. */
  readonly snapshot?: Snapshot;
  /** What a re-IPL by the guest does (QEMU's -no-reboot is `shutdown`); `reset` by default. */
  readonly onGuestReset?: "reset" | "shutdown";
  /** How often the VM is looked after, milliseconds. */
  readonly pumpMs?: number;
  /** Deaths of one recovery worker within a minute that are mended (limits.ts). */
  readonly restartsMax?: number;
}

const PUMP_MS = 10;
/** Entries are told this late (entry-stream.ts). */
const HOLD_BACK_US = 40_000;

/** How long a reset waits for recovery workers, which may have to start. */
const RESET_HEARD_MS = 5000;

const operatorCommands: Readonly<Record<OperatorCommand, number>> = {
  reset: RecoveryCommand.reset,
  quarantine: RecoveryCommand.quarantine,
  release: RecoveryCommand.release,
  unplug: RecoveryCommand.unplug,
  "stop-vm": RecoveryCommand.stopVm,
};

/**
 * A disabled wait at this address is an orderly end: Linux after a shutdown signal (drivers/s390/char/sclp_quiesce.c),
 * and QEMU takes it so (target/s390x/helper.c, s390_handle_wait).
 */
const QUIESCED_PSW_ADDRESS = 0xfffn;

/** Run state and reason for each way in which a guest's CPU ends. */
const endings: Readonly<Record<number, readonly [RunState, string]>> = {
  [VCPU_POWER_OFF]: ["shutdown", "guest-shutdown"],
  [VCPU_DISABLED_WAIT]: ["guest-panicked", "disabled-wait"],
  [VCPU_CHECK_STOP]: ["guest-panicked", "check-stop"],
  [VCPU_POLICY_STOP]: ["io-error", "policy"],
};

export class VmController implements VmControl {
  readonly #machine: ThreadedVm;
  readonly #snapshot: Snapshot | undefined;
  readonly #boot: BootSource;
  readonly #onGuestReset: "reset" | "shutdown";
  readonly #pumpMs: number;
  readonly #entries: EntryStream;
  readonly #listeners = new Set<VmListener>();
  readonly #commands: CommandQueue;
  readonly #hotPlug: HotPlug;
  readonly #watchdog: Watchdog;
  #watchdogAction: WatchdogAction;
  #state: RunState = "prelaunch";
  #failure: Error | undefined;
  /** Ends the looks at each interval; there once it was started. */
  #pump: (() => void) | undefined;
  #busy: Promise<void> = Promise.resolve();
  #stopped = false;
  #ended: Promise<void> | undefined;
  #resetting = false;
  /** Entries that listeners have not taken yet. */
  #slow = 0;

  /** @throws ZmendError IMAGE_INVALID for an image that cannot be loaded */
  constructor(options: VmControllerOptions) {
    const { snapshot } = options;
    snapshot?.requireMachine(options.spec);
    this.#snapshot = snapshot;
    this.#machine = new ThreadedVm(
      snapshot?.head.spec ?? options.spec,
      (bytes, timeUs) => this.#tell({ type: "console", bytes, timeUs }),
      {
        ...(snapshot === undefined ? {} : { snapshot }),
        ...(options.restartsMax === undefined ? {} : { restartsMax: options.restartsMax }),
        onWorkerDeath: (death) => {
          const fid = this.spec.functions[death.index]?.fid ?? 0;
          this.#emit({ type: "worker-died", ...death, fid, timeUs: this.timeUs() });
        },
      },
    );
    this.#boot = options.boot;
    this.#onGuestReset = options.onGuestReset ?? "reset";
    this.#pumpMs = options.pumpMs ?? PUMP_MS;
    this.#watchdogAction = this.spec.watchdog ?? "reset";
    const guestClock = { nowUs: () => this.timeUs() - frozenUs(this.vm) };
    this.#watchdog = new Watchdog(this.vm, guestClock);
    this.#commands = new CommandQueue(this.#machine);
    this.#hotPlug = new HotPlug({
      machine: this.#machine,
      commands: this.#commands,
      pumpMs: this.#pumpMs,
      runState: () => this.#state,
      failure: () => this.failure(),
      emit: (event) => this.#emit(event),
      fail: (error) => this.#fail(error),
    });
    this.#entries = new EntryStream(this.#machine.vm, (entry) => this.#entry(entry));
    if (snapshot === undefined) boot(this.vm, this.#boot);
  }

  get name(): string {
    return this.spec.name;
  }

  /** With the policies that are in force now. */
  get spec(): VmSpec {
    return this.#machine.spec;
  }

  get vm(): VmMemory {
    return this.#machine.vm;
  }

  runState(): RunState {
    this.#takeFailure();
    return this.#state;
  }

  failure(): Error | undefined {
    return this.#failure ?? this.#machine.failure;
  }

  timeUs(): number {
    return this.#machine.clock.nowUs();
  }

  instructions(): number {
    return this.#machine.instructions();
  }

  pswAddress(): bigint {
    return this.#machine.pswAddress();
  }

  /** Trace records that were lost because nobody took them in time. */
  recordsLost(): number {
    return this.#entries.lost();
  }

  functions(): readonly FunctionStatus[] {
    return functionStatuses(this.vm, this.spec);
  }

  // Run states ------------------------------------------------------------------------------------------

  /** Rejects with the reason when a thread dies while it starts; resolves early when `interrupted` says so. */
  async start(options: StartOptions = {}): Promise<void> {
    if (this.#state !== "prelaunch" || this.#pump !== undefined) {
      throw refused(this.name, "start", "it has been started already; resume it instead");
    }
    this.#pump = lookEvery(this.#pumpMs, () => this.#look());
    const paused = options.paused ?? this.#snapshot?.head.paused ?? false;
    if (this.#snapshot !== undefined) this.#enter("restore-vm", "operator");
    await this.#machine.start(options.interrupted, paused);
    this.#look();
    if (this.#failure !== undefined) throw this.#failure;
    if (options.interrupted?.() === true) return;
    if (this.#snapshot !== undefined) this.#restored(this.#snapshot, paused);
    else if (!paused) this.#enter("running", "started");
  }

  /** Deadlines stand or run as the machine does: one that was saved while it ran has recoveries under way. */
  #restored({ head }: Snapshot, paused: boolean): void {
    this.#entries.resync();
    if (paused && !head.paused) this.#commandAll(RecoveryCommand.pause);
    if (!paused && head.paused) this.#commandAll(RecoveryCommand.resume);
    this.#enter(paused ? "paused" : "running", "restored");
  }

  pause(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#state === "paused" || this.#state === "prelaunch") return;
      this.#require("pause", "running");
      await this.#stand("paused", "operator");
    });
  }

  async #stand(as: RunState, reason: string): Promise<void> {
    if (this.#state !== "running") return;
    await this.#machine.hold(HOLD_VCPUS);
    this.#look();
    // The guest may have ended while its CPU was on its way to a stand.
    if (this.#state !== "running") {
      this.#machine.release();
      return;
    }
    this.#commandAll(RecoveryCommand.pause);
    this.#enter(as, reason);
  }

  resume(): Promise<void> {
    return this.#inTurn(() => {
      if (this.#state === "running") return;
      this.#require("resume", "paused", "prelaunch", "watchdog");
      if (this.#state !== "prelaunch") this.#commandAll(RecoveryCommand.resume);
      this.#machine.release();
      this.#enter("running", "operator");
    });
  }

  reset(): Promise<void> {
    return this.#inTurn(() => this.#reset(false));
  }

  powerdown(): void {
    this.#machine.requestQuiesce();
    this.#emit({ type: "powerdown" });
  }

  nmi(): void {
    this.#require("take a restart interruption", "running", "paused", "prelaunch", "watchdog");
    Signals.restart(this.vm, 0);
  }

  setWatchdogAction(action: WatchdogAction): void {
    this.#watchdogAction = action;
  }

  stop(): Promise<void> {
    this.#ended ??= this.#end();
    return this.#ended;
  }

  async #end(): Promise<void> {
    this.#stopped = true;
    this.#pump?.();
    await this.#machine.stop();
    this.#takeFailure();
    this.#entries.pump(Number.POSITIVE_INFINITY);
    if (this.#state !== "internal-error") this.#enter("shutdown", "operator");
  }

  /** After `stop`: what no guest will fetch any more is counted as lost with the VM. */
  closeBooks(): void {
    closeBooks(this.vm, this.spec);
  }

  /** Every thread stands, then: devices, storage and CPUs as at the start, hosts told by the recovery workers. */
  async #reset(byGuest: boolean): Promise<void> {
    if (this.#state === "internal-error" || this.#stopped) {
      throw refused(this.name, "reset", "its threads have ended; start it anew");
    }
    const paused = this.#state === "paused" || this.#state === "prelaunch";
    // The watchdog made it stand; it goes on after this.
    const stood = !paused && holdOf(this.vm) !== HOLD_NOBODY;
    await this.#machine.hold(HOLD_ALL);
    await this.#machine.resetDevices();
    this.#takeFailure();
    if (this.#failure !== undefined) return;
    const { words } = this.vm;
    bootAgain(this.vm, this.#boot);
    // A policy that stopped the VM ended its recovery workers too.
    for (const index of functionIndices(this.spec)) {
      if (load(words, this.#block(index) + FunctionBlock.recoveryState) === State.detached)
        continue;
      this.#machine.reviveRecovery(index);
    }
    if (stood) this.#commandAll(RecoveryCommand.resume);
    this.#commandAll(RecoveryCommand.systemReset);
    this.#machine.release(HOLD_VCPUS);
    if (!paused) {
      await this.#resetHeard();
      this.#machine.release();
    }
    this.#emit({ type: "reset", byGuest });
    if (!paused) this.#enter("running", byGuest ? "guest-reset" : "operator");
  }

  /** What the hosts still had is the old machine's: the new one runs when the recovery workers have done with it. */
  async #resetHeard(): Promise<void> {
    const latestUs = this.timeUs() + RESET_HEARD_MS * 1000;
    const heard = (index: number): boolean =>
      !this.#machine.recoveryServes(index) || this.#commands.taken(index);
    while (!functionIndices(this.spec).every(heard) && this.timeUs() < latestUs) {
      if (this.failure() !== undefined || this.#stopped) return;
      await new Promise((resolve) => setTimeout(resolve, this.#pumpMs));
    }
  }

  #require(what: string, ...allowed: readonly RunState[]): void {
    if (allowed.includes(this.#state)) return;
    const remedy =
      this.#state === "io-error" || this.#state === "guest-panicked" || this.#state === "shutdown"
        ? "reset it first"
        : "start it anew";
    throw refused(this.name, what, `it is in state ${this.#state}; ${remedy}`);
  }

  /** One change of the run state after the other. */
  #inTurn(change: () => Promise<void> | void): Promise<void> {
    const turn = this.#busy.then(() => {
      if (this.#stopped) throw refused(this.name, "change", "it has been stopped");
      return change();
    });
    this.#busy = turn.catch(() => {});
    return turn;
  }

  #enter(to: RunState, reason: string): void {
    if (this.#state === to) return;
    const from = this.#state;
    this.#state = to;
    this.#emit({ type: "run-state", from, to, reason });
  }

  // Functions -------------------------------------------------------------------------------------------

  inject(fid: number, request: InjectRequest): void {
    const index = this.#indexOf(fid);
    const { pec, faddr = 0, count = 1, stale = false } = request;
    const action: FaultAction = { type: "ccdf", pec, faddr, stale };
    this.#raise(index, new Array<FaultAction>(count).fill(action));
  }

  /** Faults of any kind, as a fault plan has them. */
  raise(fid: number, actions: readonly FaultAction[]): void {
    this.#raise(this.#indexOf(fid), actions);
  }

  #raise(index: number, actions: readonly FaultAction[]): void {
    this.#machine.order({ kind: "raise", index, actions }).catch((error) => this.#fail(error));
  }

  command(fid: number, command: OperatorCommand): void {
    this.#commands.post(this.#indexOf(fid), operatorCommands[command]);
  }

  async setPolicy(policy: Policy, fid?: number): Promise<void> {
    const only = fid === undefined ? undefined : this.#indexOf(fid);
    await Promise.all(
      functionIndices(this.spec)
        .filter((index) => only === undefined || index === only)
        .map((index) => this.#machine.setPolicy(index, policy)),
    );
  }

  /** Resolves when the guest has been told (availability event 0x0301: there, configured). */
  plug(id: string, config: SimFunctionConfig): Promise<void> {
    return this.#inTurn(async () => {
      this.#require("plug a function", "running", "paused");
      await this.#hotPlug.plug(id, config);
    });
  }

  unplug(fid: number, options: UnplugOptions = {}): void {
    this.#hotPlug.unplug(this.#indexOf(fid), options);
  }

  async faults(fid: number): Promise<readonly object[]> {
    const index = this.#indexOf(fid);
    const armed = (await this.#machine.order({ kind: "armed", index })) as {
      readonly pci: readonly object[];
      readonly nvme: readonly object[];
    };
    return [
      ...armed.pci.map((rule) => ({ layer: "pci", ...rule })),
      ...armed.nvme.map((rule) => ({ layer: "nvme", ...rule })),
    ];
  }

  /** @returns how many rules with the trigger `command: NAME` fired */
  async fire(name: string): Promise<number> {
    return (await this.#machine.order({ kind: "fire", name })) as number;
  }

  /** Arms faults of an NVMe controller: all, or none when one is malformed. @returns the problems */
  async armNvmeFaults(fid: number, rules: unknown): Promise<readonly string[]> {
    const index = this.#indexOf(fid);
    return (await this.#machine.order({ kind: "arm-nvme", index, rules })) as readonly string[];
  }

  #commandAll(command: number): void {
    for (const index of functionIndices(this.spec)) this.#commands.post(index, command);
  }

  #block(index: number): number {
    return (this.vm.map.functionBlocks[index] as number) / 4;
  }

  #config(index: number): SimFunctionConfig {
    return this.spec.functions[index] as SimFunctionConfig;
  }

  #indexOf(fid: number): number {
    const indices = functionIndices(this.spec);
    const index = indices.find((n) => this.#config(n).fid === fid);
    if (index !== undefined) return index;
    const known = indices.map((n) => hex(this.#config(n).fid, 8)).join(", ");
    throw new ZmendError(
      "NOT_FOUND",
      `VM ${this.name} has no function ${hex(fid, 8)}; ${known === "" ? "it has none" : `it has ${known}`}.`,
      { fid },
    );
  }

  // Snapshots -------------------------------------------------------------------------------------------

  /** Every thread stands while the file is written. The file is whole or it is not there. */
  save(file: string): Promise<void> {
    return this.#inTurn(async () => {
      const before = this.#state;
      if (before !== "running" && before !== "paused") {
        throw refused(
          this.name,
          "be saved",
          `it is in state ${before}; only a VM that runs or is paused can be`,
        );
      }
      // A command on its way is in nobody's memory but ours.
      while (this.#commands.waiting()) {
        await new Promise((resolve) => setTimeout(resolve, this.#pumpMs));
      }
      this.#enter("save-vm", "operator");
      try {
        await this.#machine.hold(HOLD_ALL);
        this.#takeFailure();
        if (this.#failure !== undefined) throw this.#failure;
        const saved = await this.#machine.order({ kind: "save" });
        await writeSnapshot(file, this.vm, {
          spec: this.spec,
          ...this.#machine.heldTimes(),
          paused: before === "paused",
          cpus: [],
          platform: saved as SnapshotHead["platform"],
        });
      } finally {
        this.#machine.release(before === "paused" ? HOLD_VCPUS : HOLD_NOBODY);
        if (this.#failure === undefined) this.#enter(before, "saved");
      }
    });
  }

  /** Goes on from a snapshot, and runs if it ran. The threads are others; whoever watches or controls the VM stays. */
  load(file: string): Promise<void> {
    return this.#inTurn(async () => {
      const before = this.#state;
      if (before === "internal-error" || this.#pump === undefined) {
        const why = `it is in state ${before}; start it anew`;
        throw refused(this.name, "go on from a snapshot", why);
      }
      const snapshot = await readSnapshot(file);
      this.#enter("restore-vm", "operator");
      await this.#machine.hold(HOLD_ALL);
      try {
        snapshot.requireMachine(this.spec);
      } catch (error) {
        const stood = before === "paused" || before === "prelaunch";
        this.#machine.release(stood ? HOLD_VCPUS : HOLD_NOBODY);
        this.#enter(before, "refused");
        throw error;
      }
      this.#entries.pump(Number.POSITIVE_INFINITY);
      this.#commands.forget();
      this.#hotPlug.forget();
      await this.#machine
        .restore(snapshot, before !== "running")
        .catch((error) => this.#fail(error));
      this.#takeFailure();
      if (this.#failure !== undefined) throw this.#failure;
      this.#restored(snapshot, before !== "running");
    });
  }

  // Console and events ----------------------------------------------------------------------------------

  pushInput(bytes: Uint8Array): number {
    return this.#machine.pushInput(bytes);
  }

  on(listener: VmListener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** An entry of the main thread's own, told among the others by its time. */
  note(actor: Actor, kind: string, detail: LedgerEntry["detail"], timeUs = this.timeUs()): void {
    this.#entries.note(timeUs, actor, kind, detail);
  }

  /** @returns a promise when a listener asked for time */
  #tell(event: VmEvent): Promise<unknown> | undefined {
    let slow: Promise<unknown>[] | undefined;
    for (const listener of this.#listeners) {
      const answer = listener(event);
      if (answer instanceof Promise) slow = [...(slow ?? []), answer];
    }
    return slow === undefined ? undefined : Promise.all(slow);
  }

  #emit(event: VmEvent): void {
    this.#tell(event)?.catch((error) => this.#fail(error));
  }

  /** While a listener is slow, entries stay in the trace rings: that costs records, which are counted, no memory. */
  #entry(entry: LedgerEntry): void {
    const slow = this.#tell({ type: "entry", entry });
    if (slow === undefined) return;
    this.#slow += 1;
    slow
      .catch((error) => this.#fail(error))
      .finally(() => {
        this.#slow -= 1;
      });
  }

  /** At each interval: entries, commands that waited, how the guest does. */
  #look(): void {
    if (this.#stopped) return;
    // A machine that is being restored has another's rings.
    if (this.#slow === 0 && this.#state !== "restore-vm")
      this.#entries.pump(this.timeUs() - HOLD_BACK_US);
    this.#commands.flush();
    this.#takeFailure();
    this.#hotPlug.look();
    if (this.#state !== "running") return;
    if (this.#watchdog.takeExpiry()) this.#watchdogFired();
    const stopped = this.#machine.stopped();
    if (stopped === VCPU_RUNNING) return;
    if (stopped === VCPU_RESET) {
      this.#guestReset();
      return;
    }
    const quiesced =
      stopped === VCPU_DISABLED_WAIT && this.#machine.pswAddress() === QUIESCED_PSW_ADDRESS;
    const ended = quiesced ? VCPU_POWER_OFF : stopped;
    const [state, reason] = endings[ended] ?? ["shutdown", "operator"];
    this.#enter(state, reason);
  }

  #guestReset(): void {
    if (this.#onGuestReset === "shutdown") {
      this.#enter("shutdown", "guest-reset");
      return;
    }
    // Once: the state word says "reset" until the reset is done.
    if (this.#resetting) return;
    this.#resetting = true;
    this.#inTurn(() => this.#reset(true))
      .catch((error) => this.#fail(error))
      .finally(() => {
        this.#resetting = false;
      });
  }

  /** QEMU's actions (softmmu/watchdog.c). */
  #watchdogFired(): void {
    const action = this.#watchdogAction;
    this.#emit({ type: "watchdog", action });
    const stands = action === "reset" && this.#onGuestReset === "shutdown";
    if (stands) this.#standFor("shutdown", "guest-reset");
    else if (action === "reset") this.#guestReset();
    else if (action === "shutdown") this.powerdown();
    else if (action === "inject-nmi") this.nmi();
    else if (action === "pause") this.#standFor("watchdog", "watchdog");
    else if (action === "poweroff") this.#standFor("shutdown", "watchdog");
  }

  #standFor(as: RunState, reason: string): void {
    this.#inTurn(() => this.#stand(as, reason)).catch((error) => this.#fail(error));
  }

  #takeFailure(): void {
    if (this.#machine.failure !== undefined) this.#fail(this.#machine.failure);
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined || this.#stopped) return;
    this.#failure = error;
    this.#enter("internal-error", error.message);
  }
}
