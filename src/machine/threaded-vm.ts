/**
 * A VM on threads: one worker per vCPU, one per function, one for the platform, each a piscina instance. The main
 * thread only supervises: it restarts recovery workers that died, takes console text and trace records, and
 * says when to stop.
 */
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { HostClock } from "../base/clock.ts";
import { ZmendError } from "../base/errors.ts";
import { Cpu, CpuState } from "../cpu/index.ts";
import { repairAfterDeath } from "../recovery/index.ts";
import { load, store } from "../shm/atomics.ts";
import {
  FunctionBlock,
  PENDING_COMMAND,
  VcpuHeader,
  VmBlock,
  WORK_COMMAND,
} from "../shm/blocks.ts";
import { Doorbell } from "../shm/doorbell.ts";
import { FloatingInterrupts } from "../shm/floating.ts";
import { SclpEvents } from "../shm/sclp-events.ts";
import { createVmMemory, type VmMemory } from "../shm/vm-memory.ts";
import { type Actor, startActor, type WorkerName } from "./actors.ts";
import { ConsoleGate } from "./console-gate.ts";
import { COMMAND_RUN, COMMAND_STOP, commandOf } from "./loops.ts";
import { prepareVm, recoveryOptions } from "./parts.ts";
import { actorsReady, gateIsOpen, openGate } from "./start-gate.ts";
import { type ActorTask, type ConsoleWrite, mapOf, type VmSpec } from "./vm-spec.ts";

/** Restarts of one function's worker before the VM is stopped: a worker that dies at once each time helps nobody. */
const RESTARTS_MAX = 1000;
/** The same before the VM's time begins, when no deadline watches yet: what killed it would kill the next one too. */
const STARTS_MAX = 4;

const READY_POLL_MS = 2;

/** A thread that was told to end and has not after this is ended: a stop must not depend on what a guest does. */
const STOP_GRACE_MS = 5000;

/** Takes console text; what it returns is awaited before the text counts as taken (console-gate.ts). */
export type ConsoleSink = (bytes: Uint8Array, timeUs: number) => unknown;

export class ThreadedVm {
  readonly spec: VmSpec;
  readonly vm: VmMemory;
  /** The VM's time; 0 until all threads are ready. */
  readonly clock = new HostClock();
  readonly #onConsole: ConsoleSink;
  readonly #actors = new Map<string, Actor>();
  readonly #lives: Promise<void>[] = [];
  readonly #console: ConsoleGate;
  #open = false;
  #stopping = false;
  /** Why a thread other than a recovery worker died; the VM is stopped then. */
  failure: Error | undefined;

  constructor(spec: VmSpec, onConsole: ConsoleSink) {
    this.spec = spec;
    this.vm = createVmMemory(mapOf(spec));
    this.#onConsole = onConsole;
    this.#console = new ConsoleGate(this.vm);
    prepareVm(this.vm, spec);
  }

  /**
   * Starts every thread and, when all are ready, the VM's time. Guest storage and the vCPU's PSW must be ready.
   * Resolves early, with `failure` set, when a thread dies while it starts, and when `interrupted` says so: the
   * VM's time does not begin then, and `stop` has to follow.
   */
  async start(interrupted: () => boolean = () => false): Promise<void> {
    this.#startActors();
    const expected = this.spec.functions.length + 2;
    while (actorsReady(this.vm) < expected && this.failure === undefined) {
      if (interrupted()) return;
      await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
    }
    openGate(this.vm, this.clock);
    this.#open = true;
  }

