/** Snapshots of machines with our own guest: bit by bit on one thread, and on real threads. No time is asserted. */
import { createHash } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { translationStatistics } from "../../src/cpu/index.ts";
import { forEachUsedPage } from "../../src/machine/clear-storage.ts";
import { DeterministicVm } from "../../src/machine/deterministic-vm.ts";
import { readFixture } from "../../src/machine/fixtures.ts";
import { Ledger } from "../../src/machine/ledger.ts";
import { ledgerLine } from "../../src/machine/ledger-entry.ts";
import { bootVm } from "../../src/machine/parts.ts";
import { readSnapshot } from "../../src/machine/snapshot.ts";
import type { VmSpec } from "../../src/machine/vm-spec.ts";
import { loadPolicy } from "../../src/recovery/index.ts";
import { ControlledVm, specOf } from "../support/controlled-vm.ts";
import type { ConfigInput } from "../support/demo-run.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "zmend-snapshot-"));
});
afterAll(() => rmSync(folder, { recursive: true }));
const path = (name: string): string => join(folder, name);

/** Three functions of which two break: recoveries of both kinds, a burst, a reset that fails at first. */
const input: ConfigInput = {
  functions: [
    { fid: 1, clearError: true },
    { fid: 2, resetFailures: ["EAGAIN", "EIO"] },
    { fid: 3 },
  ],
  sequence: [
    { function: 1, atMs: 20, pec: 0x3a },
    { function: 2, atMs: 30, ccdf: "recorded-7.3-burst" },
    { function: 1, atMs: 45, pec: 0x28 },
    { function: 2, afterAccesses: 400, pec: 0x02 },
    { function: 3, atMs: 70, dma: "translation" },
  ],
};

class OneThread {
  readonly machine: DeterministicVm;
  console = "";
  lines: string[] = [];
  #ledger: Ledger;

  constructor(spec: VmSpec, snapshot?: Awaited<ReturnType<typeof readSnapshot>>) {
    const write = (bytes: Uint8Array): void => {
      this.console += Buffer.from(bytes).toString("latin1");
    };
    this.machine = new DeterministicVm(spec, write, snapshot);
    this.#ledger = new Ledger(this.machine.vm);
    if (snapshot !== undefined) return;
    const { image, file } = readFixture("zrecover");
    bootVm(this.machine.vm, image, file);
  }

