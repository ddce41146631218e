/**
 * Runs of `zmend demo` inside the test's process: a config as an object, on one thread or on threads, with a hook
 * that may interfere at every round; and the whole command with its output caught.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { vi } from "vitest";
import { packageRoot } from "../../src/base/version.ts";
import { type DemoConfig, parseDemoConfig } from "../../src/config/demo-config.ts";
import { type DemoOptions, demo } from "../../src/daemon/demo.ts";
import { DemoMonitor, type DemoPhase } from "../../src/daemon/demo-monitor.ts";
import { planDemo } from "../../src/daemon/demo-plan.ts";
import { type Books, booksBalance, readBooks } from "../../src/machine/books.ts";
import { closeBooks } from "../../src/machine/closing.ts";
import { ConsoleLines } from "../../src/machine/console-lines.ts";
import { DeterministicVm } from "../../src/machine/deterministic-vm.ts";
import { readFixture } from "../../src/machine/fixtures.ts";
import { readImage } from "../../src/machine/image.ts";
import { Ledger } from "../../src/machine/ledger.ts";
import type { LedgerEntry } from "../../src/machine/ledger-entry.ts";
import { bootVm } from "../../src/machine/parts.ts";
import { ThreadedVm } from "../../src/machine/threaded-vm.ts";
import { DETERMINISTIC_EPOCH_MS, type VmSpec } from "../../src/machine/vm-spec.ts";
import { load, store } from "../../src/shm/atomics.ts";
import { FunctionBlock } from "../../src/shm/blocks.ts";
import type { VmMemory } from "../../src/shm/vm-memory.ts";

export type ConfigFunction = Partial<DemoConfig["functions"][number]> & { readonly fid: number };
export type ConfigStep = { readonly function: number } & Partial<DemoConfig["sequence"][number]>;

export interface ConfigInput {
  readonly vm?: {
    readonly fixture?: string;
    readonly kernel?: string;
    readonly memory?: string;
    readonly cpu?: string;
  };
  readonly policy?: string;
  readonly deadlineMs?: number;
  readonly settleMs?: number;
  readonly functions: readonly ConfigFunction[];
  readonly sequence?: readonly ConfigStep[];
}

/** JSON is YAML: the text of a config file. Defaults: zrecover, a short settling time, a deadline for slow machines. */
export function configText(input: ConfigInput): string {
  return JSON.stringify({
    version: 1,
    settleMs: 20,
    deadlineMs: 90_000,
    ...input,
    vm: { ...(input.vm?.kernel === undefined ? { fixture: "zrecover" } : {}), ...input.vm },
    functions: input.functions.map((entry) => ({ uid: entry.fid, ...entry })),
  });
}

/**
 * Writes a shipped policy with other deadlines (every state's, and the reset budget) into `folder`.
 * @returns the file, for `ConfigInput.policy`
 */
export function policyWithDeadlines(folder: string, name: string, ms: number): string {
  const shipped = fileURLToPath(new URL(`config/policies/${name}.yaml`, packageRoot));
  const text = readFileSync(shipped, "utf8")
    .replace(
      /^( {2}(?:awaiting-guest|guest-recovering|unblocked|verifying|unplugging): )\d+/gm,
      `$1${ms}`,
    )
    .replace(/^( {2}budgetMs: )\d+/m, `$1${ms}`);
  const file = join(folder, `${name}.yaml`);
  writeFileSync(file, text);
  return file;
}

export interface FunctionRun {
  readonly fid: number;
  readonly state: string;
  readonly expected: string;
  readonly books: Books;
  /** 0 when the books close. */
  readonly balance: number;
  /** The guest's last line about it. */
  readonly report: GuestReport | undefined;
}

export interface GuestReport {
  readonly state: string;
  readonly events: number;
  readonly checked: number;
  readonly corrupt: number;
  readonly timeouts: number;
}

export interface DemoRunResult {
  readonly ending: DemoPhase;
  readonly endedUs: number;
  readonly functions: readonly FunctionRun[];
  readonly entries: readonly LedgerEntry[];
  readonly console: readonly string[];
  readonly vm: VmMemory;
  readonly failure: Error | undefined;
}

type Machine = (DeterministicVm | ThreadedVm) & { readonly failure?: Error | undefined };

const reportLine =
  /\breport fid=([0-9a-f]+) state=(\S+) events=(\d+) recoveries=\d+ checked=(\d+) corrupt=(\d+) timeouts=(\d+)/;

