/**
 * The daemon at scale: 64 functions in 8 VMs, an error on every function every second (10 s with --quick, else 10 minutes);
 * beside it, in the same run, bare worker threads under the same load. Then functions on shared recovery threads: 1,024 in
 * 16 VMs (256 in 4 with --quick), an error on each of them. All are processes of their own, one after the other. Estimates
 * before the first run: an error costs one wake-up and about 20 us of work; a function costs its thread (8.5 MiB) and its
 * rings (0.4 MiB), on a shared thread its rings and a 512th of a thread.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { FunctionReport, VmReport } from "../../../src/control/daemon/status.ts";
import { readJournal } from "../../../src/control/journal/index.ts";
import { DaemonClient } from "../../../src/daemon/client.ts";
import type { LedgerEntry } from "../../../src/machine/ledger-entry.ts";
import { PhaseTracker } from "../../../src/machine/phases.ts";
import { type Group, quantile, type Result } from "../harness.ts";
import {
  cpuSeconds,
  FUNCTIONS,
  FUNCTIONS_PER_VM,
  oncePerSecond,
  pause,
  residentBytes,
  slopePerMinute,
  VMS,
} from "./load.ts";

const zmend = fileURLToPath(new URL("../../../src/daemon/zmend.js", import.meta.url));
const bareProgram = fileURLToPath(new URL("bare.js", import.meta.url));
const QUICK_SECONDS = 10;
const FULL_SECONDS = 600;
const QMP_INTERVAL_MS = 25;
const SETTLE_MS = 1500;

/** Bounds of the issue that have no peer of their own. */
const START_BOUND_MS = 300;
const QMP_BOUND_MS = 2;

/** Shared recovery threads: VMs, functions in each, and the bound on what one may cost. */
const SHARED_VMS = { quick: 4, full: 16 } as const;
const SHARED_FUNCTIONS_PER_VM = 64;
const SHARED_BOUND_KIB = 128;
/** How long the guests may take to fetch their errors. */
const SHARED_WAIT_MS = 120_000;

interface Size {
  readonly vms: number;
  readonly functionsPerVm: number;
  readonly workers: "own" | "shared";
}

function configText({ vms: vmCount, functionsPerVm, workers }: Size): string {
  const functions = Array.from(
    { length: functionsPerVm },
    (_, index) => `      - { fid: ${index + 1}, uid: ${index + 1}, clearError: true }\n`,
  ).join("");
  const vm = (index: number): string =>
    `  - name: vm${index}\n    fixture: zrecover\n    memory: 4MiB\n` +
    (functions === "" ? "" : `    functions:\n${functions}`);
  const vms = Array.from({ length: vmCount }, (_, index) => vm(index)).join("");
  return `version: 1\nlogLevel: error\nrecovery: { workers: ${workers} }\nvms:\n${vms}`;
}

/** A daemon process with one client. */
class Daemon {
  readonly folder = mkdtempSync(join(tmpdir(), "zmb-"));
  readonly state = join(this.folder, "state");
  readonly #child;
  readonly #ended: Promise<unknown>;

  constructor(size: Size) {
    const file = join(this.folder, "daemon.yaml");
    writeFileSync(file, configText(size));
    this.#child = spawn(
      process.execPath,
      [zmend, "daemon", "--config", file, "--state-dir", this.state],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    this.#ended = new Promise((resolve) => this.#child.once("close", resolve));
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#child.stdout.once("data", () => resolve());
      this.#child.once("close", (status) => reject(new Error(`the daemon ended with ${status}`)));
    });
  }

  async end(): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#ended;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Round trips of query-status on a QMP socket, milliseconds. */
class QmpProbe {
  readonly times: number[] = [];
  readonly #socket;
  readonly #timer: NodeJS.Timeout;
  #sentMs = 0;

  constructor(path: string) {
    this.#socket = connect(path);
    this.#socket.write('{"execute":"qmp_capabilities"}\n');
    this.#socket.on("data", (chunk: Uint8Array) => {
      if (this.#sentMs === 0 || !Buffer.from(chunk).includes('"status"')) return;
      this.times.push(performance.now() - this.#sentMs);
      this.#sentMs = 0;
    });
    this.#timer = setInterval(() => {
      if (this.#sentMs !== 0) return;
      this.#sentMs = performance.now();
      this.#socket.write('{"execute":"query-status"}\n');
    }, QMP_INTERVAL_MS);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#socket.destroy();
  }
}

interface LoadFigures {
  readonly asked: number;
  readonly reports: readonly FunctionReport[];
  readonly qmpMs: readonly number[];
  readonly rss: number;
  readonly slope: number;
  /** Share of a CPU that one VM took. */
  readonly share: number;
}

