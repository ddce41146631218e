/**
 * What of a run on threads has to come out the same in its replay: per function, these kinds of records in their order, with
 * these facts of each. What is left out is a question of real time: when something happened, and how often a guest asked again
 * while the host was busy.
 */

type Facts = Readonly<Record<string, unknown>>;
interface Compared {
  readonly kind: string;
  readonly detail: Facts;
}

const facts: Readonly<Record<string, readonly string[]>> = {
  "error-raised": ["pec"],
  "ccdf-read": ["pec", "faddr"],
  injected: ["pec"],
  fetched: ["pec"],
  "not-delivered": ["pec", "reason"],
  state: ["from", "to", "event"],
  "host-reset": ["result", "attempt"],
  "policy-step": ["step"],
  recovered: [],
  mpcifc: ["operation", "cc", "status"],
  "clp-set": ["operation", "response"],
};

/** For reports: what is compared, and what is not. */
export const comparedInWords = `per function the sequences of ${Object.keys(facts).join(", ")}; not their times, nor the order of records that different threads made`;

const CLP_BUSY = "0x0108";
const MPCIFC_BUSY = 2;

/** How often a guest has to ask again while the host is busy is a question of time: only answers count. */
export function isBusy(detail: Facts): boolean {
  return detail["response"] === CLP_BUSY || detail["cc"] === MPCIFC_BUSY;
}

/** The sequence that a record belongs to; undefined for one that is not compared. */
export function comparedKind({ kind, detail }: Compared): string | undefined {
  if (!Object.hasOwn(facts, kind)) return undefined;
  // Whether the host's queue was full is a question of real time; what it dropped is not raised again.
  if (detail["reason"] === "hostQueueFull" || detail["disposition"] === "queue-full")
    return undefined;
  if (isBusy(detail)) return undefined;
  // Stale ones never reach the worker, so they have a place of their own in time.
  return kind === "error-raised" ? `${kind} ${String(detail["disposition"])}` : kind;
}

export function comparedFacts({ kind, detail }: Compared): string {
  return (facts[kind] ?? []).map((key) => String(detail[key])).join(" ");
}
