/** One run of `zmend-system-s390x`: guest, monitors, console; who ends it and how. Exit statuses are QEMU's. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import type { SimFunctionConfig } from "../backend/sim/index.ts";
import { ZmendError } from "../base/errors.ts";
import { hex } from "../base/hex.ts";
import { FUNCTIONS_MAX } from "../base/limits.ts";
import {
  type BlockNode,
  createQmpServer,
  type DeviceCatalogue,
  type QmpServer,
  type ShutdownReason,
  type ZpciDevice,
} from "../control/qmp/index.ts";
import { requireMemory } from "../machine/host-memory.ts";
import type { Snapshot } from "../machine/snapshot.ts";
import type { RunState, VmEvent } from "../machine/vm-control.ts";
import { type BootSource, VmController } from "../machine/vm-controller.ts";
import { mapOf, type VmSpec } from "../machine/vm-spec.ts";
import { loadPolicy } from "../recovery/index.ts";
import { backgroundReady, inBackground } from "./daemonize.ts";
import { EXIT_DONE, EXIT_FAILED } from "./failure.ts";
import type { End } from "./qemu-ends.ts";
import { commandLineOptions } from "./qemu-introspection.ts";
import { RunLog } from "./qemu-log.ts";
import type { SystemSettings } from "./qemu-settings.ts";
import { SystemEnds } from "./system-ends.ts";

export interface SystemPlan {
  readonly program: string;
  readonly settings: SystemSettings;
  readonly ends: readonly End[];
  /** Undefined with `-machine none`. */
  readonly boot: BootSource | undefined;
  /** The guest goes on from there; `boot` is for its next reset. */
  readonly snapshot: Snapshot | undefined;
  readonly watchdog: boolean;
  readonly functions: readonly SimFunctionConfig[];
  readonly functionIds: readonly (string | undefined)[];
  readonly zpci: readonly ZpciDevice[];
  readonly blocks: () => readonly BlockNode[];
  readonly catalogue?: DeviceCatalogue;
}

/** Places for functions that are plugged while the guest runs. */
const FREE_SLOTS = 8;

/** What ended the run: the guest in the way of its run state's reason, or somebody outside. */
type EndedBy = "signal" | "exit" | "quit" | RunState;

export async function runSystem(plan: SystemPlan): Promise<number> {
  const run = new SystemRun(plan);
  try {
    return await run.run();
  } finally {
    await run.close();
  }
}

