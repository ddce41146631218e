/**
 * Hot file. One virtual machine of a trial in virtual time: the recovery machines and the zPCI devices are the real
 * ones over a VM's memory, only the CPU is missing; the host and the guest are models. Each turn does what is due,
 * in a fixed order: arrivals, host, recovery machines, guest, operator. Times are whole microseconds.
 */

import { TraceKind } from "../../abi/records.ts";
import type { VirtualClock } from "../../base/clock.ts";
import { type Distribution, Stream } from "../../base/distribution.ts";
import { plugFunction } from "../../devices/index.ts";
import {
  type DriverVariant,
  GuestModel,
  type GuestTimes,
  type GuestWatcher,
  type Instruction,
  type KernelFlavour,
  Mark,
  stages,
} from "../../guest-model/index.ts";
import type { Policy } from "../../recovery/policy.ts";
// Not through its index: a worker would load the parsers of policy files too.
import { RecoveryUnit } from "../../recovery/unit.ts";
import { State } from "../../recovery/vocabulary.ts";
import { load, store } from "../../shm/atomics.ts";
import { FunctionBlock, RecoveryCommand, VmBlock, WORK_COMMAND } from "../../shm/blocks.ts";
import { ChannelReport } from "../../shm/channel-report.ts";
import { Doorbell } from "../../shm/doorbell.ts";
import { FloatingInterrupts } from "../../shm/floating.ts";
import type { TraceWriter } from "../../shm/trace.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";
import type { Scenario } from "../scenario.ts";
import { EventDraw, FunctionArrivals, Purpose, streamOf } from "./arrivals.ts";
import type { Books } from "./books.ts";
import { type DecidedWorld, type Decider, TrialFault } from "./decider.ts";
import { Health, HostModel } from "./host-model.ts";
import { MachinePort } from "./machine-port.ts";
import type { TrialMemory } from "./memory.ts";
import { type Meter, Phase } from "./meter.ts";
import { type Operated, Operators } from "./operators.ts";
import { WakeTimes } from "./wake-times.ts";

/** Passes of a recovery machine at one moment; more means that it does not come to rest. */
const SETTLE_MAX = 64;
/** Turns at one moment of virtual time. */
const TURNS_AT_ONE_TIME_MAX = 100_000;

export interface WorldOptions {
  /** For `scenario.functionsPerGuest` functions; nobody else uses it while the world lives. */
  readonly memory: TrialMemory;
  readonly scenario: Scenario;
  readonly policy: Policy;
  readonly kernel: KernelFlavour;
  readonly driver: DriverVariant;
  /** Two words that name seed, repetition and scenario. */
  readonly seedA: number;
  readonly seedB: number;
  readonly meter: Meter;
  readonly books: Books;
  readonly decider?: Decider | undefined;
  /** Writes down the guest's instructions. */
  readonly record?: ((instruction: Instruction) => void) | undefined;
  /** Called after every turn, for a time line. */
  readonly turn?: ((world: World) => void) | undefined;
}