  run(rounds: number): void {
    for (let n = 0; n < rounds; n++) {
      this.machine.step();
      this.lines.push(...this.#ledger.drain().map(ledgerLine));
    }
  }

  /** From here on the other run is compared. */
  begin(): void {
    this.console = "";
    this.lines = [];
    this.#ledger = new Ledger(this.machine.vm);
  }

  /** Everything that a guest or an operator could tell the machine by. */
  state(): object {
    const { vm, clock } = this.machine;
    const hash = createHash("sha256");
    forEachUsedPage(vm, 0, vm.map.vcpuAreas[0] ?? 0, (at, n) =>
      hash.update(vm.bytes.slice(at, at + n)),
    );
    const { ramOffset, ramBytes, storageKeys } = vm.map;
    forEachUsedPage(vm, storageKeys, ramOffset + ramBytes - storageKeys, (at, n) => {
      hash.update(`${at}`).update(vm.bytes.slice(at, at + n));
    });
    const area = vm.map.vcpuAreas[0] ?? 0;
    hash.update(vm.bytes.slice(area + 0x200, area + 0x600));
    return {
      memory: hash.digest("hex"),
      timeUs: clock.nowUs(),
      instructions: this.machine.instructions(),
      console: this.console,
      lines: this.lines,
    };
  }
}

describe("a machine on one thread", () => {
  it("goes on from its snapshot bit by bit, wherever it was taken", async () => {
    const spec = specOf(input);
    let file = 0;
    let entries = 0;
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 2500 }), async (before) => {
        const one = new OneThread(spec);
        one.run(before);
        file += 1;
        await one.machine.save(path(`exact-${file}`));
        one.begin();
        const other = new OneThread(spec, await readSnapshot(path(`exact-${file}`)));
        for (let part = 0; part < 4; part++) {
          one.run(300);
          other.run(300);
          expect(other.state()).toEqual(one.state());
        }
        entries += one.lines.length;
        one.machine.close();
        other.machine.close();
      }),
      { numRuns: 6 },
    );
    // Not all in quiet times.
    expect(entries).toBeGreaterThan(50);
  });

  it.each([
    ["jit", "interp"],
    ["interp", "jit"],
  ] as const)("saved under -accel %s goes on under -accel %s bit by bit", async (before, after) => {
    const spec = specOf(input);
    const one = new OneThread({ ...spec, accel: before });
    one.run(400);
    await one.machine.save(path(`accel-${before}`));
    one.begin();
    const snapshot = await readSnapshot(path(`accel-${before}`));
    const other = new OneThread({ ...spec, accel: after }, snapshot);
    for (let part = 0; part < 4; part++) {
      one.run(400);
      other.run(400);
      expect(other.state()).toEqual(one.state());
    }
    expect(one.lines.length).toBeGreaterThan(0);
    // One of the two has run generated code, the other none.
    const generated = [one, other].map(({ machine }) => translationStatistics(machine.vm));
    const counts = generated.map(({ instructions }) => instructions > 0);
    expect(counts).toEqual([before === "jit", after === "jit"]);
    one.machine.close();
    other.machine.close();
  });

  it("is undisturbed by a snapshot that cannot be written, and leaves nothing of it", async () => {
    const one = new OneThread(specOf(input));
    one.run(50);
    await expect(one.machine.save(path("no/such/folder"))).rejects.toThrow(
      /^Snapshot .* cannot be written \(ENOENT\); name a file in a writable directory with room\.$/,
    );
    for (const place of ["/dev/null", path(".")]) {
      await expect(one.machine.save(place)).rejects.toMatchObject({
        code: "USAGE",
        message: `${place} is no file that a snapshot could replace; name another one.`,
      });
    }
    expect(statSync("/dev/null").isCharacterDevice()).toBe(true);
    one.run(50);
    expect(existsSync(path("no"))).toBe(false);
    one.machine.close();
  });

  it("is written to where a link leads", async () => {
    const one = new OneThread(specOf(input));
    one.run(50);
    writeFileSync(path("real"), "old");
    symlinkSync(path("real"), path("link"));
    await one.machine.save(path("link"));
    expect(lstatSync(path("link")).isSymbolicLink()).toBe(true);
    expect(statSync(path("real")).size).toBeGreaterThan(1000);
    one.machine.close();
  });
});

