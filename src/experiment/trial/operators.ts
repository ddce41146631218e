/**
 * People in a trial: who is told that a function left service or that the VM was stopped, comes when the scenario says so,
 * has the hardware replaced, plugs the function again or releases it, and has the guest take it up. Decides when and what;
 * how it is done to the machines is the world's.
 */
import { Stream } from "../../base/distribution.ts";
import type { GuestModel } from "../../guest-model/index.ts";
import { State } from "../../recovery/vocabulary.ts";
import { RecoveryCommand } from "../../shm/blocks.ts";
import type { OperatorBehaviour } from "../scenario.ts";
import { Purpose, streamOf } from "./arrivals.ts";
import type { Meter } from "./meter.ts";

const NEVER = Number.POSITIVE_INFINITY;

/** What they act on. */
export interface Operated {
  readonly guest: GuestModel;
  /** The VM was stopped by its policy. */
  readonly stopped: boolean;
  /** Number of a recovery machine's state. */
  state(index: number): number;
  /** New hardware behind the function. */
  replace(index: number): void;
  command(index: number, command: number): void;
  /** The function is there again: a new recovery machine serves it. */
  plugAgain(index: number): void;
  restart(nowUs: number): void;
  /** Steps the recovery machine while it has something to do. */
  settle(index: number): void;
}

/** States out of which nobody but a person or another event brings a machine. */
const resting: readonly number[] = [
  State.operational,
  State.quarantined,
  State.failed,
  State.detached,
];

export class Operators {
  /** When somebody comes next; Infinity = nobody is on the way. */
  nextUs = NEVER;
  readonly #functions: number;
  readonly #operator: OperatorBehaviour;
  readonly #seedA: number;
  readonly #seedB: number;
  readonly #meter: Meter;
  readonly #vm: Operated;
  readonly #due: Float64Array;
  /** An administrator in the guest is to bring the function back: as soon as the guest and the machine allow. */
  readonly #admin: Uint8Array;
  readonly #draws = new Stream();
  #admins = 0;
  #restartUs = NEVER;
  #operations = 0;
  #firstOwner = 0;

  constructor(
    functions: number,
    operator: OperatorBehaviour,
    seedA: number,
    seedB: number,
    meter: Meter,
    vm: Operated,
  ) {
    this.#functions = functions;
    this.#operator = operator;
    this.#seedA = seedA;
    this.#seedB = seedB;
    this.#meter = meter;
    this.#vm = vm;
    this.#due = new Float64Array(functions).fill(NEVER);
    this.#admin = new Uint8Array(functions);
  }

  /** Another guest of the trial begins. @param firstOwner number of its first function among all of the trial */
  begin(firstOwner: number): void {
    this.#due.fill(NEVER);
    this.#restartUs = NEVER;
    this.nextUs = NEVER;
    this.#operations = 0;
    this.#firstOwner = firstOwner;
  }

  /** The VM starts, at first or again: nobody of before is in the guest. */
  booted(): void {
    this.#admin.fill(0);
    this.#admins = 0;
    this.#restartUs = NEVER;
    this.#plan();
  }

  /** Out of service: an operator is told. */
  lost(index: number, nowUs: number): void {
    const { repairUs } = this.#operator;
    if (this.#due[index] !== NEVER || repairUs === undefined) return;
    this.#due[index] = nowUs + Math.round(this.#draw(index).draw(repairUs));
    this.#plan();
  }

  /** In service again: nobody need come. */
  back(index: number): void {
    if (this.#due[index] === NEVER) return;
    this.#due[index] = NEVER;
    this.#plan();
  }

  vmStopped(nowUs: number): void {
    const draws = this.#draw(0);
    const { restartVmUs } = this.#operator;
    if (restartVmUs === undefined) return;
    this.#restartUs = nowUs + Math.round(draws.draw(restartVmUs));
    this.#plan();
  }

  #draw(index: number): Stream {
    this.#operations += 1;
    const owner = streamOf(Purpose.operator, this.#firstOwner + index);
    return this.#draws.key(this.#seedA, this.#seedB, owner, this.#operations);
  }

  #plan(): void {
    let next = this.#restartUs;
    for (let index = 0; index < this.#functions; index++) {
      const due = this.#due[index] as number;
      if (due < next) next = due;
    }
    this.nextUs = next;
  }

  /** Does what is due. */
  step(nowUs: number): void {
    if (this.nextUs > nowUs && this.#admins === 0) return;
    if (this.#restartUs <= nowUs) this.#vm.restart(nowUs);
    for (let index = 0; index < this.#functions; index++) {
      if ((this.#due[index] as number) <= nowUs) this.#repair(index, nowUs);
      if (this.#admin[index] === 1) this.#administrate(index);
    }
  }

  #repair(index: number, nowUs: number): void {
    const vm = this.#vm;
    this.back(index);
    vm.replace(index);
    if (vm.stopped) return; // the hardware is new when the VM starts again
    if (vm.guest.hung) {
      vm.restart(nowUs); // nothing else frees the kernel's event thread
      return;
    }
    const state = vm.state(index);
    if (state === State.detached)
      vm.plugAgain(index); // the guest's kernel brings it up by itself
    else {
      const away = state === State.failed || state === State.quarantined;
      if (away) vm.command(index, RecoveryCommand.release);
      this.#send(index, true);
    }
    vm.settle(index);
  }

  #send(index: number, there: boolean): void {
    const before = this.#admin[index] as number;
    this.#admin[index] = there ? 1 : 0;
    this.#admins += (this.#admin[index] as number) - before;
  }

  /** In the guest: sysfs recover, once the kernel and the recovery machine have nothing else to do. */
  #administrate(index: number): void {
    const { guest, stopped } = this.#vm;
    if (this.#meter.up(index)) {
      this.#send(index, false);
      return;
    }
    if (stopped || !guest.idle) return;
    const state = this.#vm.state(index);
    if (state !== State.operational) {
      if (resting.includes(state)) this.#send(index, false); // lost again: the next visit
      return;
    }
    this.#send(index, false);
    guest.administrate(index);
  }
}