class SystemRun {
  readonly #plan: SystemPlan;
  readonly #vm: VmController | undefined;
  readonly #ends: SystemEnds;
  readonly #server: QmpServer;
  readonly #log: RunLog;
  #endedBy: EndedBy | undefined;
  #reason = "";
  #resolve: () => void = () => {};
  readonly #ended = new Promise<void>((resolve) => {
    this.#resolve = resolve;
  });
  readonly #signal = (signal: NodeJS.Signals): void => {
    if (this.#endedBy !== undefined) return;
    process.stderr.write(`${this.#plan.program}: terminating on ${signal}\n`);
    this.#end("signal", "host-signal");
  };

  constructor(plan: SystemPlan) {
    this.#plan = plan;
    const { settings } = plan;
    this.#log = new RunLog(settings.log);
    this.#vm = plan.boot === undefined ? undefined : controllerOf(plan, plan.boot);
    this.#ends = new SystemEnds(plan.ends, {
      onExit: (by) => {
        if (by === "exit") this.#end("exit", "host-ui");
        else this.#end("signal", "host-signal");
      },
      push: (bytes) => this.#vm?.pushInput(bytes) ?? bytes.length,
    });
    this.#server = createQmpServer(this.#vm, {
      ...(settings.uuid === undefined ? {} : { uuid: settings.uuid }),
      ...(plan.catalogue === undefined ? {} : { catalogue: plan.catalogue }),
      zpci: plan.zpci,
      chardevs: this.#ends.chardevs,
      blocks: plan.blocks,
      commandLineOptions,
      endRules: {
        panic: settings.onPanic === "pause" ? "pause" : "poweroff",
        staysAfterShutdown: settings.onShutdown === "pause",
      },
      onQuit: () => this.#end("quit"),
    });
  }

  async run(): Promise<number> {
    const { settings } = this.#plan;
    const vm = this.#vm;
    process.on("SIGINT", this.#signal).on("SIGTERM", this.#signal).on("SIGHUP", this.#signal);
    vm?.on((event) => this.#event(event));
    await this.#ends.connect(this.#server);
    if (settings.pidfile !== undefined) writePidfile(settings.pidfile);
    if (inBackground()) await backgroundReady();
    await Promise.race([this.#ends.awaited(), this.#ended]);
    if (this.#endedBy === undefined && vm !== undefined) {
      await vm.start({
        // A snapshot says itself whether its machine ran.
        ...(settings.paused || this.#plan.snapshot === undefined
          ? { paused: settings.paused }
          : {}),
        interrupted: () => this.#endedBy !== undefined,
      });
    }
    // Nothing else keeps the process while it waits for a monitor's first word.
    const alive = setInterval(() => {}, 1 << 30);
    await this.#ended;
    clearInterval(alive);
    await vm?.stop();
    return this.#status();
  }

  #status(): number {
    const failure = this.#vm?.failure();
    if (failure !== undefined) throw failure;
    if (this.#endedBy !== "guest-panicked") return EXIT_DONE;
    if (this.#reason === "check-stop") {
      return checkStop(this.#plan.program, this.#vm?.pswAddress() ?? 0n);
    }
    return this.#plan.settings.onPanic === "exit-failure" ? EXIT_FAILED : EXIT_DONE;
  }

  async close(): Promise<void> {
    await this.#vm?.stop();
    await this.#server.close();
    await this.#ends.close();
    this.#log.end(this.#vm);
    const { pidfile } = this.#plan.settings;
    if (pidfile !== undefined) removePidfile(pidfile);
    process.off("SIGINT", this.#signal).off("SIGTERM", this.#signal).off("SIGHUP", this.#signal);
  }

  #event(event: VmEvent): unknown {
    this.#log.event(event);
    if (event.type === "console") return this.#ends.write(event.bytes);
    if (event.type === "run-state") this.#runState(event.to, event.reason);
    // QEMU's words (softmmu/watchdog.c).
    if (event.type === "watchdog" && event.action === "debug") {
      process.stderr.write("watchdog: timer fired\n");
    }
    return undefined;
  }

  /** A machine that stands still is worth keeping only for somebody who can look at it. */
  #runState(to: RunState, reason: string): void {
    const { onShutdown, onPanic } = this.#plan.settings;
    this.#reason = reason;
    const ends =
      to === "internal-error" ||
      (to === "shutdown" && onShutdown === "poweroff") ||
      (to === "guest-panicked" && onPanic !== "pause") ||
      (to === "io-error" && !this.#ends.hasMonitor());
    if (ends) this.#end(to);
  }

  #end(by: EndedBy, reason?: ShutdownReason): void {
    if (this.#endedBy !== undefined) return;
    this.#endedBy = by;
    if (reason !== undefined) this.#server.shutdown(reason);
    this.#resolve();
  }
}

/** @throws ZmendError when the host has no room for it, or the snapshot is of another machine */
export function specOf(plan: SystemPlan): VmSpec {
  const { settings, functions, functionIds } = plan;
  const spec: VmSpec = {
    name: settings.name,
    ramBytes: settings.ramBytes,
    cpuModel: settings.cpuModel,
    accel: settings.accel,
    vcpus: settings.vcpus,
    functions,
    functionIds,
    functionSlots: Math.min(FUNCTIONS_MAX, functions.length + FREE_SLOTS),
    policy: loadPolicy("mediated"),
    ...(plan.watchdog ? { watchdog: settings.onWatchdog } : {}),
    ...(settings.loadparm === undefined ? {} : { loadparm: settings.loadparm }),
    epochMs: settings.epochMs,
  };
  plan.snapshot?.requireMachine(spec);
  requireMemory(mapOf(spec).totalBytes, "The guest");
  return spec;
}

function controllerOf(plan: SystemPlan, boot: BootSource): VmController {
  const { settings, snapshot } = plan;
  return new VmController({
    spec: specOf(plan),
    boot,
    ...(snapshot === undefined ? {} : { snapshot }),
    onGuestReset: settings.onGuestReset,
  });
}

/** @returns the exit status */
export function checkStop(program: string, pswAddress: bigint): number {
  process.stderr.write(`${program}: the guest's CPU is in check stop at ${hex(pswAddress, 16)}\n`);
  return EXIT_FAILED;
}

function writePidfile(file: string): void {
  try {
    writeFileSync(file, `${process.pid}\n`, { mode: 0o600 });
  } catch (error) {
    throw new ZmendError(
      "ENVIRONMENT",
      `Pid file ${file} cannot be written (${(error as NodeJS.ErrnoException).code}); name one that you may write to.`,
      { file },
      { cause: error },
    );
  }
}

/** Only ours: somebody else may have taken the name since. */
function removePidfile(file: string): void {
  try {
    if (readFileSync(file, "utf8").trim() === `${process.pid}`) rmSync(file);
  } catch {
    // It is gone already.
  }
}
