/** `zmend demo` from config to exit status: determinism, the shape of its output, the policies, guests that misbehave. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { unpackMultiple } from "msgpackr";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HostBlock } from "../../src/backend/sim/host-area.ts";
import { packageRoot } from "../../src/base/version.ts";
import { load } from "../../src/shm/atomics.ts";
import { FunctionBlock, VmBlock } from "../../src/shm/blocks.ts";
import type { VmMemory } from "../../src/shm/vm-memory.ts";
import {
  type ConfigInput,
  type ConfigStep,
  demoCommand,
  runDeterministic,
} from "../support/demo-run.ts";

const zmend = fileURLToPath(new URL("dist/src/daemon/zmend.js", packageRoot));
const golden = "test/golden/demo-digest.json";

/** The command in a process of its own; several may run at a time. */
function inProcess(
  ...words: string[]
): Promise<{ status: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [zmend, ...words], (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

/** The shipped demo in a tenth of its time. */
const sequence: readonly ConfigStep[] = [
  { atMs: 30, function: 1, ccdf: "single-003a" },
  { atMs: 60, function: 2, ccdf: "recorded-7.3-burst" },
  { atMs: 90, function: 1, ccdf: "stale-handle" },
  { atMs: 120, function: 2, dma: "translation" },
  { atMs: 150, function: 3, ccdf: "permanent-003b" },
];
const three: ConfigInput = {
  functions: [
    { fid: 1, clearError: true },
    { fid: 2, profile: "recorded", resetFailures: ["EAGAIN", "EIO"] },
    { fid: 3, expect: "failed" },
  ],
  sequence,
};

function withPolicy(policy: string, expected: readonly string[]): ConfigInput {
  const functions = three.functions.map((entry, index) => ({
    ...entry,
    expect: (expected[index] ?? "operational") as "operational",
  }));
  return { ...three, policy, functions };
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "zmend-demo-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("a deterministic demo", () => {
  it("gives one digest per seed in every process, and the pinned one for seed 0", async () => {
    // One process after the other on purpose: nothing but the arguments is common to them.
    const run = async (seed: string, ...more: string[]): Promise<string> => {
      const words = ["demo", "--deterministic", "--json", "--seed", seed, ...more];
      const { status, stdout } = await inProcess(...words);
      expect(status).toBe(0);
      return (JSON.parse(stdout) as { digest: string }).digest;
    };
    const generated = join(folder, "jit.yaml");
    const shipped = readFileSync("config/demo.yaml", "utf8");
    writeFileSync(generated, shipped.replace(/^vm:$/m, "vm:\n  accel: jit"));
    expect(readFileSync(generated, "utf8")).not.toBe(shipped);
    const [first, again, other, translated] = await Promise.all([
      run("0"),
      run("0"),
      run("1"),
      run("0", "--config", generated),
    ]);
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(again).toBe(first);
    expect(translated).toBe(first); // generated code is the interpreter's equal, to the instruction
    expect(other).not.toBe(first);
    // The ledger of the shipped demo is meant to be stable. If a change of the guest, of the demo's config, of
    // zmend's timing or of the ledger's words was intended, look at the new timeline (zmend demo --deterministic)
    // and put the digest that this test prints into the golden file.
    const pinned = JSON.parse(readFileSync(golden, "utf8")) as { seed: number; digest: string };
    expect({ seed: 0, digest: first }).toEqual({ seed: pinned.seed, digest: pinned.digest });
  });

  it("prints the digest that its JSON has", async () => {
    const text = await demoCommand(three);
    const json = JSON.parse((await demoCommand(three, { json: true })).stdout) as {
      digest: string;
    };
    expect(text.stdout).toContain(`\nledger digest ${json.digest}\n`);
  });

  it("has a digest that depends on the config", async () => {
    const digest = async (input: ConfigInput): Promise<unknown> =>
      (JSON.parse((await demoCommand(input, { json: true })).stdout) as { digest: string }).digest;
    const [plain, ...others] = [
      await digest(three),
      await digest({ ...three, policy: "reset-first" }),
      await digest({ ...three, vm: { memory: "17MiB" } }),
    ];
    expect(others).not.toContain(plain);
  });
});

const bookKeys = [
  "errorsRaised",
  "droppedByHost",
  "staleIgnored",
  "read",
  "injected",
  "fetchedByGuest",
] as const;
const reasons = [
  "hostQueueFull",
  "staleHandle",
  "fmbCode",
  "superseded",
  "policy",
  "unverifiable",
  "vmStopped",
];

interface DemoJson {
  readonly verdict: string;
  readonly policy: string;
  readonly vm: string;
  readonly digest?: string;
  readonly guest: {
    readonly fixture?: string;
    readonly instructions: number;
    readonly console: readonly string[];
  };
  readonly functions: readonly (Record<(typeof bookKeys)[number], number> & {
    readonly fid: string;
    readonly state: string;
    readonly expected: string;
    readonly notDelivered: Readonly<Record<string, number>>;
    readonly recoveries: number;
    readonly dmaChecked: number;
    readonly dmaCorrupt: number;
  })[];
  readonly latencyUs: Readonly<Record<string, { p50: number | null; p99: number | null }>>;
}

async function jsonOf(input: ConfigInput): Promise<{ status: number; json: DemoJson }> {
  const { status, stdout } = await demoCommand(input, { json: true });
  expect(stdout.trimEnd().split("\n")).toHaveLength(1);
  return { status, json: JSON.parse(stdout) as DemoJson };
}

function expectBooksClosed(json: DemoJson): void {
  for (const entry of json.functions) {
    const lost = Object.values(entry.notDelivered).reduce((sum, count) => sum + count, 0);
    expect({ fid: entry.fid, raised: entry.errorsRaised }).toEqual({
      fid: entry.fid,
      raised: entry.fetchedByGuest + lost,
    });
  }
}

describe("demo --json", () => {
  it("is one object with the documented fields, in their order", async () => {
    const { status, json } = await jsonOf(three);
    expect(status).toBe(0);
    expect(Object.keys(json)).toEqual([
      "verdict",
      "policy",
      "vm",
      "digest",
      "guest",
      "functions",
      "latencyUs",
    ]);
    expect(json).toMatchObject({ verdict: "recovered", policy: "mediated", vm: "running" });
    expect(Object.keys(json.guest)).toEqual(["fixture", "instructions", "console"]);
    expect(json.guest.console).toContainEqual(expect.stringMatching(/^zrecover: .*recovered/));
    expect(json.guest.fixture).toBe("zrecover");
    expect(json.guest.instructions).toBeGreaterThan(100_000);
    for (const entry of json.functions) {
      expect(Object.keys(entry)).toEqual([
        "fid",
        "state",
        "expected",
        ...bookKeys,
        "notDelivered",
        "recoveries",
        "dmaChecked",
        "dmaCorrupt",
        "hostResets",
        "workerRestarts",
      ]);
      expect(Object.keys(entry.notDelivered)).toEqual(reasons);
    }
    expect(json.functions.map(({ fid }) => fid)).toEqual(["0x1", "0x2", "0x3"]);
    const latencies = Object.entries(json.latencyUs);
    expect(latencies.map(([name]) => name)).toEqual([
      "doorbellToInject",
      "injectToFetch",
      "errorToRecovered",
    ]);
    for (const [, value] of latencies) {
      expect(Object.keys(value)).toEqual(["p50", "p99", "count"]);
      expect(value.p50).not.toBeNull();
    }
  });

  it("keeps books that close: six faults under one lock are four stored and two dropped", async () => {
    const { json } = await jsonOf(three);
    expectBooksClosed(json);
    const [first, second, third] = json.functions;
    expect(first).toMatchObject({ errorsRaised: 2, staleIgnored: 1, read: 1, fetchedByGuest: 1 });
    expect(first?.notDelivered).toMatchObject({ staleHandle: 1 });
    expect(second).toMatchObject({
      errorsRaised: 7,
      droppedByHost: 2,
      read: 5,
      injected: 5,
      fetchedByGuest: 5,
      recoveries: 2,
    });
    expect(second?.notDelivered).toMatchObject({ hostQueueFull: 2 });
    expect(third).toMatchObject({ errorsRaised: 1, fetchedByGuest: 1, recoveries: 0 });
    for (const entry of json.functions) {
      expect(entry.dmaChecked).toBeGreaterThan(10);
      expect(entry.dmaCorrupt).toBe(0);
    }
  });
});

describe("the policies", () => {
  it.each([
    ["mediated", ["operational", "operational", "failed"]],
    ["reset-first", ["operational", "operational", "failed"]],
    ["quarantine", ["operational", "operational", "failed"]],
  ])("%s ends as a fitting config expects, with status 0", async (policy, expected) => {
    const { status, json } = await jsonOf(withPolicy(policy, expected));
    expect(json.functions.map(({ state }) => state)).toEqual(expected);
    expectBooksClosed(json);
    expect([status, json.verdict, json.vm]).toEqual([0, "recovered", "running"]);
  });

  it("reset-first resets the host before it tells the guest, mediated when the guest asks", () => {
    const order = (policy: string): string[] => {
      const { entries } = runDeterministic({ ...three, policy });
      return entries
        .filter(({ fid, timeUs }) => fid === 2 && timeUs < 120_000)
        .map(({ kind, detail }) => (kind === "host-reset" ? `${kind} ${detail["result"]}` : kind))
        .filter((kind) => kind === "fetched" || kind === "host-reset done");
    };
    expect(order("mediated")).toEqual([...Array(4).fill("fetched"), "host-reset done"]);
    expect(order("reset-first")[0]).toBe("host-reset done");
    expect(order("reset-first").filter((kind) => kind === "fetched")).toHaveLength(4);
  });

  it("quarantine takes a function out of service at its third failure, and tells the guest 0x003b", async () => {
    const input: ConfigInput = {
      ...withPolicy("quarantine", ["operational", "quarantined", "failed"]),
      // After a burst (one failure) and a DMA fault.
      sequence: [...sequence, ...[160, 170, 180].map((atMs) => ({ atMs, function: 2, pec: 0x3a }))],
    };
    const { functions, entries } = runDeterministic(input);
    expect(functions.map(({ state }) => state)).toEqual(["operational", "quarantined", "failed"]);
    expect(functions[1]).toMatchObject({ balance: 0, report: { state: "permanent" } });
    expect(functions[1]?.books).toMatchObject({ fetchedByGuest: 5, recoveries: 2 });
    expect(functions[1]?.books.notDelivered).toMatchObject({ hostQueueFull: 2, policy: 3 });
    const fetched = entries.filter(({ kind, fid }) => kind === "fetched" && fid === 2);
    expect(fetched.map(({ detail }) => detail["pec"])).toEqual([
      ...Array(4).fill("0x0002"),
      "0x0007",
      "0x003b",
    ]);
    expect((await demoCommand(input)).status).toBe(0);
  });

  it("qemu-11 stops the VM at the first error and fails, whatever the config expects", async () => {
    const input = withPolicy("qemu-11", ["failed", "operational", "operational"]);
    const { status, json } = await jsonOf(input);
    expect([status, json.verdict, json.vm]).toEqual([1, "failed", "stopped"]);
    expect(json.functions.map(({ state }) => state)).toEqual(
      input.functions.map(({ expect: state }) => state),
    );
    expect(json.functions[0]).toMatchObject({ read: 0, fetchedByGuest: 0, errorsRaised: 1 });
    expect(json.functions[0]?.notDelivered).toMatchObject({ vmStopped: 1 });
    expectBooksClosed(json);
    const { stderr } = await demoCommand(input, { json: true });
    expect(stderr).toBe("zmend: The policy qemu-11 stopped the VM.\n");
  });

  it("--policy replaces the policy of the config", async () => {
    const { status, stdout } = await demoCommand(three, { json: true, policy: "qemu-11" });
    expect([status, (JSON.parse(stdout) as DemoJson).policy]).toEqual([1, "qemu-11"]);
  });

  it("a config that expects something else fails and says what", async () => {
    const input = withPolicy("mediated", ["operational", "operational", "operational"]);
    const { status, stderr, stdout } = await demoCommand(input);
    expect(status).toBe(1);
    expect(stderr).toBe(
      "zmend: Function 0x00000003 ended failed, the config expects operational.\n",
    );
    expect(stdout).toMatch(/\nfailed\n$/);
  });
});

/** A flat image: the 8-byte IPL PSW (31-bit address in its second word), then code at 0x100. */
function flatImage(name: string, code: readonly number[]): string {
  const image = new Uint8Array(0x200);
  new DataView(image.buffer).setUint32(4, 0x80000100);
  image.set(code, 0x100);
  const file = join(folder, name);
  writeFileSync(file, image);
  return file;
}

/** Words that no guest instruction may change: whose they are, and that they are a VM's at all. */
function constants(vm: VmMemory): number[] {
  const { map, words } = vm;
  const block = map.vmBlock / 4;
  return [
    load(words, block + VmBlock.magic),
    load(words, block + VmBlock.functionCount),
    ...map.functionBlocks.flatMap((base, index) => [
      load(words, base / 4 + FunctionBlock.fid),
      load(words, base / 4 + FunctionBlock.uid),
      load(words, base / 4 + FunctionBlock.index),
      load(words, (map.hostAreas[index] as number) / 4 + HostBlock.magic),
    ]),
  ];
}

describe("a guest that misbehaves", () => {
  it("zhang, which never fetches: the policy goes up its ladder, gives up, and the run says why", async () => {
    const input: ConfigInput = {
      vm: { fixture: "zhang" },
      functions: [{ fid: 1 }, { fid: 2 }],
      sequence: [{ atMs: 30, function: 1, pec: 0x3a }],
    };
    const { functions, entries, ending, endedUs } = runDeterministic(input);
    expect(ending).toBe("ended");
    expect(functions.map(({ state, balance }) => [state, balance])).toEqual([
      ["failed", 0],
      ["operational", 0],
    ]);
    expect(functions[0]?.books).toMatchObject({ fetchedByGuest: 0, injected: 1 });
    expect(functions[0]?.books.notDelivered.vmStopped).toBe(1);
    const ladder = entries.filter(({ kind }) => kind === "policy-step");
    expect(ladder.map(({ detail }) => detail["step"])).toEqual([
      "reinject",
      "reset-and-reinject",
      "fail",
    ]);
    // Three deadlines of `awaiting-guest` (config/policies/mediated.yaml), not the run's own.
    expect(endedUs).toBeLessThan(3 * 2_000_000 + 1_000_000);

    const { status, stderr } = await demoCommand(input);
    expect(status).toBe(1);
    expect(stderr).toBe(
      "zmend: Function 0x00000001 ended failed, the config expects operational.\n",
    );
  });

  it("zhostile: random operands end in its own disabled wait, nothing of the host's has changed", () => {
    let before: number[] = [];
    const { functions, ending, vm } = runDeterministic(
      {
        vm: { fixture: "zhostile" },
        functions: [{ fid: 1, clearError: true }, { fid: 2 }, { fid: 3, profile: "recorded" }],
        sequence: [{ atMs: 10, function: 2, pec: 0x3a }],
      },
      0,
      (machine, round) => {
        if (round === 0) before = constants(machine.vm);
      },
    );
    expect(ending).toBe("halted");
    expect(constants(vm)).toEqual(before);
    expect(functions.map(({ balance }) => balance)).toEqual([0, 0, 0]);
  });

  it("one that loops for ever meets the deadline: status 1 and the reason, on threads too", async () => {
    const loop = flatImage("loop.img", [0xa7, 0xf4, 0x00, 0x00]); // J .
    const input: ConfigInput = { vm: { kernel: loop }, functions: [{ fid: 1 }], deadlineMs: 200 };
    for (const deterministic of [true, false]) {
      const { status, stderr, stdout } = await demoCommand(input, { deterministic, json: true });
      expect(status).toBe(1);
      expect(stderr).toContain("zmend: The guest did not finish within 0.2 s (deadlineMs)");
      const json = JSON.parse(stdout) as DemoJson;
      expect([json.verdict, json.vm]).toEqual(["failed", "stopped"]);
      expect(json.guest).toMatchObject({ kernel: loop });
      expect("digest" in json).toBe(deterministic);
    }
  });

  it("one in disabled wait at once has stopped by itself: status 1, the reason and its PSW", async () => {
    // LPSWE 0x110; the PSW there: wait, 64-bit, address 0xbad
    const code = [0xb2, 0xb2, 0x01, 0x10, ...Array(12).fill(0)];
    const psw = [0, 2, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0b, 0xad];
    const wait = flatImage("wait.img", [...code, ...psw]);
    const input: ConfigInput = { vm: { kernel: wait }, functions: [{ fid: 1 }] };
    for (const deterministic of [true, false]) {
      const { status, stderr, stdout } = await demoCommand(input, { deterministic, json: true });
      expect(stderr).toBe(
        "zmend: The guest stopped before the run was over: disabled wait, PSW address 0x0000000000000bad.\n",
      );
      expect([status, (JSON.parse(stdout) as DemoJson).vm]).toEqual([1, "stopped"]);
    }
  });

  it("one in a loop of program interruptions is in check stop: status 1 and the reason", async () => {
    // An operation that does not exist, and a program new PSW (0x1d0) that leads back to it.
    const file = flatImage("storm.img", [0x00, 0x00]);
    const image = new Uint8Array(readFileSync(file));
    image.set([0, 0, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0], 0x1d0);
    writeFileSync(file, image);
    const input: ConfigInput = { vm: { kernel: file }, functions: [{ fid: 1 }] };
    const { status, stderr } = await demoCommand(input);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^zmend: The guest stopped before the run was over: check stop, PSW /);
  });
});

