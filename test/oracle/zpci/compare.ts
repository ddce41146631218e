/** How the ends of a step are told and where the two machines differ on purpose. */

import type { StepEnd } from "./program.ts";
import type { AskedStep } from "./steps.ts";

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, "0");

/** What of a step's end counts, as one line of text. */
export function tell(step: AskedStep, end: StepEnd): string {
  if (end.program !== 0) return `program ${hex(end.program, 4)}`;
  const parts = [`cc${end.cc}`];
  if (step.status !== undefined && end.cc === 1) {
    const low = Number((end.registers[step.status] ?? 0n) & 0xffff_ffffn);
    parts.push(`status ${low >>> 24}`);
  }
  const view = new DataView(end.block.buffer, end.block.byteOffset, end.block.length);
  for (const offset of step.halfwords) parts.push(hex(view.getUint16(offset), 4));
  if (step.data !== undefined) parts.push(`data ${(end.registers[step.data] ?? 0n).toString(16)}`);
  return parts.join(" ");
}

export interface ZpciDifference {
  readonly step: string;
  /** As `tell` says it: QEMU's end, then ours. */
  readonly qemu: string;
  readonly zmend: string;
  readonly reason: string;
  readonly source: string;
}

/** Where the two machines differ on purpose. Nothing else may differ, and each of these must. */
export const zpciDifferences: readonly ZpciDifference[] = [
  {
    step: "MPCIFC translation with designation type 0",
    qemu: "program 0015",
    zmend: "cc0",
    reason:
      "QEMU knows region-third tables only; the architecture has segment to region-first tables",
    source: "zpci-guest.md 5.1",
  },
  {
    step: "MPCIFC deregister IOAT of designation type 0",
    qemu: "cc1 status 24",
    zmend: "cc0",
    reason: "the same: QEMU has registered nothing",
    source: "zpci-guest.md 5.1",
  },
  {
    step: "MPCIFC register IOAT in error",
    qemu: "cc0",
    zmend: "cc1 status 40",
    reason: "a function in error takes no new tables; Linux has code for that answer",
    source: "zpci-guest.md 3.2, 4.3",
  },
  {
    step: "CLP set: disable a function in error",
    qemu: "cc0 0020 0010",
    zmend: "cc0 0020 0108",
    reason: "the host resets the function and the guest asks again until that has ended",
    source: "zpci-guest.md 2.5, design.md 5.1",
  },
  {
    step: "CLP set: disable, asked again",
    qemu: "cc0 0020 0101",
    zmend: "cc0 0020 0010",
    reason: "the same: QEMU has carried out the first one, so the handle is no longer current",
    source: "zpci-guest.md 2.5, design.md 5.1",
  },
];

export interface ZpciComparison {
  readonly steps: number;
  readonly same: number;
  readonly listed: number;
  /** Steps that differ and are not listed, and listed ones that do not differ as the list says. */
  readonly different: readonly string[];
}

export function compareEnds(
  qemu: readonly { readonly step: AskedStep; readonly end: StepEnd }[],
  zmend: readonly { readonly step: AskedStep; readonly end: StepEnd }[],
): ZpciComparison {
  let [same, listed] = [0, 0];
  const different: string[] = [];
  for (const [index, { step, end }] of qemu.entries()) {
    const theirs = tell(step, end);
    const other = zmend[index];
    const ours = other === undefined ? "nothing" : tell(other.step, other.end);
    const entry = zpciDifferences.find((candidate) => candidate.step === step.name);
    const expected =
      entry === undefined ? ours === theirs : ours === entry.zmend && theirs === entry.qemu;
    if (!expected) different.push(`${step.name}: qemu ${theirs}, zmend ${ours}`);
    else if (entry === undefined) same += 1;
    else listed += 1;
  }
  return { steps: qemu.length, same, listed, different };
}
