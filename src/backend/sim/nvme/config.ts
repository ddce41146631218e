/**
 * What an NVMe controller is and what happens to it: plain JSON data. Input is checked as a whole; a controller
 * that cannot be built or a fault plan with a mistake is refused with all its problems named.
 */
import { ZmendError } from "../../../base/errors.ts";
import { NAMESPACES_MAX } from "./block.ts";
import { faultProblems, type NvmeFaultRule } from "./fault-plan.ts";

export interface NvmeNamespaceConfig {
  /** A raw disk image; without it the namespace lives in memory. */
  readonly file?: string;
  /** Size of a namespace in memory; a file's own size counts otherwise. */
  readonly sizeBytes?: number;
  readonly readOnly?: boolean;
  readonly blockBytes?: 512 | 4096;
}

export interface NvmeConfig {
  /** 1 to 20 printable ASCII characters. */
  readonly serial: string;
  readonly namespaces: readonly NvmeNamespaceConfig[];
  readonly faults: readonly NvmeFaultRule[];
  /** Seeds the generator behind `probability` and the places of corrupted bytes. */
  readonly seed: number;
}

export type NvmeInput = Partial<NvmeConfig>;

/** A namespace in memory takes host memory only where it was written. */
const MEMORY_MAX_BYTES = 64 * 1024 ** 3;
const KEYS = ["serial", "namespaces", "faults", "seed"];
const NAMESPACE_KEYS = ["file", "sizeBytes", "readOnly", "blockBytes"];

/**
 * @param fid the function's: controllers without a serial of their own are told apart by it, or a guest would
 *   take two of them for two ways to one
 * @throws ZmendError CONFIG_INVALID naming every problem by its path
 */
export function nvmeConfig(input: NvmeInput, fid = 0): NvmeConfig {
  const problems = nvmeProblems(input);
  if (problems.length > 0) {
    throw new ZmendError("CONFIG_INVALID", `NVMe controller: ${problems.join("; ")}`, { problems });
  }
  return {
    serial: input.serial ?? `zmend-${(fid >>> 0).toString(16).padStart(8, "0")}`,
    namespaces: input.namespaces ?? [{ sizeBytes: 64 * 1024 ** 2 }],
    faults: input.faults ?? [],
    seed: input.seed ?? 1,
  };
}

/** Every problem of any JSON value as an NVMe controller, each with its path; empty when there is none. */
export function nvmeProblems(input: unknown): string[] {
  if (!isRecord(input)) return ["nvme: expected an object"];
  const problems = unknownKeys(input, KEYS, "nvme");
  const { serial, namespaces, faults, seed } = input;
  if (serial !== undefined && !(typeof serial === "string" && /^[ -~]{1,20}$/.test(serial))) {
    problems.push("nvme.serial: expected 1 to 20 printable ASCII characters");
  }
  if (seed !== undefined && !Number.isSafeInteger(seed)) {
    problems.push("nvme.seed: expected an integer");
  }
  if (namespaces !== undefined) {
    if (!Array.isArray(namespaces) || namespaces.length < 1 || namespaces.length > NAMESPACES_MAX) {
      problems.push(`nvme.namespaces: expected 1 to ${NAMESPACES_MAX} namespaces`);
    } else {
      for (const [index, entry] of namespaces.entries()) {
        problems.push(...namespaceProblems(entry, `nvme.namespaces[${index}]`));
      }
    }
  }
  if (faults !== undefined) problems.push(...faultProblems(faults, "nvme.faults"));
  return problems;
}

function namespaceProblems(entry: unknown, path: string): string[] {
  if (!isRecord(entry)) return [`${path}: expected an object`];
  const problems = unknownKeys(entry, NAMESPACE_KEYS, path);
  const { file, sizeBytes, readOnly, blockBytes } = entry;
  const block = blockBytes ?? 512;
  if (block !== 512 && block !== 4096) problems.push(`${path}.blockBytes: expected 512 or 4096`);
  if (readOnly !== undefined && typeof readOnly !== "boolean") {
    problems.push(`${path}.readOnly: expected true or false`);
  }
  if (file !== undefined && (typeof file !== "string" || file === "")) {
    problems.push(`${path}.file: expected the path of a disk image`);
  }
  if (file !== undefined && sizeBytes !== undefined) {
    problems.push(`${path}: file and sizeBytes exclude each other`);
  }
  const size = Number.isSafeInteger(sizeBytes) ? (sizeBytes as number) : -1;
  const fits = size > 0 && size <= MEMORY_MAX_BYTES && size % (block === 4096 ? 4096 : 512) === 0;
  if (file === undefined && !fits) {
    problems.push(`${path}.sizeBytes: expected a multiple of the block size up to 64 GiB`);
  }
  return problems;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function unknownKeys(value: object, known: readonly string[], path: string): string[] {
  return Object.keys(value)
    .filter((key) => !known.includes(key))
    .map((key) => `${path}.${key}: unknown key`);
}
