/**
 * One life of the daemon: takes the state directory, brings journal, VMs, control socket, metrics and page up, says
 * that it is ready, and after SIGTERM or SIGINT takes everything down again in the opposite order. SIGHUP reloads.
 */
import type { Logger } from "pino";
import { monotonicNowUs } from "../base/clock.ts";
import { zmendVersion } from "../base/version.ts";
import type { DaemonConfig } from "../config/daemon-config.ts";
import { daemonCommands } from "../control/daemon/commands.ts";
import { CONTROL_PROTOCOL, ControlServer } from "../control/daemon/control-server.ts";
import type { ManagedVm } from "../control/daemon/managed-vm.ts";
import { StateDir } from "../control/daemon/state-dir.ts";
import { type DaemonReport, uptimeUs } from "../control/daemon/status.ts";
import { Supervisor } from "../control/daemon/supervisor.ts";
import { collectAtRest } from "../machine/load-garbage.ts";
import { prioritiesOf, settlePriorities } from "../machine/thread-priority.ts";
import { policyOf, type VmSpec } from "../machine/vm-spec.ts";
import { logSupervisor } from "./daemon-log.ts";
import { type LoadedConfig, loadDaemonConfig } from "./daemon-plan.ts";
import { DaemonServices } from "./daemon-services.ts";
import { EXIT_DONE, EXIT_INTERRUPTED } from "./failure.ts";
import { SystemdNotify } from "./notify.ts";

export interface DaemonRunOptions {
  readonly loaded: LoadedConfig;
  readonly file: string;
  readonly stateDir: string;
  readonly log: Logger;
  /** Of the command line: a reload does not change it. */
  readonly logLevel?: string;
}

export class DaemonRun {
  readonly #options: DaemonRunOptions;
  readonly #log: Logger;
  readonly #supervisor = new Supervisor();
  readonly #notify: SystemdNotify;
  readonly #startedUs = monotonicNowUs();
  /** What has to be undone, newest last. */
  readonly #undo: (() => Promise<void> | void)[] = [];
  #config: DaemonConfig;
  #services: DaemonServices | undefined;
  #reloadError: string | undefined;
  #signal: NodeJS.Signals | undefined;
  #wake = (): void => {};

