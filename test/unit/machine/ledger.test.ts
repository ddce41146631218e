import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TraceKind } from "../../../src/abi/records.ts";
import { VirtualClock } from "../../../src/base/clock.ts";
import { TRACE_RING_SLOTS } from "../../../src/base/limits.ts";
import { Ledger } from "../../../src/machine/ledger.ts";
import {
  actors,
  LedgerDigest,
  type LedgerEntry,
  ledgerLine,
} from "../../../src/machine/ledger-entry.ts";
import { store } from "../../../src/shm/atomics.ts";
import { FunctionBlock } from "../../../src/shm/blocks.ts";
import {
  platformTraceRing,
  recoveryTraceRing,
  vcpuTraceRing,
} from "../../../src/shm/memory-map.ts";
import { TraceWriter } from "../../../src/shm/trace.ts";
import { bareVm } from "../../support/vm.ts";

const kinds = Object.entries(TraceKind);

/** A VM with two functions, FIDs 0x1000 and 0x80000001, and the trace writers of its threads. */
function setup() {
  const vm = bareVm(2);
  const clock = new VirtualClock();
  for (const [index, fid] of [0x1000, 0x80000001].entries()) {
    store(vm.words, (vm.map.functionBlocks[index] as number) / 4 + FunctionBlock.fid, fid);
  }
  const writer = (ring: number): TraceWriter => new TraceWriter(vm, ring, clock);
  return {
    clock,
    ledger: new Ledger(vm),
    platform: writer(platformTraceRing(vm.map)),
    vcpu: writer(vcpuTraceRing(vm.map, 0)),
    worker: writer(recoveryTraceRing(vm.map, 1)),
  };
}

