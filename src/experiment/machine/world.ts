/**
 * One virtual machine of a trial with a real guest: the deterministic machine, restored from a snapshot of the moment
 * before the first error. Errors come when the scenario's arrivals say, from the streams that the model's trials draw them
 * from; the same meter and books measure. Time in which every function works, or is lost, and nothing is under way
 * changes nothing and is skipped, in whole steps of the kernel's clock tick, so that errors find the guest at different
 * points of its work. A function that is not back at the deadline counts as lost.
 */
import { isFmbCode } from "../../abi/ccdf.ts";
import { errorsWait, type FaultAction, workDone } from "../../backend/sim/index.ts";
import { Stream } from "../../base/distribution.ts";
import { booksBalance, readBooks } from "../../machine/books.ts";
import { DeterministicVm } from "../../machine/deterministic-vm.ts";
import { Ledger } from "../../machine/ledger.ts";
import type { LedgerEntry } from "../../machine/ledger-entry.ts";
import { COMMAND_POLICY_STOP, commandOf, VCPU_RUNNING } from "../../machine/loops.ts";
import type { Snapshot } from "../../machine/snapshot.ts";
import { mapOf, type VmSpec } from "../../machine/vm-spec.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Policy } from "../../recovery/policy.ts";
import { State, states } from "../../recovery/vocabulary.ts";
import { deadlineOf } from "../../recovery/words.ts";
import { load } from "../../shm/atomics.ts";
import { FunctionBlock } from "../../shm/blocks.ts";
import { createVmMemory, type VmMemory } from "../../shm/vm-memory.ts";
import type { Scenario } from "../scenario.ts";
import { EventDraw, FunctionArrivals, Purpose, streamOf } from "../trial/arrivals.ts";
import type { Books } from "../trial/books.ts";
import { type DecidedWorld, type Decider, TrialFault } from "../trial/decider.ts";
import { Health } from "../trial/host-model.ts";
import { type Meter, Phase } from "../trial/meter.ts";
import { ScenarioHost } from "./scenario-host.ts";
import { type RecoveryListener, RecoveryWatch } from "./watch.ts";

const NEVER = Number.POSITIVE_INFINITY;
/** Tick of a Linux kernel for s390x (CONFIG_HZ=100). */
const TICK_US = 10_000;
/** Everything has been at rest for so long: two ticks, so that what a recovery leaves to do is done. */
const REST_US = 2 * TICK_US;

export interface MachineWorldOptions {
  readonly snapshot: Snapshot;
  /** For machines one after the other. */
  readonly memory: VmMemory;
  readonly scenario: Scenario;
  readonly policy: Policy;
  readonly seedA: number;
  readonly seedB: number;
  readonly deadlineUs: number;
  readonly meter: Meter;
  readonly books: Books;
  readonly decider?: Decider | undefined;
  /** Called with everything that happens, in the trial's time. */
  readonly entry?: ((entry: LedgerEntry) => void) | undefined;
}

/** Memory that the snapshot's machine fits into. */
export function memoryFor(snapshot: Snapshot): VmMemory {
  return createVmMemory(mapOf(snapshot.head.spec));
}

export class MachineWorld implements RecoveryListener, DecidedWorld {
  falseQuarantines = 0;
  vmStops = 0;
  readonly #options: MachineWorldOptions;
  readonly #spec: VmSpec;
  readonly #functions: number;
  readonly #hostDraws: readonly Stream[];
  readonly #operatorDraws = new Stream();
  readonly #event = new EventDraw();
  readonly #events: Int32Array;
  /** When a function's failure began; Infinity = it works, or is lost. */
  readonly #failedUs: Float64Array;
  /** Work done when the function was proved to be well; -1 = it is not proved. */
  readonly #provedWork: Float64Array;
  #hosts: ScenarioHost[] = [];
  #arrivals: FunctionArrivals[] = [];
  #machine: DeterministicVm;
  #ledger: Ledger;
  #watch: RecoveryWatch;
  /** Trial's time minus the machine's. */
  #offsetUs = 0;
  #number = 0;
  #operations = 0;
  #busyUs = 0;
  #stopped = false;
  #restartUs = NEVER;

