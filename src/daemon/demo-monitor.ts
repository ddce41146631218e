/**
 * Watches a demo run through the VM's shared words: when everything planned has happened and every function has
 * settled, when the guest has ended, when it takes too long. The same for threads and for virtual time.
 */
import type { FaultRule } from "../backend/sim/index.ts";
import { hex } from "../base/hex.ts";
import { Cpu, CpuState } from "../cpu/index.ts";
import { booksBalance, readBooks } from "../machine/books.ts";
import {
  COMMAND_POLICY_STOP,
  commandOf,
  VCPU_CHECK_STOP,
  VCPU_DISABLED_WAIT,
  VCPU_POWER_OFF,
  VCPU_RESET,
  VCPU_RUNNING,
} from "../machine/loops.ts";
import type { VmSpec } from "../machine/vm-spec.ts";
import { State, states } from "../recovery/index.ts";
import { load } from "../shm/atomics.ts";
import { FunctionBlock, RecoveryCommand, VmBlock } from "../shm/blocks.ts";
import type { VmMemory } from "../shm/vm-memory.ts";

export type DemoPhase =
  | "running" //   faults are still to come, or functions recover
  | "quiesce" //   everything has settled: the guest should be asked to end (reported once)
  | "quiescing"
  | "ended" //     the guest has stopped as asked
  | "halted" //    the guest has stopped by itself
  | "stopped" //   a policy stopped the VM
  | "deadline" // it took too long
  | "starved"; // it did not get the time that it may take

/** How much longer than it may take a guest may be under way, on a machine that others use as well. */
export const WALL_FACTOR = 10;

const settledStates: readonly number[] = [
  State.operational,
  State.quarantined,
  State.failed,
  State.detached,
];

const haltNames: Readonly<Record<number, string>> = {
  [VCPU_DISABLED_WAIT]: "disabled wait",
  [VCPU_CHECK_STOP]: "check stop",
  [VCPU_POWER_OFF]: "power off",
  [VCPU_RESET]: "re-IPL asked for",
};

export class DemoMonitor {
  readonly #vm: VmMemory;
  /** Errors, and comings and goings, by function. */
  readonly #planned: readonly number[];
  readonly #moves: readonly number[];
  /** Those of them that come by time: the others need a guest at work. */
  readonly #timedMoves: readonly number[];
  readonly #deadlineUs: number;
  readonly #settleUs: number;
  #settledSinceUs = -1;
  #signature = "";
  #asked = false;

  constructor(vm: VmMemory, spec: VmSpec, deadlineMs: number, settleMs: number) {
    this.#vm = vm;
    this.#planned = spec.functions.map((entry) => entry.faults.reduce(countEvents, 0));
    const moves = spec.functions.map((entry) => entry.faults.filter(isMove));
    this.#moves = moves.map((rules) => rules.length);
    this.#timedMoves = moves.map(
      (rules) => rules.filter(({ when }) => when.atUs !== undefined).length,
    );
    this.#deadlineUs = deadlineMs * 1000;
    this.#settleUs = settleMs * 1000;
  }

  /**
   * @param guestUs the time that the guest has had: what it may take is measured by it
   * @param nowUs the VM's time
   */
  check(guestUs: number, nowUs = guestUs): DemoPhase {
    if (commandOf(this.#vm) === COMMAND_POLICY_STOP) return "stopped";
    const stopped = this.#stopped();
    if (stopped !== VCPU_RUNNING) {
      return this.#heard() && stopped !== VCPU_CHECK_STOP ? "ended" : "halted";
    }
    if (guestUs >= this.#deadlineUs) return "deadline";
    if (nowUs >= this.#deadlineUs * WALL_FACTOR) return "starved";
    if (this.#asked) return "quiescing";
    if (!this.#settled(guestUs)) return "running";
    this.#asked = true;
    return "quiesce";
  }

  /** Name of the recovery state of function `index`. */
  stateName(index: number): string {
    return states[this.#state(index)] ?? "unknown";
  }

  /** How the guest's CPU stands, for people. */
  halt(): string {
    const name = haltNames[this.#stopped()] ?? "running";
    return `${name}, PSW address ${hex(new CpuState(this.#vm, 0).u64(Cpu.pswAddress), 16)}`;
  }

  #stopped(): number {
    return load(this.#vm.words, this.#vm.map.vmBlock / 4 + VmBlock.vcpuStopped);
  }

  /** The guest has taken the request to end: on a busy host it may have stopped by itself before. */
  #heard(): boolean {
    const word = this.#vm.map.vmBlock / 4 + VmBlock.quiesceRequested;
    return this.#asked && load(this.#vm.words, word) === 0;
  }

  #settled(nowUs: number): boolean {
    const signature = this.#planned.map((_, index) => this.#function(index)).join();
    if (signature !== this.#signature || signature.includes("busy")) {
      this.#signature = signature;
      this.#settledSinceUs = nowUs;
      return false;
    }
    return nowUs - this.#settledSinceUs >= this.#settleUs;
  }

  /** "busy", or what must not change while the function is called settled. */
  #function(index: number): string {
    const books = readBooks(this.#vm, index);
    const state = this.#state(index);
    if (!settledStates.includes(state)) return "busy";
    // A command that the worker has not taken yet is a function that is about to come.
    const awaited = state === State.operational ? this.#moves : this.#timedMoves;
    if (this.#word(index, FunctionBlock.hostMoves) < (awaited[index] ?? 0)) return "busy";
    if (this.#word(index, FunctionBlock.recoveryCommand) !== RecoveryCommand.none) return "busy";
    if (state !== State.operational) return `${state}:${books.errorsRaised}`;
    const planned = this.#planned[index] ?? 0;
    if (books.errorsRaised < planned || booksBalance(books) !== 0) return "busy";
    return `${state}:${books.errorsRaised}:${books.recoveries}`;
  }

  #state(index: number): number {
    return this.#word(index, FunctionBlock.recoveryState);
  }

  #word(index: number, word: number): number {
    return load(this.#vm.words, (this.#vm.map.functionBlocks[index] as number) / 4 + word);
  }
}

function isMove({ action }: FaultRule): boolean {
  return action.type === "plug" || action.type === "unplug";
}

function countEvents(sum: number, rule: FaultRule): number {
  const { when, action, times } = rule;
  // By address and chance nobody knows beforehand; the run ends when all is quiet.
  if ((when.atUs ?? when.afterAccesses ?? when.afterTransfers) === undefined) return sum;
  return (
    sum + eventsOf(action) * (typeof times === "number" && when.atUs === undefined ? times : 1)
  );
}

/** Errors that an action raises for certain, sooner or later. */
function eventsOf(action: FaultRule["action"]): number {
  switch (action.type) {
    case "burst":
      return action.ccdfs.length;
    case "storm":
      return action.count;
    case "ccdf":
    case "dma":
    case "linkDown":
      return 1;
    default:
      return 0;
  }
}
