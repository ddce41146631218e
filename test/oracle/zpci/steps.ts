/**
 * What is asked of both machines: CLP, loads and stores, function controls, translation, interruption controls and
 * events, with every operand check of zpci-guest.md 1.5 to 1.8, 2 and 3 that a function without a driver can
 * reach. Each line is one instruction; handles come from the machine itself.
 */
import {
  blockAddress,
  type Copy,
  HANDLE,
  type ProgramStep,
  recordAddress,
  STORAGE,
} from "./program.ts";

/** What of a step's end is compared; PCI data is the device's own and never is. */
export interface AskedStep extends ProgramStep {
  readonly name: string;
  /** Register with the status byte of cc 1. */
  readonly status?: number;
  /** Offsets of halfwords of the block that are compared. */
  readonly halfwords: readonly number[];
  /** Registers whose bits 0-31 the machine may have set (STPCIFC). */
  readonly highs: readonly number[];
  readonly data?: number;
}

export interface Target {
  /** A BAR that the function has. */
  readonly bar: number;
  /** Bytes of that BAR. */
  readonly barBytes: number;
  readonly fid: number;
}

const ENABLED = 0x80000000;
const FIRST_ENTRY_FH = 32 + 32 + 12;
const RESPONSE_FH = 32 + 16;
const APERTURE = 0x1_0000_0000n;
/** Region-third, segment and page table; the first MiB of the aperture is mapped, one page of it is not. */
const TABLES = STORAGE;
const SEGMENTS = TABLES + 0x4000;
const PAGES = TABLES + 0x8000;
const UNMAPPED_PAGE = 5n;
/** Turns of a loop in which the other threads of a machine come to their turn. */
const PAUSE_TURNS = 400_000;

type Registers = Readonly<Record<number, bigint | number>>;

const RRE = (opcode: number, r1: number, r2: number): number[] => [
  opcode >> 8,
  opcode & 0xff,
  0,
  (r1 << 4) | r2,
];
/** RXY and RSY with base register `b2` and no displacement. */
const LONG = (opcode: number, r1: number, r3: number, b2: number): number[] => [
  opcode >> 8,
  (r1 << 4) | r3,
  b2 << 4,
  0,
  0,
  opcode & 0xff,
];
const S = (opcode: number, b2: number): number[] => [opcode >> 8, opcode & 0xff, b2 << 4, 0];

class List {
  readonly steps: AskedStep[] = [];

  /** Byte address of register `n`'s upper half in the record of the step to come. */
  high(n: number): number {
    return recordAddress(this.steps.length) + n * 8;
  }

  block(offset: number): number {
    return blockAddress(this.steps.length) + offset;
  }

  add(
    name: string,
    instruction: number[],
    registers: Registers,
    more: {
      readonly block?: (view: DataView) => void;
      readonly before?: readonly Copy[];
      readonly after?: readonly Copy[];
      readonly status?: number;
      readonly halfwords?: readonly number[];
      readonly highs?: readonly number[];
      readonly data?: number;
    } = {},
  ): void {
    const block = new Uint8Array(4096);
    more.block?.(new DataView(block.buffer));
    const values = Object.entries(registers).map(
      ([n, value]) => [Number(n), BigInt(value)] as const,
    );
    this.steps.push({
      name,
      instruction,
      registers: new Map([...values, [13, BigInt(this.block(0))]]),
      block,
      before: more.before ?? [],
      after: more.after ?? [],
      halfwords: more.halfwords ?? [],
      highs: more.highs ?? [],
      ...(more.status === undefined ? {} : { status: more.status }),
      ...(more.data === undefined ? {} : { data: more.data }),
    });
  }

  /** The function's handle into the upper half of register `n`, with bits turned over. */
  handleTo(n: number, turn = 0): Copy[] {
    return [{ from: HANDLE, to: this.high(n), turn }];
  }