export class World implements GuestTimes, GuestWatcher, DecidedWorld, Operated {
  readonly vm: VmMemory;
  readonly clock: VirtualClock;
  readonly stamp = new Float64Array(1);
  readonly #options: WorldOptions;
  readonly #functions: number;
  readonly #meter: Meter;
  readonly #traces: readonly TraceWriter[];
  readonly #blocks: readonly number[];
  readonly #stateSeen: Uint8Array;
  readonly #wakes: WakeTimes;
  readonly #events: Int32Array;
  readonly #hostDraws: readonly Stream[];
  readonly #guestDraws: readonly Stream[];
  readonly #times: readonly Distribution[];
  readonly #event = new EventDraw();
  readonly #operators: Operators;
  #hosts: HostModel[] = [];
  #units: RecoveryUnit[] = [];
  #arrivals: FunctionArrivals[] = [];
  #guest: GuestModel;
  #floating: FloatingInterrupts;
  #number = 0;
  #stopped = false;
  falseQuarantines = 0;
  vmStops = 0;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.#meter = options.meter;
    const functions = options.scenario.functionsPerGuest;
    this.#functions = functions;
    this.vm = options.memory.vm;
    this.clock = options.memory.clock;
    this.clock.restart();
    this.#traces = options.memory.traces;
    const { map } = this.vm;
    this.#blocks = map.functionBlocks.map((offset) => offset / 4);
    this.#stateSeen = new Uint8Array(functions);
    this.#wakes = new WakeTimes(this.vm.words, this.#blocks, options.policy);
    this.#events = new Int32Array(functions);
    this.#hostDraws = this.#blocks.map(() => new Stream());
    this.#guestDraws = this.#blocks.map(() => new Stream());
    this.#times = stages.map((stage) => options.driver.times[stage]);
    const { scenario, seedA, seedB, meter } = options;
    this.#operators = new Operators(functions, scenario.operator, seedA, seedB, meter, this);
    const built = this.#build();
    this.#guest = built.guest;
    this.#floating = built.floating;
  }

  get guest(): GuestModel {
    return this.#guest;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  host(index: number): HostModel {
    return this.#hosts[index] as HostModel;
  }

  unit(index: number): RecoveryUnit {
    return this.#units[index] as RecoveryUnit;
  }

  state(index: number): number {
    return this.unit(index).state;
  }

  pending(index: number): boolean {
    return this.host(index).pending;
  }

  word(index: number, word: number): number {
    return load(this.vm.words, (this.#blocks[index] as number) + word);
  }

  // Building --------------------------------------------------------------------------------------------

  #build(): { guest: GuestModel; floating: FloatingInterrupts } {
    const { vm, clock } = this;
    const { scenario, kernel, driver, record } = this.#options;
    this.#options.memory.clear();
    const floating = new FloatingInterrupts(vm);
    const report = new ChannelReport(vm, floating);
    report.reset();
    this.#hosts = this.#blocks.map(
      (_, index) =>
        new HostModel(vm, index, scenario.host, this.#hostDraws[index] as Stream, () =>
          clock.nowUs(),
        ),
    );
    const port = new MachinePort(vm, this.#hosts, report, this.#traces[1] as TraceWriter, clock);
    for (let index = 0; index < this.#functions; index++) {
      plugFunction(vm, index, { fid: 0x100 + index, uid: index + 1 }, noRegions);
    }
    this.#units = this.#blocks.map((_, index) => this.#newUnit(index, floating, report));
    const guest = new GuestModel(kernel, driver, this.#functions, port, this, this, record);
    return { guest, floating };
  }

  #newUnit(
    index: number,
    floating: FloatingInterrupts,
    channelReport: ChannelReport,
  ): RecoveryUnit {
    return new RecoveryUnit({
      vm: this.vm,
      index,
      host: this.host(index),
      policy: this.#options.policy,
      clock: this.clock,
      trace: this.#traces[2 + index] as TraceWriter,
      channelReport,
      floating,
    });
  }

  /** The VM starts: functions are opened, enabled and proved before anything else happens. */
  #boot(nowUs: number): void {
    this.#wakes.clear();
    this.#operators.booted();
    this.#stateSeen.fill(State.operational);
    for (let index = 0; index < this.#functions; index++) {
      this.#step(index, nowUs);
      const runs = this.host(index).health !== Health.gone && this.#guest.boot(index);
      this.settle(index);
      if (runs) this.#back(index, nowUs);
      else this.#lose(index, nowUs);
    }
  }

  restart(nowUs: number): void {
    this.#options.books.add(this.vm, this.#stopped);
    const health = this.#hosts.map((host) => host.health);
    const built = this.#build();
    this.#guest = built.guest;
    this.#floating = built.floating;
    this.#hosts.forEach((host, index) => {
      host.health = health[index] === Health.gone ? Health.gone : Health.good;
    });
    this.#stopped = false;
    this.#boot(nowUs);
  }

  // A trial ---------------------------------------------------------------------------------------------

  /** Runs guest number `number` from 0 to the scenario's end; its sums are in the meter and the books. */
  run(number: number): void {
    this.start(number);
    while (this.turn()) {
      // until the end
    }
    this.finish();
  }

  start(number: number): void {
    const { scenario, seedA, seedB } = this.#options;
    if (this.#number !== 0 || this.clock.nowUs() !== 0) {
      this.clock.restart();
      this.stamp[0] = 0;
      const built = this.#build();
      this.#guest = built.guest;
      this.#floating = built.floating;
    }
    this.#number = number;
    this.#events.fill(0);
    this.#operators.begin(number * this.#functions);
    for (let index = 0; index < this.#functions; index++) {
      const guest = streamOf(Purpose.guest, this.#owner(index));
      (this.#guestDraws[index] as Stream).key(seedA, seedB, guest, -1);
      const host = streamOf(Purpose.host, this.#owner(index));
      (this.#hostDraws[index] as Stream).key(seedA, seedB, host, -1);
    }
    this.#stopped = false;
    const first = number * this.#functions;
    this.#arrivals = this.#blocks.map(
      (_, index) => new FunctionArrivals(scenario.sources, seedA, seedB, number, first + index),
    );
    this.#meter.begin();
    this.#boot(0);
  }

  /** Does what is due next. False when nothing is before the scenario's end. */
  turn(): boolean {
    const dueUs = this.#dueUs();
    if (!(dueUs < this.#options.scenario.horizonUs)) return false;
    if (dueUs > this.clock.nowUs()) {
      this.clock.advanceTo(dueUs);
      this.stamp[0] = dueUs;
      this.#turns = 0;
    } else if (++this.#turns > TURNS_AT_ONE_TIME_MAX) {
      throw new TrialFault(`the trial does not come to rest at ${dueUs} us`);
    }
    const nowUs = this.clock.nowUs();
    for (let index = 0; index < this.#functions; index++) {
      while ((this.#arrivals[index] as FunctionArrivals).nextUs <= nowUs) this.#arrive(index);
      if (this.host(index).dueUs <= nowUs) this.host(index).due();
      this.settle(index);
    }
    if (this.#floating.claimMachineCheck()) this.#guest.machineCheck();
    if (this.#guest.nextUs <= nowUs && !this.#stopped) {
      this.#guest.step();
      for (let index = 0; index < this.#functions; index++) this.settle(index);
    }
    this.#operators.step(nowUs);
    this.#options.turn?.(this);
    return true;
  }
  #turns = 0;

  finish(): void {
    this.#options.books.add(this.vm, this.#stopped);
    this.#meter.end(this.#options.scenario.horizonUs);
  }

  #dueUs(): number {
    let due = this.#operators.nextUs;
    for (let index = 0; index < this.#functions; index++) {
      const arrival = (this.#arrivals[index] as FunctionArrivals).nextUs;
      if (arrival < due) due = arrival;
      if (this.#stopped) continue;
      const host = (this.#hosts[index] as HostModel).dueUs;
      if (host < due) due = host;
      const unit = this.#wakes.due[index] as number;
      if (unit < due) due = unit;
    }
    const guest = this.#guest.nextUs;
    return !this.#stopped && guest < due ? guest : due;
  }

  // Faults ----------------------------------------------------------------------------------------------

  #owner(index: number): number {
    return this.#number * this.#functions + index;
  }

  #arrive(index: number): void {
    const source = (this.#arrivals[index] as FunctionArrivals).take();
    const ordinal = this.#events[index] as number;
    this.#events[index] = ordinal + 1;
    if (this.#stopped) return; // nobody listens to the hardware of a stopped VM
    const { seedA, seedB } = this.#options;
    const owner = this.#owner(index);
    this.#event.draw(source, seedA, seedB, owner, ordinal);
    const { pec, stale, signal } = this.#event;
    const host = this.host(index);
    const before = host.health;
    if (before === Health.good && !stale) {
      (this.#hostDraws[index] as Stream).key(seedA, seedB, streamOf(Purpose.host, owner), ordinal);
      (this.#guestDraws[index] as Stream).key(
        seedA,
        seedB,
        streamOf(Purpose.guest, owner),
        ordinal,
      );
    }
    const disposition = host.raise(pec, stale, signal);
    const generation = this.word(index, FunctionBlock.stateWord) >>> 8;
    const trace = this.#traces[0] as TraceWriter;
    trace.write(TraceKind.errorRaised, index, generation, 0, pec, disposition, 0, 0);
    const nowUs = this.clock.nowUs();
    if (host.health !== Health.good && this.#meter.up(index)) this.#meter.fails(index, nowUs);
    if (!signal && host.pending) this.#wakes.unsignalled(index, nowUs);
  }

  // Recovery machines -----------------------------------------------------------------------------------

  /** Steps the machine while it is rung or due. */
  settle(index: number): void {
    const nowUs = this.clock.nowUs();
    const summary = (this.#blocks[index] as number) + FunctionBlock.workerSummary;
    for (let n = 0; n < SETTLE_MAX; n++) {
      const due = (this.#wakes.due[index] as number) <= nowUs;
      if (!due && load(this.vm.words, summary) === 0) return;
      if (this.#stopped || this.unit(index).ended) return;
      this.#step(index, nowUs);
      this.#guest.answered();
    }
    throw new TrialFault(`the recovery machine of function ${index} does not come to rest`);
  }

  #step(index: number, nowUs: number): void {
    const unit = this.unit(index);
    this.#wakes.before(index, nowUs);
    this.#options.decider?.before(index, this);
    const wake = unit.step();
    if (load(this.vm.words, this.vm.map.vmBlock / 4 + VmBlock.command) !== 0) {
      this.#stop(nowUs);
      return;
    }
    const state = unit.state;
    if (state !== this.#stateSeen[index]) this.#changed(index, state, nowUs);
    this.#wakes.after(index, unit, this.host(index), wake, nowUs);
  }

  deadlineDue(index: number): boolean {
    return this.#wakes.deadlineUs(index) <= this.clock.nowUs();
  }

  #changed(index: number, state: number, nowUs: number): void {
    this.#stateSeen[index] = state;
    if (this.#meter.unnoticed(index)) this.#meter.enters(index, Phase.notify, nowUs);
    const broken = this.host(index).health === Health.gone;
    switch (state) {
      case State.quarantined:
      case State.unplugging:
        if (!broken && !this.#meter.lost(index)) this.falseQuarantines += 1;
        this.#lose(index, nowUs);
        return;
      case State.failed:
      case State.detached:
        this.#lose(index, nowUs);
    }
  }

  #stop(nowUs: number): void {
    this.#stopped = true;
    this.vmStops += 1;
    for (let index = 0; index < this.#functions; index++) {
      this.#meter.stops(index, nowUs);
      this.#meter.loses(index);
    }
    this.#operators.vmStopped(nowUs);
  }

  // Guest -----------------------------------------------------------------------------------------------

  delayUs(index: number, stage: number): number {
    return Math.round((this.#guestDraws[index] as Stream).draw(this.#times[stage] as Distribution));
  }

  mark(index: number, mark: number): void {
    const nowUs = this.clock.nowUs();
    switch (mark) {
      case Mark.fetched:
        return this.#meter.enters(index, Phase.guest, nowUs);
      case Mark.resetAsked:
        return this.#meter.enters(index, Phase.reset, nowUs);
      case Mark.resetGranted:
        return this.#meter.enters(index, Phase.restore, nowUs);
      case Mark.proved:
        return this.#meter.enters(index, Phase.resume, nowUs);
      case Mark.resumed:
        return this.#back(index, nowUs);
      default:
        return this.#lose(index, nowUs);
    }
  }

  #back(index: number, nowUs: number): void {
    this.#operators.back(index);
    this.#meter.resumes(index, nowUs);
  }

  /** Out of service. A guest that gives up a function which works (boot, removal) is as much of a loss as any other. */
  #lose(index: number, nowUs: number): void {
    this.#meter.stops(index, nowUs);
    this.#meter.loses(index);
    this.#operators.lost(index, nowUs);
  }

  // What operators do -----------------------------------------------------------------------------------

  replace(index: number): void {
    this.host(index).repair();
  }

  command(index: number, command: number): void {
    const block = this.#blocks[index] as number;
    store(this.vm.words, block + FunctionBlock.recoveryCommand, command);
    new Doorbell(
      this.vm.words,
      block + FunctionBlock.workerSleeping,
      block + FunctionBlock.workerSummary,
    ).ring(WORK_COMMAND);
  }

  /** The function is there again; a new worker serves it, for the old one's life has ended. */
  plugAgain(index: number): void {
    this.command(index, RecoveryCommand.hostBack);
    const report = new ChannelReport(this.vm, this.#floating);
    this.#units[index] = this.#newUnit(index, this.#floating, report);
  }
}

const noRegions = { load: () => 0, store: () => 0, valueHigh: 0, valueLow: 0 };
