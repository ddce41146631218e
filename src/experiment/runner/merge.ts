/**
 * Puts the ledgers of shards together: the same bytes as one run would have written. Refuses shards of different plans,
 * a missing shard, one that comes twice, and one that did not come to its end.
 */
import { ZmendError } from "../../base/errors.ts";
import { headerOf, type LedgerHeader, ledgerText } from "../ledger.ts";
import { trialsPerRepetition } from "../plan.ts";
import { type LedgerLine, LedgerWriter, readHeader, readLedger } from "./ledger-file.ts";
import type { RunResult } from "./run.ts";
import { Sequencer } from "./sequencer.ts";

function refuse(message: string): ZmendError {
  return new ZmendError("LEDGER_INVALID", message);
}

interface Input {
  readonly file: string;
  readonly header: LedgerHeader;
}

/** One input per shard, by its number. */
function arrange(files: readonly string[]): Input[] {
  const inputs = files.map((file) => ({ file, header: readHeader(file) }));
  const [first] = inputs;
  const count = first?.header.shard?.count;
  if (first === undefined || count === undefined) {
    throw refuse(`${files[0] ?? "merge"} is no shard; name the ledgers of 'run --shard i/n'.`);
  }
  const plan = JSON.stringify(first.header.plan);
  const arranged: (Input | undefined)[] = new Array<undefined>(count).fill(undefined);
  for (const input of inputs) {
    const { shard } = input.header;
    if (shard === undefined || shard.count !== count) {
      throw refuse(`${input.file} is no shard of ${count}; merge the shards of one run.`);
    }
    if (JSON.stringify(input.header.plan) !== plan) {
      throw refuse(`${input.file} is of another experiment or seed than ${first.file}.`);
    }
    const taken = arranged[shard.index];
    if (taken !== undefined) {
      throw refuse(`${input.file} and ${taken.file} are both shard ${shard.index}/${count}.`);
    }
    arranged[shard.index] = input;
  }
  const missing = arranged.flatMap((input, index) => (input === undefined ? [index] : []));
  if (missing.length > 0) {
    throw refuse(
      `Shard ${missing.map((index) => `${index}/${count}`).join(", ")} is missing; run it and name its ledger too.`,
    );
  }
  return arranged as Input[];
}

export function mergeLedgers(output: string, files: readonly string[]): RunResult {
  const inputs = arrange(files);
  const { plan } = (inputs[0] as Input).header;
  const end = trialsPerRepetition(plan) * plan.repetitions;
  const readers = inputs.map(({ file }) => readLedger(file));
  const writer = LedgerWriter.create(output, headerOf(plan));
  const sequencer = new Sequencer(plan, undefined, ({ text }) => writer.add(text));
  for (let trial = 0; trial < end && !sequencer.ended; trial++) {
    const shard = trial % inputs.length;
    const next: IteratorResult<LedgerLine, unknown> | undefined = readers[shard]?.next();
    if (next === undefined || next.done === true) {
      writer.close();
      throw refuse(
        `${inputs[shard]?.file} ends before trial ${trial}; finish shard ${shard} with --resume first.`,
      );
    }
    if (next.value.row.trial !== trial) {
      writer.close();
      throw refuse(
        `${inputs[shard]?.file} has trial ${next.value.row.trial} where ${trial} belongs; its shard was changed.`,
      );
    }
    sequencer.push(trial, ledgerText(next.value.row));
  }
  for (const reader of readers) reader.return(undefined);
  const digest = writer.close();
  return { digest, trials: sequencer.written, failed: sequencer.failed, interrupted: false };
}
