/**
 * The interrupt side of the simulated host kernel for one function: an error CCDF arrives, is filtered by
 * handle, routed by PEC, stored for user space, and leaves its locks held for a while
 * (vfio-uapi.md 3.2 to 3.6). Thread: platform only.
 *
 * Events are processed one batch at a time: as in the kernel, the next waits until the state lock of the
 * one before is free, and while a reset holds it. The handle is compared when the event is processed,
 * so what was raised before a reset is stale after it (3.2 step 5).
 */
import { Pec } from "../../abi/ccdf.ts";
import { HostDisposition, TraceKind } from "../../abi/records.ts";
import type { ErrorDialect } from "../../abi/zpci-err.ts";
import { EIO } from "../../ports/host-function.ts";
import { add, compareExchange, load } from "../../shm/atomics.ts";
import { FunctionBlock, generationOf, WORK_ERR } from "../../shm/blocks.ts";
import type { TraceWriter } from "../../shm/trace.ts";
import { buildCcdf, ccdfFid, ccdfHandle, ccdfPec, severity } from "./ccdf-builder.ts";
import { dialectOf, type SimFunctionConfig } from "./config.ts";
import { ErrorQueueWriter } from "./error-queue.ts";
import { ErrorState, Hardware, type HostArea, HostBlock } from "./host-area.ts";

export class HostKernel {
  readonly #area: HostArea;
  readonly #config: SimFunctionConfig;
  readonly #trace: TraceWriter;
  readonly #queue: ErrorQueueWriter;
  readonly #dialect: ErrorDialect;
  /** A powerpc host: no CCDF arrives, no lock is held, the PE just freezes. */
  readonly #eeh: boolean;
  /** The other functions of a shared PE: what freezes one freezes all of them. */
  peers: readonly HostKernel[] = [];
  /** Batches that wait for the locks. */
  #waiting: (readonly Uint8Array[])[] = [];

  constructor(area: HostArea, config: SimFunctionConfig, trace: TraceWriter) {
    this.#area = area;
    this.#config = config;
    this.#trace = trace;
    this.#dialect = dialectOf(config);
    this.#eeh = this.#dialect.carrier === "eeh";
    this.#queue = new ErrorQueueWriter(area, this.#dialect.ringSlots);
  }

