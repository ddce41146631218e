/**
 * Experiments from the command line: one core, all cores, shards and a queue write the same ledger; what is interrupted
 * goes on; what is wrong is said in a sentence. The commands are the compiled ones.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const zmend = new URL("../../dist/src/daemon/zmend.js", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "zmend-experiment-"));
const at = (name: string): string => join(folder, name);

/** Small enough for seconds, large enough for many batches. */
const file = at("small.yaml");
writeFileSync(
  file,
  `version: 1
name: small
question: Does it come out the same?
seed: 7
repetitions: 30
metrics: [availability, permanentLosses]
scenarios:
  - name: flaky
    hours: 24
    errors:
      - arrivals: { poisson: { perHour: 1 } }
    host: { resetMs: { lognormal: { median: 200, sigma: 0.5 } }, failed: 0.2 }
    operator: { repairMinutes: 60 }
guests:
  - { kernel: "6.1", driver: nvme }
  - { kernel: "7.3", driver: mlx5 }
policies: [mediated, reset-first, unplug]
`,
);

interface Ran {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

function run(...words: string[]): Ran {
  const { status, stdout, stderr } = spawnSync(process.execPath, [zmend, "experiment", ...words], {
    encoding: "utf8",
    cwd: folder,
  });
  return { status, out: stdout, err: stderr };
}

function ok(...words: string[]): string {
  const { status, out, err } = run(...words);
  expect(`${status} ${err}`).toBe("0 ");
  return out;
}

const sha256 = (path: string): string =>
  createHash("sha256").update(readFileSync(path)).digest("hex");
const ledger = (name: string): string => join(at(name), "ledger.jsonl");

let digest = "";

beforeAll(() => {
  const result = JSON.parse(ok("run", file, "--out", at("one"), "--jobs", "1", "--json"));
  expect(result).toMatchObject({ trials: 180, failedTrials: 0 });
  digest = result.digest;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("the same ledger", () => {
  it("has the digest that sha256sum would print", () => {
    expect(sha256(ledger("one"))).toBe(digest);
  });

  it("comes from two threads as from one, with --resume where nothing has begun yet", () => {
    ok("run", file, "--out", at("two"), "--jobs", "2", "--resume");
    expect(sha256(ledger("two"))).toBe(digest);
  });

  it("comes from three shards, merged in any order", () => {
    for (const n of [0, 1, 2]) ok("run", file, "--out", at(`shard${n}`), "--shard", `${n}/3`);
    ok("merge", at("merged"), at("shard2"), ledger("shard0"), at("shard1"));
    expect(sha256(ledger("merged"))).toBe(digest);
    const missing = run("merge", at("m2"), at("shard2"), at("shard1"));
    expect(missing).toMatchObject({
      status: 2,
      err: "zmend: Shard 0/3 is missing; run it and name its ledger too.\n",
    });
    const twice = run("merge", at("m3"), at("shard0"), at("shard1"), at("shard2"), at("shard1"));
    expect(twice.status).toBe(2);
    expect(twice.err).toMatch(/are both shard 1\/3\.\n$/);
    expect(run("merge", at("m4"), at("one")).err).toMatch(
      /is no shard; name the ledgers of 'run --shard i\/n'\.\n$/,
    );
  });

  it("comes from a run that was cut off in the middle of a line and goes on", () => {
    const lines = readFileSync(ledger("one"), "utf8").split("\n");
    ok("run", file, "--out", at("cut"), "--jobs", "1");
    truncateSync(ledger("cut"), lines.slice(0, 71).join("\n").length + 40);
    ok("run", file, "--out", at("cut"), "--resume");
    expect(sha256(ledger("cut"))).toBe(digest);
  });

  it("is what verify finds; a changed line is found too", () => {
    expect(JSON.parse(ok("verify", ledger("one"), "--json"))).toMatchObject({
      digest,
      trials: 180,
      compared: 180,
      different: [],
      verified: true,
    });
    const changed = readFileSync(ledger("one"), "utf8").replace('"failures":', '"failures":1');
    writeFileSync(at("changed.jsonl"), changed);
    const found = run("verify", at("changed.jsonl"));
    expect(found.status).toBe(1);
    expect(found.out).toBe("180 of 180 trials run again: other lines for trial 0\n");
  });

  it("stands in results.parquet, column by column", async () => {
    const rows = await parquetReadObjects({
      file: await asyncBufferFromFile(join(at("one"), "results.parquet")),
    });
    const first = JSON.parse(readFileSync(ledger("one"), "utf8").split("\n")[1] ?? "");
    expect(rows.length).toBe(180);
    expect(rows[0]).toMatchObject({
      trial: 0n,
      policy: "mediated",
      guest: "6.1-nvme",
      status: "done",
      reason: null,
      availability: first.metrics.availability,
      phase_reset: first.phases.reset,
    });
  });
});

/** Two hours with an error now and then, under a module and under a shipped policy. */
function moduleExperiment(name: string, repetitions: number, source: string): string {
  writeFileSync(at(`${name}.mjs`), source);
  const text = readFileSync(file, "utf8")
    .replace("repetitions: 30", `repetitions: ${repetitions}`)
    .replace("hours: 24", "hours: 2")
    .replace('  - { kernel: "7.3", driver: mlx5 }\n', "")
    .replace("[mediated, reset-first, unplug]", `[{ module: ${name}.mjs }, mediated]`);
  writeFileSync(at(`${name}.yaml`), text);
  return at(`${name}.yaml`);
}

const rowsOf = (name: string): { policy: string; status: string; reason?: string }[] =>
  readFileSync(ledger(name), "utf8")
    .split("\n")
    .slice(1)
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

describe("Ctrl-C", () => {
  it("keeps what is done, and --resume comes to the same digest", async () => {
    // While the file is there each decision takes its time asleep, so that there is a middle to interrupt.
    const slow = moduleExperiment(
      "sleeper",
      100,
      `import { existsSync } from "node:fs";
       const pause = new Int32Array(new SharedArrayBuffer(4));
       export default {
         onError: () => {
           if (existsSync(new URL("slowly", import.meta.url))) Atomics.wait(pause, 0, 0, 200);
           return "inject";
         },
       };`,
    );
    const whole = JSON.parse(ok("run", slow, "--out", at("whole"), "--json"));
    expect(whole).toMatchObject({ trials: 200, failedTrials: 0 });
    writeFileSync(at("slowly"), "");
    const child = spawn(
      process.execPath,
      [zmend, "experiment", "run", slow, "--out", at("interrupted"), "--json"],
      { cwd: folder, stdio: ["ignore", "ignore", "pipe"] },
    );
    let said = "";
    child.stderr.on("data", (data: Buffer) => {
      said += data.toString();
    });
    const ended = new Promise<string>((resolve) =>
      child.once("close", (status, signal) => resolve(`${status ?? signal}: ${said}`)),
    );
    await expect
      .poll(() => existsSync(ledger("interrupted")) && rowsOf("interrupted").length > 5, {
        timeout: 60_000,
      })
      .toBe(true);
    child.kill("SIGINT");
    const end = await ended;
    const kept = rowsOf("interrupted").length;
    expect(end).toBe(
      `130: zmend: Interrupted; ${kept} trials are kept in ${at("interrupted")}, --resume goes on.\n`,
    );
    rmSync(at("slowly"));
    expect(kept).toBeLessThan(200);
    const resumed = JSON.parse(ok("run", slow, "--out", at("interrupted"), "--resume", "--json"));
    expect(resumed).toMatchObject({ trials: 200, digest: whole.digest });
    expect(sha256(ledger("interrupted"))).toBe(whole.digest);
  });
});

describe("a policy module", () => {
  it("that throws fails its own trials by name, and the run ends well", () => {
    const source = 'export default { onError: () => { throw new Error("out of ideas"); } };';
    const thrower = moduleExperiment("thrower", 10, source);
    const result = JSON.parse(ok("run", thrower, "--out", at("thrown"), "--json"));
    const failed = rowsOf("thrown").filter(({ status }) => status === "failed");
    expect(result.failedTrials).toBe(failed.length);
    expect(failed.length).toBeGreaterThan(0);
    expect(new Set(failed.map(({ policy, reason }) => `${policy}: ${reason}`))).toEqual(
      new Set(["thrower: policy 'thrower' threw in onError: out of ideas"]),
    );
  });

  it("that loops is withdrawn after its first overrun; what it loses are rows with that reason", () => {
    const source =
      'let asked = 0; export default { onError: () => { while (asked > 2); asked += 1; return "inject"; } };';
    const looper = moduleExperiment("looper", 20, source);
    const words = ["--out", at("looped"), "--jobs", "1", "--json"];
    expect(JSON.parse(ok("run", looper, ...words))).toMatchObject({ trials: 40 });
    const rows = rowsOf("looped").filter(({ policy }) => policy === "looper");
    const overrun = rows.findIndex(({ status }) => status === "failed");
    expect(rows[overrun]?.reason).toBe("policy 'looper' gave no answer to onError within 1000 ms");
    const withdrawn = `policy 'looper' was withdrawn after it overran its time in trial ${2 * overrun}`;
    const after = rows.slice(overrun + 1).map(({ reason }) => reason);
    expect(after.length).toBeGreaterThan(5);
    expect(new Set(after)).toEqual(new Set([withdrawn]));
    expect(rowsOf("looped").filter(({ policy }) => policy === "mediated")).toHaveLength(20);
  });

  it("in TypeScript is refused with a sentence where this Node does not strip types", () => {
    writeFileSync(at("typed.ts"), 'export default { onError: (): string => "reset" };\n');
    const { status, err, out } = run("run", file, "--policy", at("typed.ts"), "--out", at("typed"));
    if ("typescript" in process.features && process.features.typescript !== false) {
      expect(`${status} ${err}`).toBe("0 ");
      expect(out).toContain("ledger sha256");
      return;
    }
    expect(status).not.toBe(0);
    expect(err).toContain("typed.ts needs a Node that strips types (22.18, 23.6 or newer)");
    expect(existsSync(ledger("typed"))).toBe(false);
  });
});

describe("a stopping rule", () => {
  it("ends at the same trial on one thread, on two, and after a merge", () => {
    const stopping = at("stopping.yaml");
    const rule = "stop: { metric: availability, narrowerThan: 0.02 }\n";
    const text = readFileSync(file, "utf8").replace(
      "repetitions: 30\n",
      `repetitions: 200\n${rule}`,
    );
    writeFileSync(stopping, text.replace("[mediated, reset-first, unplug]", "[mediated]"));
    const one = JSON.parse(ok("run", stopping, "--out", at("s1"), "--jobs", "1", "--json"));
    const two = JSON.parse(ok("run", stopping, "--out", at("s2"), "--jobs", "2", "--json"));
    expect(one.trials).toBeLessThan(400);
    expect(two.digest).toBe(one.digest);
    for (const n of [0, 1]) ok("run", stopping, "--out", at(`st${n}`), "--shard", `${n}/2`);
    ok("merge", at("sm"), at("st0"), at("st1"));
    expect(sha256(ledger("sm"))).toBe(one.digest);
  });
});

describe("what is wrong is said in a sentence", () => {
  it("two runs into one folder, and a folder that has a ledger", () => {
    expect(run("run", file, "--out", at("one"))).toMatchObject({
      status: 2,
      err: `zmend: ${at("one")} has a ledger already; go on with it with --resume, or choose another --out.\n`,
    });
    writeFileSync(join(at("one"), "run.lock"), `${process.pid}\n`);
    expect(run("run", file, "--out", at("one"), "--resume").err).toBe(
      `zmend: ${at("one")} is being written by process ${process.pid}; wait for it, or choose another --out.\n`,
    );
    rmSync(join(at("one"), "run.lock"));
  });

  it("a ledger of another version, and a file that is none", () => {
    const other = readFileSync(ledger("one"), "utf8").replace('"version":1', '"version":99');
    writeFileSync(at("old.jsonl"), other);
    expect(run("verify", at("old.jsonl"))).toMatchObject({
      status: 2,
      err: `zmend: ${at("old.jsonl")} has ledger version 99, this zmend knows version 1; use the zmend that wrote it, or run the experiment anew.\n`,
    });
    expect(run("verify", file).err).toBe(
      `zmend: ${file} is no ledger of an experiment; name a ledger.jsonl.\n`,
    );
  });

  it("a resume with another seed", () => {
    const refused = run("run", file, "--out", at("one"), "--resume", "--seed", "8");
    expect(refused.status).toBe(2);
    expect(refused.err).toMatch(/belongs to another experiment, seed or version of its files/);
  });

  it.each([
    [["run", "smok"], /^zmend: Experiment 'smok' is unknown \(did you mean 'smoke'\?\)/],
    [["run", "smoke", "--shard", "3/3"], /a shard is written i\/n with i from 0 to n-1/],
    [["run", "smoke", "--set", "x"], /a setting is written NAME=VALUE/],
    [["run", "smoke", "--queue", "http://x"], /--queue http:\/\/x is no Redis URL/],
    [["plan", "smoke", "--repetitions", "100000000"], /say --yes if that is meant/],
    [["sequence", "--pec", "58"], /a PEC is written as 0x003a/],
  ])("%j", (words, message) => {
    const { status, err } = run(...words);
    expect(status).toBe(2);
    expect(err).toMatch(message);
  });
});

describe("zmend experiment sequence", () => {
  it("prints the instructions of one recovery as JSON, STCRW to STCRW", () => {
    const list = JSON.parse(
      ok("sequence", "--kernel", "6.1", "--driver", "nvme", "--pec", "0x003a", "--json"),
    );
    expect(list[0]).toEqual({ name: "STCRW", cc: 0 });
    expect(list.at(-1)).toEqual({ name: "STCRW", cc: 1 });
    expect(list).toContainEqual({ name: "MPCIFC", operation: 4, cc: 0, status: 0 });
  });

  it("prints the recovery machine's states instead, and says which driver no machine has", () => {
    const states = ok("sequence", "--kernel", "7.3", "--driver", "no-handlers", "--states");
    expect(states.split("\n")).toContain("guest-recovering -> failed on guest-report (failure)");
    expect(run("sequence", "--machine", "linux-6.1", "--driver", "mlx5")).toMatchObject({
      status: 2,
      err: "zmend: Driver 'mlx5' is the model's only; a machine can have nvme, no-handlers, vfio-pci.\n",
    });
  });
});

function hasRedis(): boolean {
  try {
    execFileSync("redis-server", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

describe.skipIf(!hasRedis())("a queue (needs Debian's redis-server)", () => {
  const socket = at("redis.sock");
  const children: ChildProcess[] = [];
  const start = (command: string, words: readonly string[]): ChildProcess => {
    const child = spawn(command, words, { stdio: "ignore", cwd: folder });
    children.push(child);
    return child;
  };
  const worker = (): ChildProcess =>
    start(process.execPath, [zmend, "experiment", "worker", "--queue", socket, "--jobs", "1"]);
  const redis = (): ChildProcess =>
    start("redis-server", ["--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder]);

  afterAll(() => {
    for (const child of children) child.kill("SIGKILL");
  });

  it("gives the same ledger, though a worker is killed at work and another takes over", async () => {
    redis();
    const first = worker();
    const running = spawn(
      process.execPath,
      [zmend, "experiment", "run", file, "--out", at("queued"), "--queue", socket, "--json"],
      { stdio: ["ignore", "pipe", "inherit"], cwd: folder },
    );
    children.push(running);
    let out = "";
    running.stdout?.on("data", (bytes) => {
      out += bytes;
    });
    const status = new Promise((resolve) => running.on("close", resolve));
    // The first trials are written: its worker is at work.
    const path = ledger("queued");
    await expect
      .poll(() => existsSync(path) && readFileSync(path, "utf8").split("\n").length > 3, {
        timeout: 60_000,
        interval: 20,
      })
      .toBe(true);
    first.kill("SIGKILL");
    worker();
    expect(await status).toBe(0);
    expect(JSON.parse(out).digest).toBe(digest);
  });

  it("waits for Redis to come back, then says so and keeps what is finished", async () => {
    const { QueueSource } = await import("../../src/experiment/runner/queue.ts");
    const { runPlan } = await import("../../src/experiment/runner/run.ts");
    const { loadExperiment } = await import("../../src/experiment/experiment-file.ts");
    const lonely = at("lonely.sock");
    const server = start("redis-server", [
      "--port",
      "0",
      "--unixsocket",
      lonely,
      "--save",
      "",
      "--dir",
      folder,
    ]);
    const plan = loadExperiment(file);
    const source = await QueueSource.open(lonely, plan, { patienceMs: 1500, name: "lonely" });
    const broken = runPlan({ plan, file: at("lonely.jsonl"), source });
    server.kill("SIGKILL");
    await expect(broken).rejects.toThrow(
      /^Redis at .*lonely\.sock has been away for 2 s; start it and go on with --resume, finished trials are kept\.$/,
    );
    await source.close();
    expect(readFileSync(at("lonely.jsonl"), "utf8")).toMatch(/^\{"ledger":"zmend-experiment"/);
    appendFileSync(at("lonely.jsonl"), "");
  });
});

describe("zmend replay LEDGER --trial N", () => {
  const replay = (...words: string[]): Ran => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [zmend, "replay", ...words], {
      encoding: "utf8",
    });
    return { status, out: stdout, err: stderr };
  };

  it("shows a trial as a time line and finds the ledger's line the same", () => {
    const { status, out } = replay(ledger("one"), "--trial", "7");
    expect(status).toBe(0);
    expect(out).toMatch(/recovery {2}state {12}from operational to draining event error-signalled/);
    expect(out).toMatch(/\nthe ledger's line is the same\n$/);
  });

  it("says which trials there are, and that it wants to know which one", () => {
    expect(replay(ledger("one"), "--trial", "180").err).toBe(
      `zmend: ${ledger("one")} has no trial 180; the last one is 179.\n`,
    );
    expect(replay(ledger("one")).err).toMatch(/say which trial with --trial N/);
  });
});
