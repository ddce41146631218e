/**
 * The daemon's journal: what is worth remembering of VMs and operators, as records of `format.ts`.
 *
 * Use: `const journal = await openJournal({ directory, fsync })`; for each VM, before it starts,
 * `journal.attach(vm, guest)`; `journal.command(…)` for what operators ask; `journal.status()` for status, metrics and
 * page (`lost > 0` or `problem` is to be shown in red); `await journal.close()` at the end.
 *
 * A run's first record is `vm-started` with everything that building the VM took, because `zmend replay` builds it
 * again. The ledger's entries follow as they come from the trace rings, in the ledger's order and words; console text is
 * not kept.
 */
import { createHash } from "node:crypto";
import { zmendVersion } from "../../base/version.ts";
import type { LedgerEntry } from "../../machine/ledger-entry.ts";
import type { VmControl, VmEvent } from "../../machine/vm-control.ts";
import type { VmSpec } from "../../machine/vm-spec.ts";
import { traceRecordsLost } from "../../shm/trace.ts";
import { type JournalStatus, JournalWriter, type WriterOptions } from "./writer.ts";

/** Kinds of records beside those of the ledger (`src/machine/ledger.ts`). */
export const journalKinds = [
  "vm-started", //       detail: RecordedRun
  "vm-policies", //      detail: policy, policies, after an operator changed them
  "vm-run-state", //     detail: from, to, reason
  "vm-reset", //         detail: byGuest
  "trace-lost", //       detail: records that full trace rings have cost since the last such record
  "worker-died", //      detail: cause, deaths, restarts
  "device-deleted", //   detail: id
  "unplug-failed", //    detail: id, reason
  "powerdown", //        the guest was asked to switch off
  "watchdog", //         detail: action
  "operator-command", // detail: command, by, and what it was given
  "journal-lost", //     detail: records that could not be kept, reason
  "journal-recovered", // detail: file, cutBytes
] as const;

/** Which program the guest's CPU starts with. */
export interface GuestSource {
  /** A guest program of the package, by name … */
  readonly fixture?: string;
  /** … or files. */
  readonly kernel?: string;
  readonly initrd?: string;
  readonly append?: string;
  /** SHA-256 of the image: a replay with another program says so instead of differing. */
  readonly sha256: string;
}

/** `detail` of `vm-started`. */
export interface RecordedRun {
  readonly zmend: string;
  /** How time ran: by instructions on one thread, or by the clock on threads. */
  readonly mode: "deterministic" | "threads";
  readonly seed?: number;
  readonly guest: GuestSource;
  readonly spec: VmSpec;
}

export interface OperatorRecord {
  readonly vm?: string;
  readonly fid?: number;
  readonly command: string;
  /** The way it came: `qmp`, `control`, `page`, `signal`. */
  readonly by: string;
  /** Of the VM's time, for a VM that is not attached. */
  readonly timeUs?: number;
  readonly detail?: Readonly<Record<string, unknown>>;
}

function policiesOf({ policy, policies }: VmSpec): string {
  return JSON.stringify([policy, policies ?? []]);
}

export function imageSum(image: Uint8Array): string {
  return createHash("sha256").update(image).digest("hex");
}

export class Journal {
  readonly #writer: JournalWriter;
  /** By name: the VMs whose time an operator's command is given. */
  readonly #attached = new Map<string, VmControl>();
  /** By name: the policies last written down, as JSON. */
  readonly #policies = new Map<string, string>();

  constructor(writer: JournalWriter) {
    this.#writer = writer;
  }

