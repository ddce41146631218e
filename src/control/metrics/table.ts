/**
 * Every metric of the daemon in one table: name, meaning, labels and where its value stands. Values come from the VMs'
 * shared memory when somebody asks; reading takes no lock and writes nothing, so a scrape disturbs no guest.
 */
import { type NotDeliveredReason, notDeliveredReasons } from "../../abi/records.ts";
import { hex } from "../../base/hex.ts";
import { CCDF_RING_SLOTS, REQUEST_RING_SLOTS } from "../../base/limits.ts";
import type { Books } from "../../machine/books.ts";
import { type FunctionStatus, runStates, type VmControl } from "../../machine/vm-control.ts";
import { states } from "../../recovery/index.ts";
import { load } from "../../shm/atomics.ts";
import { exitKinds, FunctionBlock, VcpuHeader } from "../../shm/blocks.ts";
import { ringDepth } from "../../shm/ring.ts";
import { traceRecordsLost } from "../../shm/trace.ts";
import type { JournalStatus } from "../journal/index.ts";

/** What a scrape reads. */
export interface MetricSources {
  readonly version: string;
  readonly vms: readonly VmControl[];
  readonly journal: JournalStatus | undefined;
  readonly process: ProcessFigures;
}

export interface ProcessFigures {
  readonly residentBytes: number;
  readonly cpuSeconds: number;
  /** Event-loop lag since the last scrape, seconds. */
  readonly lag: Readonly<Record<"mean" | "p50" | "p99" | "max", number>>;
}

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface MetricRow {
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly help: string;
  readonly labels: readonly string[];
  readonly read: (sources: MetricSources) => Iterable<Sample>;
}

/** How function IDs are written everywhere: eight hex digits. */
export function fidLabel(fid: number): string {
  return hex(fid, 8);
}

function one(value: number): readonly Sample[] {
  return [{ labels: {}, value }];
}

function* eachVm(
  { vms }: MetricSources,
  read: (vm: VmControl) => Iterable<Sample>,
): Generator<Sample> {
  for (const vm of vms) {
    for (const { labels, value } of read(vm)) yield { labels: { vm: vm.name, ...labels }, value };
  }
}

/** One or more values of every function. */
function perFunction(
  read: (status: FunctionStatus, vm: VmControl) => Iterable<Sample>,
): MetricRow["read"] {
  return (sources) =>
    eachVm(sources, function* (vm) {
      for (const status of vm.functions()) {
        const fid = fidLabel(status.fid);
        for (const { labels, value } of read(status, vm))
          yield { labels: { fid, ...labels }, value };
      }
    });
}

function book(read: (books: Books) => number): MetricRow["read"] {
  return perFunction(({ books }) => one(read(books)));
}

/** A word of the function's block, unsigned. */
function word(vm: VmControl, index: number, name: number): number {
  return load(vm.vm.words, (vm.vm.map.functionBlocks[index] as number) / 4 + name) >>> 0;
}

function* oneOf(names: readonly string[], current: string): Generator<Sample> {
  for (const state of names) yield { labels: { state }, value: state === current ? 1 : 0 };
}

/** Books word to outcome. What the host dropped was raised and never read; what is ignored has its reason. */
const outcomeOfReason: Readonly<Record<NotDeliveredReason, string>> = {
  hostQueueFull: "dropped_by_host",
  staleHandle: "ignored_stale_handle",
  fmbCode: "ignored_fmb_code",
  superseded: "ignored_superseded",
  policy: "ignored_policy",
  unverifiable: "ignored_unverifiable",
  vmStopped: "ignored_vm_stopped",
};

function* outcomes({ books }: FunctionStatus): Generator<Sample> {
  const of = (outcome: string, value: number): Sample => ({ labels: { outcome }, value });
  yield of("raised", books.errorsRaised);
  yield of("read", books.read);
  yield of("injected", books.injected);
  yield of("fetched", books.fetchedByGuest);
  for (const reason of notDeliveredReasons) {
    yield of(outcomeOfReason[reason], books.notDelivered[reason]);
  }
}

function* ringDepths({ index }: FunctionStatus, { vm }: VmControl): Generator<Sample> {
  const ccdf = ringDepth(vm.words, vm.map.ccdfRings[index] as number, CCDF_RING_SLOTS);
  const request = ringDepth(vm.words, vm.map.requestRings[index] as number, REQUEST_RING_SLOTS);
  yield { labels: { ring: "ccdf" }, value: ccdf };
  yield { labels: { ring: "request" }, value: request };
}

function* accesses({ index }: FunctionStatus, vm: VmControl): Generator<Sample> {
  yield { labels: { kind: "load" }, value: word(vm, index, FunctionBlock.loads) };
  yield { labels: { kind: "store" }, value: word(vm, index, FunctionBlock.stores) };
  yield { labels: { kind: "store-block" }, value: word(vm, index, FunctionBlock.storeBlocks) };
  yield { labels: { kind: "rpcit" }, value: word(vm, index, FunctionBlock.rpcits) };
}

function* instructions({ vm }: VmControl): Generator<Sample> {
  for (const [index, area] of vm.map.vcpuAreas.entries()) {
    const low = load(vm.words, area / 4 + VcpuHeader.instructionsLow) >>> 0;
    const high = load(vm.words, area / 4 + VcpuHeader.instructionsHigh) >>> 0;
    yield { labels: { vcpu: `${index}` }, value: high * 0x1_0000_0000 + low };
  }
}

function* exits({ vm }: VmControl): Generator<Sample> {
  for (const [index, area] of vm.map.vcpuAreas.entries()) {
    for (const [n, kind] of exitKinds.entries()) {
      const value = load(vm.words, area / 4 + VcpuHeader.exits + n) >>> 0;
      yield { labels: { vcpu: `${index}`, kind }, value };
    }
  }
}