class Run {
  readonly config: DemoConfig;
  readonly spec: VmSpec;
  readonly lines = new ConsoleLines((line) => this.#line(line));
  readonly #reports = new Map<number, GuestReport>();
  readonly #entries: LedgerEntry[] = [];
  readonly #console: string[] = [];
  #ledger: Ledger | undefined;
  #monitor: DemoMonitor | undefined;

  constructor(input: ConfigInput, seed?: number) {
    this.config = parseDemoConfig(configText(input), "test.yaml");
    this.spec = planDemo(this.config, {
      policy: this.config.policy,
      epochMs: DETERMINISTIC_EPOCH_MS,
      ...(seed === undefined ? {} : { seed }),
    });
  }

  boot(vm: VmMemory): void {
    const { fixture, kernel = "" } = this.config.vm;
    const { image, file } =
      fixture === undefined ? { image: readImage(kernel), file: kernel } : readFixture(fixture);
    bootVm(vm, image, file);
    this.#ledger = new Ledger(vm);
    this.#monitor = new DemoMonitor(vm, this.spec, this.config.deadlineMs, this.config.settleMs);
  }

  /** One look; true when the run has ended. */
  look(machine: Machine): DemoPhase | undefined {
    this.#entries.push(...(this.#ledger?.drain() ?? []));
    if (machine.failure !== undefined) return "halted";
    const phase = this.#monitor?.check(machine.clock.nowUs()) ?? "deadline";
    if (phase === "quiesce") machine.requestQuiesce();
    return phase === "running" || phase === "quiesce" || phase === "quiescing" ? undefined : phase;
  }

  result(machine: Machine, ending: DemoPhase): DemoRunResult {
    const endedUs = machine.clock.nowUs();
    this.lines.end();
    this.#entries.push(...(this.#ledger?.drain() ?? []));
    closeBooks(machine.vm, this.spec);
    const functions = this.config.functions.map(({ fid, expect }, index) => {
      const books = readBooks(machine.vm, index);
      return {
        fid,
        state: this.#monitor?.stateName(index) ?? "",
        expected: expect,
        books,
        balance: booksBalance(books),
        report: this.#reports.get(fid),
      };
    });
    const { vm, failure } = machine;
    const console = this.#console;
    return { ending, endedUs, functions, entries: this.#entries, console, vm, failure };
  }

  #line(line: string): void {
    this.#console.push(line);
    const match = reportLine.exec(line);
    if (match === null) return;
    const [, fid = "", state = "", ...counts] = match;
    const [events = 0, checked = 0, corrupt = 0, timeouts = 0] = counts.map(Number);
    this.#reports.set(Number.parseInt(fid, 16), { state, events, checked, corrupt, timeouts });
  }
}

/** `each` is called before every round of the machine. */
export function runDeterministic(
  input: ConfigInput,
  seed = 0,
  each: (machine: DeterministicVm, round: number) => void = () => {},
): DemoRunResult {
  const run = new Run(input, seed);
  const machine = new DeterministicVm(run.spec, (bytes) => run.lines.push(bytes, 0));
  run.boot(machine.vm);
  for (let round = 0; ; round++) {
    each(machine, round);
    machine.step();
    const ending = run.look(machine);
    if (ending !== undefined) return run.result(machine, ending);
  }
}

/** `each` is called every few milliseconds. */
export async function runThreads(
  input: ConfigInput,
  each: (machine: ThreadedVm) => void = () => {},
  change: (spec: VmSpec) => VmSpec = (spec) => spec,
): Promise<DemoRunResult> {
  const run = new Run(input);
  const machine = new ThreadedVm(change(run.spec), (bytes) => run.lines.push(bytes, 0));
  run.boot(machine.vm);
  let ending: DemoPhase | undefined;
  try {
    await machine.start();
    while (ending === undefined) {
      each(machine);
      await new Promise((resolve) => setTimeout(resolve, 2));
      ending = run.look(machine);
    }
  } finally {
    await machine.stop();
  }
  return run.result(machine, ending);
}

function functionWord(vm: VmMemory, index: number, word: number): number {
  return (vm.map.functionBlocks[index] as number) / 4 + word;
}

/** The recovery machine of function `index` dies when it next reaches `step`; false while it is already told to. */
export function killAt(vm: VmMemory, index: number, step: number): boolean {
  const word = functionWord(vm, index, FunctionBlock.killAtStep);
  if (load(vm.words, word) !== 0) return false;
  store(vm.words, word, step);
  return true;
}

/** Restarts of the recovery machine of function `index` so far. */
export function restartsOf(vm: VmMemory, index: number): number {
  return load(vm.words, functionWord(vm, index, FunctionBlock.workerRestarts));
}

export interface CommandRun {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command `zmend demo` with a config of its own, in this process. `onText` sees what it prints. */
export async function demoCommand(
  input: ConfigInput,
  options: Partial<DemoOptions> = {},
  onText: (text: string) => void = () => {},
): Promise<CommandRun> {
  const folder = mkdtempSync(join(tmpdir(), "zmend-demo-"));
  const config = join(folder, "demo.yaml");
  writeFileSync(config, configText(input));
  let stdout = "";
  let stderr = "";
  const out = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    stdout += String(text);
    onText(String(text));
    return true;
  });
  const err = vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    stderr += String(text);
    return true;
  });
  try {
    const defaults = { config, deterministic: true, seed: 0, logLevel: "silent" };
    const status = await demo({ ...defaults, ...options });
    return { status, stdout, stderr };
  } finally {
    out.mockRestore();
    err.mockRestore();
    rmSync(folder, { recursive: true });
  }
}