  constructor(options: MachineWorldOptions) {
    this.#options = options;
    const { spec } = options.snapshot.head;
    const { scenario, policy } = options;
    const { policies: _, ...rest } = spec;
    this.#spec = {
      ...rest,
      policy,
      functions: spec.functions.map((config) => ({
        ...config,
        clearError: scenario.host.clearError,
        faults: [],
      })),
    };
    this.#functions = spec.functions.length;
    this.#hostDraws = spec.functions.map(() => new Stream());
    this.#events = new Int32Array(this.#functions);
    this.#failedUs = new Float64Array(this.#functions);
    this.#provedWork = new Float64Array(this.#functions);
    [this.#machine, this.#ledger, this.#watch] = this.#restore(0);
  }

  /** A machine as it was at the snapshot; that is time `atUs` of the trial. */
  #restore(atUs: number): [DeterministicVm, Ledger, RecoveryWatch] {
    const { snapshot, memory, scenario, decider } = this.#options;
    let clock: Clock | undefined;
    this.#hosts = [];
    const machine = new DeterministicVm(this.#spec, ignore, snapshot, {
      memory,
      host: (index, inner) => {
        const draws = this.#hostDraws[index] as Stream;
        const now = (): number => clock?.nowUs() ?? snapshot.head.timeUs;
        const host = new ScenarioHost(inner, scenario.host, draws, now);
        this.#hosts[index] = host;
        return host;
      },
      ...(decider === undefined
        ? {}
        : { beforeRecovery: (index: number) => decider.before(index, this) }),
    });
    clock = machine.clock;
    this.#offsetUs = atUs - Math.floor(clock.nowUs());
    this.#failedUs.fill(NEVER);
    this.#provedWork.fill(-1);
    const watch = new RecoveryWatch(
      this.#spec.functions.map(({ fid }) => fid),
      this,
    );
    const ledger = new Ledger(machine.vm);
    ledger.drain(); // of the boot
    return [machine, ledger, watch];
  }

  // What a policy module sees -------------------------------------------------------------------------------

  get clock(): Clock {
    return { nowUs: () => this.nowUs() };
  }

  state(index: number): number {
    return this.word(index, FunctionBlock.recoveryState);
  }

  pending(index: number): boolean {
    return errorsWait(this.#machine.vm, index);
  }

  deadlineDue(index: number): boolean {
    return deadlineOf(this.#words(), this.#block(index)) <= this.#machine.clock.nowUs();
  }

  word(index: number, word: number): number {
    return load(this.#words(), this.#block(index) + word);
  }

  #words(): Int32Array {
    return this.#options.memory.words;
  }

  #block(index: number): number {
    return (this.#options.memory.map.functionBlocks[index] as number) / 4;
  }

  // A trial -------------------------------------------------------------------------------------------------

  /** Time of the trial, in whole microseconds as the machine's trace has it. */
  nowUs(): number {
    return Math.floor(this.#machine.clock.nowUs()) + this.#offsetUs;
  }

  /** Runs guest number `number` from 0 to the scenario's end; its sums are in the meter and the books. */
  run(number: number): void {
    const { scenario, seedA, seedB, meter, books } = this.#options;
    if (this.#operations > 0 || this.nowUs() > 0 || number > 0) this.#again(0);
    this.#number = number;
    this.#operations = 0;
    this.#events.fill(0);
    this.#stopped = false;
    this.#restartUs = NEVER;
    this.#busyUs = 0;
    for (let index = 0; index < this.#functions; index++) {
      const host = streamOf(Purpose.host, this.#owner(index));
      (this.#hostDraws[index] as Stream).key(seedA, seedB, host, -1);
    }
    this.#arrivals = this.#spec.functions.map(
      (_, index) =>
        new FunctionArrivals(scenario.sources, seedA, seedB, number, this.#owner(index)),
    );
    meter.begin();
    try {
      while (this.#turn()) {
        // until the scenario's end
      }
      books.add(this.#machine.vm, this.#stopped);
      meter.end(scenario.horizonUs);
    } finally {
      this.#machine.close();
    }
  }

  #again(atUs: number): void {
    this.#machine.close();
    [this.#machine, this.#ledger, this.#watch] = this.#restore(atUs);
  }

  #owner(index: number): number {
    return this.#number * this.#functions + index;
  }

  /** False at the scenario's end. */
  #turn(): boolean {
    const { horizonUs } = this.#options.scenario;
    if (this.#stopped) return this.#wait(horizonUs);
    for (let index = 0; index < this.#functions; index++) {
      while ((this.#arrivals[index] as FunctionArrivals).nextUs <= this.nowUs())
        this.#arrive(index);
    }
    const nextUs = this.#nextArrival();
    const endUs = Math.min(nextUs, horizonUs);
    if (this.#rests()) {
      if (endUs === horizonUs) return false;
      this.#offsetUs += Math.max(0, Math.floor((endUs - this.nowUs()) / TICK_US)) * TICK_US;
    }
    if (this.nowUs() >= horizonUs) return false;
    this.#step(endUs);
    return true;
  }

  #nextArrival(): number {
    let nextUs = NEVER;
    for (const arrival of this.#arrivals) nextUs = Math.min(nextUs, arrival.nextUs);
    return nextUs;
  }

  /** The VM stands: nothing happens until somebody starts it again. Errors that come meanwhile nobody hears. */
  #wait(horizonUs: number): boolean {
    if (!(this.#restartUs < horizonUs)) return false;
    const { books, meter } = this.#options;
    books.add(this.#machine.vm, true);
    this.#again(this.#restartUs);
    this.#stopped = false;
    for (let index = 0; index < this.#functions; index++) {
      const arrivals = this.#arrivals[index] as FunctionArrivals;
      for (; arrivals.nextUs <= this.#restartUs; arrivals.take()) this.#count(index);
      meter.resumes(index, this.#restartUs);
    }
    this.#busyUs = this.#restartUs;
    this.#restartUs = NEVER;
    return true;
  }

  #count(index: number): number {
    const ordinal = this.#events[index] as number;
    this.#events[index] = ordinal + 1;
    return ordinal;
  }

  #arrive(index: number): void {
    const { seedA, seedB, meter } = this.#options;
    const source = (this.#arrivals[index] as FunctionArrivals).take();
    const ordinal = this.#count(index);
    const owner = this.#owner(index);
    this.#event.draw(source, seedA, seedB, owner, ordinal);
    const { pec, stale, signal } = this.#event;
    const host = this.#hosts[index] as ScenarioHost;
    const breaks = !stale && !isFmbCode(pec);
    if (breaks) {
      if (host.health === Health.good) {
        const key = streamOf(Purpose.host, owner);
        (this.#hostDraws[index] as Stream).key(seedA, seedB, key, ordinal);
      }
      host.fails(pec);
      if (meter.up(index)) {
        meter.fails(index, this.nowUs());
        this.#failedUs[index] = this.nowUs();
        this.#provedWork[index] = -1;
      }
    }
    const lost: FaultAction[] = signal ? [] : [{ type: "lostSignals", count: 1 }];
    const actions: FaultAction[] = [...lost, { type: "ccdf", pec, stale }];
    this.#machine.order({ kind: "raise", index, actions });
    this.#busyUs = this.nowUs();
  }

  /** Every function works or is lost, and nothing has happened for a while. */
  #rests(): boolean {
    const { meter } = this.#options;
    for (let index = 0; index < this.#functions; index++) {
      if (!meter.up(index) && !meter.lost(index)) return false;
    }
    if (this.nowUs() - this.#busyUs < REST_US) return false;
    for (let index = 0; index < this.#functions; index++) {
      if (meter.lost(index)) continue;
      if (this.state(index) !== State.operational) return false;
      if (booksBalance(readBooks(this.#machine.vm, index)) !== 0) return false;
    }
    return true;
  }

  #step(untilUs: number): void {
    let dueUs = untilUs - this.#offsetUs;
    for (const host of this.#hosts) dueUs = Math.min(dueUs, host.dueUs);
    this.#machine.step(dueUs);
    for (const entry of this.#ledger.drain()) {
      this.#busyUs = this.nowUs();
      this.#watch.add(this.#timed(entry));
      this.#options.entry?.(this.#timed(entry));
    }
    this.#look();
    if (commandOf(this.#machine.vm) === COMMAND_POLICY_STOP) return this.#stop();
    if (this.#machine.stopped() === VCPU_RUNNING) return;
    const address = this.#machine.pswAddress().toString(16);
    throw new TrialFault(`the guest has stopped at ${address}, ${Math.round(this.nowUs())} us`);
  }

  #timed(entry: LedgerEntry): LedgerEntry {
    return { ...entry, timeUs: entry.timeUs + this.#offsetUs };
  }

  /** I/O that runs again, and deadlines. */
  #look(): void {
    const { meter } = this.#options;
    const nowUs = this.nowUs();
    for (let index = 0; index < this.#functions; index++) {
      if (meter.up(index)) continue;
      const proved = this.#provedWork[index] as number;
      if (proved >= 0 && workDone(this.#machine.vm, index) !== proved) {
        this.#failedUs[index] = NEVER;
        this.#provedWork[index] = -1;
        this.#busyUs = nowUs;
        meter.resumes(index, nowUs);
      } else if (nowUs - (this.#failedUs[index] as number) >= this.#options.deadlineUs) {
        this.#failedUs[index] = NEVER;
        meter.loses(index);
      }
    }
  }

  #stop(): void {
    const { meter, scenario, seedA, seedB } = this.#options;
    this.#stopped = true;
    this.vmStops += 1;
    for (let index = 0; index < this.#functions; index++) {
      meter.stops(index, this.nowUs());
      meter.loses(index);
    }
    this.#operations += 1;
    const { restartVmUs } = scenario.operator;
    if (restartVmUs === undefined) return;
    const owner = streamOf(Purpose.operator, this.#owner(0));
    const draws = this.#operatorDraws.key(seedA, seedB, owner, this.#operations);
    this.#restartUs = this.nowUs() + Math.round(draws.draw(restartVmUs));
  }

  // RecoveryListener ----------------------------------------------------------------------------------------

  noticed(index: number, atUs: number): void {
    const { meter } = this.#options;
    if (meter.unnoticed(index)) meter.enters(index, Phase.notify, atUs);
  }

  fetched(index: number, atUs: number): void {
    this.#options.meter.enters(index, Phase.guest, atUs);
    this.#provedWork[index] = -1;
  }

  resetAsked(index: number, atUs: number): void {
    this.#options.meter.enters(index, Phase.reset, atUs);
    this.#provedWork[index] = -1;
  }

  resetGranted(index: number, atUs: number): void {
    this.#options.meter.enters(index, Phase.restore, atUs);
  }

  proved(index: number, atUs: number): void {
    this.#options.meter.enters(index, Phase.resume, atUs);
    this.#provedWork[index] = workDone(this.#machine.vm, index);
  }

  changed(index: number, state: string, _atUs: number): void {
    const { meter } = this.#options;
    if (!leaves.has(state)) return;
    const broken = (this.#hosts[index] as ScenarioHost).health === Health.gone;
    const byPolicy = state === states[State.quarantined] || state === states[State.unplugging];
    if (byPolicy && !broken && !meter.lost(index)) this.falseQuarantines += 1;
    meter.stops(index, this.nowUs());
    meter.loses(index);
    this.#failedUs[index] = NEVER;
  }
}

/** States in which the function is out of service. */
const leaves: ReadonlySet<string | undefined> = new Set(
  [State.quarantined, State.unplugging, State.failed, State.detached].map((state) => states[state]),
);

function ignore(): void {
  // nobody reads a trial's console
}
