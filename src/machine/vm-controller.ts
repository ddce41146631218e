/**
 * One VM as its operators see it (vm-control.ts): what they hold, and nothing else. Owns the VM's threads from `start` to
 * `stop` and looks after them at a fixed interval; what there is to decide stands in its parts (controller-parts.ts). Main
 * thread.
 */
import type { FaultAction, SimFunctionConfig } from "../backend/sim/index.ts";
import type { Policy } from "../recovery/index.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import type { WatchdogAction } from "../shm/watchdog.ts";
import { type BootSource, boot } from "./boot.ts";
import { closeBooks } from "./closing.ts";
import { CommandQueue } from "./command-queue.ts";
import type { ControllerParts } from "./controller-parts.ts";
import { EntryStream } from "./entry-stream.ts";
import { FunctionOrders } from "./function-orders.ts";
import { functionStatuses } from "./function-status.ts";
import { GuestWatch } from "./guest-watch.ts";
import { HotPlug } from "./hot-plug.ts";
import { entryOf } from "./ledger.ts";
import type { Actor, LedgerEntry } from "./ledger-entry.ts";
import { lookEvery, PUMP_MS } from "./pump.ts";
import { type RecentEntries, RecentRecords } from "./recent-records.ts";
import { RunControl } from "./run-control.ts";
import { RunStates } from "./run-states.ts";
import type { Snapshot } from "./snapshot.ts";
import { ThreadedVm } from "./threaded-vm.ts";
import type {
  FunctionStatus,
  InjectRequest,
  OperatorCommand,
  RunState,
  StartOptions,
  UnplugOptions,
  VmControl,
  VmListener,
} from "./vm-control.ts";
import { VmListeners } from "./vm-listeners.ts";
import { VmSnapshots } from "./vm-snapshots.ts";
import type { VmSpec } from "./vm-spec.ts";

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

export class VmController implements VmControl {
  readonly #snapshot: Snapshot | undefined;
  readonly #machine: ThreadedVm;
  readonly #states: RunStates;
  readonly #listeners: VmListeners;
  readonly #commands: CommandQueue;
  readonly #pumpMs: number;
  readonly #recent = new RecentRecords(entryOf);
  readonly #entries: EntryStream;
  readonly #run: RunControl;
  readonly #watch: GuestWatch;
  readonly #functions: FunctionOrders;
  readonly #hotPlug: HotPlug;
  readonly #snapshots: VmSnapshots;
  /** Ends the looks at each interval. */
  #unpump: (() => void) | undefined;
  #end: Promise<void> | undefined;

