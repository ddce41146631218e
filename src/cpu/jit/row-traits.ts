/**
 * What a row's body does, found out by writing it once and looking: whether a region can have it, whether it stores,
 * whether it branches. The operands of that copy are arbitrary, and no condition is decided ahead.
 */
import { AssertionError } from "../../base/assert.ts";
import type { Helpers } from "../interpreter/helpers.ts";
import { decodeOperands } from "../table/formats.ts";
import type { Row } from "../table/row.ts";
import { FunctionBuilder, VALUE_I32 } from "../wasm/index.ts";
import { type Observed, RegionBody, type Ways } from "./region-body.ts";
import { RegionFrame } from "./region-frame.ts";

export interface RowTraits {
  readonly translatable: boolean;
  readonly stores: boolean;
  readonly jumps: boolean;
}

/** Longer bodies gain nothing over a call and fill regions; LMG and STMG of sixteen registers are near 1,200. */
const BODY_BYTES_MAX = 1500;
const NOT_TRANSLATABLE: RowTraits = { translatable: false, stores: false, jumps: false };
/** Registers 2 and 4, base 6: even, and none of them register 0. */
const SAMPLE_HIGH = 0x00246024;
const SAMPLE_LOW = 0x60000000;

const nowhere: Ways = {
  jumpTo: () => undefined,
  jump: () => undefined,
  onward: () => undefined,
  fault: () => undefined,
};
const noHelpers: Helpers = {
  read: 0,
  write: 0,
  commit: 0,
  store: 0,
  inPlaceRead: 0,
  inPlaceWrite: 0,
  probe: 0,
  copy: 0,
  move: 0,
  raise: 0,
};

const known = new Map<Row, RowTraits>();

export function traitsOf(row: Row): RowTraits {
  let traits = known.get(row);
  if (traits === undefined) {
    traits = observe(row);
    known.set(row, traits);
  }
  return traits;
}

function observe(row: Row): RowTraits {
  const fn = new FunctionBuilder([VALUE_I32]);
  const frame = new RegionFrame(fn, fn.parameter32(0));
  const operands = new DataView(new ArrayBuffer(32));
  decodeOperands(operands, 0, 0, row.format, SAMPLE_HIGH, SAMPLE_LOW);
  const observed: Observed = { memory: false, stores: false, jumps: false };
  const flow = { unconditional: false, call: false };
  const sample = { row, offset: 0, length: 4, operands, handler: 0, stores: false, flow } as const;
  try {
    row.body(new RegionBody(frame, sample, noHelpers, nowhere, observed));
  } catch (error) {
    if (error instanceof AssertionError) return NOT_TRANSLATABLE;
    throw error;
  }
  if (observed.memory || fn.codeBytes > BODY_BYTES_MAX) return NOT_TRANSLATABLE;
  return { translatable: true, stores: observed.stores, jumps: observed.jumps };
}
