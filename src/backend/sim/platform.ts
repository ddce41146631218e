/**
 * The platform: hardware and the interrupt side of the host kernel, for all functions of a VM. One object on
 * one thread (`workers/io.worker.ts`, or the single thread of a deterministic run) that carries out what
 * is due by clock, by access count or by request. It never waits; `nextEventUs` says when it wants to
 * be stepped again, its doorbell says when sooner.
 */

import { ZmendError } from "../../base/errors.ts";
import { hex } from "../../base/hex.ts";
import type { Clock } from "../../ports/clock.ts";
import type { GuestDma } from "../../ports/host-function.ts";
import type { Doorbell } from "../../shm/doorbell.ts";
import { platformBell } from "../../shm/platform-bell.ts";
import type { TraceWriter } from "../../shm/trace.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";
import { BusMaster } from "./bus-master.ts";
import { buildCcdf, ccdfFid, ccdfPec, severity, specsOf } from "./ccdf-builder.ts";
import type { FaultAction, FaultRule, SimFunctionConfig } from "./config.ts";
import type { SimDevice } from "./device.ts";
import { DmaEngine } from "./dma-engine.ts";
import { pciFaultProblems } from "./fault-plan.ts";
import { FaultScript, type FaultScriptState } from "./fault-script.ts";
import {
  Hardware,
  HOST_MAGIC,
  type HostArea,
  HostBlock,
  hostArea,
  prepareHostArea,
} from "./host-area.ts";
import { HostKernel } from "./host-kernel.ts";
import { HostRequests } from "./host-requests.ts";
import { Impairment } from "./impairment.ts";
import { NvmeController, type NvmeControllerState } from "./nvme/controller.ts";
import type { ArmedFault } from "./nvme/faults.ts";
import { Presence } from "./presence.ts";

/** What is built over the area of one function. */
interface SimFunction {
  readonly area: HostArea;
  readonly config: SimFunctionConfig;
  readonly script: FaultScript;
  readonly kernel: HostKernel;
  readonly requests: HostRequests;
  readonly presence: Presence;
  readonly impairment: Impairment;
  readonly device: SimDevice;
  /** The same as `device` where it is an NVMe controller. */
  readonly nvme: NvmeController | undefined;
  /** Actions asked for by command. */
  readonly asked: FaultAction[];
  /** Somebody listens to its errors. */
  heard: boolean;
}

/** What is kept of one function for a snapshot: the rest stands in shared memory. */
export interface PlatformFunctionState {
  readonly script: FaultScriptState;
  readonly waiting: readonly (readonly Uint8Array[])[];
  readonly asked: readonly FaultAction[];
  readonly nvme: NvmeControllerState | undefined;
}

/** Actions one `step` takes from a script, so that a long script cannot hold the thread. */
const ACTIONS_PER_STEP_MAX = 64;

export class SimPlatform {
  readonly #vm: VmMemory;
  /** By function index; a slot without a function is undefined. */
  readonly #slots: (SimFunction | undefined)[];
  /** Those that are there, for loops of every step. */
  #functions: readonly SimFunction[] = [];
  readonly #clock: Clock;
  readonly #dmaFor: (index: number, config: SimFunctionConfig) => GuestDma;
  readonly #trace: TraceWriter;
  readonly #bell: Doorbell;
  readonly #listens: (index: number) => boolean;
  /** Error events whose FID no function has: one log line in the kernel, no other effect (3.2 step 2). */
  unknownFid = 0;

  /**
   * @param listens whether somebody listens to the errors of a function: until then nothing breaks. Once true it stays so;
   *   who begins to listen rings the platform's bell
   */
  constructor(
    vm: VmMemory,
    configs: readonly SimFunctionConfig[],
    clock: Clock,
    dmaFor: (index: number, config: SimFunctionConfig) => GuestDma,
    trace: TraceWriter,
    listens: (index: number) => boolean = () => true,
  ) {
    this.#vm = vm;
    this.#clock = clock;
    this.#dmaFor = dmaFor;
    this.#trace = trace;
    this.#bell = platformBell(vm);
    this.#listens = listens;
    this.#slots = configs.map((config, index) => this.#build(index, config));
    this.#sharePes();
  }

