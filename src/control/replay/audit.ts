/**
 * Whether a function's records agree with each other and with the recovery table, whatever order its threads took. Nothing
 * is run: a run on threads in which guest and recovery worker met otherwise than in its replay is still held to this, and
 * what somebody has written into a record is found by it. Each check names the record that does not fit.
 */
import { CcdfErr } from "../../abi/ccdf.ts";
import { readField } from "../../abi/layout.ts";
import { hex } from "../../base/hex.ts";
import type { JournalRecord } from "../journal/index.ts";
import { illegalTransition } from "./table-check.ts";

/** A record and what is wrong with it. */
export interface Misfit {
  readonly record: JournalRecord;
  readonly why: string;
}

/** @param records of one function in one run, in their order */
export function auditFunction(records: readonly JournalRecord[]): Misfit | undefined {
  const own = new Recovery(repeatsOf(records));
  for (const record of records) {
    const why = own.misfit(record);
    if (why !== undefined) return { record, why };
  }
  return undefined;
}

/** PECs that the recovery machine told of itself: they go out under the number of the last event that it read. */
function repeatsOf(records: readonly JournalRecord[]): ReadonlySet<unknown> {
  const own = records.filter(
    ({ kind, correlation }) => kind === "injected" && correlation === undefined,
  );
  return new Set(own.map(({ detail }) => detail["pec"]));
}

/** What the records of a recovery machine have said so far. Its own thread wrote them, so their order is theirs. */
class Recovery {
  /** Undefined after a worker's death: it may have changed the state and not come to say so. */
  #state: string | undefined = "operational";
  #timeUs = 0;
  /** What the host said of the last reset. */
  #reset: unknown;
  /** By correlation: the PEC that was raised. */
  readonly #pecs = new Map<number, unknown>();
  readonly #repeats: ReadonlySet<unknown>;
  /** A function that has left may come back as another one, in service, with its events counted from the first again. */
  #comesBack = false;

  constructor(repeats: ReadonlySet<unknown>) {
    this.#repeats = repeats;
  }

  misfit(record: JournalRecord): string | undefined {
    const { kind, timeUs = 0, actor } = record;
    if (actor === "recovery") {
      if (timeUs < this.#timeUs) return "time goes back";
      this.#timeUs = timeUs;
    }
    switch (kind) {
      case "state":
        return this.#transition(record);
      case "ccdf-read":
        return unlikeCcdf(record) ?? this.#pec(record);
      case "error-raised":
      case "injected":
      case "fetched":
      case "not-delivered":
        return this.#pec(record);
      case "host-reset":
        this.#reset = record.detail["result"];
        return undefined;
      case "worker-died":
      case "worker-restarted":
        this.#state = undefined;
        return undefined;
      case "recovered":
        return this.#state === undefined || this.#state === "operational"
          ? undefined
          : `the function is ${this.#state} here`;
      default:
        return undefined;
    }
  }

  #transition(record: JournalRecord): string | undefined {
    const { from, to, event } = record.detail;
    const known = this.#state !== undefined && this.#state !== "detached";
    if (known && from !== this.#state) return `the function is ${this.#state} here`;
    if (event === "host-reset-done" && (this.#reset ?? "done") !== "done") {
      return `the host's answer was ${String(this.#reset)}`;
    }
    this.#state = String(to);
    if (to === "detached") this.#comesBack = true;
    return illegalTransition(record);
  }

  /** What is said of one event has to be of one PEC. */
  #pec({ kind, correlation, detail }: JournalRecord): string | undefined {
    if (correlation === undefined || this.#comesBack) return undefined;
    if (kind === "fetched" && this.#repeats.has(detail["pec"])) return undefined;
    const known = this.#pecs.get(correlation);
    if (known === undefined) this.#pecs.set(correlation, detail["pec"]);
    else if (known !== detail["pec"]) return `event ${correlation} has PEC ${String(known)}`;
    return undefined;
  }
}

/** A CCDF is kept whole, beside what is told of it. */
function unlikeCcdf({ ccdf, detail }: JournalRecord): string | undefined {
  if (ccdf === undefined) return undefined;
  const bytes = Buffer.from(ccdf, "hex");
  if (bytes.length < CcdfErr.size) return "the CCDF is cut";
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const pec = hex(readField(view, 0, CcdfErr.fields.pec, CcdfErr.byteOrder), 4);
  return pec === detail["pec"] ? undefined : `the CCDF has PEC ${pec}`;
}
