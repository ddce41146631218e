/**
 * What a daemon offers beside its control socket: the journal, a QMP socket per VM, metrics and the page. Each is
 * opened once and handed every machine as it is built.
 */
import type { Logger } from "pino";
import type { DaemonConfig } from "../config/daemon-config.ts";
import type { Attachment } from "../control/daemon/managed-vm.ts";
import type { StatePaths } from "../control/daemon/state-dir.ts";
import type { JournalReport } from "../control/daemon/status.ts";
import type { Supervisor } from "../control/daemon/supervisor.ts";
import { type Journal, openJournal } from "../control/journal/index.ts";
import type { DaemonVmPlan } from "./daemon-plan.ts";

const SEGMENT_MAX_BYTES = 8 * 1024 * 1024;

export class DaemonServices {
  readonly paths: StatePaths;
  readonly #journal: Journal;
  readonly #undo: (() => Promise<void> | void)[];

  private constructor(paths: StatePaths, journal: Journal, undo: (() => Promise<void> | void)[]) {
    this.paths = paths;
    this.#journal = journal;
    this.#undo = undo;
  }

  /** @throws ZmendError ENVIRONMENT for a port or folder that cannot be had */
  static async open(
    config: DaemonConfig,
    paths: StatePaths,
    supervisor: Supervisor,
    log: Logger,
  ): Promise<DaemonServices> {
    const { maxSize, fsync, fsyncIntervalMs } = config.journal;
    const undo: (() => Promise<void> | void)[] = [];
    try {
      const journal = await openJournal({
        directory: paths.journal,
        limitBytes: maxSize,
        segmentBytes: Math.min(SEGMENT_MAX_BYTES, Math.floor(maxSize / 4)),
        fsync,
        fsyncIntervalMs,
        onProblem: (problem) => log.error({ err: problem }, "journal"),
      });
      undo.push(() => journal.close());
      undo.push(
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
      return new DaemonServices(paths, journal, undo);
    } catch (error) {
      for (const step of undo.reverse()) await step();
      throw error;
    }
  }

  /** What each life of the VM is given. */
  attachments(plan: DaemonVmPlan): readonly Attachment[] {
    return [async (control) => this.#journal.attach(control, plan.guest)];
  }

  /** For the ready line. */
  addresses(): Readonly<Record<string, string>> {
    return { metrics: "", page: "" };
  }

  /** For logs and status: without secrets. */
  publicAddresses(): { readonly metrics: string; readonly page: string } {
    return { metrics: "", page: "" };
  }

  journalReport(): JournalReport {
    const { lost, problem } = this.#journal.status();
    return { lost, ...(problem === undefined ? {} : { problem }) };
  }

  async close(): Promise<void> {
    for (const step of this.#undo.splice(0).reverse()) await step();
  }
}
