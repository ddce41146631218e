/**
 * Builds the recovery machine of a function, for its worker and for its supervisor. A module of its own, and with
 * imports past the indexes: every function has a worker that loads this and nothing more (each module costs
 * it time before the guest may start, and memory for as long as it lives).
 */
import { SimHostFunction } from "../backend/sim/host-function.ts";
import type { Clock } from "../ports/clock.ts";
import type { HostFunction } from "../ports/host-function.ts";
import type { RecoveryUnitOptions } from "../recovery/index.ts";
import { RecoveryUnit } from "../recovery/unit.ts";
import { compareExchange } from "../shm/atomics.ts";
import { FunctionBlock } from "../shm/blocks.ts";
import { ChannelReport } from "../shm/channel-report.ts";
import { FloatingInterrupts } from "../shm/floating.ts";
import { recoveryTraceRing } from "../shm/memory-map.ts";
import type { RingProducer } from "../shm/ring.ts";
import { TraceWriter, traceProducer } from "../shm/trace.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { configOf, policyOf, type VmSpec } from "./vm-spec.ts";

/** The producers of one thread's trace rings: functions that share a ring share its producer. */
export class RecoveryTraces {
  readonly #vm: VmMemory;
  readonly #producers = new Map<number, RingProducer>();

  constructor(vm: VmMemory) {
    this.#vm = vm;
  }

  of(index: number): RingProducer {
    const offset = recoveryTraceRing(this.#vm.map, index);
    const known = this.#producers.get(offset) ?? traceProducer(this.#vm, offset);
    this.#producers.set(offset, known);
    return known;
  }
}

/** What the recovery machine of function `index` is made of: for the worker, and for its supervisor. */
export function recoveryOptions(
  vm: VmMemory,
  spec: VmSpec,
  index: number,
  clock: Clock,
  traces = new RecoveryTraces(vm),
  host: HostFunction = new SimHostFunction(vm, index, configOf(spec, index)),
): RecoveryUnitOptions {
  const floating = new FloatingInterrupts(vm);
  return {
    vm,
    index,
    host,
    policy: policyOf(spec, index),
    clock,
    trace: new TraceWriter(vm, traces.of(index), clock),
    channelReport: new ChannelReport(vm, floating),
    floating,
  };
}

/**
 * The recovery machine. A test that set `FunctionBlock.killAtStep` lets `onKill` run when the drain reaches that
 * step, once; `onKill` must not return. `continued`: it goes on where another one stood that did not die.
 */
export function buildRecovery(
  vm: VmMemory,
  spec: VmSpec,
  index: number,
  clock: Clock,
  onKill: (step: number) => never,
  continued = false,
  traces = new RecoveryTraces(vm),
  host?: HostFunction,
): RecoveryUnit {
  const killWord = (vm.map.functionBlocks[index] as number) / 4 + FunctionBlock.killAtStep;
  return new RecoveryUnit({
    ...recoveryOptions(vm, spec, index, clock, traces, host),
    continued,
    killHook: (step) => {
      if (compareExchange(vm.words, killWord, step, 0) === step && step !== 0) onKill(step);
    },
  });
}

/** Whether the function is planned to appear while the VM runs: then its worker waits for it. */
export function comesBack(spec: VmSpec, index: number): boolean {
  return configOf(spec, index).faults.some(({ action }) => action.type === "plug");
}