describe("a snapshot that is not what it should be", () => {
  const spec = specOf(input);
  beforeAll(async () => {
    const one = new OneThread(spec);
    one.run(200);
    await one.machine.save(path("good"));
    one.machine.close();
  });

  async function refusal(change: (bytes: Buffer) => Buffer): Promise<string> {
    writeFileSync(path("bad"), change(readFileSync(path("good"))));
    const error = await readSnapshot(path("bad")).catch((reason: Error) => reason);
    return (error as Error).message.replaceAll(folder, "");
  }

  it.each([
    [
      "empty",
      () => Buffer.alloc(0),
      "/bad is no snapshot of zmend; name a file that savevm wrote.",
    ],
    [
      "cut in its middle",
      (bytes: Buffer) => bytes.subarray(0, bytes.length >> 1),
      "Snapshot /bad is broken: its end is missing; take another.",
    ],
    [
      "cut before its last part",
      (bytes: Buffer) => bytes.subarray(0, bytes.length - 12),
      "Snapshot /bad is broken: its end is missing; take another.",
    ],
    [
      "changed in one bit",
      (bytes: Buffer) => {
        bytes[bytes.length - 1000] = (bytes[bytes.length - 1000] ?? 0) ^ 1;
        return bytes;
      },
      /^Snapshot \/bad is broken: a checksum is wrong before byte \d+; take another\.$/,
    ],
    [
      "of another format",
      (bytes: Buffer) => {
        bytes.writeUInt32LE(7, 8);
        return bytes;
      },
      "Snapshot /bad has format 7, this zmend reads format 1; restore it with the zmend that wrote it.",
    ],
  ])("%s is refused with one sentence", async (_, change, expected) => {
    expect(await refusal(change)).toEqual(
      typeof expected === "string" ? expected : expect.stringMatching(expected),
    );
  });

  it("never crashes the reader, wherever a bit is wrong", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.integer({ min: 0, max: 7 }), async (place, bit) => {
        const message = await refusal((bytes) => {
          const at = place % bytes.length;
          bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
          return bytes;
        });
        expect(message).toMatch(/^(Snapshot )?\/bad (is|has|was) /);
      }),
      { numRuns: 60 },
    );
  });

  it("is refused by another machine, which names what differs", async () => {
    const snapshot = await readSnapshot(path("good"));
    expect(() => snapshot.requireMachine(spec)).not.toThrow();
    expect(() => snapshot.requireMachine({ ...spec, ramBytes: 2 ** 29 })).toThrow(
      /is of another machine: its memory was \d+ MiB, is 512 MiB; start the machine as it was\.$/,
    );
    const [first, ...rest] = spec.functions;
    if (first === undefined) throw new Error("no function");
    expect(() => snapshot.requireMachine({ ...spec, functions: rest })).toThrow(
      "the number of its functions was 3, is 2",
    );
    const other = { ...spec, functions: [{ ...first, uid: 77 }, ...rest] };
    const fid = `0x${first.fid.toString(16).padStart(8, "0")}`;
    expect(() => snapshot.requireMachine(other)).toThrow(
      `is of another machine: of function ${fid}, uid was ${first.uid}, is 77; start the machine as it was.`,
    );
    const host = { ...first.host, abi: "another" };
    const changed = { ...spec, functions: [{ ...first, host }, ...rest] };
    expect(() => snapshot.requireMachine(changed)).toThrow(
      /, host\.abi was "[^"]+", is "another"; start/,
    );
    // Another policy is no other machine.
    const patient = { ...spec, policy: loadPolicy("reset-first") };
    expect(() => snapshot.requireMachine(patient)).not.toThrow();
  });
});

