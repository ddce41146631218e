/**
 * The model guest's credential: a genuine driver's recovery (Debian 6.1.176, stock nvme driver, PEC 0x003a, recorded)
 * against the model's 6.1 flavour, zPCI instruction by instruction with operands and answers.
 */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { recoverySequence } from "../../src/experiment/sequence.ts";
import type { Instruction } from "../../src/guest-model/index.ts";

const log = gunzipSync(readFileSync(new URL("data/zpci-6.1-nvme.log.gz", import.meta.url)))
  .toString()
  .split("\n")
  .map((line) => line.replace(/^\S+ /, ""));

/** Differences between the recorded machine and ours, and what the model leaves out. */
const differences = [
  // Answers of the machine (design.md 5.1): asked again until the host's reset has ended.
  "CLP disable -> 0108",
];

function hex(value: number, digits = 1): string {
  return value.toString(16).padStart(digits, "0");
}

/** One line per instruction: name, operands that do not name guest storage or queue positions, answer. */
function ours(instruction: Instruction): string {
  const { name, operation, space, offset, length, cc, status, response } = instruction;
  const answer = `cc${cc ?? 0} st=${status ?? 0}`;
  switch (name) {
    case "STCRW":
      return `STCRW -> cc${cc}`;
    case "CHSC":
      return "CHSC";
    case "CLP":
      return `CLP ${operation} -> ${hex(response ?? 0, 4)}`;
    case "MPCIFC":
      return `MPCIFC ${operation} -> ${answer}`;
    case "PCILG":
    case "PCISTG":
      return `${name} ${space}:${hex(offset ?? 0)}/${length} -> ${answer}`;
    default:
      return name;
  }
}

function recorded(line: string): string | undefined {
  const field = (pattern: RegExp): string => pattern.exec(line)?.[1] ?? "";
  const answer = field(/-> (cc\d st=\d+)/);
  switch (line.split(/\s/)[0]) {
    case "STCRW":
      return `STCRW -> ${field(/-> (cc\d)/)}`;
    case "CHSC":
      return "CHSC";
    case "CLP": {
      const operation = field(/ oc=(\w+)/) === "01" ? "disable" : "enable";
      return `CLP ${operation} -> ${field(/rsp=(\w+)/)}`;
    }
    case "MPCIFC":
      return `MPCIFC ${field(/ oc=(\d+)/)} -> ${answer}`;
    case "PCILG":
    case "PCISTG": {
      const [, space = "", length = ""] = /req=\w{8}00(\w\w)\w{3}(\w)/.exec(line) ?? [];
      const name = line.startsWith("PCILG") ? "PCILG" : "PCISTG";
      return `${name} ${Number.parseInt(space, 16)}:${field(/ off=(\w+)/)}/${length} -> ${answer}`;
    }
    case "RPCIT":
    case "SIC":
      return line.split(/\s/)[0];
    default:
      return undefined; // the recorder's own remarks: INJECT, EVENT, MCHK, FIB
  }
}

function recordedRecovery(pec: string): string[] {
  const start = log.findIndex((line) => line.startsWith(`INJECT pec=${pec}`));
  const lines = log.slice(start).map(recorded);
  const end = lines.indexOf("STCRW -> cc1");
  return lines.slice(0, end + 1).filter((line) => line !== undefined);
}

describe("the model's 6.1 flavour with an nvme-like driver", () => {
  it("issues the recorded 0x003a recovery, instruction by instruction, up to the listed differences", () => {
    const model = recoverySequence({ kernel: "6.1", driver: "nvme", pec: 0x3a })
      .instructions.map(ours)
      .filter((line) => !differences.includes(line));
    const genuine = recordedRecovery("003a");
    expect(genuine.length).toBe(334);
    expect(model).toEqual(genuine);
  });

  it("only logs an FMB code, and gives up at a permanent error without an instruction, as recorded", () => {
    for (const pec of [0x2a, 0x3b]) {
      const genuine = recordedRecovery(hex(pec, 4));
      expect(genuine).toEqual(["STCRW -> cc0", "CHSC", "STCRW -> cc1"]);
    }
    const permanent = recoverySequence({ kernel: "6.1", driver: "nvme", pec: 0x3b });
    expect(permanent.instructions.map(ours)).toEqual(["STCRW -> cc0", "CHSC", "STCRW -> cc1"]);
  });
});

/** What zpci-guest.md 12 says of the kernels, seen in the sequences. */
describe("kernel flavours", () => {
  const sequence = (
    kernel: "6.1" | "6.12" | "7.2" | "7.3",
    driver = "nvme",
  ): readonly Instruction[] => recoverySequence({ kernel, driver, pec: 0x3a }).instructions;
  const modifies = (list: readonly Instruction[]): unknown[] =>
    list.filter(({ name }) => name === "MPCIFC").map(({ operation }) => operation);

  it("differ in CLP List PCI before an event counts: from 6.12 on", () => {
    const lists = (list: readonly Instruction[]): number =>
      list.filter(({ operation }) => operation === "list").length;
    expect([lists(sequence("6.1")), lists(sequence("6.12")), lists(sequence("7.3"))]).toEqual([
      0, 1, 1,
    ]);
  });

  it("differ in how often interrupts are registered: 6.x per allocation, 7.x once, inside the reset", () => {
    expect(modifies(sequence("6.1"))).toEqual([3, 10, 4, 10, 2, 3, 2]);
    expect(modifies(sequence("6.12"))).toEqual([3, 10, 4, 10, 2, 3, 2]);
    expect(modifies(sequence("7.2"))).toEqual([10, 2, 4, 10]);
    expect(modifies(sequence("7.3"))).toEqual([10, 2, 4, 10]);
  });

  it("differ in the report to the machine: 7.x only", () => {
    const reports = (list: readonly Instruction[]): unknown[] =>
      list.filter(({ name }) => name === "SERVC").map(({ operation }) => operation);
    expect(reports(sequence("6.12"))).toEqual([]);
    expect(reports(sequence("7.2"))).toEqual(["report: success"]);
    expect(reports(sequence("7.3", "no-handlers"))).toEqual(["report: failed"]);
  });

  it("ask for the error to be cleared first where the driver can recover, and reset when refused", () => {
    const refused = modifies(sequence("7.3", "can-recover"));
    expect(refused.slice(0, 3)).toEqual([9, 2, 4]);
    const { instructions: granted } = recoverySequence({
      kernel: "7.3",
      driver: "can-recover",
      pec: 0x3a,
      clearError: true,
    });
    expect([...new Set(modifies(granted))]).toEqual([9, 7]);
    expect(granted.filter(({ name }) => name === "CLP").map(({ operation }) => operation)).toEqual([
      "list",
    ]);
  });

  it("issue nothing for a driver that hangs, and STCRW never comes again", () => {
    const hung = sequence("7.3", "hanging");
    expect(hung.filter(({ name }) => name === "STCRW").length).toBe(1);
    expect(hung.some(({ operation }) => operation === "disable")).toBe(false);
  });
});
