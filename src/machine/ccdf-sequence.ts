/**
 * Event sequences as data (`guest-fixtures/ccdf`): a JSON time line beside a file of 32-byte CCDFs. FH and FID
 * in the records are replaced when they are played. Format: guest-fixtures/ccdf/README.md.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { CcdfErr } from "../abi/ccdf.ts";
import { readField } from "../abi/layout.ts";
import type { CcdfSpec, FaultAction } from "../backend/sim/index.ts";
import { ZmendError } from "../base/errors.ts";
import { hex, hexBytes } from "../base/hex.ts";
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
        pec: z.string().regex(/^0x[0-9a-f]{4}$/, "expected four hex digits such as 0x003a"),
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
  const text = read(file, shown).toString("utf8");
  const sequence = parseYaml(text, shown, sequenceSchema, "CCDF_FILE_INVALID");
  const records = readRecords(
    join(dirname(file), sequence.file),
    join(dirname(shown), sequence.file),
  );
  // Once more with the records at hand, so that a disagreement is reported with its line.
  parseYaml(text, shown, sequenceSchema.check(agreement(records)), "CCDF_FILE_INVALID");
  const groups = new Map<number, CcdfSpec[]>();
  for (const event of sequence.events) {
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

/** @throws ZmendError when the file is no series of whole records */
function readRecords(file: string, shown: string): Buffer {
  const records = read(file, shown);
  if (records.length > 0 && records.length % CcdfErr.size === 0) return records;
  throw new ZmendError(
    "CCDF_FILE_INVALID",
    `CCDF file ${shown} has ${records.length} bytes; it must hold records of ${CcdfErr.size} bytes each.`,
  );
}

/** What the time line says of each record must be so. */
function agreement(records: Buffer) {
  return (context: z.core.ParsePayload<z.output<typeof sequenceSchema>>): void => {
    const view = new DataView(records.buffer, records.byteOffset, records.length);
    const problem = (index: number, key: string, message: string): void => {
      const path = ["events", index, key];
      context.issues.push({ code: "custom", input: context.value, path, message });
    };
    for (const [index, { offset, pec }] of context.value.events.entries()) {
      if (offset + CcdfErr.size > records.length) {
        problem(index, "offset", `${offset} is beyond the ${records.length} bytes of the file`);
        continue;
      }
      const stored = hex(readField(view, offset, CcdfErr.fields.pec, CcdfErr.byteOrder), 4);
      if (stored !== pec) problem(index, "pec", `is ${pec}, the record at ${offset} has ${stored}`);
    }
  };
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