async function underLoad(
  daemon: Daemon,
  client: DaemonClient,
  seconds: number,
): Promise<LoadFigures> {
  const probe = new QmpProbe(join(daemon.state, "qmp", "vm0.sock"));
  const samples: (readonly [number, number])[] = [];
  const startedMs = performance.now();
  const sampler = setInterval(
    () => samples.push([performance.now(), residentBytes(daemon.pid)]),
    1000,
  );
  const cpuBefore = cpuSeconds(daemon.pid);
  const asked = await oncePerSecond(seconds, (index) =>
    client.request("vm-inject", {
      vm: `vm${Math.floor(index / FUNCTIONS_PER_VM)}`,
      function: (index % FUNCTIONS_PER_VM) + 1,
      pec: 0x3a,
    }),
  );
  const spentMs = performance.now() - startedMs;
  const share = ((cpuSeconds(daemon.pid) - cpuBefore) * 1000) / spentMs / VMS;
  await pause(SETTLE_MS);
  clearInterval(sampler);
  probe.close();
  const reports = (await client.request("function-list")) as FunctionReport[];
  // The first tenth is warm-up: code is compiled, rings are touched for the first time.
  const warm = samples.slice(Math.floor(samples.length / 10));
  return {
    asked,
    reports,
    qmpMs: probe.times,
    rss: residentBytes(daemon.pid),
    slope: slopePerMinute(warm),
    share,
  };
}

/** From `vm start` to the first instruction, as an operator sees it. */
async function startMs(client: DaemonClient): Promise<number> {
  await client.request("vm-stop", { vm: "vm7", timeoutMs: 0 });
  const beganMs = performance.now();
  await client.request("vm-start", { vm: "vm7" });
  for (;;) {
    const rows = (await client.request("vm-list")) as VmReport[];
    if ((rows[7]?.instructions ?? 0) > 0) return performance.now() - beganMs;
  }
}

/** Detected to injected of every event in the journal, milliseconds. */
function detectedToInjected(journal: string): number[] {
  const times: number[] = [];
  const trackers = new Map<string, PhaseTracker>();
  for (const item of readJournal(journal)) {
    if (item.type !== "record") continue;
    const { vm, timeUs, kind, ...record } = item.record;
    if (timeUs === undefined) continue;
    let tracker = trackers.get(vm);
    if (tracker === undefined) {
      tracker = new PhaseTracker({
        sample: (_, phase, us) => {
          if (phase === "detected_to_injected") times.push(us / 1000);
        },
      });
      trackers.set(vm, tracker);
    }
    tracker.add({ ...record, timeUs, kind } as LedgerEntry);
  }
  return times;
}

