import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TRACE_RING_SLOTS } from "../../../../src/base/limits.ts";
import {
  type JournalRecord,
  journalStart,
  openJournal,
  readJournal,
} from "../../../../src/control/journal/index.ts";
import { loadPolicy } from "../../../../src/recovery/index.ts";
import { RingProducer, resetRing } from "../../../../src/shm/ring.ts";
import { VmControlDouble } from "../../../support/vm-control-double.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "zmend-journal-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

function records(): JournalRecord[] {
  return [...readJournal(directory)].flatMap((item) =>
    item.type === "record" ? [item.record] : [],
  );
}

describe("the daemon's journal", () => {
  it("keeps a VM's spec, its ledger, its run states and what operators ask, in order", async () => {
    const vm = new VmControlDouble("alpha", [1, 2]);
    const journal = await openJournal({ directory });
    const detach = journal.attach(vm, { fixture: "zrecover", sha256: "00" });
    vm.send({ type: "run-state", from: "prelaunch", to: "running", reason: "started" });
    journal.command({ vm: "alpha", fid: 2, command: "inject", by: "qmp", detail: { pec: 0x3a } });
    vm.entry(1500, 2, "injected", { pec: "0x003a" }, 1);
    vm.send({ type: "device-deleted", id: "fn-2", fid: 2 });
    vm.send({ type: "unplug-failed", id: "fn-1", fid: 1, reason: "guest refused" });
    vm.send({ type: "watchdog", action: "reset" });
    vm.send({ type: "reset", byGuest: true });
    vm.send({ type: "powerdown" });
    vm.send({ type: "console", bytes: new Uint8Array(3), timeUs: 1 });
    detach();
    vm.entry(2000, 1, "recovered", { durationUs: 1 });
    await journal.close();
    const found = records();
    expect(found.map(({ seq, vm: name, kind, fid }) => [seq, name, kind, fid])).toEqual([
      [1, "alpha", "vm-started", undefined],
      [2, "alpha", "vm-run-state", undefined],
      [3, "alpha", "operator-command", 2],
      [4, "alpha", "injected", 2],
      [5, "alpha", "device-deleted", 2],
      [6, "alpha", "unplug-failed", 1],
      [7, "alpha", "watchdog", undefined],
      [8, "alpha", "vm-reset", undefined],
      [9, "alpha", "powerdown", undefined],
    ]);
    expect(found[0]?.detail).toMatchObject({
      mode: "threads",
      spec: JSON.parse(JSON.stringify(vm.spec)),
    });
    expect(found[2]?.detail).toEqual({ command: "inject", by: "qmp", pec: 0x3a });
    expect(found[3]).toMatchObject({
      timeUs: 1500,
      actor: "recovery",
      correlation: 1,
      detail: { pec: "0x003a" },
    });
  });

  it("tells of records that full trace rings have cost, before what comes after the gap", async () => {
    const vm = new VmControlDouble("alpha", [1]);
    const journal = await openJournal({ directory });
    journal.attach(vm, { fixture: "zrecover", sha256: "00" });
    vm.entry(1, 1, "injected", {});
    const { words, map } = vm.vm;
    const ring = new RingProducer(words, map.traceRings[0] as number, TRACE_RING_SLOTS);
    for (let n = 0; n < 3; n++) ring.countLost();
    await Promise.resolve(); // entries of one turn were taken from the rings together
    vm.entry(2, 1, "fetched", {});
    vm.entry(3, 1, "recovered", {});
    await journal.close();
    const found = records();
    const kinds = found.map(({ kind }) => kind);
    expect(kinds).toEqual(["vm-started", "injected", "trace-lost", "fetched", "recovered"]);
    expect(found[2]?.detail).toEqual({ records: 3 });
  });

  it("tells of no gap when the rings are those of a restored machine", async () => {
    const vm = new VmControlDouble("alpha", [1]);
    const journal = await openJournal({ directory });
    journal.attach(vm, { fixture: "zrecover", sha256: "00" });
    const { words, map } = vm.vm;
    const offset = map.traceRings[0] as number;
    new RingProducer(words, offset, TRACE_RING_SLOTS).countLost();
    vm.entry(1, 1, "injected", {});
    await Promise.resolve();
    resetRing(words, offset, TRACE_RING_SLOTS);
    vm.entry(2, 1, "fetched", {});
    await journal.close();
    const kinds = records().map(({ kind }) => kind);
    expect(kinds).toEqual(["vm-started", "trace-lost", "injected", "fetched"]);
  });

  it("writes a policy down when an operator has changed it", async () => {
    const vm = new VmControlDouble("alpha", [1]);
    const journal = await openJournal({ directory });
    journal.attach(vm, { fixture: "zrecover", sha256: "00" });
    journal.command({ vm: "alpha", command: "vm-policy", by: "control" });
    const policy = loadPolicy("reset-first");
    vm.spec = { ...vm.spec, policy };
    journal.command({ vm: "alpha", command: "vm-policy", by: "control" });
    journal.command({ vm: "alpha", command: "inject", by: "control" });
    await journal.close();
    const told = records().filter(({ kind }) => kind === "vm-policies");
    expect(told.map(({ seq, detail }) => [seq, detail])).toEqual([[4, { policy }]]);
  });

  it("can be followed: a reader continues where it stopped", async () => {
    const journal = await openJournal({ directory });
    const position = journalStart();
    const seen: number[][] = [];
    for (let round = 0; round < 3; round++) {
      for (let n = 0; n < 2; n++) journal.command({ command: "status", by: "control" });
      await journal.flush();
      const items = [...readJournal(directory, position)];
      seen.push(items.flatMap((item) => (item.type === "record" ? [item.record.seq] : [])));
    }
    expect([...readJournal(directory, position)]).toEqual([]);
    await journal.close();
    expect(seen).toEqual([
      [1, 2],
      [3, 4],
      [5, 6],
    ]);
  });

  it("is told apart from what is none in one sentence", () => {
    expect(() => [...readJournal(directory)]).toThrow(
      /holds no journal; name the journal directory/,
    );
    expect(() => [...readJournal(join(directory, "nowhere"))]).toThrow(/does not exist/);
    const foreign = join(directory, "foreign");
    writeFileSync(foreign, "this is no journal, although it is longer than a header");
    const [finding] = [...readJournal(foreign)];
    expect(finding).toMatchObject({ type: "damage" });
  });
});
