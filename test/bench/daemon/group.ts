/**
 * The daemon at scale: 64 functions in 8 VMs whose guests sleep in enabled waits, an error on every function every second
 * (8 s with --quick, else 10 minutes). Its rounds and those of bare worker threads under the same load take turns, in
 * processes of their own; both sides' latencies are pooled, and there is no verdict when the peer's rounds differ too much.
 * Then functions on shared recovery threads (shared.ts). Estimates before the first run: an error costs one wake-up and
 * about 20 us of work; a function costs its thread (8.5 MiB) and its rings (0.4 MiB), on a shared thread its rings and a
 * 512th of a thread. Progress goes to standard error.
 */
import { join } from "node:path";
import type { VmReport } from "../../../src/control/daemon/status.ts";
import { readJournal } from "../../../src/control/journal/index.ts";
import type { LedgerEntry } from "../../../src/machine/ledger-entry.ts";
import { PhaseTracker } from "../../../src/machine/phases.ts";
import { type Group, median, quantile } from "../harness.ts";
import { against, bounded, lostLine } from "./lines.ts";
import {
  cpuSeconds,
  FUNCTIONS,
  FUNCTIONS_PER_VM,
  pause,
  progress,
  residentBytes,
  slopePerMinute,
  VMS,
  vcpuNice,
} from "./load.ts";
import { BareThreads, Daemon, emptyDaemon, QmpProbe } from "./processes.ts";
import { sharedThreads } from "./shared.ts";

/** Rounds, and seconds of the daemon's (whole ones) and the peer's share of each. */
const ROUNDS = { quick: [4, 2, 1.5], full: [20, 30, 10] } as const;
const STARTS = { quick: 3, full: 5 } as const;
const IDLE_MS = 2000;
const SETTLE_WAIT_MS = 60_000;

/** Bounds of the issue that have no peer of their own. */
const START_BOUND_MS = 300;
const QMP_BOUND_MS = 2;
/** Between the quartiles of the peer's rounds; above it there is no verdict. */
const SPREAD_MAX = 0.5;

