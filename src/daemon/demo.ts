/** `zmend demo`: runs the config's VM, prints what happens, says whether every function ended as expected. */
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Logger } from "pino";
import { checkDisks } from "../backend/sim/index.ts";
import { monotonicNowUs, wallClockMs } from "../base/clock.ts";
import { ZmendError } from "../base/errors.ts";
import { suggestion } from "../base/nearest.ts";
import { packageRoot } from "../base/version.ts";
import { type DemoConfig, readDemoConfig } from "../config/demo-config.ts";
import {
  type GuestSource,
  imageSum,
  type Journal,
  journalExists,
  openJournal,
} from "../control/journal/index.ts";
import { readBooks } from "../machine/books.ts";
import { closeBooks } from "../machine/closing.ts";
import { ConsoleLines } from "../machine/console-lines.ts";
import { DeterministicVm } from "../machine/deterministic-vm.ts";
import { EntryStream } from "../machine/entry-stream.ts";
import { requireMemory } from "../machine/host-memory.ts";
import { LatencyMeter } from "../machine/latency.ts";
import { LedgerDigest, type LedgerEntry, ledgerLine } from "../machine/ledger-entry.ts";
import { bootVm } from "../machine/parts.ts";
import type { VmEvent } from "../machine/vm-control.ts";
import { type BootSource, VmController } from "../machine/vm-controller.ts";
import { DETERMINISTIC_EPOCH_MS, mapOf, type VmSpec } from "../machine/vm-spec.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { DemoMonitor } from "./demo-monitor.ts";
import { demoGuest, planDemo } from "./demo-plan.ts";
import { timelineHeader, timelineLine } from "./demo-report.ts";
import {
  type DemoResult,
  type Ending,
  GuestWords,
  problemsOf,
  resultJson,
  resultText,
} from "./demo-result.ts";
import { EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED } from "./failure.ts";
import { GuestTime } from "./guest-time.ts";
import { createLog } from "./log.ts";
import { outputStalled, outputTaken } from "./output.ts";
import { configChecks } from "./plan-function.ts";
import { TraceFile } from "./trace-file.ts";

export interface DemoOptions {
  readonly config?: string;
  /** A cached Debian kernel instead of the config's guest. */
  readonly guest?: string;
  readonly policy?: string;
  readonly dialect?: string;
  readonly abi?: string;
  readonly json?: boolean;
  readonly trace?: string;
  readonly journal?: string;
  readonly deterministic: boolean;
  readonly seed: number;
  readonly logLevel: string;
}

/** Who ended the VM, for the ledger. */
const endedBy: Readonly<Record<Ending, string>> = {
  running: "nobody",
  quiesce: "nobody",
  quiescing: "nobody",
  ended: "guest after its report",
  halted: "guest",
  stopped: "policy",
  deadline: "deadline",
  starved: "deadline",
  interrupted: "interrupt",
  crashed: "death of a thread",
};

const PUMP_INTERVAL_MS = 5;
/** Real time of a deterministic run between looks at signals; the VM's virtual time knows nothing of it. */
const PAUSE_INTERVAL_US = 20_000;

/** What both kinds of machine offer to the one that watches. */
interface DemoMachine {
  readonly vm: VmMemory;
  timeUs(): number;
  /** What the guest has had of it. */
  guestTimeUs(): number;
  instructions(): number;
  failure(): Error | undefined;
  recordsLost(): number;
  powerdown(): void;
}

/** @returns the exit status */
export async function demo(options: DemoOptions): Promise<number> {
  const log = createLog(options.logLevel);
  const config = configOf(options);
  const policy = options.policy ?? config.policy;
  const spec = planDemo(config, {
    policy,
    epochMs: options.deterministic ? DETERMINISTIC_EPOCH_MS : wallClockMs(),
    ...(options.deterministic ? { seed: options.seed } : {}),
    ...(options.dialect === undefined ? {} : { dialect: options.dialect }),
    ...(options.abi === undefined ? {} : { abi: options.abi }),
  });
  checkDisks(spec.functions);
  const guest = demoGuest(config.vm);
  requireMemory(mapOf(spec).totalBytes, `VM ${spec.name}`);
  log.info({ policy, image: guest.file }, "demo starts");
  const mode = options.deterministic ? "deterministic" : "threads";
  const journal = await openDemoJournal(options.journal, log);
  const source = guestSource(config.vm, guest);
  journal?.started(spec, source, mode, options.deterministic ? options.seed : undefined);
  const run = new DemoRun(config, spec, options, log, journal);
  try {
    return options.deterministic ? await run.deterministic(guest) : await run.threaded(guest);
  } finally {
    run.close();
    await journal?.close();
  }
}

