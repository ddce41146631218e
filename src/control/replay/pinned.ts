/**
 * What the records of a run on threads do not pin down. Within a recovery, guest and worker act at the same time; the order in which
 * they meet is the order of their records only while nothing comes between. So where a replay takes another way, it matters
 * whether something did: what came from outside in the middle of the recovery, and what real time decided.
 */
import type { JournalRecord } from "../journal/index.ts";

/** States in which no recovery is under way. */
export const inService: readonly unknown[] = ["operational", "quarantined", "failed", "detached"];

/**
 * Why the recovery that `record` belongs to may go another way in a replay; undefined when the records pin it down.
 * @param records the run's, of all functions
 */
export function unpinned(
  records: readonly JournalRecord[],
  record: JournalRecord,
): string | undefined {
  const own = records.filter(({ kind, fid }) => kind === "state" && fid === record.fid);
  const first = own.findLast(
    ({ seq, detail }) => seq <= record.seq && inService.includes(detail["from"]),
  );
  const last = own.find(({ seq, detail }) => seq >= record.seq && inService.includes(detail["to"]));
  const from = first?.seq ?? 0;
  const to = last?.seq ?? Number.POSITIVE_INFINITY;
  for (const { seq, kind, fid, detail } of records) {
    if (seq <= from || seq > to) continue;
    if (kind === "error-raised") return "errors came while guest and worker recovered";
    if (kind === "operator-command")
      return "an operator's command came while guest and worker recovered";
    if (fid !== record.fid) continue;
    if (kind === "state" && detail["event"] === "deadline") return "a deadline had passed";
    if (kind === "worker-restarted" || kind === "worker-died") return "its worker had died";
  }
  return undefined;
}