/** Milliseconds from `vm-start` to the first instruction, as an operator sees it, on a VM of 8 functions. */
async function startMs(daemon: Daemon): Promise<number> {
  const vm = `vm${VMS - 1}`;
  await daemon.request("vm-stop", { vm, timeoutMs: 0 });
  const beganMs = performance.now();
  await daemon.request("vm-start", { vm });
  for (;;) {
    const rows = (await daemon.request("vm-list")) as VmReport[];
    if ((rows[VMS - 1]?.instructions ?? 0) > 0) return performance.now() - beganMs;
    await pause(1);
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

/** V8 compiles what has become hot for minutes: the tenths tell how much of a p99 is that. */
function tenths(ms: readonly number[]): string[] {
  const part = Math.ceil(ms.length / 10);
  return Array.from({ length: 10 }, (_, n) =>
    quantile(ms.slice(n * part, (n + 1) * part), 0.99).toFixed(2),
  );
}

interface Rounds {
  readonly asked: number;
  readonly qmpMs: readonly number[];
  readonly samples: readonly (readonly [number, number])[];
  /** CPU time of one VM with its functions, seconds per second. */
  readonly share: number;
  readonly peerMs: readonly number[];
  /** p99 of each of the peer's rounds, milliseconds. */
  readonly peerRounds: readonly number[];
  readonly peerRss: number;
}

async function inTurns(daemon: Daemon, bare: BareThreads, quick: boolean): Promise<Rounds> {
  const [rounds, seconds, peerSeconds] = quick ? ROUNDS.quick : ROUNDS.full;
  const probe = new QmpProbe(join(daemon.state, "qmp", "vm0.sock"));
  const qmpMs: number[] = [];
  const samples: (readonly [number, number])[] = [];
  const peerMs: number[] = [];
  const peerRounds: number[] = [];
  let [asked, cpu, spentMs, peerRss] = [0, 0, 0, 0];
  for (let round = 1; round <= rounds; round++) {
    const beganMs = performance.now();
    const cpuBefore = cpuSeconds(daemon.pid);
    const sampler = setInterval(
      () => samples.push([performance.now(), residentBytes(daemon.pid)]),
      1000,
    );
    const first = probe.times.length;
    asked += await daemon.raiseEverySecond(seconds);
    const answered = probe.times.slice(first);
    qmpMs.push(...answered);
    clearInterval(sampler);
    cpu += cpuSeconds(daemon.pid) - cpuBefore;
    spentMs += performance.now() - beganMs;
    const share = (cpu * 1000) / spentMs / VMS;
    const peer = await bare.round({ share, seconds: peerSeconds });
    const ms = peer.us.map((us) => us / 1000);
    peerMs.push(...ms);
    peerRounds.push(quantile(ms, 0.99));
    peerRss = peer.rss;
    progress(
      `round ${round} of ${rounds}: ${asked} errors, ${Math.round(residentBytes(daemon.pid) / 1024 ** 2)} MiB, ` +
        `a VM takes ${(share * 100).toFixed(1)} % of a CPU; QMP p99 ${quantile(answered, 0.99).toFixed(2)} ms; ` +
        `bare threads p99 ${quantile(ms, 0.99).toFixed(3)} ms`,
    );
  }
  probe.close();
  return {
    asked,
    qmpMs,
    samples,
    share: (cpu * 1000) / spentMs / VMS,
    peerMs,
    peerRounds,
    peerRss,
  };
}

async function ownThreads(quick: boolean, emit: Parameters<Group>[1]): Promise<void> {
  const empty = await emptyDaemon({ vms: VMS, workers: "own" });
  const none = await BareThreads.none();
  const daemon = new Daemon({ vms: VMS, functionsPerVm: FUNCTIONS_PER_VM, workers: "own" });
  const bare = new BareThreads(FUNCTIONS, VMS);
  try {
    await daemon.ready();
    const starts: number[] = [];
    for (let n = 0; n < (quick ? STARTS.quick : STARTS.full); n++)
      starts.push(await startMs(daemon));
    await daemon.functions(({ guestState }) => guestState === "enabled", SETTLE_WAIT_MS);
    await pause(IDLE_MS / 2);
    const idleCpu = cpuSeconds(daemon.pid);
    await pause(IDLE_MS);
    const idleMs = ((cpuSeconds(daemon.pid) - idleCpu) * 1e6) / IDLE_MS / VMS;
    progress(
      `64 functions in 8 VMs are up; an idle VM takes ${idleMs.toFixed(1)} ms of CPU a second`,
    );
    const load = await inTurns(daemon, bare, quick);
    const reports = await daemon.functions(({ open }) => open === 0, SETTLE_WAIT_MS);
    const rss = residentBytes(daemon.pid);
    const nice = vcpuNice(daemon.pid);
    await daemon.end();
    emit(lostLine("daemon.lost", load.asked, reports));
    const ours = detectedToInjected(join(daemon.state, "journal"));
    progress(`detected to injected, p99 of each tenth: ${tenths(ours).join(", ")} ms`);
    const [low, high] = [quantile(load.peerRounds, 0.25), quantile(load.peerRounds, 0.75)];
    const p99 = against(
      "daemon.detect-to-inject-p99",
      "ms",
      quantile(ours, 0.99),
      "bare worker threads, same load",
      quantile(load.peerMs, 0.99),
      {
        samples: ours.length,
        p50: Number(median(ours).toPrecision(4)),
        peerP50: Number(median(load.peerMs).toPrecision(4)),
        cpuShareOfVm: Number(load.share.toPrecision(3)),
        vcpuNice: nice,
      },
    );
    const steady = high > 0 && (high - low) / high <= SPREAD_MAX;
    emit(
      steady
        ? p99
        : {
            name: p99.name,
            refused:
              `the quartiles of the peer's rounds are ${low.toFixed(3)} and ${high.toFixed(3)} ms; ` +
              `all in all ours took ${p99.value} ms, the peer ${p99.peerValue} ms`,
          },
    );
    const mib = 1024 * 1024;
    // The first tenth is warm-up: code is compiled, rings are touched for the first time.
    const warm = load.samples.slice(Math.floor(load.samples.length / 10));
    emit(
      against(
        "daemon.rss-per-function",
        "MiB",
        (rss - empty) / FUNCTIONS / mib,
        "a bare worker thread",
        (load.peerRss - none) / (FUNCTIONS + VMS) / mib,
        {
          residentMiB: Math.round(rss / mib),
          // Seconds say nothing about minutes.
          ...(quick ? {} : { slopeKiBPerMinute: Math.round(slopePerMinute(warm) / 1024) }),
        },
      ),
    );
    emit(
      bounded("daemon.vm-start", "ms", Math.min(...starts), START_BOUND_MS, {
        starts: starts.length,
        median: Number(median(starts).toPrecision(4)),
      }),
    );
    emit(
      bounded("daemon.qmp-round-trip-p99", "ms", quantile(load.qmpMs, 0.99), QMP_BOUND_MS, {
        samples: load.qmpMs.length,
        p50: Number(median(load.qmpMs).toPrecision(4)),
      }),
    );
    emit({
      name: "daemon.idle-vm-cpu",
      unit: "ms/s",
      better: "lower",
      value: Number(idleMs.toPrecision(3)),
    });
  } finally {
    bare.end();
    daemon.remove();
  }
}

export const daemon: Group = async ({ quick }, emit) => {
  await ownThreads(quick, emit);
  await sharedThreads(quick, emit);
};