describe("the ledger", () => {
  it("names every trace kind, each by a name of its own", () => {
    const { ledger, platform } = setup();
    for (const [, kind] of kinds) platform.write(kind, 0, 1, 1, 0, 0, 0, 0);
    const names = ledger.drain().map((entry) => entry.kind);
    expect(names).toHaveLength(kinds.length);
    expect(names.filter((name) => !/^[a-z]+(-[a-z]+)*$/.test(name))).toEqual([]);
    expect(names.filter((name) => name.startsWith("trace-"))).toEqual([]);
    expect(new Set(names).size).toBe(names.length);
  });

  it("names an opcode that is not implemented once, with as many bytes as it has", () => {
    const { ledger, vcpu } = setup();
    const write = (high: number, low: number, opcode: number): void =>
      vcpu.write(TraceKind.notImplemented, -1, 0, 0, high, low, 0x1234, 0x3ff, opcode);
    write(0x01ff0000, 0, 0x01ff);
    write(0xb9ab0012, 0, 0xb9ab);
    write(0xe7000000 | 0, 0x00440000, 0xe744);
    write(0xb9ab0034, 0, 0xb9ab); // another vCPU meets it
    expect(ledger.drain().map((entry) => entry.detail["instruction"])).toEqual([
      "01ff",
      "b9ab0012",
      "e70000000044",
    ]);
    write(0xb9ab0056, 0, 0xb9ab);
    expect(ledger.drain()).toEqual([]);
    write(0xb2af0000, 0, 0xb2af);
    expect(ledger.drain()[0]?.detail["address"]).toBe("0x000003ff00001234");
  });

  it("turns any record, whatever its body says, into an entry of plain facts", () => {
    const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
    fc.assert(
      fc.property(
        fc.oneof(fc.constantFrom(...kinds.map(([, kind]) => kind)), word),
        fc.integer({ min: -2, max: 3 }),
        fc.tuple(word, word, word, word),
        (kind, functionIndex, body) => {
          const { ledger, worker } = setup();
          worker.write(kind, functionIndex, 1, 7, ...body);
          const [entry] = ledger.drain();
          expect(entry?.kind).toMatch(/^[a-z]+(-[a-z]+)*$|^trace-/);
          expect(actors).toContain(entry?.actor);
          for (const fact of Object.values(entry?.detail ?? {})) {
            expect(["number", "string"]).toContain(typeof fact);
          }
          expect(JSON.parse(ledgerLine(entry as LedgerEntry))).toMatchObject({ seq: 0 });
        },
      ),
      { numRuns: 50 },
    );
  });

  it("keeps a record of an unknown kind instead of losing it", () => {
    const { ledger, vcpu } = setup();
    vcpu.write(99, -1, 0, 0, 1, 2, 3, 4);
    expect(ledger.drain()).toEqual([
      { seq: 0, timeUs: 0, actor: "machine", kind: "trace-99", detail: {} },
    ]);
  });

  it("names the function by its FID, and the VM's own entries by none", () => {
    const { ledger, platform } = setup();
    platform.write(TraceKind.machineCheck, -1, 0, 0, 0, 0, 0, 0);
    platform.write(TraceKind.errorRaised, 1, 1, 3, 0x3a, 0, 0, 0);
    const [machine, raised] = ledger.drain();
    expect(machine).not.toHaveProperty("fid");
    expect(machine).not.toHaveProperty("correlation");
    expect(raised).toMatchObject({ fid: 0x80000001, correlation: 3 });
  });

  it.each([
    [
      "errorRaised",
      [0x2, 1, 0, 0],
      "platform",
      "error-raised",
      { pec: "0x0002", disposition: "queue-full" },
    ],
    [
      "dmaFault",
      [0x7, 0, 0x10010000, 1],
      "platform",
      "dma-fault",
      { pec: "0x0007", faddr: "0x0000000110010000" },
    ],
    [
      "ccdfRead",
      [0x3a, 0x80000001 | 0, -1, -1],
      "recovery",
      "ccdf-read",
      { pec: "0x003a", hostFh: "0x80000001", faddr: "0xffffffffffffffff" },
    ],
    [
      "notDelivered",
      [0x3a, 3, 0, 0],
      "recovery",
      "not-delivered",
      { pec: "0x003a", reason: "superseded" },
    ],
    [
      "stateChanged",
      [0, 2, 1, 0],
      "recovery",
      "state",
      { from: "operational", to: "awaiting-guest", event: "ccdf-read" },
    ],
    [
      "guestFetched",
      [0x3a, 0x81010000 | 0, 0, 0],
      "guest",
      "fetched",
      { pec: "0x003a", fh: "0x81010000" },
    ],
    [
      "guestClp",
      [1, 0x10, 0x10000, 0],
      "guest",
      "clp-set",
      { operation: "disable", response: "0x0010", fh: "0x00010000" },
    ],
    [
      "guestMpcifc",
      [9, 1, 24, 0],
      "guest",
      "mpcifc",
      { operation: "reset-block", cc: 1, status: 24 },
    ],
    [
      "hostReset",
      [-11, 2, 0x1ff, 0],
      "host",
      "host-reset",
      { result: "EAGAIN", attempt: 2, hostFh: "0x000001ff" },
    ],
    ["policyStep", [2, 0, 0, 0], "recovery", "policy-step", { step: "reset-and-reinject" }],
    ["recovered", [1500, 0, 0, 0], "recovery", "recovered", { durationUs: 1500 }],
  ] as const)("reads the body of %s", (name, body, actor, kind, detail) => {
    const { ledger, worker } = setup();
    worker.write(TraceKind[name], 0, 1, 1, body[0], body[1], body[2], body[3]);
    expect(ledger.drain()[0]).toMatchObject({ actor, kind, detail });
  });

  it("orders the threads' records by time, and at one time platform, worker, vCPU", () => {
    const { ledger, clock, platform, vcpu, worker } = setup();
    worker.write(TraceKind.injected, 1, 1, 1, 1, 0, 0, 0);
    vcpu.write(TraceKind.machineCheck, -1, 0, 0, 0, 0, 0, 0);
    platform.write(TraceKind.errorRaised, 1, 1, 1, 2, 0, 0, 0);
    clock.advanceTo(10);
    worker.write(TraceKind.injected, 1, 1, 2, 3, 0, 0, 0);
    clock.advanceTo(20);
    platform.write(TraceKind.errorRaised, 1, 1, 3, 4, 0, 0, 0);
    const entries = ledger.drain();
    expect(entries.map((entry) => [entry.seq, entry.timeUs, entry.kind])).toEqual([
      [0, 0, "error-raised"],
      [1, 0, "injected"],
      [2, 0, "machine-check"],
      [3, 10, "injected"],
      [4, 20, "error-raised"],
    ]);
  });

  it("hands each record out once and numbers on", () => {
    const { ledger, platform } = setup();
    platform.write(TraceKind.machineCheck, -1, 0, 0, 0, 0, 0, 0);
    expect(ledger.drain()).toHaveLength(1);
    expect(ledger.drain()).toEqual([]);
    expect(ledger.note(5, "guest", "console", { text: "hi" }).seq).toBe(1);
    platform.write(TraceKind.machineCheck, -1, 0, 0, 0, 0, 0, 0);
    expect(ledger.drain()[0]?.seq).toBe(2);
  });

  it("counts what a full trace ring could not take", () => {
    const { ledger, platform } = setup();
    for (let n = 0; n < TRACE_RING_SLOTS + 3; n++) {
      platform.write(TraceKind.machineCheck, -1, 0, 0, 0, 0, 0, 0);
    }
    expect(ledger.lost()).toBe(3);
    expect(ledger.drain()).toHaveLength(TRACE_RING_SLOTS);
  });
});

describe("a ledger line", () => {
  const entry: LedgerEntry = {
    detail: { pec: "0x003a", disposition: "stored" },
    kind: "error-raised",
    actor: "platform",
    correlation: 1,
    fid: 4096,
    timeUs: 300000.12349,
    seq: 12,
  };

  it("is one line of JSON with its keys in order and three decimals of time", () => {
    expect(ledgerLine(entry)).toBe(
      '{"seq":12,"timeUs":300000.123,"actor":"platform","kind":"error-raised","fid":4096,"correlation":1,' +
        '"detail":{"pec":"0x003a","disposition":"stored"}}',
    );
  });

  it("leaves absent keys out", () => {
    const { seq, timeUs, actor, kind, detail } = entry;
    expect(ledgerLine({ seq, timeUs, actor, kind, detail })).not.toMatch(/fid|correlation/);
  });

  it("enters the digest with a newline: SHA-256 of the lines as a file would hold them", () => {
    const digest = new LedgerDigest();
    digest.add("abc");
    // printf 'abc\n' | sha256sum
    expect(digest.hex()).toBe("edeaaff3f1774ad2888673770c6d64097e391bc362d7d6fb34982ddf0efd18cb");
    digest.add("");
    expect(digest.hex()).not.toBe(
      "edeaaff3f1774ad2888673770c6d64097e391bc362d7d6fb34982ddf0efd18cb",
    );
  });
});