function bare(workers: number, loads: number, share: number, seconds: number) {
  return new Promise<{ readonly rss: number; readonly p99: number }>((resolve, reject) => {
    const words = [bareProgram, workers, loads, share, seconds].map(String);
    const child = spawn(process.execPath, words, { stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    child.stdout.on("data", (chunk: Uint8Array) => {
      text += Buffer.from(chunk).toString();
    });
    child.once("close", (status) =>
      status === 0
        ? resolve(JSON.parse(text))
        : reject(new Error(`bare workers ended with ${status}`)),
    );
  });
}

/** Resident bytes of a daemon whose VMs have no function. */
async function emptyDaemon(size: Omit<Size, "functionsPerVm">): Promise<number> {
  const daemon = new Daemon({ ...size, functionsPerVm: 0 });
  try {
    await daemon.ready();
    await pause(SETTLE_MS);
    return residentBytes(daemon.pid);
  } finally {
    await daemon.end();
    daemon.remove();
  }
}

/** Many functions on shared recovery threads: what they cost, and an error on every one of them. */
async function sharedThreads(vms: number, emit: Parameters<Group>[1]): Promise<void> {
  const count = vms * SHARED_FUNCTIONS_PER_VM;
  const empty = await emptyDaemon({ vms, workers: "shared" });
  const beganMs = performance.now();
  const daemon = new Daemon({ vms, functionsPerVm: SHARED_FUNCTIONS_PER_VM, workers: "shared" });
  try {
    await daemon.ready();
    const startedMs = performance.now() - beganMs;
    const startedCpu = cpuSeconds(daemon.pid);
    const client = await DaemonClient.connect(daemon.state);
    const functions = async (): Promise<readonly FunctionReport[]> =>
      (await client.request("function-list")) as FunctionReport[];
    const until = async (holds: (report: FunctionReport) => boolean) => {
      const latestMs = performance.now() + SHARED_WAIT_MS;
      let reports = await functions();
      while (!reports.every(holds) && performance.now() < latestMs) {
        await pause(SETTLE_MS);
        reports = await functions();
      }
      return reports;
    };
    // A guest gives up a function that breaks while it is probed.
    await until((report) => report.guestState === "enabled");
    const idle = residentBytes(daemon.pid);
    for (let index = 0; index < count; index++) {
      await client.request("vm-inject", {
        vm: `vm${Math.floor(index / SHARED_FUNCTIONS_PER_VM)}`,
        function: (index % SHARED_FUNCTIONS_PER_VM) + 1,
        pec: 0x3a,
      });
    }
    const reports = await until(
      (report) => report.errorsRaised > 0 && report.open === 0 && report.guestState === "enabled",
    );
    client.close();
    const loaded = residentBytes(daemon.pid);
    await daemon.end();
    const sum = (of: (report: FunctionReport) => number): number =>
      reports.reduce((total, report) => total + of(report), 0);
    const raised = sum((report) => report.errorsRaised);
    emit({
      name: "daemon.shared-lost",
      unit: "events",
      better: "lower",
      value: Math.abs(count - raised) + sum((report) => Math.abs(report.open)),
      asked: count,
      raised,
      fetched: sum((report) => report.fetchedByGuest),
    });
    emit(
      line(
        "daemon.shared-rss-per-function",
        "KiB",
        (idle - empty) / count / 1024,
        "the bound",
        SHARED_BOUND_KIB,
        {
          functions: count,
          vms,
          residentMiB: Math.round(idle / 1024 ** 2),
          afterErrorsMiB: Math.round(loaded / 1024 ** 2),
          emptyMiB: Math.round(empty / 1024 ** 2),
          startMs: Math.round(startedMs),
          startCpuSeconds: Number(startedCpu.toFixed(1)),
        },
      ),
    );
  } finally {
    daemon.remove();
  }
}

function line(
  name: string,
  unit: string,
  value: number,
  peer: string,
  peerValue: number,
  extra: Readonly<Record<string, number>> = {},
): Result {
  const round = (figure: number): number => Number(figure.toPrecision(4));
  return {
    name,
    unit,
    better: "lower",
    value: round(value),
    peer,
    peerValue: round(peerValue),
    ratio: round(value / peerValue),
    ...extra,
  };
}

export const daemon: Group = async ({ quick }, emit) => {
  const seconds = quick ? QUICK_SECONDS : FULL_SECONDS;
  const empty = await emptyDaemon({ vms: VMS, workers: "own" });
  const process64 = new Daemon({ vms: VMS, functionsPerVm: FUNCTIONS_PER_VM, workers: "own" });
  try {
    await process64.ready();
    const client = await DaemonClient.connect(process64.state);
    const started = await startMs(client);
    const load = await underLoad(process64, client, seconds);
    client.close();
    await process64.end();
    const raised = load.reports.reduce((sum, report) => sum + report.errorsRaised, 0);
    const fetched = load.reports.reduce((sum, report) => sum + report.fetchedByGuest, 0);
    const open = load.reports.reduce((sum, report) => sum + Math.abs(report.open), 0);
    emit({
      name: "daemon.lost",
      unit: "events",
      better: "lower",
      value: Math.abs(load.asked - raised) + open,
      asked: load.asked,
      raised,
      fetched,
      accounted: raised - fetched,
    });
    const ours = detectedToInjected(join(process64.state, "journal"));
    const none = await bare(0, 0, 0, 0);
    const peer = await bare(FUNCTIONS, VMS, load.share, seconds);
    emit(
      line(
        "daemon.detect-to-inject-p99",
        "ms",
        quantile(ours, 0.99),
        "bare worker threads, same load",
        peer.p99 / 1000,
        {
          samples: ours.length,
          p50: Number(quantile(ours, 0.5).toPrecision(4)),
          cpuShareOfVm: Number(load.share.toPrecision(3)),
        },
      ),
    );
    const mib = 1024 * 1024;
    emit(
      line(
        "daemon.rss-per-function",
        "MiB",
        (load.rss - empty) / FUNCTIONS / mib,
        "a bare worker thread",
        (peer.rss - none.rss) / (FUNCTIONS + VMS) / mib,
        {
          residentMiB: Math.round(load.rss / mib),
          slopeKiBPerMinute: Math.round(load.slope / 1024),
        },
      ),
    );
    emit(line("daemon.vm-start", "ms", started, "the bound", START_BOUND_MS));
    emit(
      line(
        "daemon.qmp-round-trip-p99",
        "ms",
        quantile(load.qmpMs, 0.99),
        "the bound",
        QMP_BOUND_MS,
        {
          samples: load.qmpMs.length,
        },
      ),
    );
  } finally {
    process64.remove();
  }
  await sharedThreads(quick ? SHARED_VMS.quick : SHARED_VMS.full, emit);
};