export const metricTable: readonly MetricRow[] = [
  {
    name: "zmend_build_info",
    type: "gauge",
    help: "1, labelled with the version of zmend.",
    labels: ["version"],
    read: ({ version }) => [{ labels: { version }, value: 1 }],
  },
  {
    name: "zmend_vm_state",
    type: "gauge",
    help: "Run state of the VM, by QMP's names: 1 for the one it is in, else 0.",
    labels: ["vm", "state"],
    read: (sources) => eachVm(sources, (vm) => oneOf(runStates, vm.runState())),
  },
  {
    name: "zmend_vcpu_instructions_total",
    type: "counter",
    help: "Guest instructions executed.",
    labels: ["vm", "vcpu"],
    read: (sources) => eachVm(sources, instructions),
  },
  {
    name: "zmend_vcpu_exits_total",
    type: "counter",
    help: "How often a vCPU left its generated code: ends of a slice, and instructions carried out elsewhere. Wraps at 2^32.",
    labels: ["vm", "vcpu", "kind"],
    read: (sources) => eachVm(sources, exits),
  },
  {
    name: "zmend_trace_records_lost_total",
    type: "counter",
    help: "Records that a full trace ring has cost; journal and ledger lack them, the books do not.",
    labels: ["vm"],
    read: (sources) => eachVm(sources, ({ vm }) => one(traceRecordsLost(vm))),
  },
  {
    name: "zmend_function_info",
    type: "gauge",
    help: "1, labelled with what the function is and which policy recovers it.",
    labels: ["vm", "fid", "id", "device", "policy"],
    read: perFunction(({ id, device, policy }) => [{ labels: { id, device, policy }, value: 1 }]),
  },
  {
    name: "zmend_function_state",
    type: "gauge",
    help: "State of the function's recovery: 1 for the one it is in, else 0.",
    labels: ["vm", "fid", "state"],
    read: perFunction(({ state }) => oneOf(states, state)),
  },
  {
    name: "zmend_events_total",
    type: "counter",
    help: "Error events by what became of them: raised = fetched + dropped_by_host + the ignored ones, once the guest has fetched.",
    labels: ["vm", "fid", "outcome"],
    read: perFunction(outcomes),
  },
  {
    name: "zmend_recoveries_total",
    type: "counter",
    help: "Recoveries that have ended with the function back in service.",
    labels: ["vm", "fid"],
    read: book((books) => books.recoveries),
  },
  {
    name: "zmend_host_resets_total",
    type: "counter",
    help: "Resets of the function that the host has carried out.",
    labels: ["vm", "fid"],
    read: book((books) => books.hostResets),
  },
  {
    name: "zmend_reinjections_total",
    type: "counter",
    help: "Records that told the guest again of an error, or that a policy gave the function up.",
    labels: ["vm", "fid"],
    read: perFunction(({ index }, vm) => one(word(vm, index, FunctionBlock.reinjections))),
  },
  {
    name: "zmend_worker_restarts_total",
    type: "counter",
    help: "Recovery workers that died and were replaced.",
    labels: ["vm", "fid"],
    read: book((books) => books.workerRestarts),
  },
  {
    name: "zmend_ring_depth",
    type: "gauge",
    help: "Records that stand in a function's ring: ccdf towards the guest, request towards the recovery worker.",
    labels: ["vm", "fid", "ring"],
    read: perFunction(ringDepths),
  },
  {
    name: "zmend_function_accesses_total",
    type: "counter",
    help: "PCI loads, stores and RPCITs that the guest has issued to the function.",
    labels: ["vm", "fid", "kind"],
    read: perFunction(accesses),
  },
  {
    name: "zmend_interruptions_dropped_total",
    type: "counter",
    help: "Message-signalled interruptions of the function that had no place to go.",
    labels: ["vm", "fid"],
    read: perFunction(({ index }, vm) => one(word(vm, index, FunctionBlock.interruptionsDropped))),
  },
  {
    name: "zmend_journal_records_total",
    type: "counter",
    help: "Records written to the journal since the start.",
    labels: [],
    read: ({ journal }) => (journal === undefined ? [] : one(journal.written)),
  },
  {
    name: "zmend_journal_lost_total",
    type: "counter",
    help: "Records that the journal could not keep since the start: a full or hanging disk.",
    labels: [],
    read: ({ journal }) => (journal === undefined ? [] : one(journal.lost)),
  },
  {
    name: "zmend_journal_failing",
    type: "gauge",
    help: "1 while the journal cannot be written.",
    labels: [],
    read: ({ journal }) =>
      journal === undefined ? [] : one(journal.problem === undefined ? 0 : 1),
  },
  {
    name: "zmend_journal_bytes",
    type: "gauge",
    help: "Size of the journal's segments.",
    labels: [],
    read: ({ journal }) => (journal === undefined ? [] : one(journal.bytes)),
  },
  {
    name: "zmend_event_loop_lag_seconds",
    type: "gauge",
    help: "How late the control thread's event loop was since the last scrape.",
    labels: ["statistic"],
    read: ({ process: { lag } }) =>
      Object.entries(lag).map(([statistic, value]) => ({ labels: { statistic }, value })),
  },
  {
    name: "process_resident_memory_bytes",
    type: "gauge",
    help: "Resident memory of the daemon.",
    labels: [],
    read: ({ process: { residentBytes } }) => one(residentBytes),
  },
  {
    name: "process_cpu_seconds_total",
    type: "counter",
    help: "CPU time of the daemon's threads, user and system.",
    labels: [],
    read: ({ process: { cpuSeconds } }) => one(cpuSeconds),
  },
];