  clp(
    name: string,
    command: number,
    fields: (view: DataView) => void,
    options: {
      readonly turn?: number;
      readonly keep?: number;
      readonly request?: number;
      readonly response?: number;
    } = {},
  ): void {
    const byHandle = options.turn !== undefined;
    this.add(
      `CLP ${name}`,
      RRE(0xb9a0, 0, 13),
      {},
      {
        block: (view) => {
          view.setUint16(0, options.request ?? 32);
          view.setUint16(2, command);
          view.setUint16(32, options.response ?? 4064);
          fields(view);
        },
        before: byHandle ? [{ from: HANDLE, to: this.block(16), turn: options.turn ?? 0 }] : [],
        after: options.keep === undefined ? [] : [{ from: this.block(options.keep), to: HANDLE }],
        halfwords: [32, 34],
      },
    );
  }

  set(name: string, oc: number, ndas: number, turn = 0, keep = false): void {
    this.clp(
      `set: ${name}`,
      5,
      (view) => {
        view.setUint8(22, oc);
        view.setUint8(23, ndas);
      },
      { turn, response: 32, ...(keep ? { keep: RESPONSE_FH } : {}) },
    );
  }

  load(name: string, space: number, length: number, offset: number, turn = 0, data = false): void {
    this.add(
      `PCILG ${name}`,
      RRE(0xb9d2, 2, 4),
      { 4: (space << 16) | length, 5: offset },
      {
        before: this.handleTo(4, turn),
        status: 4,
        ...(data ? { data: 2 } : {}),
      },
    );
  }

  store(name: string, space: number, length: number, offset: number, value = 0n, turn = 0): void {
    const registers = { 2: value, 4: (space << 16) | length, 5: offset };
    this.add(`PCISTG ${name}`, RRE(0xb9d0, 2, 4), registers, {
      before: this.handleTo(4, turn),
      status: 4,
    });
  }

  storeBlock(name: string, space: number, length: number, offset: number, at = 0): void {
    const registers = { 2: (space << 16) | length, 4: offset, 12: this.block(at) };
    this.add(`PCISTB ${name}`, LONG(0xebd0, 2, 4, 12), registers, {
      before: this.handleTo(2),
      status: 2,
    });
  }

  modify(
    name: string,
    operation: number,
    fields: (view: DataView) => void = () => {},
    options: { readonly turn?: number; readonly at?: number } = {},
  ): void {
    const registers = { 2: operation, 12: this.block(options.at ?? 0) };
    this.add(`MPCIFC ${name}`, LONG(0xe3d0, 2, 0, 12), registers, {
      block: fields,
      before: this.handleTo(2, options.turn),
      status: 2,
    });
  }

  controls(name: string, turn = 0, at = 0, space = 0): void {
    const registers = { 2: space << 16, 12: this.block(at) };
    this.add(`STPCIFC ${name}`, LONG(0xe3d4, 2, 0, 12), registers, {
      before: this.handleTo(2, turn),
      status: 2,
      halfwords:
        at === 0 ? [8, 16, 18, 20, 24, 26, 28, 30, 32, 34, 36, 38, 40, 42, 52, 54, 60, 62] : [],
    });
  }

  refresh(name: string, start: bigint, length: bigint, turn = 0): void {
    this.add(
      `RPCIT ${name}`,
      RRE(0xb9d3, 2, 4),
      { 4: start, 5: length },
      {
        before: this.handleTo(2, turn),
        status: 2,
      },
    );
  }

  sei(name: string, fields: (view: DataView) => void, halfwords: number[]): void {
    this.add(`CHSC ${name}`, RRE(0xb25f, 13, 0), {}, { block: fields, halfwords });
  }
}

function fib(view: DataView): void {
  view.setBigUint64(16, APERTURE);
  view.setBigUint64(24, APERTURE + 0xff_ffffn);
  view.setBigUint64(32, BigInt(TABLES) | 0x804n);
  view.setUint32(40, 0x20010080);
  view.setBigUint64(48, 0x2f00000n);
  view.setBigUint64(56, 0x2f00100n);
}

const changed =
  (change: (view: DataView) => void) =>
  (view: DataView): void => {
    fib(view);
    change(view);
  };

