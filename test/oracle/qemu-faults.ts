/**
 * Where QEMU 7.2 is wrong or incomplete and therefore no judge. Each entry names the fault; what can be
 * left out of the sequences is left out, the rest is tolerated field by field in `compare.ts`.
 */

import type { Difference } from "./compare.ts";

export interface NotGenerated {
  readonly instructions: readonly string[];
  readonly reason: string;
}

export const notGenerated: readonly NotGenerated[] = [
  {
    instructions: ["ap", "sp", "cp", "zap", "mp", "dp", "srp", "ed", "edmk"],
    reason: "packed decimal arithmetic is not implemented: operation exception",
  },
  {
    instructions: ["cvb", "cvby", "cvbg", "cvdg"],
    reason: "CONVERT TO BINARY and CVDG are not implemented: operation exception",
  },
  {
    instructions: ["stmh"],
    reason: "stores zeros instead of the high halves",
  },
  {
    instructions: ["bassm", "bsm", "cpya", "cuse", "iac", "ipk", "lmd", "sac", "trte", "trtre"],
    reason: "not implemented: operation exception",
  },
];

/**
 * Why QEMU runs with `-singlestep` (one instruction per translated block): TRANSLATE loses a condition
 * code that is still pending in the same block, which a block of one instruction never has.
 */
export const QEMU_MODE = "singlestep";

/** Forms of instructions that the generators avoid, for the record. */
export const notGeneratedForms: readonly NotGenerated[] = [
  {
    instructions: ["rnsbg", "rosbg", "rxsbg"],
    reason: "with the test bit (bit 0 of I3) QEMU aborts: tcg fatal error",
  },
  {
    instructions: ["csst"],
    reason: "with store characteristic 0 or a specification exception QEMU aborts in extract32",
  },
  {
    instructions: ["lpswe", "ssm", "stosm"],
    reason: "a PSW with reserved bits set or with an invalid mode is not refused, or kills QEMU",
  },
  {
    instructions: ["troo", "trot"],
    reason: "a length of zero wraps around and translates all storage",
  },
  {
    instructions: ["bcr", "lpswe"],
    reason: "a branch to an odd address makes no specification exception but hangs",
  },
  {
    instructions: ["lpsw"],
    reason: "takes bit 12 and the address word over unchanged: wrong mask, wrong addressing mode",
  },
  {
    instructions: ["tre"],
    reason:
      "addresses are not truncated to 24 bits, the table's not to 31; so they have no junk there",
  },
  {
    instructions: ["sacf", "lpswe"],
    reason: "access-register mode is not implemented",
  },
  {
    instructions: ["spm", "lpswe"],
    reason: "the fixed-point-overflow mask has no effect: no interruption; so it stays off",
  },
];

export interface Tolerance {
  readonly reason: string;
  /** Is this one difference explained by the fault? */
  readonly covers: (difference: Difference, expected: Uint8Array, got: Uint8Array) => boolean;
}

export const tolerances: readonly Tolerance[] = [];

/** The differences that no fault of QEMU explains. */
export function tolerated(
  expected: Uint8Array,
  got: Uint8Array,
  differences: readonly Difference[],
): readonly Difference[] {
  return differences.filter(
    (difference) => !tolerances.some((fault) => fault.covers(difference, expected, got)),
  );
}
