/**
 * `npm run fuzz -- guest|host`: random device instructions of a hostile guest, on a thread of its own with a watchdog
 * before it. Exit status: 0 all laws held, 1 one was broken, 2 bad usage.
 */
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { suggestion } from "../../src/base/nearest.ts";
import { type FuzzResult, type FuzzTarget, fuzz } from "./fuzz.ts";

const usage = `Usage: npm run fuzz -- guest|host [options]
  --instructions N   end after N device instructions (guest; default 10000000)
  --answers N        end after N wrong answers of the host (host; default 1000000)
  --seconds S        end after S seconds, whatever comes first
  --seed N           seed (default 1)
  --json             one JSON object instead of text`;

const targets: readonly FuzzTarget[] = ["guest", "host"];
/** Without a sign of life for so long, the fuzzed VM hangs: a batch takes some milliseconds. */
const HANG_MS = 30_000;
const REPORT_MS = 1000;

interface Task {
  readonly target: FuzzTarget;
  readonly seed: number;
  readonly count: number;
  readonly seconds: number;
}

type Message = { readonly done: number } | { readonly result: FuzzResult };

function life({ target, seed, count, seconds }: Task): void {
  const startMs = performance.now();
  let saidMs = startMs;
  const result = fuzz(target, seed, {
    count,
    over: (done) => {
      const nowMs = performance.now();
      if (nowMs - saidMs > REPORT_MS) {
        saidMs = nowMs;
        parentPort?.postMessage({ done } satisfies Message);
      }
      return nowMs - startMs > seconds * 1000;
    },
  });
  parentPort?.postMessage({ result } satisfies Message);
}

class UsageError extends Error {}

function parse(): Task & { readonly json: boolean } {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      instructions: { type: "string", default: "10000000" },
      answers: { type: "string", default: "1000000" },
      seconds: { type: "string", default: "86400" },
      seed: { type: "string", default: "1" },
      json: { type: "boolean", default: false },
    },
  });
  const word = positionals[0] ?? "";
  const target = targets.find((name) => name === word);
  if (target === undefined || positionals.length > 1) {
    const problem = word === "" ? "name what to fuzz" : `'${word}' cannot be fuzzed`;
    throw new UsageError(`${problem}${suggestion(word, targets)}; guest or host.`);
  }
  const number = (name: "instructions" | "answers" | "seconds" | "seed", least: number): number => {
    const value = Number(values[name]);
    if (Number.isSafeInteger(value) && value >= least) return value;
    throw new UsageError(
      `--${name} is '${values[name]}', expected a whole number from ${least} up.`,
    );
  };
  return {
    target,
    seed: number("seed", 0),
    count: number(target === "guest" ? "instructions" : "answers", 1),
    seconds: number("seconds", 1),
    json: values.json,
  };
}

/** Runs the task on its thread. @returns its result, or the progress at which it hung */
function supervise(task: Task, progress: (done: number) => void): Promise<FuzzResult | number> {
  const worker = new Worker(new URL(import.meta.url), { workerData: task });
  return new Promise((resolve, reject) => {
    let done = 0;
    const hung = (): void => {
      void worker.terminate();
      resolve(done);
    };
    let timer = setTimeout(hung, HANG_MS);
    worker.on("message", (message: Message) => {
      clearTimeout(timer);
      if ("result" in message) return resolve(message.result);
      done = message.done;
      progress(done);
      timer = setTimeout(hung, HANG_MS);
    });
    worker.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
  });
}

function text(target: FuzzTarget, result: FuzzResult): string {
  const { instructions, answers, accepted, refused, derailed } = result;
  const what = target === "guest" ? `${instructions} instructions` : `${answers} wrong answers`;
  const held = broken(result) ? "BROKEN" : "all laws held";
  return [
    `${what}: ${accepted} accepted, ${refused} refused; the guest lost its way ${derailed} times`,
    `${held}: ${result.escapes} escapes, ${result.hangs} hangs, ${result.guardHits} guard hits`,
    `seed ${result.seed}, digest ${result.digest}`,
    ...(result.firstEscape === undefined ? [] : [result.firstEscape]),
  ].join("\n");
}

function broken({ escapes, hangs, guardHits }: FuzzResult): boolean {
  return escapes + hangs + guardHits > 0;
}

async function main(): Promise<number> {
  const { json, ...task } = parse();
  const live = process.stderr.isTTY === true;
  const outcome = await supervise(task, (done) => {
    if (live) process.stderr.write(`\rfuzz ${task.target}: ${done} of ${task.count}`);
  });
  if (live) process.stderr.write("\n");
  const result: FuzzResult =
    typeof outcome === "number"
      ? {
          instructions: outcome,
          accepted: 0,
          refused: 0,
          derailed: 0,
          escapes: 0,
          hangs: 1,
          guardHits: 0,
          seed: task.seed,
          digest: "",
        }
      : outcome;
  process.stdout.write(`${json ? JSON.stringify(result) : text(task.target, result)}\n`);
  return broken(result) ? 1 : 0;
}

if (isMainThread) {
  try {
    process.exitCode = await main();
  } catch (error) {
    process.stderr.write(`fuzz: ${error instanceof Error ? error.message : error}\n${usage}\n`);
    process.exitCode = 2;
  }
} else {
  life(workerData as Task);
}