  constructor(options: DaemonRunOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#config = options.loaded.config;
    this.#notify = new SystemdNotify((problem) =>
      this.#log.warn({ problem }, "systemd is not told how the daemon is"),
    );
  }

  /** @returns the exit status; throws what a user can do something about */
  async run(): Promise<number> {
    const asked = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#listenToSignals();
    try {
      await this.#up();
      if (this.#signal === undefined) await this.#ready();
      await asked;
      this.#log.info({ signal: this.#signal }, "the daemon stops");
      await this.#notify.stopping();
      this.#services?.ending();
      await this.#supervisor.stopAll(this.#config.stopTimeoutMs);
    } finally {
      await this.#down();
    }
    this.#log.info("the daemon has stopped");
    return this.#signal === "SIGINT" ? EXIT_INTERRUPTED : EXIT_DONE;
  }

  #listenToSignals(): void {
    const stop = (signal: NodeJS.Signals): void => {
      if (this.#signal !== undefined) {
        this.#log.warn({ signal }, "asked again: the guests are ended at once");
        void this.#supervisor.close();
        return;
      }
      this.#signal = signal;
      this.#wake();
    };
    const reload = (): void => void this.#reload();
    // A mistake in what serves operators must not cost the guests.
    const mistake = (error: unknown): void =>
      this.#log.fatal({ err: error }, "internal error, please report it");
    process.on("SIGTERM", stop).on("SIGINT", stop).on("SIGHUP", reload);
    process.on("uncaughtException", mistake).on("unhandledRejection", mistake);
    this.#undo.push(() => {
      process.off("SIGTERM", stop).off("SIGINT", stop).off("SIGHUP", reload);
      process.off("uncaughtException", mistake).off("unhandledRejection", mistake);
    });
  }

  async #up(): Promise<void> {
    const { loaded, stateDir } = this.#options;
    const names = loaded.plans.map((plan) => plan.name);
    const state = await StateDir.open(stateDir, names);
    this.#undo.push(() => state.close());
    const services = await DaemonServices.open(
      this.#config,
      state.paths,
      this.#supervisor,
      this.#log,
    );
    this.#services = services;
    this.#undo.push(() => services.close());
    this.#undo.push(logSupervisor(this.#supervisor, this.#log));
    this.#undo.push(() => this.#supervisor.close());
    this.#settlePriorities();
    for (const plan of loaded.plans) {
      await this.#supervisor.add(plan, services.attachments(plan));
    }
    const server = new ControlServer({
      path: state.paths.control,
      greeting: { version: zmendVersion(), protocol: CONTROL_PROTOCOL, pid: process.pid },
      commands: daemonCommands({
        supervisor: this.#supervisor,
        report: () => this.#report(),
        qmpPath: state.paths.qmp,
        stopTimeoutMs: () => this.#config.stopTimeoutMs,
      }),
      onInternalError: (error, command) =>
        this.#log.error({ err: error, command }, "internal error"),
    });
    await server.open();
    this.#undo.push(() => server.close());
    this.#log.info({ pid: process.pid, stateDir, config: this.#options.file }, "the daemon starts");
    await this.#supervisor.startAll();
  }

  #settlePriorities(): void {
    const priorities = prioritiesOf(this.#config.vcpuNice);
    const settled = settlePriorities(priorities);
    if (settled) this.#log.debug(priorities, "threads step back behind the recovery workers");
    else {
      this.#log.info(
        "the main thread does not step back behind the recovery workers: RLIMIT_NICE would keep new workers down with it (LimitNICE=+0 in a systemd unit, ulimit -e 20)",
      );
    }
  }

  async #ready(): Promise<void> {
    const { root: stateDir, control } = this.#paths();
    const services = this.#services;
    const vms = this.#supervisor.vms.map((vm) => ({
      name: vm.name,
      qmp: services?.paths.qmp(vm.name),
    }));
    const { pid } = process;
    const line = { ready: true, pid, control, vms, ...services?.addresses() };
    process.stdout.write(`${JSON.stringify(line)}\n`);
    this.#log.info(
      { stateDir, vms: vms.length, ...services?.publicAddresses() },
      "the daemon is ready",
    );
    await this.#notify.ready(vms.length === 1 ? "1 VM" : `${vms.length} VMs`);
    this.#undo.push(collectAtRest());
  }

  #paths() {
    const services = this.#services;
    if (services === undefined) throw new Error("the services are up before this");
    return services.paths;
  }

  async #down(): Promise<void> {
    for (const undo of this.#undo.splice(0).reverse()) {
      try {
        await undo();
      } catch (error) {
        this.#log.error({ err: error }, "something could not be ended");
      }
    }
  }

  #report(): DaemonReport {
    const paths = this.#paths();
    const addresses = this.#services?.publicAddresses();
    return {
      pid: process.pid,
      version: zmendVersion(),
      uptimeUs: uptimeUs(this.#startedUs),
      stateDir: paths.root,
      metrics: addresses?.metrics ?? "",
      page: addresses?.page ?? "",
      residentBytes: process.memoryUsage.rss(),
      journal: this.#services?.journalReport() ?? { lost: 0 },
      ...(this.#reloadError === undefined ? {} : { reloadError: this.#reloadError }),
    };
  }

  /** The config's policies, also where `vm policy` had chosen others; each change is told and kept. */
  async #takePolicies(vm: ManagedVm, spec: VmSpec): Promise<void> {
    for (const { fid } of vm.control.functions()) {
      const index = spec.functions.findIndex((entry) => entry.fid === fid);
      if (index < 0) continue;
      const now = vm.control.spec;
      const at = now.functions.findIndex((entry) => entry.fid === fid);
      const policy = policyOf(spec, index);
      if (JSON.stringify(policyOf(now, at)) === JSON.stringify(policy)) continue;
      await vm.setPolicy(policy, fid);
      const detail = { policy: policy.name, cause: "reload" };
      this.#supervisor.operated({ vm: vm.name, command: "vm-policy", fid, detail });
    }
  }

  /** Policies and log level of the config as it is now; when it is not valid, everything stays as it was. */
  async #reload(): Promise<void> {
    const { file, logLevel } = this.#options;
    try {
      const { config, plans } = loadDaemonConfig(file);
      if (logLevel === undefined) this.#log.level = config.logLevel;
      for (const plan of plans) {
        const vm = this.#supervisor.vms.find((candidate) => candidate.name === plan.name);
        if (vm !== undefined) await this.#takePolicies(vm, plan.spec);
      }
      const rest = waitsForRestart(this.#config, config);
      this.#config = config;
      this.#reloadError = undefined;
      this.#log.info({ config: file }, "policies and log level are those of the config now");
      if (rest.length > 0) this.#log.warn({ keys: rest }, "other changes wait for the next start");
      await this.#notify.reloading("config reloaded");
    } catch (error) {
      this.#reloadError = (error as Error).message;
      this.#log.error(
        { config: file, why: this.#reloadError },
        "the config was not reloaded, the old one stays",
      );
      await this.#notify.reloading("config refused, the old one stays");
    }
  }
}

/** Top-level keys that a reload does not bring into force. */
function waitsForRestart(before: DaemonConfig, after: DaemonConfig): string[] {
  const stripped = (config: DaemonConfig): Record<string, unknown> => ({
    ...config,
    logLevel: undefined,
    stopTimeoutMs: undefined,
    vms: config.vms.map((vm) => ({
      ...vm,
      policy: undefined,
      functions: vm.functions.map((entry) => ({ ...entry, policy: undefined })),
    })),
  });
  const old = stripped(before);
  return Object.entries(stripped(after))
    .filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(old[key]))
    .map(([key]) => key);
}
