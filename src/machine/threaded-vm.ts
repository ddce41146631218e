/**
 * A VM on threads: one worker per vCPU, one for the platform, one per function (or one for several: vm-recovery.ts),
 * each a piscina instance. The main thread only supervises: it takes console text, makes threads stand, hands them
 * orders, and says when to stop.
 */
import { MessageChannel, type MessagePort } from "node:worker_threads";
import type { SimFunctionConfig } from "../backend/sim/index.ts";
import { HostClock } from "../base/clock.ts";
import { ZmendError } from "../base/errors.ts";
import { Cpu, CpuState, interpreterModule } from "../cpu/index.ts";
import type { Policy } from "../recovery/index.ts";
import { load, store } from "../shm/atomics.ts";
import { PENDING_COMMAND, VcpuHeader, VmBlock } from "../shm/blocks.ts";
import { FloatingInterrupts } from "../shm/floating.ts";
import { platformBell } from "../shm/platform-bell.ts";
import { SclpEvents } from "../shm/sclp-events.ts";
import { createVmMemory, type VmMemory } from "../shm/vm-memory.ts";
import { type Actor, startActor, type WorkerName } from "./actors.ts";
import { clearMemory } from "./clear-storage.ts";
import { ConsolePump, type ConsoleSink } from "./console-pump.ts";
import {
  addFrozen,
  deviceResetDone,
  frozenUs,
  type HOLD_ALL,
  HOLD_NOBODY,
  HOLD_VCPUS,
  holdOf,
  orderDeviceReset,
  orderHold,
  standsStill,
} from "./hold.ts";
import { COMMAND_STOP, type PlatformOrder, stoppedOf, VCPU_RUNNING } from "./loops.ts";
import type { PlatformAnswer, PlatformRequest } from "./orders.ts";
import { placeFunction, prepareVm, translateAfter } from "./parts.ts";
import { lookEvery, PUMP_MS } from "./pump.ts";
import { forgetThreads } from "./restore.ts";
import type { Snapshot } from "./snapshot.ts";
import {
  gateIsOpen,
  mayStart,
  openGate,
  PLATFORM_ACTOR,
  recoveryActor,
  vcpuActor,
} from "./start-gate.ts";
import { VmRecovery, type WorkerDeath } from "./vm-recovery.ts";
import {
  type ActorTask,
  functionIndices,
  mapOf,
  type VcpuPlug,
  type VmSpec,
  withFunction,
  withPolicy,
} from "./vm-spec.ts";

export type { WorkerDeath } from "./vm-recovery.ts";

/** How often the main thread looks whether threads have done what they were told. */
const LOOK_MS = 2;

/** A thread that was told to end and has not after this is ended: a stop must not depend on what a guest does. */
const STOP_GRACE_MS = 5000;

export interface ThreadedVmOptions {
  /** The machine goes on from there instead of starting. */
  readonly snapshot?: Snapshot;
  readonly onWorkerDeath?: (death: WorkerDeath) => void;
  readonly restartsMax?: number;
}

export class ThreadedVm {
  readonly vm: VmMemory;
  /** The VM's time; 0 until all threads are ready. */
  readonly clock = new HostClock();
  /** Where the machine goes on, until it is started. */
  #snapshot: Snapshot | undefined;
  readonly #options: ThreadedVmOptions;
  readonly #actors = new Map<string, Actor>();
  readonly #lives = new Set<Promise<void>>();
  /** Numbers of the threads that live. */
  readonly #alive = new Set<number>();
  #recovery: VmRecovery;
  readonly #console: ConsolePump;
  /** Ends the looks at the console. */
  #unlook: (() => void) | undefined;
  #platformPort: MessagePort | undefined;
  readonly #vcpuPorts: MessagePort[] = [];
  readonly #answers = new Map<number, (answer: PlatformAnswer) => void>();
  #spec: VmSpec;
  #requests = 0;
  #heldAtUs = 0;
  #stopping = false;
  /** Why a thread other than a recovery worker died; the VM is stopped then. */
  failure: Error | undefined;

  constructor(spec: VmSpec, onConsole: ConsoleSink, options: ThreadedVmOptions = {}) {
    this.#spec = spec;
    this.vm = createVmMemory(mapOf(spec));
    this.#options = options;
    this.#snapshot = options.snapshot;
    this.#console = new ConsolePump(this.vm, onConsole);
    if (options.snapshot === undefined) prepareVm(this.vm, spec);
    this.#recovery = this.#newRecovery();
  }

