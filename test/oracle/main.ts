/**
 * `npm run oracle`: random instruction sequences under qemu-system-s390x and under zmend's CPU must end
 * alike. Exit status: 0 no difference, 1 differences, 2 bad usage, 3 QEMU is not installed.
 */
import { parseArgs } from "node:util";
import { type Family, families, familyNamed } from "./families.ts";
import { HERCULES, herculesPeer, herculesVersion } from "./hercules.ts";
import { QEMU, qemuPeer, qemuVersion } from "./qemu.ts";
import { notGenerated, notGeneratedForms, tolerances } from "./qemu-faults.ts";
import { type Counts, type Finding, runFamily } from "./run.ts";
import { zmendPeer } from "./zmend-cpu.ts";
import { zpciDifferences } from "./zpci/compare.ts";
import { runBoth } from "./zpci/machines.ts";

const JUDGE_TIMEOUT_MS = 180_000;
/** Inputs and history of a full batch have to fit into storage. */
const ROUNDS_MAX = 40;
/** Differences that are taken apart per family; all are counted. */
const EXPLAINED = 40;

const usage = `Usage: npm run oracle -- [options]
  --family NAME    only this family (may be repeated)
  --sequences N    sequences per family (default 1000)
  --rounds N       runs of each sequence, every one from other registers (default 16)
  --quick          100 sequences, 2 rounds
  --seed N         seed (default 1)
  --first N        first sequence of each family (default 0)
  --accel NAME     interp (default), or jit: generated code from the first execution on
  --zpci           instead: a program of zPCI instructions, QEMU's function against zmend's
  --json           one JSON object instead of text
  --list           list the families and QEMU's known faults`;

function usageError(text: string): never {
  process.stderr.write(`oracle: ${text}\n${usage}\n`);
  process.exit(2);
}

interface Arguments {
  readonly chosen: readonly Family[];
  readonly sequences: number;
  readonly rounds: number;
  readonly seed: number;
  readonly first: number;
  readonly json: boolean;
  readonly list: boolean;
  readonly zpci: boolean;
  readonly accel: string;
}

function parse(): Arguments {
  try {
    const { values } = parseArgs({
      options: {
        family: { type: "string", multiple: true, default: [] },
        sequences: { type: "string" },
        rounds: { type: "string" },
        quick: { type: "boolean", default: false },
        seed: { type: "string", default: "1" },
        first: { type: "string", default: "0" },
        json: { type: "boolean", default: false },
        list: { type: "boolean", default: false },
        zpci: { type: "boolean", default: false },
        accel: { type: "string", default: "interp" },
      },
    });
    const number = (
      name: "sequences" | "rounds" | "seed" | "first",
      least: number,
      otherwise = 1,
    ): number => {
      const value = Number(values[name] ?? otherwise);
      if (Number.isInteger(value) && value >= least && value <= 0x7fffffff) return value;
      return usageError(
        `--${name} is '${values[name]}', expected a whole number from ${least} up.`,
      );
    };
    return {
      chosen: values.family.length === 0 ? families : values.family.map(chooseFamily),
      sequences: number("sequences", 1, values.quick ? 100 : 1000),
      rounds: Math.min(ROUNDS_MAX, number("rounds", 1, values.quick ? 2 : 16)),
      seed: number("seed", 0),
      first: number("first", 0),
      json: values.json,
      list: values.list,
      zpci: values.zpci,
      accel: ["interp", "jit"].includes(values.accel)
        ? values.accel
        : usageError(`--accel is '${values.accel}', expected interp or jit.`),
    };
  } catch (error) {
    return usageError(error instanceof Error ? error.message : String(error));
  }
}

function chooseFamily(name: string): Family {
  const family = familyNamed(name);
  if (family !== undefined) return family;
  return usageError(
    `no family '${name}'; one of: ${families.map((candidate) => candidate.name).join(", ")}.`,
  );
}

