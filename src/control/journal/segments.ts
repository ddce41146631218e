/** The files of a journal's directory: names, order. A segment's number is part of its name. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";

const NAME = /^journal-(\d{8})\.zmj$/;

export interface SegmentFile {
  readonly segment: number;
  readonly file: string;
}

export function segmentName(segment: number): string {
  return `journal-${String(segment).padStart(8, "0")}.zmj`;
}

/** The segments of a directory, oldest first; files of other names are nobody's business. */
export function listSegments(directory: string): SegmentFile[] {
  return readdirSync(directory)
    .map((name) => ({ name, match: NAME.exec(name) }))
    .flatMap(({ name, match }) =>
      match === null ? [] : [{ segment: Number(match[1]), file: join(directory, name) }],
    )
    .sort((a, b) => a.segment - b.segment);
}

/** Size of a file, 0 when it has gone. */
export function fileBytes(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
