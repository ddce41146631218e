/**
 * How a comparison becomes one JSON line. Ours and the peer run interleaved in the same process group;
 * the best round of each counts, because the best is what the machine can do and the rest is its other
 * work. When the peer's own rounds differ by more than 25 %, the machine was too busy for a verdict.
 * Method: performance.md 3.4.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export interface Result {
  readonly name: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  readonly value: number;
  readonly peer: string;
  readonly peerValue: number;
  readonly ratio: number;
}

/** A figure whose measure is 0, not a peer. */
export interface Count {
  readonly name: string;
  readonly unit: string;
  readonly better: "lower";
  readonly value: number;
  readonly [fact: string]: number | string;
}

export interface Refusal {
  readonly name: string;
  readonly refused: string;
}

/** One side's round: a figure in the comparison's unit. */
export type Measure = () => Promise<number> | number;

export interface Comparison {
  readonly name: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  readonly peer: string;
  readonly ours: Measure;
  readonly theirs: Measure;
}

export interface Options {
  readonly quick: boolean;
  /** Guests run with generated code. */
  readonly jit: boolean;
}

/** Everything a group prints; a group may stop early, results go out as they come. */
export type Group = (
  options: Options,
  emit: (line: Result | Count | Refusal) => void,
) => Promise<void>;

/** Rounds that a verdict stands on, and for how long further ones are tried until five calm ones are found. */
const ROUNDS = 5;
const BUDGET_MS = { quick: 1_500, full: 8_000 } as const;
export const SPREAD_MAX = 0.25;

/** Relative distance between the largest and the smallest figure. */
export function spread(values: readonly number[]): number {
  const largest = Math.max(...values);
  return largest > 0 ? (largest - Math.min(...values)) / largest : 1;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}

/** The verdict on five interleaved rounds. */
export function judge(
  comparison: Pick<Comparison, "name" | "unit" | "better" | "peer">,
  ours: readonly number[],
  theirs: readonly number[],
): Result | Refusal {
  const varies = spread(theirs);
  if (!(varies <= SPREAD_MAX)) {
    return {
      name: comparison.name,
      refused: `the peer (${comparison.peer}) varied by ${Math.round(varies * 100)} % between rounds`,
    };
  }
  const best = comparison.better === "higher" ? Math.max : Math.min;
  const value = best(...ours);
  const peerValue = best(...theirs);
  return {
    name: comparison.name,
    unit: comparison.unit,
    better: comparison.better,
    value: round(value),
    peer: comparison.peer,
    peerValue: round(peerValue),
    ratio: round(value / peerValue),
  };
}

/**
 * Runs both sides in turn after one warm-up round each. The verdict stands on the first five rounds in a
 * row in which the peer was steady; without such five it is refused with the last five's spread.
 */
export async function compare(comparison: Comparison, options: Options): Promise<Result | Refusal> {
  const ours: number[] = [];
  const theirs: number[] = [];
  await comparison.ours();
  await comparison.theirs();
  const end = performance.now() + (options.quick ? BUDGET_MS.quick : BUDGET_MS.full);
  for (let n = 1; ; n++) {
    theirs.push(await comparison.theirs());
    ours.push(await comparison.ours());
    if (n < ROUNDS) continue;
    if (spread(theirs.slice(-ROUNDS)) <= SPREAD_MAX || performance.now() > end) break;
  }
  return judge(comparison, ours.slice(-ROUNDS), theirs.slice(-ROUNDS));
}

const peers = fileURLToPath(new URL("../../../test/bench/peer/", import.meta.url));

/**
 * Compiles a C++ peer with -O3 into the folder `scratch`.
 * @returns the program's path, or why there is none
 */
export function compileCpp(source: string, scratch: string): string | { refused: string } {
  const program = join(scratch, source.replace(".cpp", ""));
  const compiled = spawnSync("g++", ["-O3", "-pthread", "-o", program, join(peers, source)]);
  if (compiled.error) return { refused: "g++ is not installed (Debian package g++)" };
  if (compiled.status === 0) return program;
  return {
    refused: `g++ could not compile ${source}: ${compiled.stderr.toString().split("\n")[0]}`,
  };
}

/** CPUs this process may use, lowest first; empty where Linux does not tell. */
function allowedCpus(): number[] {
  try {
    const line = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync("/proc/self/status", "utf8"));
    return (line?.[1] ?? "").split(",").flatMap((range) => {
      const [first = 0, last = first] = range.split("-").map(Number);
      return Array.from({ length: last - first + 1 }, (_, n) => first + n);
    });
  } catch {
    return [];
  }
}

/**
 * Keeps the calling thread on the process's `which`-th CPU, so that a wake-up always crosses cores: left to
 * the scheduler it costs 2 or 20 us, by chance. Does nothing on one CPU or without taskset (util-linux).
 * @returns how to let it go again
 */
export function pin(which: number): () => void {
  const cpus = allowedCpus();
  const cpu = cpus[which];
  if (cpu === undefined) return () => {};
  const thread = String(readlinkSync("/proc/thread-self").split("/").at(-1));
  spawnSync("taskset", ["-cp", String(cpu), thread]);
  return () => {
    spawnSync("taskset", ["-cp", cpus.join(","), thread]);
  };
}