  #startActors(): void {
    void this.#startActor("platform", "io", {});
    for (let index = 0; index < this.spec.functions.length; index++) this.#startRecovery(index, 0);
    const { port1, port2 } = new MessageChannel();
    port1.on("message", async ({ bytes, timeUs }: ConsoleWrite) => {
      await this.#onConsole(bytes, timeUs);
      this.#console.taken(bytes.length);
    });
    // Console text arrives while somebody waits for the VM; the port alone must not keep the process alive.
    port1.unref();
    const life = this.#startActor("vcpu", "vcpu", { index: 0, console: port2 });
    this.#lives.push(life.then(() => port1.close()));
  }

  /** Instructions executed so far, as last published by the vCPU. */
  instructions(): number {
    const base = (this.vm.map.vcpuAreas[0] as number) / 4;
    const low = load(this.vm.words, base + VcpuHeader.instructionsLow) >>> 0;
    return (load(this.vm.words, base + VcpuHeader.instructionsHigh) >>> 0) * 0x1_0000_0000 + low;
  }

  /** How the guest's CPU stands: `VCPU_RUNNING` or one of the other `VCPU_…` values of `loops.ts`. */
  stopped(): number {
    return load(this.vm.words, this.vm.map.vmBlock / 4 + VmBlock.vcpuStopped);
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

  /** Ends all threads, in order if they will, and frees them. */
  async stop(): Promise<void> {
    this.#stopping = true;
    store(this.vm.words, this.vm.map.vmBlock / 4 + VmBlock.command, COMMAND_STOP);
    new FloatingInterrupts(this.vm).kick(PENDING_COMMAND);
    for (const base of this.vm.map.functionBlocks) {
      const words = base / 4;
      const sleeping = words + FunctionBlock.workerSleeping;
      new Doorbell(this.vm.words, sleeping, words + FunctionBlock.workerSummary).ring(WORK_COMMAND);
    }
    const block = this.vm.map.vmBlock / 4;
    const sleeping = block + VmBlock.platformSleeping;
    new Doorbell(this.vm.words, sleeping, block + VmBlock.platformSummary).ring(1);
    // Before time 0 there is nothing to end in order: threads may still be loading.
    await this.#ended(gateIsOpen(this.vm) ? STOP_GRACE_MS : 0);
  }

  /** Resolves when every thread has ended; after `graceMs` those that have not are killed. */
  async #ended(graceMs: number): Promise<void> {
    const lives = Promise.all(this.#lives);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(resolve, graceMs, "late");
    });
    const first = await Promise.race([lives, late]);
    clearTimeout(timer);
    if (first === "late")
      await Promise.all([...this.#actors.values()].map((actor) => actor.kill()));
    await lives;
  }

  /** Ends a recovery worker's thread wherever it is (tests and fault experiments). */
  async killRecoveryWorker(index: number): Promise<void> {
    await this.#actors.get(`recovery-${index}`)?.kill();
  }

  #startRecovery(index: number, restarts: number): void {
    const name = `recovery-${index}`;
    const actor = startActor("recovery", this.#task({ index }));
    this.#actors.set(name, actor);
    this.#lives.push(
      actor.done.then(
        () => actor.close(),
        async (error: Error) => {
          await actor.close();
          if (commandOf(this.vm) !== COMMAND_RUN) return;
          const limit = this.#open ? RESTARTS_MAX : STARTS_MAX - 1;
          if (restarts >= limit) return this.#fail(name, error);
          try {
            repairAfterDeath(recoveryOptions(this.vm, this.spec, index, this.clock));
            this.#startRecovery(index, restarts + 1);
          } catch (repairError) {
            this.#fail(name, repairError as Error);
          }
        },
      ),
    );
  }

  #startActor(
    name: string,
    worker: WorkerName,
    extra: { readonly index?: number; readonly console?: MessagePort },
  ): Promise<void> {
    const ports = extra.console === undefined ? [] : [extra.console];
    const actor = startActor(worker, this.#task(extra), ports);
    this.#actors.set(name, actor);
    const life = actor.done.then(
      () => actor.close(),
      async (error: Error) => {
        await actor.close();
        if (!this.#stopping) this.#fail(name, error);
      },
    );
    this.#lives.push(life);
    return life;
  }

  #fail(name: string, error: Error): void {
    this.failure ??= new ZmendError(
      "WORKER_FAILED",
      `The ${name} thread of VM ${this.spec.name} died: ${error.message}`,
      { name },
      { cause: error },
    );
    store(this.vm.words, this.vm.map.vmBlock / 4 + VmBlock.command, COMMAND_STOP);
    new FloatingInterrupts(this.vm).kick(PENDING_COMMAND);
  }

  #task<T extends object>(extra: T): ActorTask & T {
    return {
      spec: this.spec,
      map: this.vm.map,
      memory: this.vm.memory,
      ...extra,
    };
  }
}
