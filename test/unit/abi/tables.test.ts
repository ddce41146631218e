import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Field, Layout } from "../../../src/abi/index.ts";
import * as abi from "../../../src/abi/index.ts";

/** The bits of the structure that a field covers; bit 0 of byte 0 is its most significant. */
function coverage(field: Field): readonly [number, number] {
  if (field.kind !== "bits") return [field.offset * 8, (field.offset + field.size) * 8 - 1];
  return [field.offset * 8 + field.first, field.offset * 8 + field.last];
}

function isLayout(value: unknown): value is Layout {
  return typeof value === "object" && value !== null && "byteOrder" in value && "fields" in value;
}

const named = abi.allLayouts.map((table) => [table.name, table] as const);

describe("allLayouts", () => {
  it("holds every table that src/abi exports, once", () => {
    const exported = Object.values(abi as Record<string, unknown>).flatMap((value) => {
      if (isLayout(value)) return [value];
      if (typeof value !== "object" || value === null || Array.isArray(value)) return [];
      return Object.values(value).filter(isLayout);
    });
    const names = (tables: readonly Layout[]): string[] => tables.map((table) => table.name).sort();
    expect(names(abi.allLayouts)).toEqual(names(exported));
    expect(new Set(names(abi.allLayouts)).size).toBe(abi.allLayouts.length);
  });

  it("is complete: src/abi/index.ts exports every file of the folder", async () => {
    const files = readdirSync("src/abi").filter((file) => file !== "index.ts");
    for (const file of files) {
      const module: Record<string, unknown> = await import(`../../../src/abi/${file}`);
      for (const [name, value] of Object.entries(module)) {
        expect((abi as Record<string, unknown>)[name], `${file}: ${name}`).toBe(value);
      }
    }
    expect(files.length).toBeGreaterThan(10);
  });

  it.each(named)("%s says where its offsets come from", (_, table) => {
    expect(table.source).toMatch(/Linux|QEMU|\.md|SA22|NVMe 1\.4/);
  });
});

describe("every table", () => {
  it.each(named)("%s: all fields lie inside its size", (_, table) => {
    const outside = Object.entries(table.fields).filter(
      ([, field]) => field.offset < 0 || field.offset + field.size > table.size,
    );
    expect(outside).toEqual([]);
  });

  it.each(named)("%s: no two fields share a bit", (_, table) => {
    const spans = Object.entries(table.fields)
      .map(([name, field]) => ({ name, span: coverage(field) }))
      .sort((a, b) => a.span[0] - b.span[0]);
    const shared = spans.filter(({ span }, index) => {
      const before = spans[index - 1];
      return before !== undefined && before.span[1] >= span[0];
    });
    expect(shared).toEqual([]);
  });

  it.each(named)("%s: bit fields lie inside their unit, first bit before last", (_, table) => {
    const wrong = Object.entries(table.fields).filter(
      ([, field]) =>
        field.kind === "bits" &&
        !(0 <= field.first && field.first <= field.last && field.last < field.size * 8),
    );
    expect(wrong).toEqual([]);
  });

  it.each(named)("%s: fields are naturally aligned, or the table is marked packed", (_, table) => {
    const unaligned = Object.entries(table.fields).filter(
      ([, field]) => field.kind !== "bytes" && field.offset % field.size !== 0,
    );
    expect(unaligned.length > 0).toBe(table.packed);
  });
});