  /**
   * The hardware reports: it goes into error at once where the event is real, and the kernel will look at
   * the batch as soon as its locks are free.
   */
  report(batch: readonly Uint8Array[]): void {
    if (batch.length === 0) return;
    for (const ccdf of batch) {
      if (!this.#isCurrent(ccdf)) continue;
      this.#breakHardware(ccdfPec(ccdf));
      for (const peer of this.peers) peer.#freezeWith(ccdfPec(ccdf));
    }
    this.#waiting.push(batch);
  }

  /** A function of the same PE has failed: this one has an event of its own. */
  #freezeWith(code: number): void {
    const area = this.#area;
    const hardware = area.get(HostBlock.hardware);
    if (severity(code) === "none" || hardware === Hardware.ABSENT) return;
    this.#breakHardware(code);
    area.set(HostBlock.peReset, 0);
    this.#waiting.push([
      buildCcdf({ pec: code }, area.get(HostBlock.handle) >>> 0, this.#config.fid),
    ]);
    // Nobody may touch a function that is idle: its worker is told to look.
    if (area.get(HostBlock.onesBell) !== 1) return;
    add(area.words, area.block + FunctionBlock.errSignals, 1);
    area.workerBell.ring(WORK_ERR);
  }

  /** Batches that wait, for a snapshot. */
  save(): readonly (readonly Uint8Array[])[] {
    return [...this.#waiting];
  }

  load(waiting: readonly (readonly Uint8Array[])[]): void {
    this.#waiting = [...waiting];
  }

  /** Does what is due. Returns whether anything was done. */
  step(nowUs: number): boolean {
    let worked = this.#recoverByHost(nowUs) || this.#takeInjection();
    while (this.#waiting.length > 0 && this.#free(nowUs)) {
      this.#arrive(this.#waiting.shift() ?? [], nowUs);
      worked = true;
    }
    return worked;
  }

  nextEventUs(): number {
    const area = this.#area;
    const recovery = area.time(HostBlock.hostRecoveryLow) || Number.POSITIVE_INFINITY;
    if (this.#waiting.length === 0) return recovery;
    const locks = area.time(HostBlock.stateLockUntilLow);
    return Math.min(recovery, Math.max(locks, area.time(HostBlock.resetEndLow)));
  }

  /** Whether VFIO_DEVICE_RESET meets a held lock (3.8, row 3; `stateLocked`: row 6). */
  deviceLocked(nowUs: number): boolean {
    return nowUs < this.#area.time(HostBlock.deviceLockUntilLow);
  }

  stateLocked(nowUs: number): boolean {
    return nowUs < this.#area.time(HostBlock.stateLockUntilLow);
  }

  #free(nowUs: number): boolean {
    return !this.stateLocked(nowUs) && this.#area.get(HostBlock.hardware) !== Hardware.RESETTING;
  }

  #isCurrent(ccdf: Uint8Array): boolean {
    const handle = this.#area.get(HostBlock.handle) >>> 0;
    return handle !== 0 && ccdfHandle(ccdf) === handle && ccdfFid(ccdf) === this.#config.fid;
  }

  #breakHardware(code: number): void {
    const area = this.#area;
    const kind = severity(code);
    const hardware = area.get(HostBlock.hardware);
    if (kind === "none" || hardware === Hardware.PERMANENT || hardware === Hardware.RESETTING) {
      return;
    }
    area.set(HostBlock.hardware, kind === "permanent" ? Hardware.PERMANENT : Hardware.ERROR);
  }

  /** One batch under one queue lock: room and mediation are decided once, the tail published once. */
  #arrive(batch: readonly Uint8Array[], nowUs: number): void {
    // A frozen PE swallows what comes after; it is one event until it is thawed.
    const frozen = this.#eeh && this.#area.get(HostBlock.peFrozen) === 1;
    const mediated = this.#queue.begin(frozen ? 1 : 0);
    let signals = 0;
    for (const ccdf of batch) {
      const disposition = this.#dispose(ccdf, mediated, nowUs);
      if (disposition === HostDisposition.stored || disposition === HostDisposition.queueFull) {
        signals += 1;
      } else if (disposition === HostDisposition.notMediated && this.#config.kernel === "7.2") {
        signals += 1; // 3.13: vfio-pci signals, the host recovers by itself
      }
    }
    if (this.#eeh && mediated && signals > 0) this.#area.set(HostBlock.peFrozen, 1);
    this.#queue.publish();
    if (!this.#eeh) this.#signal(signals);
  }

  /** VFIO_EEH_PE_INJECT_ERR: the platform makes the error happen. */
  #takeInjection(): boolean {
    const area = this.#area;
    if (compareExchange(area.words, area.host + HostBlock.eehInject, 1, 0) !== 1) return false;
    const handle = area.get(HostBlock.handle) >>> 0;
    this.report([buildCcdf({ pec: Pec.SERR }, handle, this.#config.fid)]);
    return true;
  }

  #dispose(ccdf: Uint8Array, mediated: boolean, nowUs: number): number {
    const area = this.#area;
    const code = ccdfPec(ccdf);
    if (!this.#isCurrent(ccdf)) return this.#account(code, HostDisposition.stale, 0);
    const kind = severity(code);
    if (kind === "none") return this.#account(code, HostDisposition.fmbCode, 0);
    // What waited for the end of a reset freezes the PE now.
    if (this.#eeh) this.#breakHardware(code);
    const skipped = area.get(HostBlock.errorState) === ErrorState.permFailure;
    if (kind === "permanent") area.set(HostBlock.errorState, ErrorState.permFailure);
    else {
      if (!skipped) area.set(HostBlock.errorState, ErrorState.frozen);
      this.#holdLocks(nowUs); // while the SCLP report is sent
    }
    if (!mediated) {
      if (kind === "error" && !skipped) this.#scheduleHostRecovery(nowUs);
      return this.#account(code, HostDisposition.notMediated, 0);
    }
    const ordinal = this.#queue.nextOrdinal();
    const disposition = ordinal === 0 ? HostDisposition.queueFull : HostDisposition.stored;
    this.#account(code, disposition, ordinal);
    this.#queue.put(ccdf);
    return disposition;
  }

  /**
   * Books and trace of one event, before it becomes visible to the worker. Correlation = ordinal of the
   * stored event: the worker's n-th read. An event that the host handles itself is not part of
   * `errorsRaised`: nobody ever owed it to the guest.
   */
  #account(code: number, disposition: number, ordinal: number): number {
    const area = this.#area;
    if (disposition === HostDisposition.notMediated) area.count(FunctionBlock.hostHandled);
    else area.count(FunctionBlock.errorsRaised);
    if (disposition === HostDisposition.queueFull) area.count(FunctionBlock.hostDropped);
    if (disposition === HostDisposition.stale) area.count(FunctionBlock.hostStale);
    if (disposition === HostDisposition.fmbCode) area.count(FunctionBlock.hostFmbCode);
    const generation = generationOf(load(area.words, area.block + FunctionBlock.stateWord));
    this.#trace.write(
      TraceKind.errorRaised,
      area.index,
      generation,
      ordinal,
      code,
      disposition,
      0,
      0,
    );
    return disposition;
  }

  /** ERR eventfd: one count per error, one ring; nothing when it is not armed (2.5). */
  #signal(count: number): void {
    const area = this.#area;
    if (count === 0 || area.get(HostBlock.errArmed) !== 1) return;
    const lost = area.get(HostBlock.lostSignals);
    if (lost > 0) {
      area.set(HostBlock.lostSignals, lost - 1);
      return;
    }
    add(area.words, area.block + FunctionBlock.errSignals, count);
    area.workerBell.ring(WORK_ERR);
  }

  #holdLocks(nowUs: number): void {
    if (this.#eeh) return;
    const { deviceLockUs, stateLockUs } = this.#config.timing;
    this.#area.setTime(HostBlock.deviceLockUntilLow, nowUs + deviceLockUs);
    this.#area.setTime(HostBlock.stateLockUntilLow, nowUs + deviceLockUs + stateLockUs);
  }

  // 3.4 step h: nobody mediates, so the host recovers the function itself.

  #scheduleHostRecovery(nowUs: number): void {
    this.#area.set(HostBlock.hostBusy, 1);
    this.#area.setTime(
      HostBlock.hostRecoveryLow,
      Math.max(1, nowUs + this.#config.timing.deviceLockUs),
    );
  }

  #recoverByHost(nowUs: number): boolean {
    const area = this.#area;
    const due = area.time(HostBlock.hostRecoveryLow);
    if (due === 0) {
      // Mediation ended while the function was in error: the reset at close brings it back (3.7).
      const left = area.get(HostBlock.mediated) === 0 && area.get(HostBlock.hostBusy) === 0;
      const hardware = area.get(HostBlock.hardware);
      if (!left || this.#waiting.length > 0) return false;
      if (hardware !== Hardware.BLOCKED && !this.#abandoned(hardware)) return false;
      this.#scheduleHostRecovery(nowUs);
      return true;
    }
    if (nowUs < due) return false;
    const hardware = area.host + HostBlock.hardware;
    compareExchange(area.words, hardware, Hardware.ERROR, Hardware.NORMAL);
    compareExchange(area.words, hardware, Hardware.BLOCKED, Hardware.NORMAL);
    if (area.get(HostBlock.errorState) === ErrorState.frozen) {
      area.set(HostBlock.errorState, ErrorState.normal);
    }
    area.setTime(HostBlock.hostRecoveryLow, 0);
    area.set(HostBlock.hostBusy, 0);
    return true;
  }

  /** In error with the event known to the kernel, as opposed to one whose event is still to be raised. */
  #abandoned(hardware: number): boolean {
    return (
      hardware === Hardware.ERROR && this.#area.get(HostBlock.errorState) === ErrorState.frozen
    );
  }
}

/** MPCIFC 9 (unblock load/store) and 7 (clear error) on the hardware, as `HostFunction.startClear`. */
export function clearHardware(area: HostArea, operation: number): number {
  const hardware = area.host + HostBlock.hardware;
  const { words } = area;
  if (operation === 9) {
    const seen = compareExchange(words, hardware, Hardware.ERROR, Hardware.BLOCKED);
    return seen === Hardware.ERROR ? 0 : -EIO;
  }
  if (compareExchange(words, hardware, Hardware.ERROR, Hardware.NORMAL) === Hardware.ERROR)
    return 0;
  const seen = compareExchange(words, hardware, Hardware.BLOCKED, Hardware.NORMAL);
  return seen === Hardware.BLOCKED ? 0 : -EIO;
}
