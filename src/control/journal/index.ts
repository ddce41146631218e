/** Public surface of the journal. */
export type { JournalDisk, JournalFile } from "./disk.ts";
export type { JournalRecord } from "./format.ts";
export {
  type GuestSource,
  imageSum,
  Journal,
  journalKinds,
  type OperatorRecord,
  openJournal,
  type RecordedRun,
} from "./journal.ts";
export {
  type JournalFinding,
  type JournalItem,
  type JournalPosition,
  journalExists,
  journalStart,
  readJournal,
} from "./reader.ts";
export {
  type FsyncPolicy,
  fsyncPolicies,
  type JournalStatus,
  journalDefaults,
  type WriterOptions,
} from "./writer.ts";