/** The config file, or the shipped one for the guest. */
function configOf({ config, guest }: DemoOptions): DemoConfig {
  const checks = configChecks();
  const shipped = guest === undefined ? "config/demo.yaml" : "config/demo-linux.yaml";
  const read = readDemoConfig(config ?? fileURLToPath(new URL(shipped, packageRoot)), checks);
  if (guest === undefined) return read;
  const known = checks.names["Linux kernel"];
  if (!known.includes(guest)) {
    const hint = suggestion(guest, known);
    throw new ZmendError(
      "USAGE",
      `--guest ${guest}: unknown Linux guest${hint}; name one of ${known.join(", ")}.`,
    );
  }
  const { fixture, kernel, initrd, ...vm } = read.vm;
  return { ...read, vm: { ...vm, linux: guest } };
}

/** A journal of this run alone. @throws ZmendError USAGE when there is one already */
async function openDemoJournal(
  directory: string | undefined,
  log: Logger,
): Promise<Journal | undefined> {
  if (directory === undefined) return undefined;
  if (journalExists(directory)) {
    throw new ZmendError(
      "USAGE",
      `${directory} holds a journal already; name a new directory with --journal.`,
      { directory },
    );
  }
  return openJournal({ directory, onProblem: (problem) => log.error({ err: problem }, "journal") });
}

/** What the journal remembers of the guest. */
function guestSource(
  { fixture }: DemoConfig["vm"],
  { image, file, linux }: BootSource,
): GuestSource {
  const sha256 = imageSum(image);
  if (fixture !== undefined) return { fixture, sha256 };
  return {
    kernel: resolve(file),
    ...(linux?.initrd === undefined ? {} : { initrd: resolve(linux.initrd.file) }),
    ...(linux?.commandLine === undefined ? {} : { append: linux.commandLine }),
    sha256,
  };
}

/** What a run was watched to, and by whom. */
interface Watched {
  readonly ending: Ending;
  readonly monitor: DemoMonitor;
}

