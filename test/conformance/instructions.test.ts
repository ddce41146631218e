/**
 * The list of all instructions of the architecture (`data/instructions.txt`) against what there is: who carries out which,
 * and that a model which announces a facility has all of its instructions.
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { CpuModel, type CpuModelName, cpuModels } from "../../src/cpu/index.ts";
import { slowMnemonics } from "../../src/cpu/slow/index.ts";
import { systemMnemonics } from "../../src/cpu/system/index.ts";
import { instructionTable } from "../../src/cpu/table/index.ts";
import { cpuRig } from "../support/cpu-rig.ts";

interface Row {
  readonly key: number;
  readonly mnemonic: string;
  /** STFLE bits that bring it, all of them; none for a part of the architecture without a bit. */
  readonly facilities: readonly number[];
  readonly part: string;
  readonly by: string;
}

const rows: readonly Row[] = readFileSync(new URL("data/instructions.txt", import.meta.url), "utf8")
  .split("\n")
  .filter((line) => line !== "" && !line.startsWith("#"))
  .map((line) => {
    const [key = "", mnemonic = "", part = "", by = ""] = line.trim().split(/\s+/);
    const facilities = /^[\d,]+$/.test(part) ? part.split(",").map(Number) : [];
    return { key: Number.parseInt(key, 16), mnemonic, facilities, part, by };
  });

const byCpu = new Map<number, string>([
  ...instructionTable.map((row): [number, string] => [row.key, row.mnemonic]),
  ...slowMnemonics,
  ...systemMnemonics,
]);

/** What the base architecture has and this machine has not: programs call and linkage stack, tracing, paging. */
const BASE_MISSING =
  "trace pr upt trap2 pc cfc ssar pt pgin pgout bakr msta ereg esta bsg bsa rp trap4 eregg esea lasp strag tracg";

/** The six bytes of an instruction with this opcode; operands are registers 0 and storage at 0. */
function encoded(key: number): string {
  const hex = key.toString(16).padStart(key > 0xff && key < 0x200 ? 4 : 2, "0");
  const first = Number.parseInt(hex.slice(0, 2), 16);
  if (hex.length === 2) return hex.padEnd(12, "0");
  if (hex.length === 3) return `${hex.slice(0, 2)}0${hex.slice(2)}`.padEnd(12, "0");
  const sixth = [0xe3, 0xe6, 0xe7, 0xeb, 0xec, 0xed].includes(first);
  return sixth ? `${hex.slice(0, 2)}00000000${hex.slice(2)}` : hex.padEnd(12, "0");
}

describe("all instructions of the architecture", () => {
  it("the list has each opcode once, and knows every instruction that the CPU carries out", () => {
    expect(rows.length).toBeGreaterThan(1100);
    expect(new Set(rows.map((row) => row.key)).size).toBe(rows.length);
    const listed = new Map(rows.map((row) => [row.key, row.mnemonic]));
    for (const [key, mnemonic] of byCpu) expect(listed.get(key)).toBe(mnemonic.toLowerCase());
  });

  it("the list says who carries an instruction out", () => {
    for (const { key, mnemonic, by } of rows) {
      expect([mnemonic, by === "cpu"]).toEqual([mnemonic, byCpu.has(key)]);
    }
  });

  it("what nobody carries out ends in an operation exception on every model", () => {
    const rig = cpuRig({ model: "max" });
    for (const { key, mnemonic } of rows.filter((row) => row.by === "-")) {
      rig.put(0x1d0, "0002000180000000 0000000000000000");
      rig.put(0x8e, "0000");
      rig.put(0x10000, encoded(key));
      rig.start(0x10000);
      rig.vcpu.run(1);
      expect([mnemonic, rig.ram.u16(0x8e)]).toEqual([mnemonic, 1]);
    }
  });

  it("of the base architecture only linkage, tracing and paging instructions are missing", () => {
    const missing = rows.filter((row) => row.part === "base" && row.by === "-");
    expect(missing.map((row) => row.mnemonic)).toEqual(BASE_MISSING.split(" "));
  });

  it.each(Object.keys(cpuModels) as CpuModelName[])(
    "model %s announces a facility only when all of its instructions are there",
    (name) => {
      const model = new CpuModel(name);
      const announced = rows.filter(
        ({ facilities }) =>
          facilities.length > 0 && facilities.every((facility) => model.has(facility)),
      );
      expect(announced.length).toBeGreaterThan(100);
      expect(announced.filter((row) => row.by === "-").map((row) => row.mnemonic)).toEqual([]);
    },
  );
});