  /** After functions came or went. Functions of one EEH PE know of each other. */
  #sharePes(): void {
    this.#functions = this.#slots.filter((entry) => entry !== undefined);
    for (const entry of this.#functions) {
      const { pe } = entry.config.host;
      const peers = this.#functions.filter(
        (other) => pe !== undefined && other !== entry && other.config.host.pe === pe,
      );
      entry.kernel.peers = peers.map(({ kernel }) => kernel);
      entry.requests.peers = peers.map(({ requests }) => requests);
    }
  }

  #build(index: number, config: SimFunctionConfig): SimFunction {
    const area = hostArea(this.#vm, index);
    if (area.get(HostBlock.magic) !== HOST_MAGIC) prepareHostArea(this.#vm, index, config);
    const kernel = new HostKernel(area, config, this.#trace);
    const bus = new BusMaster(area, config, kernel, this.#dmaFor(index, config), this.#trace);
    const nvme = config.nvme === undefined ? undefined : new NvmeController(bus, config.nvme);
    const device = nvme ?? new DmaEngine(bus);
    const entry: SimFunction = {
      area,
      config,
      script: new FaultScript(config.faults, config.faultSeed),
      impairment: new Impairment(area),
      kernel,
      requests: new HostRequests(area, config, kernel, device),
      presence: new Presence(area, config, device),
      device,
      nvme,
      asked: [],
      heard: false,
    };
    bus.onTransfer = (address, length) => {
      const nowUs = this.#clock.nowUs();
      for (const action of entry.script.onTransfer(address, length)) {
        this.#carryOut(entry, action, nowUs);
      }
    };
    this.#armAccessTrigger(entry);
    return entry;
  }

  /** A function in a slot that had none, or had another: its host area is prepared. Thread: the platform's. */
  plug(index: number, config: SimFunctionConfig): void {
    this.unplug(index);
    this.#slots[index] = this.#build(index, config);
    this.#sharePes();
  }

  /** Nothing happens in that slot any more; what a controller holds open is written back and closed. */
  unplug(index: number): void {
    this.#slots[index]?.nvme?.close();
    this.#slots[index] = undefined;
    this.#sharePes();
  }

  /** Carries out everything that is due; true when it did something. */
  step(): boolean {
    this.#bell.take();
    const nowUs = this.#clock.nowUs();
    let worked = false;
    for (const entry of this.#functions) {
      if (this.#stepFunction(entry, nowUs)) worked = true;
    }
    return worked;
  }

  /** Clock time at which something becomes due by itself; Infinity when nothing will. */
  nextEventUs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const entry of this.#functions) {
      const { script, kernel, requests, presence, impairment, device, area, asked } = entry;
      next = Math.min(next, requests.nextEventUs(), device.nextEventUs());
      if (!this.#isHeard(entry)) continue;
      next = Math.min(next, kernel.nextEventUs(), presence.nextEventUs(), impairment.nextEventUs());
      // A disabled function raises no errors: its script waits for the end of the reset.
      if (area.get(HostBlock.hardware) === Hardware.RESETTING) continue;
      next = Math.min(next, script.nextTimeUs());
      const count = script.nextCount();
      // The count may have been passed before it was armed: then nobody rings.
      const passed = count !== 0 && area.get(HostBlock.accesses) >>> 0 >= count;
      const watched = area.get(HostBlock.watchHits) > 0;
      if (passed || watched || asked.length > 0) return 0;
    }
    return next;
  }

  /** Sleeps until rung, until `nextEventUs`, or `timeoutMs` at most. Not in deterministic runs. */
  sleep(timeoutMs: number): void {
    const untilMs = (this.nextEventUs() - this.#clock.nowUs()) / 1000;
    if (untilMs > 0) this.#bell.sleep(Math.min(untilMs, timeoutMs));
  }

  /** Raises `action` on a function at the next step. Thread: the platform's, like `step`. */
  raise(index: number, action: FaultAction): void {
    if (typeof action === "object" && action !== null) this.#slots[index]?.asked.push(action);
  }

  /** Fires the rules of every function that wait for this command; returns how many there are. */
  command(name: string): number {
    let fired = 0;
    for (const { script, asked, nvme } of this.#functions) {
      const actions = script.named(name);
      asked.push(...actions);
      fired += actions.length + (nvme?.faults.command(name) ?? 0);
    }
    return fired;
  }

  /** Faults of a function that can still fire: those of the platform, and those of an NVMe controller. */
  armedFaults(index: number): { readonly pci: readonly FaultRule[]; readonly nvme: ArmedFault[] } {
    const entry = this.#slots[index];
    return { pci: entry?.script.list() ?? [], nvme: entry?.nvme?.faults.list() ?? [] };
  }

  /** Arms faults of a function: all of them, or none when one is malformed. Returns the problems. */
  armFaults(index: number, rules: unknown): string[] {
    const entry = this.#slots[index];
    if (entry === undefined) return [`no function stands in slot ${index}`];
    const problems = pciFaultProblems(rules);
    if (problems.length > 0) return problems;
    const accesses = entry.area.get(HostBlock.accesses) >>> 0;
    entry.script.add(rules as readonly FaultRule[], accesses, this.#clock.nowUs());
    this.#armAccessTrigger(entry);
    return [];
  }

  /**
   * Arms faults of an NVMe controller: all of them, or none when one is malformed. Returns the problems. Thread:
   * the platform's, like `step`.
   */
  armNvmeFaults(index: number, rules: unknown): string[] {
    const nvme = this.nvme(index);
    return nvme === undefined
      ? [`function ${index} is no NVMe controller`]
      : nvme.faults.arm(rules);
  }

  /** The NVMe controller behind a function, if that is what it is. */
  nvme(index: number): NvmeController | undefined {
    return this.#slots[index]?.nvme;
  }

  /** What a snapshot keeps of the platform beyond the host areas, by function index. Plain data. */
  save(): readonly (PlatformFunctionState | undefined)[] {
    return this.#slots.map((entry) =>
      entry === undefined
        ? undefined
        : {
            script: entry.script.save(),
            waiting: entry.kernel.save(),
            asked: [...entry.asked],
            nvme: entry.nvme?.save(),
          },
    );
  }

  /**
   * Goes on where another platform stood; the host areas are in place already.
   * @throws ZmendError SNAPSHOT_INVALID when a disk is not what it was
   */
  load(states: readonly (PlatformFunctionState | undefined)[]): void {
    for (const [index, entry] of this.#slots.entries()) {
      const state = states[index];
      if (state === undefined) this.unplug(index);
      if (state === undefined || entry === undefined) continue;
      entry.script.load(state.script);
      entry.kernel.load(state.waiting);
      entry.asked.splice(0, entry.asked.length, ...state.asked);
      const problem = state.nvme === undefined ? undefined : entry.nvme?.load(state.nvme);
      if (problem !== undefined) {
        throw new ZmendError(
          "SNAPSHOT_INVALID",
          `The disk of function ${hex(entry.config.fid, 8)} is not what it was when the snapshot was taken (${problem}).`,
        );
      }
      this.#armAccessTrigger(entry);
    }
  }

  /** Writes back and closes what controllers hold open; the platform is not stepped afterwards. */
  close(): void {
    for (const { nvme } of this.#functions) nvme?.close();
  }

  /** Raw error events as the channel subsystem hands them to the kernel, routed by FID. */
  channelReport(ccdfs: readonly Uint8Array[]): void {
    for (const ccdf of ccdfs) {
      const fid = ccdfFid(ccdf);
      const target = this.#slots.find((entry) => entry?.config.fid === fid);
      if (target === undefined) this.unknownFid += 1;
      else target.kernel.report([ccdf]);
    }
  }

  #stepFunction(entry: SimFunction, nowUs: number): boolean {
    // Requests first: a reset that has ended makes way for what waited behind it.
    const requested = entry.requests.step(nowUs);
    const transferred = entry.device.step(nowUs);
    if (!this.#isHeard(entry)) return requested || transferred;
    const acted = this.#runScript(entry, nowUs);
    const arrived = entry.kernel.step(nowUs);
    const moved = entry.presence.step(nowUs);
    return requested || transferred || acted || arrived || moved;
  }

  #isHeard(entry: SimFunction): boolean {
    entry.heard ||= this.#listens(entry.area.index);
    return entry.heard;
  }

  #runScript(entry: SimFunction, nowUs: number): boolean {
    const { area, script, asked } = entry;
    let worked = this.#endImpairments(entry, nowUs);
    if (area.get(HostBlock.watchHits) > 0) {
      asked.push(...script.onWatchHits(area.exchange(HostBlock.watchHits, 0)));
    }
    for (let count = 0; count < ACTIONS_PER_STEP_MAX; count++) {
      if (area.get(HostBlock.hardware) === Hardware.RESETTING) return worked;
      const accesses = area.get(HostBlock.accesses) >>> 0;
      const action = asked.shift() ?? script.takeDue(nowUs, accesses);
      if (action === undefined) break;
      this.#carryOut(entry, action, nowUs);
      worked = true;
    }
    if (worked) this.#armAccessTrigger(entry);
    return worked;
  }

  /** A link that is up again tells so by an event. */
  #endImpairments({ area, config, kernel, impairment }: SimFunction, nowUs: number): boolean {
    const pec = impairment.step(nowUs);
    if (pec === 0) return false;
    kernel.report([buildCcdf({ pec }, area.get(HostBlock.handle) >>> 0, config.fid)]);
    return true;
  }

  #carryOut(entry: SimFunction, action: FaultAction, nowUs: number): void {
    const { area, presence, impairment, script } = entry;
    switch (action.type) {
      case "unplug":
        return presence.leave(action.how, nowUs);
      case "plug":
        return presence.comeBack(action.as);
      case "dma":
        return area.add(HostBlock.dmaSabotage, 1);
      case "lostStores":
        return area.add(HostBlock.lostStores, action.count ?? 1);
      case "lostInterrupts":
        return area.add(HostBlock.lostInterrupts, action.count ?? 1);
      case "lostSignals":
        return area.add(HostBlock.lostSignals, action.count ?? 1);
      case "storm": {
        const { type, count, everyUs, ...event } = action;
        for (let n = 0; n < count; n++) {
          script.later(nowUs + n * everyUs, { type: "ccdf", ...event });
        }
        return;
      }
      case "allOnes":
      case "blockedDma":
      case "linkDown": {
        const pec = impairment.begin(action.type, action.forUs, nowUs);
        if (pec !== 0) this.#report(entry, { type: "ccdf", pec });
        return;
      }
      case "ccdf":
      case "burst":
        return this.#report(entry, action);
    }
  }

  /** Events, each to the function that it names. */
  #report({ area, config, kernel }: SimFunction, action: FaultAction): void {
    const handle = area.get(HostBlock.handle) >>> 0;
    const batch = specsOf(action).map((spec) => buildCcdf(spec, handle, config.fid));
    const own = batch.filter((ccdf) => ccdfFid(ccdf) === config.fid);
    kernel.report(own);
    this.channelReport(batch.filter((ccdf) => ccdfFid(ccdf) !== config.fid));
  }

  /** Tells the vCPU's side at which access the next counted rules fire, and whether they break. */
  #armAccessTrigger({ area, config, script }: SimFunction): void {
    const count = script.nextCount();
    const handle = area.get(HostBlock.handle) >>> 0;
    const breaks = (action: FaultAction): boolean =>
      action.type === "linkDown" ||
      specsOf(action)
        .filter((spec) => spec.stale !== true && spec.literal !== true)
        .some((spec) => severity(ccdfPec(buildCcdf(spec, handle, config.fid))) !== "none");
    area.set(HostBlock.triggerBreaks, script.actionsAt(count).some(breaks) ? 1 : 0);
    area.set(HostBlock.accessTrigger, count);
    const watch = script.watch();
    const action = script.watchAction();
    area.set(HostBlock.watchBreaks, action !== undefined && breaks(action) ? 1 : 0);
    area.set(HostBlock.watchFrom, watch?.from ?? 0);
    area.set(HostBlock.watchEnd, watch === undefined ? 0 : watch.to + 1);
  }
}