/** The DMA tables that the steps name. */
export function zpciTables(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let n = 0; n < 2048; n++) {
    view.setBigUint64(TABLES + n * 8, 0x20n);
    view.setBigUint64(SEGMENTS + n * 8, 0x20n);
  }
  view.setBigUint64(TABLES + 2 * 8, BigInt(SEGMENTS) | 0x7n);
  view.setBigUint64(SEGMENTS, BigInt(PAGES));
  for (let n = 0n; n < 256n; n++) {
    view.setBigUint64(PAGES + Number(n) * 8, n === UNMAPPED_PAGE ? 0x400n : (n + 16n) << 12n);
  }
}

/** The whole list for a function that both machines have disabled at the start. */
export function zpciSteps(target: Target): AskedStep[] {
  const list = new List();
  const { bar, barBytes } = target;
  // CLP: framework, list, query.
  list.clp("list", 2, () => {}, { keep: FIRST_ENTRY_FH });
  list.clp("list, response of 48 bytes", 2, () => {}, { response: 48 });
  list.clp("list, response of 40 bytes", 2, () => {}, { response: 40 });
  list.clp("list, response of 56 bytes", 2, () => {}, { response: 56 });
  list.clp("list, format not 0", 2, (view) => view.setUint32(4, 0x10000000));
  list.clp("list, reserved bits", 2, (view) => view.setUint32(12, 1));
  list.clp("list, resume token of nobody", 2, (view) => view.setBigUint64(16, 0x7777n));
  list.clp("request of 24 bytes", 2, () => {}, { request: 24 });
  list.clp("request of 8 bytes", 2, () => {}, { request: 8 });
  list.clp("request of 33 bytes", 2, () => {}, { request: 33 });
  list.clp("response of 4 bytes", 2, () => {}, { response: 4 });
  list.clp("response of 8184 bytes", 2, () => {}, { response: 8184 });
  list.clp("unknown command", 0x55, () => {});
  list.clp("SLPC", 1, () => {}, { request: 32 });
  list.clp("query", 3, () => {}, { turn: 0, response: 384 });
  list.clp("query, handle of nobody", 3, () => {}, { turn: 0x7fff, response: 384 });
  list.clp("query, enable bit of a disabled function", 3, () => {}, { turn: ENABLED });
  list.clp("group of nobody", 4, (view) => view.setUint32(16, 0x77), { response: 64 });
  // Before the function is enabled.
  list.load("disabled function", 15, 4, 0);
  list.load("handle with the enable bit of a disabled function", 15, 4, 0, ENABLED);
  list.modify("disabled function", 4, fib);
  list.controls("disabled function");
  list.controls("disabled function, enable bit", ENABLED);
  list.refresh("disabled function", APERTURE, 4096n);
  // Set PCI function.
  list.set("enable without a DMA address space", 0, 0);
  list.set("enable with two DMA address spaces", 0, 2);
  list.set("disable a disabled function", 1, 1);
  list.set("unknown operation", 9, 1);
  list.set("handle of nobody", 0, 1, 0x7fff);
  list.set("enable", 0, 1, 0, true);
  list.set("enable again", 0, 1);
  list.set("enable MIO", 2, 1);
  list.controls("enabled");
  list.controls("handle without its enable bit", ENABLED);
  list.controls("not on a doubleword", 0, 4);
  list.controls("DMA address space 1", 0, 0, 1);
  // Loads and stores.
  for (const length of [1, 2, 4]) list.load(`config, ${length} bytes`, 15, length, 0);
  for (const length of [0, 3, 8]) list.load(`config, ${length} bytes`, 15, length, 0);
  list.load("config, two bytes over a word's end", 15, 2, 3);
  list.load("config, four bytes over a word's end", 15, 4, 2);
  list.load("config, header type", 15, 1, 0x0e, 0, true);
  list.load("config, cache line size as two bytes", 15, 1, 0x0c, 0, true);
  for (const space of [6, 7, 14]) list.load(`space ${space}`, space, 4, 0);
  for (const length of [1, 2, 4, 8]) list.load(`BAR, ${length} bytes`, bar, length, 0);
  for (const length of [0, 9, 15]) list.load(`BAR, ${length} bytes`, bar, length, 0);
  list.load("BAR, eight bytes over a doubleword's end", bar, 8, 4);
  list.load("BAR, behind its end", bar, 4, barBytes);
  // A BAR that the function lacks is not asked for: QEMU 7.2 ends with a segmentation fault there.
  list.load("handle of nobody", 15, 4, 0, 0x7fff);
  list.add(
    "PCILG odd R2",
    RRE(0xb9d2, 2, 5),
    { 5: 0xf0004 },
    { before: list.handleTo(5), status: 5 },
  );
  list.store("config, command register", 15, 2, 4, 0x0600n);
  list.load("config, command register", 15, 2, 4, 0, true);
  list.store("config, 8 bytes", 15, 8, 0);
  list.store("config, over a word's end", 15, 4, 2);
  list.store("space 6", 6, 4, 0);
  list.store("BAR, no bytes", bar, 0, 0);
  list.store("BAR, over a doubleword's end", bar, 4, 6);
  list.store("handle without the enable bit", 15, 2, 4, 0n, ENABLED);
  list.add(
    "PCISTG odd R2",
    RRE(0xb9d0, 2, 5),
    { 5: 0xf0004 },
    { before: list.handleTo(5), status: 5 },
  );
  list.storeBlock("config", 15, 16, 0);
  list.storeBlock("space 6", 6, 16, 0);
  list.storeBlock("8 bytes", bar, 8, 0);
  list.storeBlock("20 bytes", bar, 20, 0);
  list.storeBlock("136 bytes", bar, 136, 0);
  list.storeBlock("offset not on a doubleword", bar, 16, 4);
  list.storeBlock("over a page", bar, 128, 0xfc0);
  list.storeBlock("source not on a doubleword", bar, 16, 0, 4);
  // Function controls.
  list.modify("unknown operation", 8, fib);
  list.modify("operation 0", 0, fib);
  list.modify(
    "format 1",
    4,
    changed((view) => view.setUint8(0, 1)),
  );
  list.modify("not on a doubleword", 4, () => {}, { at: 4 });
  list.modify("handle of nobody", 4, fib, { turn: 0x7fff });
  list.modify("DMA address space 1", 4 | (1 << 16), fib);
  list.modify("deregister IOAT that is not", 5);
  list.modify("deregister interrupts that are not", 3);
  list.modify(
    "limit below base",
    4,
    changed((view) => view.setBigUint64(24, 0x1000n)),
  );
  list.modify(
    "base below the aperture",
    4,
    changed((view) => view.setBigUint64(16, 0x1000n)),
  );
  list.modify(
    "limit behind the aperture",
    4,
    changed((view) => view.setBigUint64(24, 0xfffffffffffff000n)),
  );
  list.modify(
    "translation with designation type 0",
    4,
    changed((view) => view.setBigUint64(32, BigInt(TABLES) | 0x800n)),
  );
  list.modify("deregister IOAT of designation type 0", 5);
  list.modify(
    "translation with designation type 5",
    4,
    changed((view) => view.setBigUint64(32, BigInt(TABLES) | 0x814n)),
  );
  list.modify(
    "no translation",
    4,
    changed((view) => view.setBigUint64(32, BigInt(TABLES))),
  );
  list.modify("register IOAT", 4, fib);
  list.modify("register IOAT again", 4, fib);
  list.controls("with IOAT");
  list.modify("register interrupts", 2, fib);
  list.modify("register interrupts again", 2, fib);
  list.controls("with interrupts");
  list.modify("reset error of a working function", 7, fib);
  list.modify("reset block of a working function", 9, fib);
  list.modify("measurement block with a storage key", 10, (view) =>
    view.setBigUint64(64, 0x2f00201n),
  );
  list.modify("end measurement", 10);
  list.modify("deregister interrupts", 3);
  // Translation.
  list.refresh("handle of nobody", APERTURE, 4096n, 0x7fff);
  list.refresh("handle without the enable bit", APERTURE, 4096n, ENABLED);
  list.add(
    "RPCIT odd R2",
    RRE(0xb9d3, 2, 5),
    { 5: APERTURE },
    { before: list.handleTo(2), status: 2 },
  );
  list.refresh("one page", APERTURE, 4096n);
  list.refresh("an unmapped page", APERTURE + (UNMAPPED_PAGE << 12n), 4096n);
  list.refresh("nothing", APERTURE, 0n);
  list.refresh("a MiB", APERTURE, 0x10_0000n);
  list.refresh("a segment that is not mapped", APERTURE + 0x10_0000n, 0x10_0000n);
  list.modify("deregister IOAT", 5);
  list.modify("deregister IOAT again", 5);
  // Interruption controls and events.
  for (const mode of [0, 1, 3, 15]) {
    list.add(`SIC mode ${mode}`, LONG(0xebd1, 2, 4, 12), { 2: mode, 4: 2 << 27, 12: 0 });
  }
  list.sei("unknown command", (view) => view.setUint32(0, 0x00100099), [18]);
  list.sei("SEI of a short block", (view) => view.setUint32(0, 0x0008000e), [18]);
  list.add("TPI", S(0xb236, 0), {});
  list.add("STCRW not on a word", S(0xb239, 12), { 12: list.block(2) });
  // An error: a refresh outside the aperture, and what each instruction says then.
  list.modify("register IOAT anew", 4, fib);
  list.refresh("outside the aperture", 0x1000n, 4096n);
  list.load("function in error", 15, 4, 0);
  list.store("function in error", 15, 4, 0);
  list.storeBlock("function in error", bar, 16, 0);
  list.refresh("function in error", APERTURE, 4096n);
  list.controls("in error");
  list.modify("register interrupts in error", 2, fib);
  list.modify("deregister interrupts in error", 3);
  list.modify("deregister IOAT in error", 5);
  list.modify("register IOAT in error", 4, fib);
  list.modify("end measurement in error", 10);
  list.add("pause", [0xa7, 0x26, 0, 0], { 2: PAUSE_TURNS });
  list.add("STCRW with a report", S(0xb239, 13), {}, { halfwords: [0] });
  list.sei(
    "SEI with an event",
    (view) => {
      view.setUint32(0, 0x0010000e);
      view.setUint32(8, 0xa0000000);
    },
    [16, 18, 24, 26, 62],
  );
  list.add("STCRW without one", S(0xb239, 13), {}, { halfwords: [0] });
  list.set("enable a function in error", 0, 1);
  list.set("disable a function in error", 1, 1);
  list.add("second pause", [0xa7, 0x26, 0, 0], { 2: PAUSE_TURNS });
  list.set("disable, asked again", 1, 1);
  list.clp("list after an error", 2, () => {}, { keep: FIRST_ENTRY_FH });
  list.set("enable after an error", 0, 1, 0, true);
  list.load("function after an error", 15, 4, 0);
  return list.steps;
}

