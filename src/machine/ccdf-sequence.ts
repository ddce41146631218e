/**
 * Event sequences as data (`guest-fixtures/ccdf`): a JSON time line beside a file of 32-byte CCDFs. FH and FID
 * in the records are replaced when they are played. Format: guest-fixtures/ccdf/README.md.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { CcdfErr } from "../abi/ccdf.ts";
import type { CcdfSpec, FaultAction } from "../backend/sim/index.ts";
import { ZmendError } from "../base/errors.ts";
import { hexBytes } from "../base/hex.ts";
import { suggestion } from "../base/nearest.ts";
import { packageRoot } from "../base/version.ts";
import { parseYaml } from "../base/yaml-file.ts";

const sequenceSchema = z.strictObject({
  version: z.literal(1),
  name: z.string(),
  source: z.string(),
  file: z.string().regex(/^[\w.-]+$/, "expected the name of a file beside this one"),
  recordBytes: z.literal(CcdfErr.size),
  events: z
    .array(
      z.strictObject({
        atUs: z.number().min(0),
        offset: z.number().int().min(0).multipleOf(CcdfErr.size),
        contentCode: z.literal(1),
        pec: z.string(),
        handle: z.enum(["own", "stale"]),
        origin: z.enum(["recorded", "reconstructed", "constructed"]),
      }),
    )
    .min(1),
});

export interface TimedAction {
  /** Microseconds after the start of the sequence. */
  readonly atUs: number;
  readonly action: FaultAction;
}

function folder(): string {
  return fileURLToPath(new URL("guest-fixtures/ccdf/", packageRoot));
}

export function ccdfSequenceNames(): string[] {
  return readdirSync(folder())
    .filter((file) => file.endsWith(".json"))
    .map((file) => basename(file, ".json"))
    .sort();
}

/**
 * A shipped sequence by name, or a JSON file by its path. Events of equal time become one burst.
 * @throws ZmendError CCDF_FILE_INVALID naming the file and what is wrong with it
 */
export function loadCcdfSequence(nameOrFile: string): TimedAction[] {
  const isPath = nameOrFile.includes("/") || nameOrFile.endsWith(".json");
  if (!isPath && !ccdfSequenceNames().includes(nameOrFile)) {
    const names = ccdfSequenceNames();
    throw new ZmendError(
      "CCDF_FILE_INVALID",
      `CCDF sequence '${nameOrFile}' is unknown${suggestion(nameOrFile, names)}; name one of ${names.join(", ")} or a JSON file.`,
    );
  }
  const file = isPath ? nameOrFile : join(folder(), `${nameOrFile}.json`);
  const shown = isPath ? nameOrFile : `guest-fixtures/ccdf/${nameOrFile}.json`;
  const sequence = parseYaml(
    read(file, shown).toString("utf8"),
    shown,
    sequenceSchema,
    "CCDF_FILE_INVALID",
  );
  const binary = join(dirname(file), sequence.file);
  const records = read(binary, join(dirname(shown), sequence.file));
  if (records.length === 0 || records.length % CcdfErr.size !== 0) {
    throw new ZmendError(
      "CCDF_FILE_INVALID",
      `CCDF file ${join(dirname(shown), sequence.file)} has ${records.length} bytes; it must hold records of ${CcdfErr.size} bytes each.`,
    );
  }
  const groups = new Map<number, CcdfSpec[]>();
  for (const [index, event] of sequence.events.entries()) {
    if (event.offset + CcdfErr.size > records.length) {
      throw new ZmendError(
        "CCDF_FILE_INVALID",
        `${shown}: events[${index}].offset: ${event.offset} is beyond the ${records.length} bytes of ${sequence.file}.`,
      );
    }
    const ccdf = hexBytes(records.subarray(event.offset, event.offset + CcdfErr.size));
    const group = groups.get(event.atUs) ?? [];
    group.push({ ccdf, stale: event.handle === "stale" });
    groups.set(event.atUs, group);
  }
  return [...groups].map(([atUs, ccdfs]) => ({ atUs, action: actionOf(ccdfs) }));
}

function actionOf(ccdfs: readonly CcdfSpec[]): FaultAction {
  const [only] = ccdfs;
  if (ccdfs.length === 1 && only !== undefined) return { type: "ccdf", ...only };
  return { type: "burst", ccdfs };
}

function read(file: string, shown: string): Buffer {
  if (!existsSync(file)) {
    throw new ZmendError(
      "CCDF_FILE_INVALID",
      `CCDF file ${shown} does not exist; name an existing one.`,
    );
  }
  try {
    return readFileSync(file);
  } catch (error) {
    throw new ZmendError(
      "CCDF_FILE_INVALID",
      `CCDF file ${shown} cannot be read; check that it is a readable file.`,
      {},
      { cause: error },
    );
  }
}
