/** Rows and columns as plain text: every column as wide as its widest cell, two blanks between. */
export type Column<Row> = readonly [title: string, cell: (row: Row) => string];

export function textTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = [columns.map(([title]) => title)];
  for (const row of rows) cells.push(columns.map(([, cell]) => cell(row)));
  const widths = columns.map((_, index) =>
    Math.max(...cells.map((row) => row[index]?.length ?? 0)),
  );
  return cells
    .map((row) =>
      row
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
