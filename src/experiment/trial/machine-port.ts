/**
 * Hot file. The model guest's instructions on the real devices: CLP, MPCIFC, STCRW and CHSC are those of
 * `src/devices`, entered behind the decoding of registers and request blocks. Only the answer of a PCI load comes
 * from the trial's host model, for there is no simulated PCI function behind it.
 */
import { RequestKind } from "../../abi/records.ts";
import {
  conditionCode,
  deconfigureFunction,
  disableFunction,
  EventQueue,
  enableFunction,
  FunctionTable,
  modifyFunction,
  prove,
  statusOf,
  ZpciFunction,
} from "../../devices/index.ts";
import type { Answer, GuestPort } from "../../guest-model/index.ts";
import type { Clock } from "../../ports/clock.ts";
import { peek } from "../../shm/atomics.ts";
import { FunctionBlock, FunctionState } from "../../shm/blocks.ts";
import type { ChannelReport } from "../../shm/channel-report.ts";
import { Lane } from "../../shm/ring.ts";
import type { TraceWriter } from "../../shm/trace.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";
import { Health, type HostModel } from "./host-model.ts";

const noRegions = { load: () => 0, store: () => 0, valueHigh: 0, valueLow: 0 };
/** cc 1, status 12: the function is blocked. */
const BLOCKED: Answer = 1 | (12 << 8);
const NOT_OPERATIONAL: Answer = 3;

class Event {
  index = 0;
  contentCode = 0;
  pec = 0;
  handle = 0;
  more = false;
}

export class MachinePort implements GuestPort {
  readonly event = new Event();
  readonly functions: FunctionTable;
  readonly #hosts: readonly HostModel[];
  readonly #report: ChannelReport;
  readonly #queue: EventQueue;
  readonly #vm: VmMemory;

  constructor(
    vm: VmMemory,
    hosts: readonly HostModel[],
    report: ChannelReport,
    trace: TraceWriter,
    clock: Clock,
  ) {
    this.#vm = vm;
    this.#hosts = hosts;
    this.#report = report;
    const functions = hosts.map((host, index) => {
      const { facts, clearError } = host;
      return new ZpciFunction(vm, index, {
        host: { regions: noRegions, facts, clearError },
        trace,
        clock,
      });
    });
    this.functions = new FunctionTable(functions, false);
    this.#queue = new EventQueue(vm, this.functions, report);
  }

  stcrw(): boolean {
    return this.#report.takeCrw();
  }

  chsc(): boolean {
    const slot = this.#queue.next();
    if (slot < 0) return false;
    const event = this.event;
    event.index = peek(this.#vm.words, slot + Lane.functionIndex);
    event.contentCode = this.#queue.contentCode(slot);
    event.pec = this.#queue.pec(slot);
    event.handle = this.#function(event.index).handle();
    event.more = this.#queue.more;
    this.#queue.fetched(slot);
    return true;
  }

  #function(index: number): ZpciFunction {
    return this.functions.all[index] as ZpciFunction;
  }

  listed(index: number): number {
    const target = this.#function(index);
    return target.state() === FunctionState.RESERVED ? 0 : target.handle();
  }

  enable(index: number): number {
    const target = this.#function(index);
    return enableFunction(target, target.handle(), 1);
  }

  disable(index: number): number {
    const target = this.#function(index);
    return disableFunction(target, target.handle());
  }

  modify(index: number, operation: number): Answer {
    const outcome = modifyFunction(this.#function(index), operation);
    return outcome === 0 ? 0 : conditionCode(outcome) | (statusOf(outcome) << 8);
  }

  alive(index: number): boolean {
    const target = this.#function(index);
    if (target.state() !== FunctionState.ENABLED) return false;
    if ((this.#hosts[index] as HostModel).health !== Health.good) return false;
    if (target.get(FunctionBlock.proofPending) !== 0) prove(target);
    return true;
  }

  accessAnswer(index: number): Answer {
    const state = this.#function(index).state();
    if (state <= FunctionState.DISABLED) return NOT_OPERATIONAL;
    return state >= FunctionState.ERROR ? BLOCKED : 0;
  }

  report(index: number, success: boolean): void {
    this.#function(index).post(RequestKind.guestReport, success ? 1 : 0);
  }

  deconfigure(index: number): void {
    deconfigureFunction(this.#function(index));
  }
}