  /** Keeps a VM's whole run; to be called before its start. @returns the end of it */
  attach(vm: VmControl, guest: GuestSource): () => void {
    this.started(vm.spec, guest, "threads");
    this.#attached.set(vm.name, vm);
    this.#policies.set(vm.name, policiesOf(vm.spec));
    let lost = 0;
    let looked = false;
    const lookForGaps = (): void => {
      // Entries that come in one turn were taken from the rings at once.
      if (looked) return;
      looked = true;
      queueMicrotask(() => {
        looked = false;
      });
      const now = traceRecordsLost(vm.vm);
      // Fewer: the machine was restored, and its rings are those of an earlier time.
      if (now <= lost) return;
      const detail = { records: now - lost };
      this.#writer.append({ vm: vm.name, kind: "trace-lost", timeUs: vm.timeUs(), detail });
      lost = now;
    };
    const detach = vm.on((event) => {
      // A gap is told before what comes after it.
      lookForGaps();
      this.#vmEvent(vm, event);
    });
    return () => {
      detach();
      if (this.#attached.get(vm.name) === vm) this.#attached.delete(vm.name);
    };
  }

  started(spec: VmSpec, guest: GuestSource, mode: RecordedRun["mode"], seed?: number): void {
    const detail: RecordedRun = {
      zmend: zmendVersion(),
      mode,
      ...(seed === undefined ? {} : { seed }),
      guest,
      spec,
    };
    this.#writer.append({ vm: spec.name, kind: "vm-started", detail: { ...detail } });
  }

  entry(vm: string, entry: LedgerEntry): void {
    if (entry.kind === "console") return;
    const { seq, timeUs, actor, kind, fid, correlation, instructions, ccdf, choice, detail } =
      entry;
    this.#writer.append({
      vm,
      ...(fid === undefined ? {} : { fid }),
      kind,
      actor,
      timeUs,
      ledgerSeq: seq,
      ...(correlation === undefined ? {} : { correlation }),
      ...(instructions === undefined ? {} : { instructions }),
      ...(ccdf === undefined ? {} : { ccdf }),
      ...(choice === undefined ? {} : { choice }),
      detail,
    });
  }

  /** To be called when the command has been carried out: a policy that it changed is written down with it. */
  command({ vm = "", fid, command, by, timeUs, detail }: OperatorRecord): void {
    const attached = this.#attached.get(vm);
    const at = timeUs ?? attached?.timeUs();
    this.#writer.append({
      vm,
      ...(fid === undefined ? {} : { fid }),
      kind: "operator-command",
      ...(at === undefined ? {} : { timeUs: at }),
      ...(attached === undefined ? {} : { instructions: attached.instructions() }),
      detail: { ...detail, command, by },
    });
    if (attached !== undefined) this.#notePolicies(attached);
  }

  #notePolicies(vm: VmControl): void {
    const now = policiesOf(vm.spec);
    if (this.#policies.get(vm.name) === now) return;
    this.#policies.set(vm.name, now);
    const { policy, policies } = vm.spec;
    const detail = { policy, ...(policies === undefined ? {} : { policies }) };
    this.#writer.append({ vm: vm.name, kind: "vm-policies", timeUs: vm.timeUs(), detail });
  }

  status(): JournalStatus {
    return this.#writer.status();
  }

  flush(): Promise<void> {
    return this.#writer.flush();
  }

  close(): Promise<void> {
    return this.#writer.close();
  }

  #vmEvent(vm: VmControl, event: VmEvent): void {
    const { name } = vm;
    switch (event.type) {
      case "entry":
        this.entry(name, event.entry);
        return;
      case "run-state": {
        const { from, to, reason } = event;
        this.#writer.append({
          vm: name,
          kind: "vm-run-state",
          timeUs: vm.timeUs(),
          detail: { from, to, reason },
        });
        return;
      }
      case "reset":
        this.#writer.append({
          vm: name,
          kind: "vm-reset",
          timeUs: vm.timeUs(),
          detail: { byGuest: event.byGuest },
        });
        return;
      case "worker-died": {
        const { fid, timeUs, cause, deaths, restarts } = event;
        this.#writer.append({
          vm: name,
          fid,
          kind: event.type,
          timeUs,
          detail: { cause, deaths, restarts },
        });
        return;
      }
      case "device-deleted":
        this.#writer.append({
          vm: name,
          fid: event.fid,
          kind: event.type,
          detail: { id: event.id },
        });
        return;
      case "powerdown":
        this.#writer.append({ vm: name, kind: event.type, detail: {} });
        return;
      case "watchdog":
        this.#writer.append({ vm: name, kind: event.type, detail: { action: event.action } });
        return;
      case "unplug-failed": {
        const { id, fid, reason } = event;
        this.#writer.append({ vm: name, fid, kind: event.type, detail: { id, reason } });
        return;
      }
      case "console":
        return;
    }
  }
}

/** @throws ZmendError ENVIRONMENT when the directory cannot be used */
export async function openJournal(options: WriterOptions): Promise<Journal> {
  return new Journal(await JournalWriter.open(options));
}
