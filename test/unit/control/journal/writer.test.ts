import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ZmendError } from "../../../../src/base/errors.ts";
import { type JournalDisk, realDisk } from "../../../../src/control/journal/disk.ts";
import type { JournalRecord } from "../../../../src/control/journal/format.ts";
import { readJournal } from "../../../../src/control/journal/reader.ts";
import { listSegments } from "../../../../src/control/journal/segments.ts";
import { JournalWriter, type WriterOptions } from "../../../../src/control/journal/writer.ts";

let directory = "";
let problems: string[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "zmend-journal-"));
  problems = [];
});
afterEach(() => rmSync(directory, { recursive: true }));

function open(options: Partial<WriterOptions> = {}): Promise<JournalWriter> {
  const onProblem = (problem: ZmendError): void => void problems.push(problem.message);
  return JournalWriter.open({ directory, fsync: "never", onProblem, ...options });
}

function note(writer: JournalWriter, count: number, from = 0): void {
  for (let n = 0; n < count; n++) {
    writer.append({ vm: "alpha", kind: "injected", detail: { n: from + n } });
  }
}

interface Contents {
  readonly records: readonly JournalRecord[];
  readonly findings: readonly string[];
}

function contents(): Contents {
  const records: JournalRecord[] = [];
  const findings: string[] = [];
  for (const item of readJournal(directory)) {
    if (item.type === "record") records.push(item.record);
    else findings.push(`${item.type}: ${item.message}`);
  }
  return { records, findings };
}

const numbers = ({ records }: Contents): unknown[] => records.map(({ detail }) => detail["n"]);

/** A disk with `room` bytes; a write that does not fit is written in part, as a real disk does. */
function smallDisk(room: { bytes: number }): JournalDisk {
  const full = (): Error => Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
  return {
    ...realDisk,
    async create(file) {
      const real = await realDisk.create(file);
      return {
        ...real,
        async write(bytes, position) {
          const fits = Math.min(bytes.length, room.bytes);
          await real.write(bytes.subarray(0, fits), position);
          room.bytes -= fits;
          if (fits < bytes.length) throw full();
        },
        async truncate(length) {
          room.bytes += statSync(file).size - length;
          await real.truncate(length);
        },
      };
    },
  };
}

