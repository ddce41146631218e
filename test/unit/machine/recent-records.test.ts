/** The ledger's last lines, kept as words: what comes out is what was told. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TraceKind } from "../../../src/abi/records.ts";
import { VirtualClock } from "../../../src/base/clock.ts";
import { entryOf, Ledger } from "../../../src/machine/ledger.ts";
import type { LedgerEntry } from "../../../src/machine/ledger-entry.ts";
import { RecentRecords } from "../../../src/machine/recent-records.ts";
import { store } from "../../../src/shm/atomics.ts";
import { FunctionBlock } from "../../../src/shm/blocks.ts";
import { platformTraceRing, vcpuTraceRing } from "../../../src/shm/memory-map.ts";
import { TraceWriter } from "../../../src/shm/trace.ts";
import { bareVm } from "../../support/vm.ts";

const KEPT = 4096;

function setup() {
  const vm = bareVm(2);
  const clock = new VirtualClock();
  const setFid = (index: number, fid: number): void =>
    store(vm.words, (vm.map.functionBlocks[index] as number) / 4 + FunctionBlock.fid, fid);
  for (const [index, fid] of [0x1000, 0x8000_0001].entries()) setFid(index, fid);
  const recent = new RecentRecords(entryOf);
  return {
    clock,
    recent,
    setFid,
    ledger: new Ledger(vm, recent),
    platform: new TraceWriter(vm, platformTraceRing(vm.map), clock),
    vcpu: new TraceWriter(vm, vcpuTraceRing(vm.map, 0), clock),
  };
}

describe("the ledger's last lines", () => {
  it("are the entries that were told, whatever their records hold", () => {
    const word = fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff });
    const record = fc.record({
      kind: fc.constantFrom(
        ...Object.values(TraceKind).filter((kind) => kind !== TraceKind.notImplemented),
      ),
      index: fc.constantFrom(-1, 0, 1),
      correlation: fc.nat({ max: 0x7fff_ffff }),
      body: fc.tuple(word, word, word, word, word),
      laterUs: fc.nat({ max: 5000 }),
    });
    fc.assert(
      fc.property(fc.array(fc.option(record), { maxLength: 60 }), (steps) => {
        const { clock, recent, ledger, platform } = setup();
        const told: LedgerEntry[] = [];
        let nowUs = 1000;
        for (const step of steps) {
          if (step === null) {
            told.push(ledger.note(nowUs, "guest", "console", { text: `at ${nowUs}` }));
            continue;
          }
          nowUs += step.laterUs;
          clock.advanceTo(nowUs);
          const [a, b, c, d, more] = step.body;
          platform.write(step.kind, step.index, 0, step.correlation, a, b, c, d, more);
          told.push(...ledger.drain());
        }
        expect(recent.since(0)).toEqual({ entries: told, first: 0, next: told.length });
      }),
    );
  });

  it("stand in order of time, though a slower thread's came later; a restored machine's come after", () => {
    const { recent, ledger } = setup();
    for (const timeUs of [900_000, 930_000, 910_000, 100_000, 140_000, 120_000]) {
      ledger.note(timeUs, "machine", "console", {});
    }
    expect(recent.since(0).entries.map(({ timeUs }) => timeUs)).toEqual([
      900_000, 910_000, 930_000, 100_000, 120_000, 140_000,
    ]);
  });

  it("are 4,096, and say which is the oldest: notes and records take each other's places", () => {
    const { clock, recent, ledger, platform } = setup();
    const record = (): void => {
      clock.advanceTo(clock.nowUs() + 1);
      platform.write(TraceKind.guestProof, 0, 1, 7, 0, 0, 0, 0);
      ledger.drain();
    };
    for (let n = 0; n < 10; n++) ledger.note(n, "guest", "console", { n });
    for (let n = 10; n < KEPT + 5; n++) record();
    const { entries, first, next } = recent.since(0);
    expect([entries.length, first, next]).toEqual([KEPT, 5, KEPT + 5]);
    expect(
      entries
        .filter(({ kind }) => kind === "console")
        .map(({ seq }) => seq)
        .sort(),
    ).toEqual([5, 6, 7, 8, 9]);
    for (let n = 0; n < 10; n++) record();
    expect(recent.since(0).entries.filter(({ kind }) => kind === "console")).toEqual([]);
    expect(recent.since(KEPT + 14).entries.map(({ seq }) => seq)).toEqual([KEPT + 14]);
    expect(recent.since(KEPT + 15).entries).toEqual([]);
  });

  it("keep the FID that a function had then, and every bit of it", () => {
    const { recent, ledger, platform, setFid } = setup();
    platform.write(TraceKind.guestProof, 1, 1, 7, 0, 0, 0, 0);
    ledger.drain();
    setFid(1, 0x2222);
    expect(recent.since(0).entries.map(({ fid }) => fid)).toEqual([0x8000_0001]);
  });

  it("do not tell twice of an opcode that is not implemented", () => {
    const { recent, ledger, vcpu } = setup();
    for (let n = 0; n < 3; n++)
      vcpu.write(TraceKind.notImplemented, -1, 0, 0, 0xb9ab0012 | 0, 0, 0, 0, 0xb9ab);
    expect(ledger.drain()).toHaveLength(1);
    expect(recent.since(0).next).toBe(1);
  });
});
