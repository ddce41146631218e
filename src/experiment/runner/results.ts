/** What is made of a finished ledger: results.parquet. */
import { readRows } from "./ledger-file.ts";
import { LEDGER_FILE, type OutputFolder, PARQUET_FILE } from "./output.ts";
import { writeParquet } from "./parquet.ts";

export async function finish(folder: OutputFolder): Promise<void> {
  await writeParquet(folder.file(PARQUET_FILE), readRows(folder.file(LEDGER_FILE)));
}
