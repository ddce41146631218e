/**
 * `zmend experiment`: which recovery policy should a fleet run? Options, progress and exit statuses; what an experiment
 * is stands in `src/experiment`, loaded when a subcommand runs.
 */
import { type Command, InvalidArgumentError, Option } from "commander";
import { ZmendError } from "../base/errors.ts";
import type { Plan } from "../experiment/plan.ts";
import type { Outcome } from "../experiment/runner/results.ts";
import type { RunResult, TrialSource } from "../experiment/runner/run.ts";
import type { RecoverySequence } from "../experiment/sequence.ts";
import { driverNames } from "../guest-model/drivers.ts";
import { type KernelName, kernelNames } from "../guest-model/kernels.ts";
import { ProgressLine } from "./experiment-progress.ts";
import { EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED } from "./failure.ts";

interface RunOptions {
  readonly policy?: readonly string[];
  readonly set?: Readonly<Record<string, string>>;
  readonly repetitions?: number;
  readonly seed?: number;
  readonly out?: string;
  readonly jobs?: number;
  readonly shard?: { readonly index: number; readonly count: number };
  readonly queue?: string;
  readonly resume?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

function whole(least: number, most: number, what: string): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < least || value > most) {
      throw new InvalidArgumentError(`${what} is a whole number from ${least} to ${most}.`);
    }
    return value;
  };
}

function setting(
  text: string,
  before: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const split = text.indexOf("=");
  if (split < 1) throw new InvalidArgumentError("a setting is written NAME=VALUE.");
  return { ...before, [text.slice(0, split)]: text.slice(split + 1) };
}

function shard(text: string): { index: number; count: number } {
  const match = /^(\d{1,6})\/(\d{1,6})$/.exec(text);
  const index = Number(match?.[1]);
  const count = Number(match?.[2]);
  if (match === null || count < 1 || index >= count) {
    throw new InvalidArgumentError("a shard is written i/n with i from 0 to n-1.");
  }
  return { index, count };
}

