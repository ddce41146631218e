/** The rows that families may draw from: the table less what QEMU's faults make useless to generate. */
import { type GroupName, type Row, rowsOf } from "./instructions.ts";
import { notGenerated } from "./qemu-faults.ts";

const excluded = new Set(notGenerated.flatMap((fault) => fault.instructions));

export function generatedRows(...groups: readonly GroupName[]): readonly Row[] {
  return rowsOf(...groups).filter((row) => !excluded.has(row.name));
}