describe("a journal writer", () => {
  it("keeps the order and numbers records from 1 without gaps, over restarts too", async () => {
    for (const from of [0, 100, 200]) {
      const writer = await open();
      note(writer, 100, from);
      await writer.close();
    }
    const found = contents();
    expect(found.findings).toEqual([]);
    expect(numbers(found)).toEqual(Array.from({ length: 300 }, (_, n) => n));
    expect(found.records.map(({ seq }) => seq)).toEqual(
      Array.from({ length: 300 }, (_, n) => n + 1),
    );
    expect(listSegments(directory).length).toBe(1);
  });

  it("keeps files to itself", async () => {
    const writer = await open({ directory: join(directory, "state", "journal") });
    note(writer, 1);
    await writer.close();
    expect(statSync(join(directory, "state", "journal")).mode & 0o777).toBe(0o700);
    const [segment] = listSegments(join(directory, "state", "journal"));
    expect(statSync(segment?.file ?? "").mode & 0o777).toBe(0o600);
  });

  it("cuts a tail torn at any byte, says so, and goes on behind it", async () => {
    const first = await open();
    note(first, 3);
    await first.close();
    const file = listSegments(directory)[0]?.file ?? "";
    const whole = readFileSync(file);
    const ends = [32];
    for (let at = 32; at < whole.length; ) {
      at += 20 + whole.readUInt32LE(at + 4);
      ends.push(at);
    }
    for (let length = 32; length <= whole.length; length++) {
      writeFileSync(file, whole);
      truncateSync(file, length);
      problems = [];
      const writer = await open();
      note(writer, 1, 50);
      await writer.close();
      const kept = ends.filter((end) => end <= length).length - 1;
      const torn = length - (ends[kept] as number);
      const found = contents();
      expect(found.findings).toEqual([]);
      expect(found.records.map(({ seq }) => seq)).toEqual(found.records.map((_, n) => n + 1));
      expect(numbers(found).filter((n) => n !== undefined)).toEqual([
        ...[0, 1, 2].slice(0, kept),
        50,
      ]);
      expect(problems.length).toBe(torn === 0 ? 0 : 1);
      if (torn > 0) expect(problems[0]).toContain(`its last ${torn} bytes were cut`);
    }
  });

  it("starts over a file that was killed before it had its header", async () => {
    const first = await open({ segmentBytes: 400 });
    note(first, 20);
    await first.close();
    const newest = listSegments(directory).at(-1)?.file ?? "";
    truncateSync(newest, 11);
    const before = contents().records.length;
    const writer = await open({ segmentBytes: 400 });
    note(writer, 1, 50);
    await writer.close();
    const found = contents();
    expect(found.findings).toEqual([]);
    expect(found.records.map(({ seq }) => seq)).toEqual(found.records.map((_, n) => n + 1));
    expect(found.records.length).toBe(before + 1);
  });

  it("leaves a damaged file as it is and begins another", async () => {
    const first = await open();
    note(first, 3);
    await first.close();
    const file = listSegments(directory)[0]?.file ?? "";
    const bytes = readFileSync(file);
    bytes[60] = (bytes[60] as number) ^ 1;
    writeFileSync(file, bytes);
    const writer = await open();
    note(writer, 1, 50);
    await writer.close();
    expect(readFileSync(file)).toEqual(bytes);
    expect(problems[0]).toContain(`${file} is damaged`);
    const found = contents();
    expect(numbers(found)).toEqual([1, 2, 50]);
    expect(found.findings[0]).toMatch(/^damage: .*at byte 32: record 1 cannot be read/);
  });

  it("rotates, and removes the oldest beyond the limit", async () => {
    const writer = await open({ segmentBytes: 1000, limitBytes: 4000 });
    for (let n = 0; n < 200; n++) {
      note(writer, 1, n);
      await writer.flush();
    }
    const { bytes, segments } = writer.status();
    await writer.close();
    expect(bytes).toBeLessThanOrEqual(4000);
    expect(segments).toBe(listSegments(directory).length);
    expect(segments).toBeGreaterThan(2);
    const found = contents();
    expect(found.findings).toEqual([]);
    expect(numbers(found)).toEqual(
      Array.from({ length: found.records.length }, (_, n) => 200 - found.records.length + n),
    );
  });

  it("splits one large batch over segments", async () => {
    const writer = await open({ segmentBytes: 1000 });
    note(writer, 100);
    await writer.close();
    for (const { file } of listSegments(directory)) {
      expect(statSync(file).size).toBeLessThanOrEqual(1000);
    }
    expect(numbers(contents())).toEqual(Array.from({ length: 100 }, (_, n) => n));
  });

  it("counts what a full disk does not take, goes on when there is room, and tells how many are gone", async () => {
    const room = { bytes: 1000 };
    const writer = await open({ disk: smallDisk(room), retryMs: 0 });
    for (let n = 0; n < 50; n++) {
      note(writer, 1, n);
      await writer.flush();
    }
    const full = writer.status();
    expect(full.problem).toBe("ENOSPC");
    expect(full.lost + full.written).toBe(50);
    expect(full.lost).toBeGreaterThan(10);
    expect(problems.length).toBe(1);
    expect(problems[0]).toContain("takes no more records (ENOSPC)");
    const whileFull = contents();
    expect(whileFull.findings).toEqual([]);
    expect(whileFull.records.length).toBe(full.written);

    room.bytes = 100_000;
    note(writer, 3, 50);
    await writer.close();
    expect(writer.status().lost).toBe(full.lost);
    const found = contents();
    expect(found.findings).toEqual([]);
    expect(found.records.map(({ seq }) => seq)).toEqual(found.records.map((_, n) => n + 1));
    const told = found.records.filter(({ kind }) => kind === "journal-lost");
    expect(told.map(({ detail }) => detail["records"])).toEqual([full.lost]);
    expect(numbers(found).slice(-3)).toEqual([50, 51, 52]);
  });

  it("loses and counts records that a hanging disk does not take, instead of memory", async () => {
    let release = (): void => {};
    const hanging = new Promise<void>((resolve) => {
      release = resolve;
    });
    const disk: JournalDisk = {
      ...realDisk,
      async create(file) {
        await hanging;
        return realDisk.create(file);
      },
    };
    const writer = await open({ disk, queueMaxBytes: 1000, gatherMs: 0 });
    note(writer, 1);
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    note(writer, 500, 1);
    const { lost, queued } = writer.status();
    expect(lost).toBeGreaterThan(450);
    expect(queued + lost).toBe(500);
    release();
    await writer.flush();
    note(writer, 1, 999);
    await writer.close();
    const found = contents();
    expect(found.records.at(-2)).toMatchObject({ kind: "journal-lost", detail: { records: lost } });
    expect(numbers(found).at(-1)).toBe(999);
  });

  it("writes together what comes within the time of gathering, and does not wait when it is flushed", async () => {
    let writes = 0;
    const disk: JournalDisk = {
      ...realDisk,
      async create(file) {
        const real = await realDisk.create(file);
        return {
          ...real,
          write(bytes, position) {
            if (position > 0) writes += 1;
            return real.write(bytes, position);
          },
        };
      },
    };
    // A flush that waited for the time to pass would outlast the test.
    const writer = await open({ disk, gatherMs: 3_600_000 });
    for (let turn = 0; turn < 5; turn++) {
      note(writer, 3, turn * 3);
      await new Promise((resolve) => setImmediate(resolve));
    }
    // Time for a write, were there any.
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([writes, writer.status().queued]).toEqual([0, 15]);
    await writer.flush();
    expect([writes, writer.status().queued]).toEqual([1, 0]);
    note(writer, 1, 15);
    await writer.close();
    expect(numbers(contents())).toEqual(Array.from({ length: 16 }, (_, n) => n));
  });

  it("forces every write onto the disk under fsync always, none under never", async () => {
    for (const [fsync, expected] of [
      ["always", 3],
      ["never", 0],
    ] as const) {
      let syncs = 0;
      const disk: JournalDisk = {
        ...realDisk,
        async create(file) {
          const real = await realDisk.create(file);
          return { ...real, sync: async () => void syncs++ };
        },
      };
      const writer = await open({ disk, fsync, directory: join(directory, fsync) });
      for (let n = 0; n < 3; n++) {
        note(writer, 1, n);
        await writer.flush();
      }
      expect(syncs).toBe(expected);
      await writer.close();
    }
  });

  it("says what is wrong with a directory that it cannot use", async () => {
    const file = join(directory, "file");
    writeFileSync(file, "");
    await expect(open({ directory: join(file, "journal") })).rejects.toThrow(
      /^Journal directory .*file.journal cannot be used \(ENOTDIR\); make it a directory/,
    );
  });
});