  #newRecovery(): VmRecovery {
    return new VmRecovery({
      vm: this.vm,
      clock: this.clock,
      spec: () => this.#spec,
      task: () => this.#task({}),
      fail: (name, error) => this.#fail(name, error),
      onWorkerDeath: this.#options.onWorkerDeath,
      restartsMax: this.#options.restartsMax,
    });
  }

  /** With the policies that are in force now. */
  get spec(): VmSpec {
    return this.#spec;
  }

  /**
   * Starts platform and vCPUs and, when they are ready, the VM's time and the recovery workers (start-gate.ts). Guest storage
   * and the vCPU's PSW must be ready. Resolves early, with `failure` set, when a thread dies before that, and when
   * `interrupted` says so: the VM's time does not begin then, and `stop` has to follow. With `paused` the vCPUs stand until `release`.
   */
  async start(interrupted: () => boolean = () => false, paused = false): Promise<void> {
    const snapshot = this.#snapshot;
    if (snapshot !== undefined) {
      await snapshot.fill(this.vm);
      forgetThreads(this.vm, snapshot.head.frozenUs);
    }
    if (paused) orderHold(this.vm, HOLD_VCPUS);
    this.#heldAtUs = snapshot?.head.timeUs ?? 0;
    this.#recovery.open();
    this.#startPlatform();
    this.#unlook ??= lookEvery(PUMP_MS, () => this.#console.look());
    for (let cpu = 0; cpu < this.vm.map.vcpuCount; cpu++) this.#startVcpu(cpu);
    while (!mayStart(this.vm)) {
      if (interrupted() || this.failure !== undefined) return;
      await look();
    }
    openGate(this.vm, this.clock, snapshot?.head.timeUs);
    this.#recovery.start(functionIndices(this.#spec), snapshot !== undefined);
  }

  #startVcpu(cpu: number): void {
    const { port1, port2 } = new MessageChannel();
    // Its only message: it waits for room for its console text.
    port1.on("message", () => this.#console.look());
    this.#vcpuPorts.push(port1);
    // A port alone must not keep the process alive.
    port1.unref();
    const name = cpu === 0 ? "vcpu" : `vcpu-${cpu}`;
    // One for all vCPUs of the process: what one of them has V8 optimise, all run.
    const interpreter = interpreterModule(translateAfter(this.spec));
    const task = this.#task({ index: cpu, orders: port2, interpreter });
    const life = this.#startActor(name, "vcpu", vcpuActor(cpu), task, port2);
    void life.then(() => port1.close());
  }

  /** Instructions executed so far, as last published by the vCPUs. */
  instructions(): number {
    return this.vm.map.vcpuAreas.reduce((sum, area) => {
      const low = load(this.vm.words, area / 4 + VcpuHeader.instructionsLow) >>> 0;
      const high = load(this.vm.words, area / 4 + VcpuHeader.instructionsHigh) >>> 0;
      return sum + high * 0x1_0000_0000 + low;
    }, 0);
  }

  /**
   * The machine goes on from a snapshot of itself: its threads end, others begin on the same memory. With `paused` the
   * vCPUs stand until `release`. A thread that dies meanwhile is `failure`.
   */
  async restore(snapshot: Snapshot, paused: boolean): Promise<void> {
    this.#stopping = true;
    this.#command(COMMAND_STOP);
    await this.#ended(STOP_GRACE_MS);
    this.#platformPort?.close();
    for (const answer of this.#answers.values()) {
      answer({ request: 0, answer: undefined, refusal: "The VM was restored from a snapshot." });
    }
    this.#answers.clear();
    this.#vcpuPorts.length = 0;
    this.#actors.clear();
    if (this.failure !== undefined) return;
    clearMemory(this.vm);
    this.#snapshot = snapshot;
    this.#spec = snapshot.head.spec;
    this.#recovery = this.#newRecovery();
    this.#stopping = false;
    await this.start(() => false, paused);
  }

  /**
   * How the guest's CPU stands: `VCPU_RUNNING` or one of the other `VCPU_…` values of `loops.ts`. What a guest said before
   * it ended has been told then.
   */
  stopped(): number {
    const stopped = stoppedOf(this.vm);
    if (stopped !== VCPU_RUNNING) this.#console.look();
    return stopped;
  }

  pswAddress(): bigint {
    return new CpuState(this.vm, 0).u64(Cpu.pswAddress);
  }

  /** Asks the guest to shut down (SCLP signal quiesce). */
  requestQuiesce(): void {
    new SclpEvents(this.vm, new FloatingInterrupts(this.vm)).requestQuiesce();
  }

  /** Types on the guest's console; returns how many bytes it had room for. */
  pushInput(bytes: Uint8Array): number {
    return new SclpEvents(this.vm, new FloatingInterrupts(this.vm)).pushInput(bytes);
  }

  // Standing still --------------------------------------------------------------------------------------

  /**
   * Makes the vCPUs stand, or every thread; resolves when they do, or when the VM ends instead. Guest time does not
   * pass from then on.
   */
  async hold(level: typeof HOLD_VCPUS | typeof HOLD_ALL): Promise<void> {
    const before = holdOf(this.vm);
    orderHold(this.vm, level);
    this.#ringAll();
    while (!this.#stand(level)) await look();
    this.#console.look(); // a snapshot has no text that was told already
    if (before === HOLD_NOBODY) this.#heldAtUs = this.clock.nowUs();
  }

  /** Lets threads go on, all of them or all but the vCPUs. */
  release(level: typeof HOLD_NOBODY | typeof HOLD_VCPUS = HOLD_NOBODY): void {
    if (level === HOLD_NOBODY && holdOf(this.vm) !== HOLD_NOBODY) {
      addFrozen(this.vm, this.clock.nowUs() - this.#heldAtUs);
    }
    orderHold(this.vm, level);
    this.#recovery.ringAll(); // they stand without sleeping on that order
  }

  /** Every thread stands: microseconds of the VM's time, and how many of them the vCPUs have stood. */
  heldTimes(): { readonly timeUs: number; readonly frozenUs: number } {
    const timeUs = this.clock.nowUs();
    return { timeUs, frozenUs: frozenUs(this.vm) + timeUs - this.#heldAtUs };
  }

  /** Every thread stands: resets the devices as the guest sees them. */
  async resetDevices(): Promise<void> {
    orderDeviceReset(this.vm);
    while (!deviceResetDone(this.vm) && this.#running()) await look();
  }

  #stand(level: number): boolean {
    if (!this.#running()) return true;
    for (const actor of this.#alive) {
      const isVcpu = actor > PLATFORM_ACTOR && actor <= this.vm.map.vcpuCount;
      if (!isVcpu && level === HOLD_VCPUS) continue;
      if (!standsStill(this.vm, actor)) return false;
    }
    if (level === HOLD_VCPUS) return true;
    for (const index of this.#recovery.carried()) {
      if (!standsStill(this.vm, recoveryActor(this.vm, index))) return false;
    }
    return true;
  }

  /** Threads have been started. */
  #begun(): boolean {
    return this.#platformPort !== undefined;
  }

  #running(): boolean {
    return this.failure === undefined && !this.#stopping;
  }

  // Orders ----------------------------------------------------------------------------------------------

  /** Has the platform's thread carry an order out, also while it sleeps; resolves with its answer. */
  order(order: PlatformOrder): Promise<unknown> {
    const request = ++this.#requests;
    return new Promise((resolve, reject) => {
      if (!this.#alive.has(PLATFORM_ACTOR)) {
        const why = this.#begun() ? "does not run any more" : "has not been started yet";
        reject(new ZmendError("WORKER_FAILED", `The VM ${this.#spec.name} ${why}.`));
        return;
      }
      this.#answers.set(request, ({ answer, refusal }) => {
        if (refusal === undefined) resolve(answer);
        else reject(new ZmendError("STATE_REFUSED", refusal));
      });
      this.#platformPort?.postMessage({ request, order } satisfies PlatformRequest);
      this.#ringPlatform();
      orderHold(this.vm, holdOf(this.vm)); // it may stand: then this wakes it
    });
  }

  /** Another policy for a function, from its worker's next step on. A deadline that runs stays as it is. */
  async setPolicy(index: number, policy: Policy): Promise<void> {
    this.#spec = withPolicy(this.#spec, index, policy);
    if (!this.#begun()) return; // its worker begins with it
    const taken = this.#recovery.askPolicy(index, policy);
    while (!taken() && this.#running() && this.recoveryServes(index)) await look();
  }

  ringRecovery(index: number): void {
    this.#recovery.ring(index);
  }

  /** Whether function `index` has a recovery worker: not after it left, nor after a policy stopped the VM. */
  recoveryServes(index: number): boolean {
    return this.#recovery.serves(index);
  }

  /** A new worker for function `index`, if its last one has ended in order. */
  reviveRecovery(index: number): void {
    if (!this.#recovery.serves(index) && this.#running()) this.#recovery.start([index]);
  }

  /**
   * A function in the free place `index`, while the VM runs. Its worker tells the guest; the vCPU, which has to
   * stand for a moment, knows of it before.
   */
  async plug(index: number, id: string, config: SimFunctionConfig): Promise<void> {
    placeFunction(this.vm, index, config);
    await this.order({ kind: "plug", index, config });
    const before = holdOf(this.vm);
    await this.hold(HOLD_VCPUS);
    for (const port of this.#vcpuPorts) port.postMessage({ index, config } satisfies VcpuPlug);
    if (before === HOLD_NOBODY) this.release();
    this.#spec = withFunction(this.#spec, index, { id, config });
    this.#recovery.start([index]);
  }

  /** A function whose worker has ended leaves: its place is free when the guest has fetched its last event. */
  async removeFunction(index: number): Promise<void> {
    this.#spec = withFunction(this.#spec, index, undefined);
    this.#recovery.leave(index);
    await this.order({ kind: "unplug", index });
  }

  #ringPlatform(): void {
    platformBell(this.vm).ring(1);
  }

  #ringAll(): void {
    new FloatingInterrupts(this.vm).kick(PENDING_COMMAND);
    this.#recovery.ringAll();
    this.#ringPlatform();
  }

  // The end ---------------------------------------------------------------------------------------------

  /** Ends all threads, in order if they will, and frees them. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#command(COMMAND_STOP);
    // Before time 0 there is nothing to end in order: threads may still be loading.
    await this.#ended(gateIsOpen(this.vm) ? STOP_GRACE_MS : 0);
    this.#unlook?.();
    this.#platformPort?.close();
  }

  #command(command: number): void {
    store(this.vm.words, this.vm.map.vmBlock / 4 + VmBlock.command, command);
    this.#ringAll();
    orderHold(this.vm, HOLD_NOBODY); // wakes those that stand
  }

  /** Resolves when every thread has ended; after `graceMs` those that have not are killed. */
  async #ended(graceMs: number): Promise<void> {
    const lives = Promise.all([...this.#lives, this.#recovery.ended()]);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(resolve, graceMs, "late");
    });
    const first = await Promise.race([lives, late]);
    clearTimeout(timer);
    if (first === "late") {
      await Promise.all([...this.#actors.values()].map((actor) => actor.kill()));
      // A thread that other VMs need as well is ended for one that is stuck, not for one that has not begun.
      await this.#recovery.killAll(graceMs > 0);
    }
    await lives;
    this.#console.look();
  }

  /** Ends a recovery worker's thread wherever it is (tests and fault experiments). */
  async killRecoveryWorker(index: number): Promise<void> {
    await this.#recovery.kill(index);
  }

  // Threads ---------------------------------------------------------------------------------------------

  #startPlatform(): void {
    const { port1, port2 } = new MessageChannel();
    port1.on("message", (answer: PlatformAnswer) => {
      this.#answers.get(answer.request)?.(answer);
      this.#answers.delete(answer.request);
    });
    port1.unref();
    this.#platformPort = port1;
    const saved = this.#snapshot?.head.platform;
    const task = this.#task({ orders: port2, ...(saved === undefined ? {} : { saved }) });
    void this.#startActor("platform", "io", PLATFORM_ACTOR, task, port2);
  }

  /** What `stop` has to wait for. */
  #live(life: Promise<void>): void {
    this.#lives.add(life);
    void life.then(() => this.#lives.delete(life));
  }

  #startActor(
    name: string,
    worker: WorkerName,
    number: number,
    task: ActorTask,
    port: MessagePort,
  ): Promise<void> {
    const actor = startActor(worker, task, [port]);
    this.#actors.set(name, actor);
    this.#alive.add(number);
    const life = actor.done.then(
      () => {
        this.#alive.delete(number);
        return actor.close();
      },
      async (error: Error) => {
        this.#alive.delete(number);
        await actor.close();
        if (!this.#stopping) this.#fail(name, error);
      },
    );
    this.#live(life);
    return life;
  }

  #fail(name: string, error: Error): void {
    this.failure ??= new ZmendError(
      "WORKER_FAILED",
      `The ${name} thread of VM ${this.#spec.name} died: ${error.message}`,
      { name },
      { cause: error },
    );
    this.#command(COMMAND_STOP);
  }

  #task<T extends object>(extra: T): ActorTask & T {
    const { map, memory, recoveryWords } = this.vm;
    return {
      spec: this.#spec,
      map,
      memory,
      ...(recoveryWords === undefined ? {} : { recoveryWords }),
      ...extra,
    };
  }
}

function look(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, LOOK_MS));
}
