/**
 * Trace rings -> ledger: reads the records of every thread, in order of time, and names what they say. The only
 * reader of the trace rings; main thread (or the one thread of a deterministic run).
 */
import { HostDisposition, notDeliveredReasons, TraceKind } from "../abi/records.ts";
import { hex } from "../base/hex.ts";
import { EAGAIN, EINVAL, EIO, ENODEV, ENOTTY } from "../ports/host-function.ts";
// Past the index: threads that run trials would load the parsers of policy files too.
import { eventNames, events, policySteps, states } from "../recovery/vocabulary.ts";
import { load, peek } from "../shm/atomics.ts";
import { FunctionBlock } from "../shm/blocks.ts";
import { platformTraceRing, recoveryTraceRing, vcpuTraceRing } from "../shm/memory-map.ts";
import { Lane, type RingConsumer, recordTimeUs } from "../shm/ring.ts";
import { traceConsumer } from "../shm/trace.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import type { Actor, LedgerEntry } from "./ledger-entry.ts";
import type { RecentRecords, TraceRecord } from "./recent-records.ts";

type Detail = LedgerEntry["detail"];

interface KindRow {
  readonly kind: string;
  readonly actor: Actor;
  readonly detail: (body: TraceRecord["body"]) => Detail;
}

const pecOf = (value: number): string => hex(value, 4);
const dispositions = Object.keys(HostDisposition).map(kebab);
const errnoNames: Readonly<Record<number, string>> = {
  [EIO]: "EIO",
  [EAGAIN]: "EAGAIN",
  [ENODEV]: "ENODEV",
  [EINVAL]: "EINVAL",
  [ENOTTY]: "ENOTTY",
};
const clpOperations = ["enable", "disable"];
const mpcifcOperations: Readonly<Record<number, string>> = {
  2: "register-interrupts",
  3: "deregister-interrupts",
  4: "register-ioat",
  5: "deregister-ioat",
  6: "reregister-ioat",
  7: "reset-error",
  9: "reset-block",
  10: "set-measurement",
};

/** One row per trace kind: its name in the ledger, who acted, which facts its body holds. */
const rows: Readonly<Record<number, KindRow>> = {
  [TraceKind.errorRaised]: {
    kind: "error-raised",
    actor: "platform",
    detail: ([pec, disposition]) => ({
      pec: pecOf(pec),
      disposition: dispositions[disposition] ?? `${disposition}`,
    }),
  },
  [TraceKind.dmaFault]: {
    kind: "dma-fault",
    actor: "platform",
    detail: ([pec, , low, high]) => ({ pec: pecOf(pec), faddr: address(high, low) }),
  },
  [TraceKind.ccdfRead]: {
    kind: "ccdf-read",
    actor: "recovery",
    detail: ([pec, fh, low, high]) => ({
      pec: pecOf(pec),
      hostFh: hex(fh, 8),
      faddr: address(high, low),
    }),
  },
  [TraceKind.injected]: {
    kind: "injected",
    actor: "recovery",
    detail: ([pec]) => ({ pec: pecOf(pec) }),
  },
  [TraceKind.notDelivered]: {
    kind: "not-delivered",
    actor: "recovery",
    detail: ([pec, reason]) => ({
      pec: pecOf(pec),
      reason: notDeliveredReasons[reason] ?? `${reason}`,
    }),
  },
  [TraceKind.stateChanged]: {
    kind: "state",
    actor: "recovery",
    detail: ([from, to, event]) => ({
      from: states[from] ?? `${from}`,
      to: states[to] ?? `${to}`,
      event: kebab(eventNames[event] ?? `${event}`),
    }),
  },
  [TraceKind.machineCheck]: { kind: "machine-check", actor: "guest", detail: () => ({}) },
  [TraceKind.guestFetched]: {
    kind: "fetched",
    actor: "guest",
    detail: ([pec, fh]) => ({ pec: pecOf(pec), fh: hex(fh, 8) }),
  },
  [TraceKind.guestClp]: {
    kind: "clp-set",
    actor: "guest",
    detail: ([operation, response, fh]) => ({
      operation: clpOperations[operation] ?? `${operation}`,
      response: hex(response, 4),
      fh: hex(fh, 8),
    }),
  },
  [TraceKind.guestMpcifc]: {
    kind: "mpcifc",
    actor: "guest",
    detail: ([operation, cc, status]) => ({
      operation: mpcifcOperations[operation] ?? `${operation}`,
      cc,
      status,
    }),
  },
  [TraceKind.guestProof]: { kind: "first-good-load", actor: "guest", detail: () => ({}) },
  [TraceKind.hostReset]: {
    kind: "host-reset",
    actor: "host",
    detail: ([result, attempt, fh]) => ({
      result: result === 0 ? "done" : (errnoNames[-result] ?? `errno ${-result}`),
      attempt,
      hostFh: hex(fh, 8),
    }),
  },
  [TraceKind.policyStep]: {
    kind: "policy-step",
    actor: "recovery",
    detail: ([step]) => ({ step: policySteps[step] ?? `${step}` }),
  },
  [TraceKind.vmStopped]: {
    kind: "vm-stopped",
    actor: "machine",
    detail: ([reason]) => ({ reason }),
  },
  [TraceKind.workerRestarted]: {
    kind: "worker-restarted",
    actor: "machine",
    detail: ([step]) => ({ diedAtStep: step }),
  },
  [TraceKind.recovered]: {
    kind: "recovered",
    actor: "recovery",
    detail: ([durationUs]) => ({ durationUs }),
  },
  [TraceKind.notImplemented]: {
    kind: "not-implemented",
    actor: "guest",
    detail: ([first, last, low, high]) => ({
      instruction: instructionBytes(first, last),
      address: address(high, low),
    }),
  },
};