function list(): void {
  for (const family of families) {
    process.stdout.write(`${family.name.padEnd(14)} ${family.what}\n`);
  }
  process.stdout.write("\nQEMU's faults, not generated or tolerated:\n");
  for (const fault of [...notGenerated, ...notGeneratedForms]) {
    process.stdout.write(`  ${fault.instructions.join(", ")}: ${fault.reason}\n`);
  }
  for (const fault of tolerances) process.stdout.write(`  ${fault.reason}\n`);
  process.stdout.write("\nzPCI, deliberate differences from QEMU:\n");
  for (const { step, qemu, zmend, reason, source } of zpciDifferences) {
    process.stdout.write(`  ${step}: qemu ${qemu}, zmend ${zmend}: ${reason} (${source})\n`);
  }
}

function printFinding(finding: Finding, judge: string): void {
  const { family, index, culprit, text, bytes, codes } = finding;
  process.stdout.write(`\n${family} #${index}: ${culprit}  ${text}  [${bytes}]\n`);
  if (codes.length > 0) process.stdout.write(`  program interruptions ${codes.join(" ")}\n`);
  for (const line of finding.before.split("\n")) process.stdout.write(`  before ${line}\n`);
  for (const { what, expected, got } of finding.differences.slice(0, 12)) {
    process.stdout.write(`  ${what}: ${judge} ${expected}, zmend ${got}\n`);
  }
  process.stdout.write(
    `  again: npm run oracle -- --family ${family} --seed ${finding.seed} --rounds ${finding.rounds} --first ${index} --sequences 1\n`,
  );
}

async function compareZpci(json: boolean, qemu: string): Promise<number> {
  const result = await runBoth();
  if (json) process.stdout.write(`${JSON.stringify({ ...result, qemu })}\n`);
  else {
    const { steps, same, listed, different } = result;
    process.stdout.write(
      `${steps} zPCI instructions: ${same} end alike, ${listed} differ as listed, ${different.length} differ\n`,
    );
    for (const line of different) process.stdout.write(`  ${line}\n`);
  }
  return result.different.length === 0 ? 0 : 1;
}

async function main(): Promise<number> {
  const options = parse();
  if (options.list) {
    list();
    return 0;
  }
  const version = qemuVersion();
  if (version === undefined) {
    process.stderr.write(
      `oracle: ${QEMU} is not installed; it is in the Debian package qemu-system-misc.\n`,
    );
    return 3;
  }
  if (options.zpci) return compareZpci(options.json, version);
  const qemu = qemuPeer(JUDGE_TIMEOUT_MS);
  const run = {
    seed: options.seed,
    sequences: options.sequences,
    rounds: options.rounds,
    first: options.first,
    explain: EXPLAINED,
  };
  const total: Counts = { sequences: 0, instructions: 0, differing: 0 };
  const perFamily: Record<string, Counts> = {};
  const findings: Finding[] = [];
  const hercules = herculesVersion() === undefined ? undefined : herculesPeer(JUDGE_TIMEOUT_MS);
  for (const family of options.chosen) {
    const expected = family.judge === "hercules" ? hercules : qemu;
    if (expected === undefined) {
      process.stderr.write(
        `oracle: family ${family.name} is left out: ${HERCULES} is not installed; it is in the Debian package hercules.\n`,
      );
      continue;
    }
    const counts: Counts = { sequences: 0, instructions: 0, differing: 0 };
    const found = await runFamily(
      family,
      { ...run, expected, subject: zmendPeer(family.model, options.accel === "jit" ? 1 : 0) },
      counts,
    );
    findings.push(...found);
    perFamily[family.name] = counts;
    total.sequences += counts.sequences;
    total.instructions += counts.instructions;
    total.differing += counts.differing;
    if (options.json) continue;
    const { sequences, instructions, differing } = counts;
    process.stdout.write(
      `${family.name.padEnd(14)} ${sequences} sequences, ${instructions} instructions, ${differing} differ\n`,
    );
    for (const finding of found) printFinding(finding, expected.name);
  }
  const counts = {
    instructions: total.instructions,
    sequences: total.sequences,
    families: options.chosen.length,
    differences: total.differing,
    rounds: options.rounds,
    seed: options.seed,
  };
  const report = options.json ? { ...counts, qemu: version, perFamily, findings } : counts;
  process.stdout.write(`${JSON.stringify(report)}\n`);
  return total.differing === 0 ? 0 : 1;
}

process.exitCode = await main();
