/**
 * What a daemon offers beside its control socket: the journal, a QMP socket per VM, metrics and the page. Each is
 * opened once and handed every machine as it is built.
 */
import type { Logger } from "pino";
import { hex } from "../base/hex.ts";
import type { DaemonConfig } from "../config/daemon-config.ts";
import type { Attachment } from "../control/daemon/managed-vm.ts";
import type { StatePaths } from "../control/daemon/state-dir.ts";
import type { JournalReport } from "../control/daemon/status.ts";
import type { Supervisor } from "../control/daemon/supervisor.ts";
import { createHttp } from "../control/http/service.ts";
import { type Journal, type OperatorRecord, openJournal } from "../control/journal/index.ts";
import { createMetrics, type Metrics } from "../control/metrics/index.ts";
import { createPage, newToken, type Page } from "../control/page/index.ts";
import { createQmpServer, type QmpServer } from "../control/qmp/index.ts";
import type { DaemonVmPlan } from "./daemon-plan.ts";

const SEGMENT_MAX_BYTES = 8 * 1024 * 1024;

type Undo = () => Promise<void> | void;

export class DaemonServices {
  readonly paths: StatePaths;
  readonly #undo: Undo[] = [];
  readonly #log: Logger;
  readonly #journal: Journal;
  readonly #metrics: Metrics;
  readonly #page: Page;
  /** Of the machines that live now. */
  readonly #qmp = new Set<QmpServer>();
  #metricsUrl = "";
  #pageUrl = "";

  private constructor(
    paths: StatePaths,
    log: Logger,
    journal: Journal,
    supervisor: Supervisor,
    injects: boolean,
  ) {
    this.paths = paths;
    this.#log = log;
    this.#journal = journal;
    const sources = {
      vms: () => supervisor.vms.map((vm) => vm.control),
      journal: () => journal.status(),
    };
    this.#metrics = createMetrics(sources);
    const operator = (record: OperatorRecord): void => this.#operator(record);
    const injection = injects ? { injection: { token: newToken(), operator } } : {};
    this.#page = createPage({ ...sources, ...injection });
    this.#undo.push(() => journal.close());
    this.#undo.push(() => this.#metrics.close());
    this.#undo.push(
      supervisor.listen({
        operation: ({ vm, command, fid, detail }) =>
          journal.command({
            vm,
            command,
            by: "control",
            detail,
            ...(fid === undefined ? {} : { fid }),
          }),
      }),
    );
  }

  /** @throws ZmendError ENVIRONMENT for a port or folder that cannot be had */
  static async open(
    config: DaemonConfig,
    paths: StatePaths,
    supervisor: Supervisor,
    log: Logger,
  ): Promise<DaemonServices> {
    const { maxSize, fsync, fsyncIntervalMs } = config.journal;
    const journal = await openJournal({
      directory: paths.journal,
      limitBytes: maxSize,
      segmentBytes: Math.min(SEGMENT_MAX_BYTES, Math.floor(maxSize / 4)),
      fsync,
      fsyncIntervalMs,
      onProblem: (problem) => log.error({ err: problem }, "journal"),
    });
    const services = new DaemonServices(paths, log, journal, supervisor, config.page.inject);
    try {
      await services.#listen(config);
      return services;
    } catch (error) {
      await services.close();
      throw error;
    }
  }

  async #listen(config: DaemonConfig): Promise<void> {
    const metrics = await createHttp({
      what: "metrics",
      port: config.metrics.port,
      routes: this.#metrics.routes(),
      onError: (error) => this.#log.error({ err: error }, "internal error in the metrics"),
    });
    this.#undo.push(() => metrics.close());
    this.#metricsUrl = `${metrics.url}/metrics`;
    const page = await createHttp({
      what: "page",
      port: config.page.port,
      routes: this.#page.routes(),
      contentSecurityPolicy: this.#page.contentSecurityPolicy,
      onError: (error) => this.#log.error({ err: error }, "internal error in the page"),
    });
    this.#undo.push(() => page.close());
    this.#undo.push(() => this.#page.close());
    this.#pageUrl = page.url;
  }

  /** What each life of the VM is given. */
  attachments(plan: DaemonVmPlan): readonly Attachment[] {
    return [
      async (control) => this.#journal.attach(control, plan.guest),
      async (control) => this.#metrics.attach(control),
      async (control) => this.#page.attach(control),
      async (control) => {
        const qmp = createQmpServer(control, {
          onOperation: (operation) => this.#operator({ vm: plan.name, by: "qmp", ...operation }),
        });
        this.#qmp.add(qmp);
        await qmp.listen({ path: this.paths.qmp(plan.name) });
        return () => {
          this.#qmp.delete(qmp);
          return qmp.close();
        };
      },
    ];
  }

  /** What somebody did by another way than the control socket. */
  #operator(record: OperatorRecord): void {
    const { vm, fid, command, by, detail } = record;
    const of = fid === undefined ? {} : { fid: hex(fid, 8) };
    this.#log.info({ vm, ...of, command, by, ...detail }, "operator command");
    this.#journal.command(record);
  }

  /** For the ready line, which only who started the daemon reads: the page's token is in it. */
  addresses(): Readonly<Record<string, string>> {
    return { metrics: this.#metricsUrl, page: this.#page.address(this.#pageUrl) };
  }

  /** For logs and status: without secrets. */
  publicAddresses(): { readonly metrics: string; readonly page: string } {
    return { metrics: this.#metricsUrl, page: this.#pageUrl };
  }

  journalReport(): JournalReport {
    const { lost, problem } = this.#journal.status();
    return { lost, ...(problem === undefined ? {} : { problem }) };
  }

  /** A signal ends the daemon: QMP clients hear of it with the end of their VM. */
  ending(): void {
    for (const qmp of this.#qmp) qmp.ending("host-signal");
  }

  async close(): Promise<void> {
    for (const step of this.#undo.splice(0).reverse()) await step();
  }
}