describe("demo --trace", () => {
  it("writes one MessagePack record per line of the timeline", async () => {
    const file = join(folder, "trace");
    const { stdout } = await demoCommand(three, { trace: file });
    const timeline = stdout.slice(0, stdout.indexOf("\n\n")).split("\n").slice(1);
    const records = unpackMultiple(readFileSync(file)) as Record<string, unknown>[];
    expect(records).toHaveLength(timeline.length);
    expect(records.map(({ seq }) => seq).sort((a, b) => Number(a) - Number(b))).toEqual(
      records.map((_, index) => index),
    );
    const raised = records.filter(({ kind }) => kind === "error-raised");
    expect(raised).toHaveLength(10);
    expect(raised[0]).toMatchObject({
      actor: "platform",
      fid: 1,
      timeUs: 30_000,
      detail: { pec: "0x003a", disposition: "stored" },
    });
  });

  it("refuses a file that it cannot create, in one sentence with status 2", async () => {
    const file = join(folder, "no", "such", "folder");
    await expect(demoCommand(three, { trace: file })).rejects.toMatchObject({
      exitStatus: 2,
      message: `Trace file ${file} cannot be created; name a file in a folder that exists and is writable.`,
    });
  });

  it.runIf(process.platform === "linux")(
    "ends a run whose trace file is full, in one sentence with status 3, on threads too",
    async () => {
      const config = join(folder, "short.yaml");
      writeFileSync(
        config,
        JSON.stringify({ version: 1, vm: { fixture: "hello" }, functions: [{ fid: 1, uid: 1 }] }),
      );
      for (const more of [[], ["--deterministic"]]) {
        const words = ["demo", "--config", config, "--trace", "/dev/full", ...more];
        const { status, stderr } = await inProcess(...words);
        expect(stderr).toBe(
          "zmend: Trace file /dev/full cannot be written (ENOSPC); make room or name another file.\n",
        );
        expect(status).toBe(3);
      }
    },
  );
});