describe("a VM on threads", () => {
  const started: ControlledVm[] = [];
  afterEach(async () => {
    await Promise.all(started.splice(0).map(({ vm }) => vm.stop()));
  });

  async function restored(file: string): Promise<ControlledVm> {
    const machine = new ControlledVm(one, { snapshot: await readSnapshot(file) });
    started.push(machine);
    await machine.vm.start();
    return machine;
  }

  const one: ConfigInput = { functions: [{ fid: 1 }, { fid: 2, clearError: true }] };

  it("saved in the middle of a recovery recovers in each of its lives", async () => {
    const first = new ControlledVm(one);
    started.push(first);
    await first.vm.start();
    await first.working();
    first.vm.inject(1, { pec: 0x3a });
    await first.until(() => first.function().books.injected === 1);
    await first.vm.save(path("life"));
    expect(first.runStates().slice(-2)).toEqual(["save-vm: operator", "running: saved"]);
    const second = await restored(path("life"));
    const third = await restored(path("life"));
    for (const machine of [first, second, third]) {
      await machine.until(() => machine.function().books.recoveries === 1);
      machine.vm.inject(2, { pec: 0x3a });
      await machine.until(() => machine.function(1).books.recoveries === 1);
      expect(machine.function().books).toMatchObject({ errorsRaised: 1, workerRestarts: 0 });
    }
    expect(second.runStates()).toEqual(["restore-vm: operator", "running: restored"]);
    for (const machine of [second, third]) {
      await machine.until(() => machine.entries("recovered").length === 2);
    }
    expect(second.vm.timeUs()).toBeGreaterThan(0);
    expect(readdirSync(folder).filter((name) => name.endsWith(".part"))).toEqual([]);
  });

  it("saved while it was paused is paused again, with its deadlines", async () => {
    const first = new ControlledVm(one);
    started.push(first);
    await first.vm.start();
    await first.working();
    await first.vm.pause();
    first.vm.inject(1, { pec: 0x3a });
    await first.until(() => first.function().books.injected === 1);
    await first.vm.save(path("paused"));
    expect(first.vm.runState()).toBe("paused");
    const stood = first.vm.instructions();
    const second = await restored(path("paused"));
    expect(second.vm.runState()).toBe("paused");
    expect(second.vm.instructions()).toBe(stood);
    await second.vm.resume();
    await second.until(() => second.function().books.recoveries === 1);
  });

  it("goes back to its own snapshot while it runs, as often as it is told to", async () => {
    const machine = new ControlledVm(one);
    started.push(machine);
    await machine.vm.start();
    await machine.working();
    machine.vm.inject(1, { pec: 0x3a });
    await machine.until(() => machine.function().books.injected === 1);
    await machine.vm.save(path("back"));
    const saved = await readSnapshot(path("back"));
    for (let life = 0; life < 2; life++) {
      await machine.until(() => machine.function().books.recoveries === 1);
      machine.vm.inject(2, { pec: 0x3a });
      await machine.until(() => machine.function(1).books.recoveries === 1);
      const before = machine.vm.instructions();
      await machine.vm.load(path("back"));
      expect(machine.runStates().slice(-2)).toEqual(["restore-vm: operator", "running: restored"]);
      expect(machine.function(1).books).toMatchObject({ errorsRaised: 0, recoveries: 0 });
      expect(machine.vm.timeUs()).toBeGreaterThanOrEqual(saved.head.timeUs);
      expect(machine.vm.instructions()).toBeLessThan(before);
    }
    await machine.until(() => machine.function().books.recoveries === 1);
    // Whoever listened before hears of it, in one sequence over all lives.
    await machine.until(() => machine.entries("recovered").length === 5);
    expect(new Set(machine.entries("recovered").map(({ seq }) => seq)).size).toBe(5);
    expect(machine.vm.failure()).toBeUndefined();
  });

  it("that is paused goes back to a snapshot of a running one and stays paused", async () => {
    const machine = new ControlledVm(one);
    started.push(machine);
    await machine.vm.start();
    await machine.working();
    await machine.vm.save(path("running"));
    await machine.vm.pause();
    await machine.vm.load(path("running"));
    expect(machine.vm.runState()).toBe("paused");
    const stood = machine.vm.instructions();
    await machine.vm.resume();
    await machine.until(() => machine.vm.instructions() > stood);
  });

  it("is undisturbed by a snapshot that is none or of another machine", async () => {
    const machine = new ControlledVm(one);
    started.push(machine);
    await machine.vm.start();
    await machine.working();
    writeFileSync(path("none"), "something else");
    await expect(machine.vm.load(path("none"))).rejects.toThrow("is no snapshot of zmend");
    const other = new ControlledVm({ functions: [{ fid: 1 }] });
    started.push(other);
    await other.vm.start();
    await other.vm.save(path("other"));
    await expect(machine.vm.load(path("other"))).rejects.toThrow(
      "is of another machine: the number of its functions was 1, is 2",
    );
    expect(machine.vm.runState()).toBe("running");
    machine.vm.inject(1, { pec: 0x3a });
    await machine.until(() => machine.function().books.recoveries === 1);
  });

  it("whose disk was written since is told which image has to come back", async () => {
    const file = path("disk.raw");
    writeFileSync(file, Buffer.alloc(1024 ** 2));
    const disk: ConfigInput = {
      functions: [{ fid: 1, device: "nvme", nvme: { serial: "one", namespaces: [{ file }] } }],
    };
    const machine = new ControlledVm(disk);
    started.push(machine);
    await machine.vm.start();
    await machine.vm.save(path("with-disk"));
    const then = new Date(Date.now() - 3_600_000);
    utimesSync(file, then, then);
    await expect(machine.vm.load(path("with-disk"))).rejects.toThrow(
      `needs the disks of function 0x00000001 as they were when it was taken (${file}: the image has been written since)`,
    );
    expect(machine.vm.runState()).toBe("running");
  });
});
