/** Many functions on shared recovery threads: what one of them costs, and an error on every one. */
import type { FunctionReport } from "../../../src/control/daemon/status.ts";
import type { Group } from "../harness.ts";
import { bounded, lostLine } from "./lines.ts";
import { cpuSeconds, progress, residentBytes } from "./load.ts";
import { Daemon, emptyDaemon } from "./processes.ts";

const VMS = { quick: 4, full: 16 } as const;
const FUNCTIONS_PER_VM = 64;
const BOUND_KIB = 128;
/** How long the guests may take to start their functions, and to fetch their errors. */
const WAIT_MS = 120_000;

export async function sharedThreads(quick: boolean, emit: Parameters<Group>[1]): Promise<void> {
  const vms = quick ? VMS.quick : VMS.full;
  const count = vms * FUNCTIONS_PER_VM;
  const empty = await emptyDaemon({ vms, workers: "shared" });
  const beganMs = performance.now();
  const daemon = new Daemon({ vms, functionsPerVm: FUNCTIONS_PER_VM, workers: "shared" });
  try {
    await daemon.ready();
    const startedMs = performance.now() - beganMs;
    const startCpuSeconds = cpuSeconds(daemon.pid);
    // A guest gives up a function that breaks while it is probed.
    await daemon.functions(({ guestState }) => guestState === "enabled", WAIT_MS);
    const idle = await daemon.restingBytes();
    progress(`${count} functions in ${vms} VMs are up after ${Math.round(startedMs)} ms`);
    for (let index = 0; index < count; index++) await daemon.raise(index);
    const recovered = (report: FunctionReport): boolean =>
      report.errorsRaised > 0 && report.open === 0 && report.guestState === "enabled";
    const reports = await daemon.functions(recovered, WAIT_MS);
    const loaded = residentBytes(daemon.pid);
    await daemon.end();
    emit(lostLine("daemon.shared-lost", count, reports));
    emit(
      bounded("daemon.shared-rss-per-function", "KiB", (idle - empty) / count / 1024, BOUND_KIB, {
        functions: count,
        vms,
        recovered: reports.filter(recovered).length,
        residentMiB: Math.round(idle / 1024 ** 2),
        afterErrorsMiB: Math.round(loaded / 1024 ** 2),
        emptyMiB: Math.round(empty / 1024 ** 2),
        startMs: Math.round(startedMs),
        startCpuSeconds: Number(startCpuSeconds.toFixed(1)),
      }),
    );
  } finally {
    daemon.remove();
  }
}