export class Ledger {
  readonly #vm: VmMemory;
  readonly #rings: readonly RingConsumer[];
  readonly #recent: RecentRecords | undefined;
  #seq = 0;
  /** Opcodes that are not implemented and stand in the ledger: each vCPU tells of them. */
  readonly #opcodes = new Set<number>();

  /** @param recent what is to keep the last entries */
  constructor(vm: VmMemory, recent?: RecentRecords) {
    this.#vm = vm;
    this.#recent = recent;
    const { map } = vm;
    const offsets = [
      platformTraceRing(map),
      ...map.functionBlocks.map((_, index) => recoveryTraceRing(map, index)),
      ...map.vcpuAreas.map((_, index) => vcpuTraceRing(map, index)),
    ];
    // Functions that share a recovery thread share its ring.
    this.#rings = [...new Set(offsets)].map((offset) => traceConsumer(vm, offset));
  }

  /**
   * Takes everything that stands in the trace rings, ordered by time (ties in the order of an error's way: platform,
   * workers, vCPUs).
   * A slower thread may still publish an earlier time later: callers that print live hold entries back.
   */
  drain(): LedgerEntry[] {
    const records: TraceRecord[] = [];
    for (const ring of this.#rings) {
      for (let slot = ring.front(); slot >= 0; slot = ring.front()) {
        records.push(this.#copy(slot));
        ring.release();
      }
    }
    records.sort((a, b) => a.timeUs - b.timeUs);
    return records.filter((record) => this.#isNews(record)).map((record) => this.#entry(record));
  }

  /** A trace ring fills, to an eighth: whoever puts draining off should do it now. */
  crowded(): boolean {
    for (let n = 0; n < this.#rings.length; n++) {
      const ring = this.#rings[n];
      if (ring?.holds(ring.slots / 8)) return true;
    }
    return false;
  }

  /** An entry that comes from the main thread itself, e.g. a console line. */
  note(timeUs: number, actor: Actor, kind: string, detail: Detail): LedgerEntry {
    const entry = { seq: this.#seq++, timeUs, actor, kind, detail };
    this.#recent?.note(entry);
    return entry;
  }

  /** The rings are those of a restored machine now. */
  resync(): void {
    for (const ring of this.#rings) ring.resync();
  }

  /** Trace records that threads had to give up because their ring was full. */
  lost(): number {
    return this.#rings.reduce((sum, ring) => sum + ring.lost(), 0);
  }

  #isNews({ kind, more }: TraceRecord): boolean {
    if (kind !== TraceKind.notImplemented) return true;
    const known = this.#opcodes.has(more);
    this.#opcodes.add(more);
    return !known;
  }

  #copy(slot: number): TraceRecord {
    const { words } = this.#vm;
    const body = slot + Lane.body;
    const block = this.#vm.map.functionBlocks[peek(words, slot + Lane.functionIndex)];
    return {
      kind: peek(words, slot + Lane.kind),
      fid: block === undefined ? undefined : load(words, block / 4 + FunctionBlock.fid) >>> 0,
      correlation: peek(words, slot + Lane.correlation),
      timeUs: recordTimeUs(words, slot),
      body: [
        peek(words, body),
        peek(words, body + 1),
        peek(words, body + 2),
        peek(words, body + 3),
      ],
      more: peek(words, body + 4),
      instructions: (peek(words, body + 7) >>> 0) * 0x1_0000_0000 + (peek(words, body + 6) >>> 0),
    };
  }

  #entry(record: TraceRecord): LedgerEntry {
    const seq = this.#seq++;
    this.#recent?.add(record, seq);
    return entryOf(record, seq);
  }
}

/** What a record says, by its kind's row. */
export function entryOf(record: TraceRecord, seq: number): LedgerEntry {
  const { fid } = record;
  const row = rows[record.kind];
  return {
    seq,
    timeUs: record.timeUs,
    actor: row?.actor ?? "machine",
    kind: row?.kind ?? `trace-${record.kind}`,
    ...(fid === undefined ? {} : { fid }),
    ...(record.correlation === 0 ? {} : { correlation: record.correlation }),
    detail: row?.detail(record.body) ?? {},
    ...(record.instructions === 0 ? {} : { instructions: record.instructions }),
    ...(record.kind === TraceKind.ccdfRead ? { ccdf: ccdfOf(record, fid ?? 0) } : {}),
    ...(record.kind === TraceKind.stateChanged ? choiceOf(record) : {}),
  };
}

function choiceOf({ body: [, , event, number] }: TraceRecord): { readonly choice?: string } {
  const name = eventNames[event];
  const choice = name === undefined ? undefined : events[name][number];
  return choice === undefined ? {} : { choice };
}

/** The whole CCDF of a `ccdfRead` record; its reserved fields are 0. */
function ccdfOf({ body: [pec, fh, low, high], more }: TraceRecord, fid: number): string {
  const words = [0, fh, fid, more, high, low, 0, pec];
  return words.map((word) => hex(word, 8).slice(2)).join("");
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Hexadecimal bytes of an instruction, as many as its first two bits say. */
function instructionBytes(first: number, last: number): string {
  const digits = [4, 8, 8, 12][first >>> 30];
  return (hex(first, 8).slice(2) + hex(last, 8).slice(2)).slice(0, digits);
}

function address(high: number, low: number): string {
  return hex((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0), 16);
}