  /** @throws ZmendError IMAGE_INVALID for an image that cannot be loaded */
  constructor(options: VmControllerOptions) {
    const { snapshot } = options;
    snapshot?.requireMachine(options.spec);
    this.#snapshot = snapshot;
    this.#pumpMs = options.pumpMs ?? PUMP_MS;
    this.#listeners = new VmListeners((error) => this.#states.fail(error));
    this.#machine = this.#newMachine(options);
    this.#states = new RunStates(this.#machine, (event) => this.#listeners.emit(event));
    this.#commands = new CommandQueue(this.#machine);
    const parts: ControllerParts = {
      machine: this.#machine,
      states: this.#states,
      listeners: this.#listeners,
      commands: this.#commands,
      pumpMs: this.#pumpMs,
    };
    this.#entries = new EntryStream(
      this.vm,
      (entry) => this.#listeners.tellEntry(entry),
      this.#recent,
    );
    this.#run = new RunControl(parts, options.boot, () => this.#look());
    this.#watch = new GuestWatch(parts, this.#run, {
      onGuestReset: options.onGuestReset ?? "reset",
      watchdogAction: this.spec.watchdog ?? "reset",
    });
    this.#functions = new FunctionOrders(parts);
    this.#hotPlug = new HotPlug(parts);
    this.#snapshots = new VmSnapshots(parts, this.#entries, this.#hotPlug);
    if (snapshot === undefined) boot(this.vm, options.boot);
  }

  #newMachine({ spec, snapshot, restartsMax }: VmControllerOptions): ThreadedVm {
    return new ThreadedVm(
      snapshot?.head.spec ?? spec,
      (bytes, timeUs) =>
        this.#listeners
          .tell({ type: "console", bytes, timeUs })
          ?.catch((error) => this.#states.fail(error)),
      {
        ...(snapshot === undefined ? {} : { snapshot }),
        ...(restartsMax === undefined ? {} : { restartsMax }),
        onWorkerDeath: (death) => {
          const fid = this.spec.functions[death.index]?.fid ?? 0;
          this.#listeners.emit({ type: "worker-died", ...death, fid, timeUs: this.timeUs() });
        },
      },
    );
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
    this.#states.takeFailure();
    return this.#states.current;
  }

  failure(): Error | undefined {
    return this.#states.failure();
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

  recent(from: number): RecentEntries {
    return this.#recent.since(from);
  }

  functions(): readonly FunctionStatus[] {
    return functionStatuses(this.vm, this.spec);
  }

  // A VM's life -----------------------------------------------------------------------------------------

  /** Rejects with the reason when a thread dies while it starts; resolves early when `interrupted` says so. */
  async start(options: StartOptions = {}): Promise<void> {
    const states = this.#states;
    if (states.current !== "prelaunch" || states.started) {
      throw states.refused("start", "it has been started already; resume it instead");
    }
    states.start();
    this.#unpump = lookEvery(this.#pumpMs, (hasTime) => this.#look(hasTime));
    const paused = options.paused ?? this.#snapshot?.head.paused ?? false;
    if (this.#snapshot !== undefined) states.enter("restore-vm", "operator");
    await this.#machine.start(options.interrupted, paused);
    this.#look();
    const failure = states.takeFailure();
    if (failure !== undefined) throw failure;
    if (options.interrupted?.() === true) return;
    if (this.#snapshot !== undefined) this.#snapshots.restored(this.#snapshot, paused);
    else if (!paused) states.enter("running", "started");
  }

  /** At each interval: entries, commands that waited, how the guest does. @returns false when entries are left to be told */
  #look(hasTime?: () => boolean): boolean {
    const states = this.#states;
    if (states.ended) return true;
    // A machine that is being restored has another's rings.
    const waits = this.#listeners.slow || states.current === "restore-vm";
    const done = waits || this.#entries.look(this.timeUs(), hasTime);
    this.#commands.flush();
    states.takeFailure();
    this.#hotPlug.look();
    if (states.current === "running") this.#watch.look();
    return done;
  }

  stop(): Promise<void> {
    this.#end ??= this.#stop();
    return this.#end;
  }

  async #stop(): Promise<void> {
    const states = this.#states;
    states.end();
    this.#unpump?.();
    await this.#machine.stop();
    this.#entries.pump(Number.POSITIVE_INFINITY);
    if (states.current !== "internal-error") states.enter("shutdown", "operator");
  }

  /** After `stop`: what no guest will fetch any more is counted as lost with the VM. */
  closeBooks(): void {
    closeBooks(this.vm, this.spec);
  }

  // Run states ------------------------------------------------------------------------------------------

  pause(): Promise<void> {
    return this.#run.pause();
  }

  /** One that nobody has started yet is started. */
  resume(): Promise<void> {
    return this.#states.started ? this.#run.resume() : this.start({ paused: false });
  }

  reset(): Promise<void> {
    return this.#run.reset(false);
  }

  powerdown(): void {
    this.#run.powerdown();
  }

  nmi(): void {
    this.#run.nmi();
  }

  setWatchdogAction(action: WatchdogAction): void {
    this.#watch.watchdogAction = action;
  }

  /** Every thread stands while the file is written. The file is whole or it is not there. */
  save(file: string): Promise<void> {
    return this.#snapshots.save(file);
  }

  load(file: string): Promise<void> {
    return this.#snapshots.load(file);
  }

  // Functions -------------------------------------------------------------------------------------------

  inject(fid: number, request: InjectRequest): void {
    this.#functions.inject(fid, request);
  }

  /** Faults of any kind, as a fault plan has them. */
  raise(fid: number, actions: readonly FaultAction[]): void {
    this.#functions.raise(fid, actions);
  }

  command(fid: number, command: OperatorCommand): void {
    this.#states.requireStarted("take a command");
    this.#functions.command(fid, command);
  }

  setPolicy(policy: Policy, fid?: number): Promise<void> {
    return this.#functions.setPolicy(policy, fid);
  }

  /** Resolves when the guest has been told (availability event 0x0301: there, configured). */
  plug(id: string, config: SimFunctionConfig): Promise<void> {
    return this.#states.inTurn(async () => {
      this.#states.require("plug a function", "running", "paused");
      await this.#hotPlug.plug(id, config);
    });
  }

  unplug(fid: number, options: UnplugOptions = {}): void {
    this.#states.requireStarted("give a function up");
    this.#hotPlug.unplug(this.#functions.indexOf(fid), options);
  }

  faults(fid: number): Promise<readonly object[]> {
    return this.#functions.faults(fid);
  }

  /** @returns how many rules with the trigger `command: NAME` fired */
  fire(name: string): Promise<number> {
    return this.#functions.fire(name);
  }

  /** Arms faults of an NVMe controller: all, or none when one is malformed. @returns the problems */
  armNvmeFaults(fid: number, rules: unknown): Promise<readonly string[]> {
    return this.#functions.armNvmeFaults(fid, rules);
  }

  // Console and events ----------------------------------------------------------------------------------

  pushInput(bytes: Uint8Array): number {
    return this.#machine.pushInput(bytes);
  }

  on(listener: VmListener): () => void {
    return this.#listeners.add(listener);
  }

  /** An entry of the main thread's own, told among the others by its time. */
  note(actor: Actor, kind: string, detail: LedgerEntry["detail"], timeUs = this.timeUs()): void {
    this.#entries.note(timeUs, actor, kind, detail);
  }
}