class DemoRun {
  readonly #config: DemoConfig;
  readonly #spec: VmSpec;
  readonly #options: DemoOptions;
  readonly #log: Logger;
  readonly #digest = new LedgerDigest();
  readonly #meter = new LatencyMeter();
  readonly #trace: TraceFile | undefined;
  readonly #said = new GuestWords();
  readonly #journal: Journal | undefined;
  #printed = 0;
  #interrupted = false;
  readonly #interrupt = (): void => {
    this.#interrupted = true;
  };

  constructor(
    config: DemoConfig,
    spec: VmSpec,
    options: DemoOptions,
    log: Logger,
    journal: Journal | undefined,
  ) {
    this.#journal = journal;
    this.#config = config;
    this.#spec = spec;
    this.#options = options;
    this.#log = log;
    this.#trace = options.trace === undefined ? undefined : new TraceFile(options.trace);
    process.on("SIGINT", this.#interrupt).on("SIGTERM", this.#interrupt);
  }

  close(): void {
    process.off("SIGINT", this.#interrupt).off("SIGTERM", this.#interrupt);
    this.#trace?.close();
  }

  /** Threads and real time. */
  async threaded(boot: BootSource): Promise<number> {
    const vm = new VmController({ spec: this.#spec, boot, onGuestReset: "shutdown" });
    const lines = new ConsoleLines((line, timeUs) =>
      vm.note("guest", "console", this.#said.line(line), timeUs),
    );
    vm.on((event) => {
      if (event.type === "entry") this.#emit(event.entry);
      if (event.type === "worker-died") this.#workerDied(event);
      if (event.type === "console") lines.push(event.bytes, event.timeUs);
      return outputTaken();
    });
    const pause = (): Promise<void> => new Promise((done) => setTimeout(done, PUMP_INTERVAL_MS));
    const machine = onThreads(vm);
    let watched: Watched;
    try {
      // A thread that dies while it starts is the machine's failure, told below with everything else.
      await vm.start({ interrupted: () => this.#interrupted }).catch(() => {});
      watched = await this.#watch(machine, pause);
      lines.end();
      vm.note("machine", "vm-ended", { by: endedBy[watched.ending] });
    } finally {
      await vm.stop(); // threads that go on would keep the process alive
    }
    const failure = vm.failure();
    if (failure !== undefined) this.#log.error({ err: failure }, "a thread died");
    return this.#finish(watched, machine);
  }

  /** One thread and virtual time: the same ledger on every run. */
  async deterministic({ image, file, linux }: BootSource): Promise<number> {
    const lines = new ConsoleLines((line, timeUs) =>
      entries.note(timeUs, "guest", "console", this.#said.line(line)),
    );
    const machine = new DeterministicVm(this.#spec, (bytes) =>
      lines.push(bytes, machine.guestClock.nowUs()),
    );
    const entries = new EntryStream(machine.vm, (entry) => this.#emit(entry));
    bootVm(machine.vm, image, file, linux);
    this.#digest.add(JSON.stringify({ seed: this.#options.seed, policy: this.#spec.policy.name }));
    const watchable: DemoMachine = {
      vm: machine.vm,
      timeUs: () => machine.clock.nowUs(),
      guestTimeUs: () => machine.clock.nowUs(),
      instructions: () => machine.instructions(),
      failure: () => undefined,
      recordsLost: () => entries.lost(),
      powerdown: () => machine.requestQuiesce(),
    };
    let pauseAtUs = 0;
    const step = (): Promise<void> | undefined => {
      if (outputStalled()) return new Promise((done) => setTimeout(done, PUMP_INTERVAL_MS));
      machine.step();
      // A reader that stands still costs trace records, which are counted, and no memory.
      if (!outputStalled()) entries.pump(machine.clock.nowUs());
      const realUs = monotonicNowUs();
      if (realUs < pauseAtUs) return undefined;
      pauseAtUs = realUs + PAUSE_INTERVAL_US;
      return new Promise((done) => setImmediate(done));
    };
    let watched: Watched;
    try {
      watched = await this.#watch(watchable, step);
    } finally {
      machine.close();
    }
    lines.end();
    entries.note(machine.clock.nowUs(), "machine", "vm-ended", { by: endedBy[watched.ending] });
    entries.pump(Number.POSITIVE_INFINITY);
    return this.#finish(watched, watchable);
  }

  /** Lets the machine go on with `advance` until the run has an end. */
  async #watch(machine: DemoMachine, advance: () => Promise<void> | undefined): Promise<Watched> {
    const { deadlineMs, settleMs } = this.#config;
    const monitor = new DemoMonitor(machine.vm, this.#spec, deadlineMs, settleMs);
    let ending: Ending = "running";
    while (ending === "running" || ending === "quiescing") {
      const pause = advance();
      if (pause !== undefined) await pause;
      if (this.#interrupted) ending = "interrupted";
      else if (machine.failure() !== undefined) ending = "crashed";
      else ending = monitor.check(machine.guestTimeUs(), machine.timeUs());
      if (ending === "quiesce") {
        machine.powerdown();
        this.#journal?.command({
          vm: this.#spec.name,
          command: "quiesce",
          by: "demo",
          timeUs: machine.timeUs(),
        });
        ending = "quiescing";
      }
    }
    return { ending, monitor };
  }

  #workerDied({ fid, cause, deaths }: Extract<VmEvent, { type: "worker-died" }>): void {
    this.#log.warn({ fid, cause, deaths }, "a recovery worker died");
  }

  #emit(entry: LedgerEntry): void {
    this.#meter.add(entry);
    if (this.#options.deterministic) this.#digest.add(ledgerLine(entry));
    this.#trace?.write(entry);
    this.#journal?.entry(this.#spec.name, entry);
    if (this.#options.json === true) return;
    if (this.#printed++ === 0) this.#print(timelineHeader);
    this.#print(timelineLine(entry));
  }

  #finish({ ending, monitor }: Watched, machine: DemoMachine): number {
    const { vm } = machine;
    closeBooks(vm, this.#spec);
    const outcomes = this.#config.functions.map((entry, index) => ({
      fid: entry.fid,
      state: monitor.stateName(index),
      expected: entry.expect,
      books: readBooks(vm, index),
      ...this.#said.report(entry.fid),
    }));
    const result: DemoResult = {
      ending,
      outcomes,
      instructions: machine.instructions(),
      latencies: this.#meter.result(),
      policy: this.#spec.policy.name,
      deadlineMs: this.#config.deadlineMs,
      failure: machine.failure(),
      halt: monitor.halt(),
      ...(this.#options.deterministic ? { digest: this.#digest.hex() } : {}),
    };
    const problems = problemsOf(result);
    const lost = machine.recordsLost();
    if (lost > 0) this.#log.warn({ records: lost }, "trace records were lost");
    const recovered = problems.length === 0;
    this.#print(
      this.#options.json === true
        ? JSON.stringify(resultJson(result, recovered, this.#config.vm, this.#said.lines))
        : resultText(result, recovered),
    );
    for (const problem of problems) process.stderr.write(`zmend: ${problem}\n`);
    if (ending === "interrupted") return EXIT_INTERRUPTED;
    return recovered ? EXIT_DONE : EXIT_FAILED;
  }

  #print(text: string): void {
    process.stdout.write(`${text}\n`);
  }
}

function onThreads(vm: VmController): DemoMachine {
  const time = new GuestTime(vm.vm);
  return {
    vm: vm.vm,
    timeUs: () => vm.timeUs(),
    guestTimeUs: () => time.advance(vm.timeUs(), vm.instructions()),
    instructions: () => vm.instructions(),
    failure: () => vm.failure(),
    recordsLost: () => vm.recordsLost(),
    powerdown: () => vm.powerdown(),
  };
}
