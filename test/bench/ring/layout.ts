/** Byte offsets of the two rings and two doorbells in the shared buffer of a ring benchmark. */
import { ringBytes } from "../../../src/shm/ring.ts";

export const SLOTS = 1024;
export const THERE = 0;
export const BACK = ringBytes(SLOTS);
const BELLS = 2 * ringBytes(SLOTS);
/** Word indices: sleeping and summary words 128 bytes apart. */
export const BELL_THERE = { sleeping: BELLS / 4, summary: BELLS / 4 + 32 } as const;
export const BELL_BACK = { sleeping: BELLS / 4 + 64, summary: BELLS / 4 + 96 } as const;
export const BUFFER_BYTES = BELLS + 512;
