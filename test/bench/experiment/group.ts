/**
 * Model trials of experiments. Estimate before the first run: a recovery is some 9 passes of the recovery machine of 0.3
 * to 1.5 us and 14 guest steps of 0.1 us, so 6 to 9 us: 110,000 to 160,000 recoveries a second and core.
 * Lines: `model.recoveries` against the same trials with V8's atomics, `model.two-cores` (ratio to one thread),
 * `model.vs-simpy`, `model.memory-slope` (bytes of resident memory per trial, against the bytes of a ledger line).
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { planOf } from "../../../src/experiment/experiment-file.ts";
import type { Plan } from "../../../src/experiment/plan.ts";
import { TrialPool } from "../../../src/experiment/runner/pool.ts";
import { runPlan } from "../../../src/experiment/runner/run.ts";
import { compare, type Group, type Refusal, type Result } from "../harness.ts";
import type { TrialBench } from "./worker.ts";

function planFor(hours: number, perHour: number, repetitions: number): Plan {
  const text = `version: 1
name: bench
question: How fast?
repetitions: ${repetitions}
metrics: [availability]
scenarios:
  - name: one
    hours: ${hours}
    errors: [{ arrivals: { poisson: { perHour: ${perHour} } } }]
    host: { resetMs: { lognormal: { median: 120, sigma: 0.4 } } }
    operator: { repairMinutes: 1 }
guests: [{ kernel: "6.1", driver: nvme }]
policies: [mediated]
`;
  return planOf(text, "bench", process.cwd(), { confirmed: true });
}

class Bench {
  readonly #worker: Worker;

  constructor(data: TrialBench) {
    this.#worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: data });
  }

  /** Recoveries per second of a core, over about `ms` of it. */
  rate(ms: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#worker.once("error", reject);
      this.#worker.once("message", (done: { recoveries: number; ms: number }) => {
        this.#worker.off("error", reject);
        resolve((done.recoveries / done.ms) * 1000);
      });
      this.#worker.postMessage(ms);
    });
  }

  close(): Promise<number> {
    return this.#worker.terminate();
  }
}

const simpy = fileURLToPath(
  new URL("../../../../test/bench/peer/recovery_simpy.py", import.meta.url),
);

/** Debian's Python, which has Debian's packages; another one may come first in PATH. */
const python = existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3";

function simpyRate(hours: number): number {
  const run = spawnSync(python, [simpy, String(hours), "1"], { encoding: "utf8" });
  const [recoveries = 0, seconds = 0] = (run.stdout ?? "").trim().split(" ").map(Number);
  return run.status === 0 && seconds > 0 ? recoveries / seconds : 0;
}

/** By then the threads' heaps have the size they stay at (100 to 270 MB in all, measured). */
const GROWN_TRIALS = 24_000;

/** Resident memory per trial of many small trials, from `GROWN_TRIALS` on: least squares. */
async function memorySlope(trials: number): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), "zmend-bench-"));
  const plan = planFor(1, 1, trials);
  const pool = new TrialPool({ plan, folder }, 2);
  const file = join(folder, "ledger.jsonl");
  const samples: { done: number; bytes: number }[] = [];
  try {
    const progress = ({ done }: { done: number }): void => {
      samples.push({ done, bytes: process.memoryUsage().rss });
    };
    await runPlan({ plan, file, source: pool, progress });
  } finally {
    await pool.close();
  }
  const line = statSync(file).size / trials;
  rmSync(folder, { recursive: true, force: true });
  const later = samples.filter(({ done }) => done > GROWN_TRIALS);
  const mean = (pick: (sample: { done: number; bytes: number }) => number): number =>
    later.reduce((sum, sample) => sum + pick(sample), 0) / Math.max(1, later.length);
  const x = mean(({ done }) => done);
  const y = mean(({ bytes }) => bytes);
  let above = 0;
  let below = 0;
  for (const { done, bytes } of later) {
    above += (done - x) * (bytes - y);
    below += (done - x) * (done - x);
  }
  const value = below > 0 ? above / below : 0;
  const round = (number: number): number => Number(number.toPrecision(4));
  return {
    name: "model.memory-slope",
    unit: "bytes/trial",
    better: "lower",
    value: round(value),
    peer: "bytes of a ledger line",
    peerValue: round(line),
    ratio: round(value / line),
  };
}

export const experiment: Group = async (options, emit) => {
  const ms = options.quick ? 400 : 1_500;
  const plan = planFor(10, 100, 1_000_000);
  const threads = [
    new Bench({ plan, sole: true, first: 0, step: 2 }),
    new Bench({ plan, sole: true, first: 1, step: 2 }),
    new Bench({ plan, sole: false, first: 0, step: 2 }),
  ] as const;
  const [one, two, atomic] = threads;
  const lines: (() => Promise<Result | Refusal>)[] = [
    () =>
      compare(
        {
          name: "model.recoveries",
          unit: "recoveries/s",
          better: "higher",
          peer: "the same trials with V8's atomics",
          ours: () => one.rate(ms),
          theirs: () => atomic.rate(ms),
        },
        options,
      ),
    () =>
      compare(
        {
          name: "model.two-cores",
          unit: "recoveries/s",
          better: "higher",
          peer: "one thread",
          ours: async () => {
            const rates = await Promise.all([one.rate(ms), two.rate(ms)]);
            return rates[0] + rates[1];
          },
          theirs: () => one.rate(ms),
        },
        options,
      ),
    async () => {
      if (simpyRate(1) === 0) {
        return {
          name: "model.vs-simpy",
          refused: "python3-simpy is not installed (Debian package)",
        };
      }
      return compare(
        {
          name: "model.vs-simpy",
          unit: "recoveries/s",
          better: "higher",
          peer: "SimPy 2 process simulation",
          ours: () => one.rate(ms),
          theirs: () => simpyRate(options.quick ? 40 : 150),
        },
        options,
      );
    },
    () => memorySlope(options.quick ? 64_000 : 160_000),
  ];
  try {
    for (const line of lines) emit(await line());
  } finally {
    for (const thread of threads) await thread.close();
  }
};
