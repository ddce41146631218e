/**
 * Real machines as guests of an experiment: every policy is tried on the same guest, restored from one snapshot of the moment
 * before the first error. Our own fixture everywhere; Debian's kernel where it is cached.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadExperiment, planOf } from "../../src/experiment/experiment-file.ts";
import type { DoneTrial, TrialRow } from "../../src/experiment/ledger.ts";
import { prepareMachines } from "../../src/experiment/machine/prepare.ts";
import type { Plan } from "../../src/experiment/plan.ts";
import { TrialRunner } from "../../src/experiment/trial/runner.ts";
import { runNode } from "../support/command.ts";
import { linuxMissing } from "../support/linux-vm.ts";

const folder = mkdtempSync(join(tmpdir(), "zmend-machines-"));
const zmend = new URL("../../dist/src/daemon/zmend.js", import.meta.url).pathname;
const at = (name: string): string => join(folder, name);
const before = process.env["XDG_CACHE_HOME"];

const text = (
  guests: string,
  scenario = "",
  policies = "[mediated, reset-first, unplug, qemu-11]",
) =>
  `version: 1
name: machines
question: Does a real guest recover?
seed: 3
repetitions: 2
metrics: [availability, timeToRecover, permanentLosses]
deadlineSeconds: 5
scenarios:
  - name: errors
    hours: 0.1
    errors:
      - arrivals: { trace: { atSeconds: [1.003, 200, 200.004] } }
        pecs: { "0x003a": 3, "0x0001": 1 }
        ${scenario}
    host: { resetMs: { lognormal: { median: 100, sigma: 0.3 } }, refused: 0.2 }
guests: ${guests}
policies: ${policies}
`;

const planFrom = (source: string): Plan => planOf(source, "machines.yaml", folder);

async function rowsOf(plan: Plan, trials: readonly number[]): Promise<TrialRow[]> {
  const runner = new TrialRunner(plan, folder);
  await runner.prepare(await prepareMachines(plan, folder));
  return trials.map((trial) => runner.row(trial));
}

function done(row: TrialRow | undefined): DoneTrial {
  if (row?.status !== "done") throw new Error(row?.reason ?? "no row");
  return row;
}

beforeAll(() => {
  process.env["XDG_CACHE_HOME"] = at("cache");
});
afterAll(() => {
  if (before === undefined) delete process.env["XDG_CACHE_HOME"];
  else process.env["XDG_CACHE_HOME"] = before;
  rmSync(folder, { recursive: true, force: true });
});

describe("trials of zrecover, our own guest", () => {
  const plan = planFrom(text("[{ machine: zrecover }]"));
  let rows: TrialRow[] = [];
  beforeAll(async () => {
    rows = await rowsOf(plan, [0, 1, 2, 3, 4]);
  });

  it("recover under a policy that lets them, with every phase of the time accounted for", () => {
    const { metrics, phases, timeToRecover } = done(rows[0]);
    expect(metrics).toMatchObject({
      failures: 2,
      recoveries: 2,
      permanentLosses: 0,
      hostResets: 2,
    });
    expect(metrics.eventsRaised).toBe(3);
    expect(timeToRecover.recovered.reduce((sum, [, count]) => sum + count, 0)).toBe(2);
    const sum = Object.values(phases).reduce((total, seconds) => total + seconds, 0);
    expect(sum).toBeCloseTo(2 * (metrics.timeToRecover ?? 0), 9);
    expect(Object.values(phases).every((seconds) => seconds >= 0)).toBe(true);
    expect(phases.reset).toBeGreaterThan(0.05);
    // 0.1 hours are watched, down for as long as the two recoveries took.
    expect(metrics.availability).toBeCloseTo(1 - (metrics.stallSeconds ?? 0) / 360, 9);
  });

  it("differ by policy as the policies say: resets before the guest hears, unplugged, stopped", () => {
    expect(done(rows[1]).metrics).toMatchObject({ recoveries: 2, hostResets: 4 });
    expect(done(rows[2]).metrics).toMatchObject({
      recoveries: 0,
      falseQuarantines: 1,
      permanentLosses: 1,
    });
    expect(done(rows[3]).metrics).toMatchObject({ vmStops: 1, eventsFetched: 0, lostVmStopped: 1 });
  });

  it("write the same lines in any order, and from a machine that was booted anew", async () => {
    const again = await rowsOf(plan, [4, 2, 0]);
    expect(again).toEqual([rows[4], rows[2], rows[0]]);
    const snapshots = readdirSync(at("cache/zmend/machines"));
    expect(snapshots).toHaveLength(1);
    process.env["XDG_CACHE_HOME"] = at("other-cache");
    const anew = await rowsOf(plan, [0, 1]);
    process.env["XDG_CACHE_HOME"] = at("cache");
    expect(anew).toEqual(rows.slice(0, 2));
    const [file = ""] = snapshots;
    expect(readFileSync(at(`other-cache/zmend/machines/${file}`))).toEqual(
      readFileSync(at(`cache/zmend/machines/${file}`)),
    );
  });

  it("a snapshot file is a guest too, and gives the same lines", async () => {
    const [file = ""] = readdirSync(at("cache/zmend/machines"));
    const path = at(`cache/zmend/machines/${file}`);
    const [row] = await rowsOf(planFrom(text(`[{ machine: ${path}, label: zrecover }]`)), [0]);
    expect(row).toEqual(rows[0]);
    const wide = text(`[{ machine: ${path} }]`).replace(
      "errors:\n",
      "functionsPerGuest: 2\n    errors:\n",
    );
    await expect(rowsOf(planFrom(wide), [0])).rejects.toThrow(
      /has 1 functions, a scenario asks for functionsPerGuest: 2/,
    );
  });

  it("a function that nobody brings back is lost at the deadline; the same error on a stopped VM that is restarted is not", async () => {
    const hangs = text("[{ machine: zrecover }]").replace("refused: 0.2", "hangs: 1");
    const [lost] = await rowsOf(planFrom(hangs), [0]);
    expect(done(lost).metrics).toMatchObject({ recoveries: 0, permanentLosses: 1 });
    const operator = "operator: { restartVmMinutes: 1 }\n    host:";
    const restarted = text("[{ machine: zrecover }]").replace("host:", operator);
    const [stopped] = await rowsOf(planFrom(restarted), [3]);
    expect(done(stopped).metrics).toMatchObject({ vmStops: 2, permanentLosses: 2 });
    expect(done(stopped).metrics.stallSeconds).toBeCloseTo(120, 2);
  });

  it("a policy module decides for a real guest as well", async () => {
    writeFileSync(at("asks.mjs"), "export default { onError: () => 'reset' };\n");
    const policies = "[mediated, { module: asks.mjs, name: asks }]";
    const [plain, asked] = await rowsOf(
      planFrom(text("[{ machine: zrecover }]", "", policies)),
      [0, 1],
    );
    expect(done(plain).metrics.hostResets).toBe(2);
    expect(done(asked).metrics.hostResets).toBe(4);
  });

  it("two functions, stale events, lost signals, permanent errors: the books close in every trial", async () => {
    const source = text(
      "[{ machine: zrecover }]",
      "stale: 0.3\n        lostSignal: 0.3",
      "[mediated]",
    )
      .replace("errors:\n", "functionsPerGuest: 2\n    guests: 2\n    errors:\n")
      .replace('"0x0001": 1', '"0x003b": 1');
    for (const row of await rowsOf(planFrom(source), [0, 1])) {
      const m = done(row).metrics;
      const lost =
        (m.lostHostQueueFull ?? 0) +
        (m.lostStale ?? 0) +
        (m.lostSuperseded ?? 0) +
        (m.lostPolicy ?? 0) +
        (m.lostUnverifiable ?? 0);
      expect(m.eventsRaised).toBe(12);
      expect((m.eventsFetched ?? 0) + lost).toBe(12);
    }
  });
});

describe("from the command line", () => {
  const file = at("machines.yaml");
  const run = (...words: string[]) => {
    const { status, stdout, stderr } = runNode([zmend, ...words], folder);
    return { status, stdout, stderr };
  };

  it("threads, shards and a second run write the same ledger; verify and a time line agree with it", () => {
    writeFileSync(file, text("[{ machine: zrecover }]"));
    const first = run("experiment", "run", file, "--out", "one", "--json");
    expect(first.stderr).toContain("Booting zrecover once");
    expect(first.status).toBe(0);
    const { digest, trials, failedTrials } = JSON.parse(first.stdout);
    expect({ trials, failedTrials }).toEqual({ trials: 8, failedTrials: 0 });
    for (const part of [0, 1]) {
      const shard = run("experiment", "run", file, "--out", `s${part}`, "--shard", `${part}/2`);
      expect(`${shard.status} ${shard.stderr}`).toBe("0 "); // the machine is there already
    }
    expect(JSON.parse(run("experiment", "merge", "all", "s0", "s1", "--json").stdout).digest).toBe(
      digest,
    );
    expect(run("experiment", "verify", "one/ledger.jsonl").stdout).toContain("8 of 8 trials");
    const shown = run("replay", "one/ledger.jsonl", "--trial", "0");
    expect(shown.stdout).toContain("first-good-load");
    expect(shown.stdout).toContain("the ledger's line is the same");
    expect(readFileSync(at("one/report.md"), "utf8")).toContain("from one snapshot");
  });

  it("wrong input is one sentence with the remedy", () => {
    const said = (source: string): string => {
      writeFileSync(file, source);
      const { status, stderr } = run("experiment", "plan", file);
      expect(status).toBe(2);
      return stderr;
    };
    expect(said(text("[{ machine: zrecovr }]"))).toMatch(/Machine 'zrecovr' is unknown.*zrecover/);
    expect(said(text("[{ machine: ./none.snap }]"))).toMatch(
      /Snapshot .\/none.snap does not exist/,
    );
    expect(said(text("[{ machine: zrecover, kernel: '6.1', driver: nvme }]"))).toMatch(
      /either a model \(kernel and driver\) or a machine/,
    );
    const repair = "operator: { repairMinutes: 1 }\n    host:";
    expect(said(text("[{ machine: zrecover }]").replace("host:", repair))).toMatch(
      /nobody repairs functions of machine 'zrecover'/,
    );
    mkdirSync(at("empty"), { recursive: true });
    writeFileSync(at("empty/x.snap"), "no snapshot");
    writeFileSync(file, text("[{ machine: empty/x.snap }]"));
    const broken = run("experiment", "run", file, "--out", "broken");
    expect(broken.status).toBe(2);
    expect(broken.stderr).toMatch(/x.snap is no snapshot of zmend/);
  });
});

const kernel = "linux-6.1";
const missing = linuxMissing(kernel);
describe.skipIf(missing !== undefined)(`trials of ${kernel}${missing ?? ""}`, () => {
  it("Debian's kernel recovers from the same error under each policy, twice alike", async () => {
    const source = text(`[{ machine: ${kernel} }]`, "", "[mediated, reset-first]");
    const [mediated, first, again] = await rowsOf(planFrom(source), [0, 1, 0]);
    expect(done(mediated).metrics).toMatchObject({ failures: 2, recoveries: 2 });
    expect(done(first).metrics).toMatchObject({ failures: 2, recoveries: 2, hostResets: 4 });
    expect(again).toEqual(mediated);
  }, 400_000);
});

describe("the shipped experiment with a machine", () => {
  it("has our own guest unless told otherwise", () => {
    expect(loadExperiment("real-guest").guests).toMatchObject([
      { kind: "machine", machine: "zrecover" },
    ]);
  });
});
