/** `results.parquet`: the ledger's trials as columns, for pandas, DuckDB and the like. In row groups, so memory is flat. */
import type { SchemaElement } from "hyparquet";
import { fileWriter, ParquetWriter } from "hyparquet-writer";
import type { TrialRow } from "../ledger.ts";
import { type MetricName, metricNames, type PhaseName, phases } from "../metrics.ts";

const ROWS_PER_GROUP = 20_000;

const textColumns = ["point", "scenario", "guest", "policy", "status", "reason"] as const;
const numberColumns = ["trial", "repetition"] as const;

function element(name: string, type: "DOUBLE" | "INT64" | "BYTE_ARRAY"): SchemaElement {
  const base: SchemaElement = { name, type, repetition_type: "OPTIONAL" };
  return type === "BYTE_ARRAY" ? { ...base, converted_type: "UTF8" } : base;
}

const schema: SchemaElement[] = [
  {
    name: "root",
    num_children: numberColumns.length + textColumns.length + metricNames.length + phases.length,
  },
  ...numberColumns.map((name) => element(name, "INT64")),
  ...textColumns.map((name) => element(name, "BYTE_ARRAY")),
  ...metricNames.map((name) => element(name, "DOUBLE")),
  ...phases.map((name) => element(`phase_${name}`, "DOUBLE")),
];

function columnsOf(rows: readonly TrialRow[]): { name: string; data: unknown[] }[] {
  const metric = (row: TrialRow, name: MetricName): number | null =>
    row.status === "done" ? (row.metrics[name] ?? null) : null;
  const phase = (row: TrialRow, name: PhaseName): number | null =>
    row.status === "done" ? row.phases[name] : null;
  return [
    ...numberColumns.map((name) => ({ name, data: rows.map((row) => BigInt(row[name])) })),
    ...textColumns.map((name) => ({
      name,
      data: rows.map((row) =>
        name === "reason" ? (row.status === "failed" ? row.reason : null) : row[name],
      ),
    })),
    ...metricNames.map((name) => ({ name, data: rows.map((row) => metric(row, name)) })),
    ...phases.map((name) => ({ name: `phase_${name}`, data: rows.map((row) => phase(row, name)) })),
  ];
}

export async function writeParquet(file: string, rows: Iterable<TrialRow>): Promise<void> {
  const writer = new ParquetWriter({ writer: fileWriter(file), schema, createdBy: "zmend" });
  let group: TrialRow[] = [];
  const flush = async (): Promise<void> => {
    if (group.length === 0) return;
    await writer.write({ columnData: columnsOf(group), rowGroupSize: ROWS_PER_GROUP });
    group = [];
  };
  for (const row of rows) {
    group.push(row);
    if (group.length === ROWS_PER_GROUP) await flush();
  }
  await flush();
  await writer.finish();
}