export const loopNames = ["pcilg", "pcistg", "rpcit"] as const;
export type Loop = (typeof loopNames)[number];

/** A function brought up, then `turns` times `unrolled` instructions of one kind (benchmarks). */
export function zpciLoop(target: Target, name: Loop, unrolled: number, turns: number): AskedStep[] {
  const list = new List();
  list.clp("list", 2, () => {}, { keep: FIRST_ENTRY_FH });
  list.set(`enable function ${target.fid}`, 0, 1, 0, true);
  list.modify("register IOAT", 4, fib);
  const one = name === "rpcit" ? RRE(0xb9d3, 2, 4) : RRE(name === "pcilg" ? 0xb9d2 : 0xb9d0, 2, 4);
  const body = Array.from({ length: unrolled }, () => one).flat();
  // BRCTG 10,back
  const back = (0x10000 - body.length / 2) & 0xffff;
  const loop = [...body, 0xa7, 0xa7, back >> 8, back & 0xff];
  const request = name === "rpcit" ? { 4: APERTURE, 5: 4096 } : { 4: 0xf0004, 5: 0x3c };
  const registers = { 2: 0, 10: turns, ...request };
  list.add(name, loop, registers, { before: list.handleTo(name === "rpcit" ? 2 : 4) });
  return list.steps;
}
