/** Runs trials of a ledger again and compares them byte for byte: all of them, or a sample that the seed chooses. */
import { Stream } from "../../base/distribution.ts";
import { LedgerDigest, ledgerText } from "../ledger.ts";
import { readHeader, readLedger } from "./ledger-file.ts";
import type { TrialSource } from "./run.ts";

export interface VerifyOptions {
  readonly file: string;
  /** How many trials to run again; undefined = all. */
  readonly sample?: number | undefined;
  readonly source: TrialSource;
  readonly signal?: AbortSignal | undefined;
}

export interface Verification {
  readonly digest: string;
  readonly trials: number;
  readonly compared: number;
  /** Trials whose line is not what this zmend writes. */
  readonly different: readonly number[];
}

/** Named in the result; more are only counted. */
const DIFFERENT_MAX = 20;
const BATCH = 32;

export async function verifyLedger(options: VerifyOptions): Promise<Verification> {
  const header = readHeader(options.file);
  const digest = new LedgerDigest();
  digest.add(ledgerText(header));
  let trials = 0;
  for (const { text } of readLedger(options.file)) {
    digest.add(text);
    trials += 1;
  }
  const share =
    options.sample === undefined ? 1 : Math.min(1, options.sample / Math.max(1, trials));
  const different: number[] = [];
  let compared = 0;
  let batch: { trial: number; text: string }[] = [];
  const compare = async (): Promise<void> => {
    const lines = await options.source.run(batch.map(({ trial }) => trial));
    for (const [index, { trial, text }] of batch.entries()) {
      compared += 1;
      if (lines[index] !== text && different.length < DIFFERENT_MAX) different.push(trial);
    }
    batch = [];
  };
  const draws = new Stream();
  const { seed } = header.plan;
  for (const { text, row } of readLedger(options.file)) {
    if (options.signal?.aborted === true) break;
    // A trial that a withdrawn policy lost was not run.
    if (row.status === "failed" && / was withdrawn after /.test(row.reason)) continue;
    if (draws.key(seed | 0, row.trial, trials, 7).unit() >= share) continue;
    batch.push({ trial: row.trial, text });
    if (batch.length === BATCH) await compare();
  }
  if (batch.length > 0) await compare();
  return { digest: digest.hex(), trials, compared, different };
}