function pec(text: string): number {
  const value = /^0x[0-9a-f]{1,4}$/i.test(text) ? Number(text) : 0;
  if (value === 0) throw new InvalidArgumentError("a PEC is written as 0x003a.");
  return value;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function planFrom(file: string, options: RunOptions): Promise<Plan> {
  const { loadExperiment } = await import("../experiment/experiment-file.ts");
  return loadExperiment(file, {
    set: options.set ?? {},
    repetitions: options.repetitions,
    seed: options.seed,
    policies: options.policy,
    confirmed: options.yes,
  });
}

/** SIGINT and SIGTERM end the run in order; a second one ends the process at once. */
function interruption(): { signal: AbortSignal; done: () => void } {
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  return {
    signal: controller.signal,
    done: () => {
      process.off("SIGINT", stop);
      process.off("SIGTERM", stop);
    },
  };
}

interface OpenSource extends TrialSource {
  close(): Promise<void>;
}

async function openSource(plan: Plan, file: string, options: RunOptions): Promise<OpenSource> {
  const { readExperiment } = await import("../experiment/experiment-file.ts");
  if (options.queue !== undefined) {
    const { QueueSource } = await import("../experiment/runner/queue.ts");
    return QueueSource.open(options.queue, plan);
  }
  const { TrialPool } = await import("../experiment/runner/pool.ts");
  const folder = readExperiment(file).folder;
  return new TrialPool({ plan, folder }, options.jobs, sayBooting);
}

function sayBooting(name: string): void {
  process.stderr.write(`zmend: Booting ${name} once; its snapshot serves all later trials.\n`);
}

async function run(file: string, options: RunOptions): Promise<number> {
  const plan = await planFrom(file, options);
  const { OutputFolder, LEDGER_FILE } = await import("../experiment/runner/output.ts");
  const { runPlan } = await import("../experiment/runner/run.ts");
  const folder = OutputFolder.take(options.out ?? `zmend-${plan.name}`, options.resume === true);
  const { signal, done } = interruption();
  const progress = new ProgressLine();
  let source: OpenSource | undefined;
  let result: RunResult;
  try {
    source = await openSource(plan, file, options);
    result = await runPlan({
      plan,
      file: folder.file(LEDGER_FILE),
      shard: options.shard,
      resume: options.resume === true && folder.hasLedger,
      source,
      signal,
      progress: (state) => progress.show(state),
    });
  } finally {
    done();
    progress.end();
    await source?.close();
    folder.release();
  }
  if (result.interrupted) {
    process.stderr.write(
      `zmend: Interrupted; ${result.trials} trials are kept in ${folder.path}, --resume goes on.\n`,
    );
    return EXIT_INTERRUPTED;
  }
  if (options.shard !== undefined) return shardDone(folder.path, result, options);
  const { finish } = await import("../experiment/runner/results.ts");
  const command = commandLine(file, options);
  const outcome = await finish({ folder, plan, digest: result.digest, command });
  report(folder.path, result, outcome, options);
  return EXIT_DONE;
}

/** The command as a reader would repeat it: no folder of this machine, no number of threads. */
function commandLine(file: string, options: RunOptions): string {
  const words = ["zmend experiment run", file.replace(/^.*\//, "")];
  for (const [name, value] of Object.entries(options.set ?? {}))
    words.push(`--set ${name}=${value}`);
  for (const policy of options.policy ?? []) words.push(`--policy ${policy.replace(/^.*\//, "")}`);
  if (options.repetitions !== undefined) words.push(`--repetitions ${options.repetitions}`);
  if (options.seed !== undefined) words.push(`--seed ${options.seed}`);
  return words.join(" ");
}

function shardDone(path: string, result: RunResult, options: RunOptions): number {
  const { digest, trials, failed: failedTrials } = result;
  if (options.json === true) print(JSON.stringify({ digest, trials, failedTrials }));
  else {
    print(`${trials} trials of shard ${options.shard?.index}/${options.shard?.count} in ${path}`);
    print("'zmend experiment merge OUT IN…' puts the shards together");
  }
  return EXIT_DONE;
}

function report(path: string, result: RunResult, outcome: Outcome, options: RunOptions): void {
  const { verdict, reasons } = outcome;
  const { digest, trials, failed: failedTrials } = result;
  if (options.json === true) {
    print(JSON.stringify({ digest, trials, failedTrials, verdict }));
    return;
  }
  print(verdict);
  print(
    `${trials} trials${failedTrials > 0 ? `, ${failedTrials} of them failed` : ""}, in ${path}`,
  );
  for (const { firstTrial, count, reason } of reasons.slice(0, REASONS_SHOWN)) {
    const more = count > 1 ? `, as ${count - 1} more` : "";
    print(`trial ${firstTrial} failed${more}: ${reason}`);
  }
  print(`ledger sha256 ${digest}`);
}

/** Others stand in the report. */
const REASONS_SHOWN = 3;

async function list(options: { readonly json?: boolean }): Promise<number> {
  const { experimentNames, loadExperiment } = await import("../experiment/experiment-file.ts");
  const { trialsPerRepetition } = await import("../experiment/plan.ts");
  const rows = experimentNames().map((name) => {
    const plan = loadExperiment(name);
    return { name, trials: trialsPerRepetition(plan) * plan.repetitions, question: plan.question };
  });
  if (options.json === true) print(JSON.stringify(rows));
  else {
    const width = Math.max(...rows.map(({ name }) => name.length));
    for (const { name, question } of rows) print(`${name.padEnd(width)}  ${question}`);
  }
  return EXIT_DONE;
}

async function showPlan(file: string, options: RunOptions): Promise<number> {
  const plan = await planFrom(file, options);
  const { trialsPerRepetition } = await import("../experiment/plan.ts");
  const first = plan.points[0];
  const shown = {
    name: plan.name,
    question: plan.question,
    seed: plan.seed,
    trials: trialsPerRepetition(plan) * plan.repetitions,
    repetitions: plan.repetitions,
    ...(plan.stop === undefined ? {} : { stop: plan.stop }),
    points: plan.points.map(({ label }) => label),
    scenarios: first?.scenarios.map(({ name }) => name) ?? [],
    guests: plan.guests.map(({ label }) => label),
    policies: first?.policies.map(({ label }) => label) ?? [],
    metrics: plan.metrics,
  };
  if (options.json === true) {
    print(JSON.stringify(shown));
    return EXIT_DONE;
  }
  print(`${shown.name}: ${shown.question}`);
  const { stop } = plan;
  const until =
    stop === undefined ? "" : `, fewer once ${stop.metric} is known to within ${stop.narrowerThan}`;
  print(
    `${shown.trials} trials: ${shown.repetitions} repetitions of each combination${until}; seed ${shown.seed}`,
  );
  print(`scenarios  ${shown.scenarios.join(", ")}`);
  print(`guests     ${shown.guests.join(", ")}`);
  print(`policies   ${shown.policies.join(", ")}`);
  if (plan.points.length > 1) print(`sweep      ${shown.points.join("; ")}`);
  print(`decides    ${shown.metrics[0]}`);
  return EXIT_DONE;
}

/** A run's ledger may be named by its folder. */
async function ledgerAt(path: string): Promise<string> {
  const { statSync } = await import("node:fs");
  const { join } = await import("node:path");
  const { LEDGER_FILE } = await import("../experiment/runner/output.ts");
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
    ? join(path, LEDGER_FILE)
    : path;
}

async function merge(out: string, inputs: readonly string[], options: RunOptions): Promise<number> {
  const { OutputFolder, LEDGER_FILE } = await import("../experiment/runner/output.ts");
  const { mergeLedgers } = await import("../experiment/runner/merge.ts");
  const { readHeader } = await import("../experiment/runner/ledger-file.ts");
  const { finish } = await import("../experiment/runner/results.ts");
  const files = await Promise.all(inputs.map(ledgerAt));
  const folder = OutputFolder.take(out, false);
  try {
    const result = mergeLedgers(folder.file(LEDGER_FILE), files);
    const { plan } = readHeader(folder.file(LEDGER_FILE));
    const command = `zmend experiment run ${plan.name}`;
    const outcome = await finish({ folder, plan, digest: result.digest, command });
    report(folder.path, result, outcome, options);
  } finally {
    folder.release();
  }
  return EXIT_DONE;
}

interface VerifyOptions {
  readonly sample?: number;
  readonly jobs?: number;
  readonly modules?: string;
  readonly json?: boolean;
}

async function verify(path: string, options: VerifyOptions): Promise<number> {
  const file = await ledgerAt(path);
  const { verifyLedger } = await import("../experiment/runner/verify.ts");
  const { readHeader } = await import("../experiment/runner/ledger-file.ts");
  const { TrialPool } = await import("../experiment/runner/pool.ts");
  const { plan } = readHeader(file);
  const { signal, done } = interruption();
  const folder = options.modules ?? process.cwd();
  const pool = new TrialPool({ plan, folder }, options.jobs, sayBooting);
  try {
    const found = await verifyLedger({ file, sample: options.sample, source: pool, signal });
    const same = found.different.length === 0;
    if (options.json === true) print(JSON.stringify({ ...found, verified: same }));
    else if (same) {
      print(`${found.compared} of ${found.trials} trials run again: every line is the same`);
      print(`ledger sha256 ${found.digest}`);
    } else {
      print(
        `${found.compared} of ${found.trials} trials run again: other lines for trial ${found.different.join(", ")}`,
      );
    }
    if (signal.aborted) return EXIT_INTERRUPTED;
    return same ? EXIT_DONE : EXIT_FAILED;
  } finally {
    done();
    await pool.close();
  }
}

interface WorkerOptions {
  readonly queue: string;
  readonly jobs?: number;
  readonly modules?: string;
}

async function worker(options: WorkerOptions): Promise<number> {
  const { serveQueue } = await import("../experiment/runner/queue.ts");
  const { signal, done } = interruption();
  try {
    const folder = options.modules ?? process.cwd();
    await serveQueue(options.queue, { threads: options.jobs, folder, signal });
  } finally {
    done();
  }
  return EXIT_DONE;
}

interface SequenceOptions {
  readonly kernel: KernelName;
  readonly driver: string;
  readonly machine?: string;
  readonly pec: number;
  readonly andPec?: number;
  readonly clearError?: boolean;
  readonly resetFails?: boolean;
  readonly states?: boolean;
  readonly json?: boolean;
}

async function sequence(options: SequenceOptions): Promise<number> {
  const { recoverySequence, sequenceLine, stateLine } = await import("../experiment/sequence.ts");
  const found = options.machine === undefined ? recoverySequence(options) : await real(options);
  const { instructions, states } = found;
  if (options.json === true) print(JSON.stringify(options.states === true ? states : instructions));
  else if (options.states === true) for (const step of states) print(stateLine(step));
  else for (const instruction of instructions) print(sequenceLine(instruction));
  return EXIT_DONE;
}

async function real(options: SequenceOptions): Promise<RecoverySequence> {
  const { realSequence } = await import("../experiment/machine/real-sequence.ts");
  return realSequence(options.machine ?? "", options, { booting: sayBooting });
}

interface FitOptions {
  readonly guest?: string;
  readonly policy?: string;
  readonly out?: string;
  readonly json?: boolean;
}

async function fitTo(path: string, options: FitOptions): Promise<number> {
  const file = await ledgerAt(path);
  const { fitLedger, fitLines, timesFile } = await import("../experiment/fit/fit.ts");
  const model = fitLedger(file, options);
  if (options.json === true) print(JSON.stringify(model));
  else for (const line of fitLines(model)) print(line);
  if (options.out === undefined) return EXIT_DONE;
  const { writeFileSync } = await import("node:fs");
  try {
    writeFileSync(options.out, timesFile(model), { flag: "wx" });
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? "";
    throw new ZmendError(
      "USAGE",
      `${options.out} cannot be written (${why}); name a new file in a writable folder.`,
      {},
      { cause },
    );
  }
  if (options.json !== true) print(`written to ${options.out}: name it as a guest's timesFile`);
  return EXIT_DONE;
}

/** Adds the options that say what is run. */
function planOptions(command: Command): Command {
  return command
    .option(
      "--policy <name>",
      "this policy instead of the file's (a name, a YAML file or an ES module); repeatable",
      (value: string, before: readonly string[] = []) => [...before, value],
    )
    .option(
      "--set <name=value>",
      "another value for one of the file's parameters; repeatable",
      setting,
    )
    .option(
      "--repetitions <n>",
      "instead of the file's",
      whole(1, 1_000_000_000, "the number of repetitions"),
    )
    .option("--seed <n>", "instead of the file's", whole(0, Number.MAX_SAFE_INTEGER, "a seed"))
    .option("--yes", "run as many trials as it takes, even more than a million");
}

const jobs = (): Option =>
  new Option("--jobs <n>", "threads, instead of one per core").argParser(
    whole(1, 1024, "the number of threads"),
  );

function ending(work: Promise<number>): Promise<void> {
  return work.then((status) => {
    process.exitCode = status;
  });
}

export function registerExperiment(program: Command): void {
  const experiment = program
    .command("experiment")
    .description(
      "compare recovery policies: faults x policies x guests, reproducible from one seed",
    )
    .exitOverride();
  planOptions(experiment.command("run <file>"))
    .description("run an experiment: a shipped one by its name, or a YAML file")
    .option("--out <dir>", "folder for ledger, results and report (default zmend-NAME)")
    .option("--shard <i/n>", "only the i-th of n parts, from 0; 'merge' puts them together", shard)
    .option("--queue <url>", "hand the trials to 'experiment worker's through Redis")
    .option("--resume", "go on with what --out has; nothing there yet is a beginning")
    .addOption(jobs())
    .option("--json", "print {digest, trials, failedTrials, verdict}")
    .exitOverride()
    .action((file: string, options: RunOptions) => ending(run(file, options)));
  experiment
    .command("list")
    .description("the shipped experiments and their questions")
    .option("--json", "print JSON")
    .exitOverride()
    .action((options: { json?: boolean }) => ending(list(options)));
  planOptions(experiment.command("plan <file>"))
    .description("say what a run would do, without running it")
    .option("--json", "print JSON")
    .exitOverride()
    .action((file: string, options: RunOptions) => ending(showPlan(file, options)));
  experiment
    .command("verify <ledger>")
    .description("run trials of a ledger again and compare byte for byte")
    .option(
      "--sample <n>",
      "about so many trials instead of all",
      whole(1, 1_000_000_000, "a sample"),
    )
    .option("--modules <dir>", "folder that the plan's policy modules are relative to")
    .addOption(jobs())
    .option("--json", "print JSON")
    .exitOverride()
    .action((file: string, options: VerifyOptions) => ending(verify(file, options)));
  experiment
    .command("merge <out> <in...>")
    .description("put the shards of a run together: folders or ledgers")
    .option("--json", "print {digest, trials, failedTrials, verdict}")
    .exitOverride()
    .action((out: string, inputs: string[], options: RunOptions) =>
      ending(merge(out, inputs, options)),
    );
  experiment
    .command("worker")
    .description("run trials for runs with --queue, until interrupted")
    .requiredOption("--queue <url>", "Redis: redis://HOST:PORT, or a Unix socket's path")
    .option("--modules <dir>", "folder that the plans' policy modules are relative to")
    .addOption(jobs())
    .exitOverride()
    .action((options: WorkerOptions) => ending(worker(options)));
  experiment
    .command("fit <ledger>")
    .description("fit the model guest's times to measured recoveries, and say how well they fit")
    .option("--guest <name>", "guest of an experiment's ledger (the only one by default)")
    .option("--policy <name>", "trials under this policy (the baseline by default)")
    .option("--out <file>", "write them, for a guest's timesFile")
    .option("--json", "print JSON, times in microseconds")
    .exitOverride()
    .addHelpText(
      "after",
      "\nLEDGER is ledger.jsonl of an experiment with a machine as its guest, what 'journal export' wrote, or\n" +
        "what 'demo --trace' wrote; of the latter two the driver's restart cannot be seen, and is not fitted.",
    )
    .action((file: string, options: FitOptions) => ending(fitTo(file, options)));
  experiment
    .command("sequence")
    .description(
      "print the zPCI instructions of one recovery, of the model guest or a real one, STCRW to STCRW",
    )
    .addOption(new Option("--kernel <version>", "flavour").choices([...kernelNames]).default("7.3"))
    .addOption(new Option("--driver <name>", "driver").choices([...driverNames]).default("nvme"))
    .option("--pec <code>", "the error's PEC", pec, 0x3a)
    .option("--and-pec <code>", "PEC of a second event at the same moment", pec)
    .option("--clear-error", "the host can clear the error in place")
    .option("--reset-fails", "the host's resets end with EIO")
    .option(
      "--machine <name>",
      "instead of the model: a Linux fixture, e.g. linux-6.1, on the CPU; drivers nvme, no-handlers, vfio-pci",
    )
    .option("--states", "the steps of the recovery machine instead of the guest's instructions")
    .option("--json", "print JSON")
    .exitOverride()
    .action((options: SequenceOptions) => ending(sequence(options)));
}
