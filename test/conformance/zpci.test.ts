/**
 * Rows of test/conformance/zpci/*.json: what a guest puts into an instruction and what it must get back.
 * The numbers were typed from the sheets named in each row; nothing is taken from `src`.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { FunctionBlock, FunctionState, PHASE_DONE, VmBlock } from "../../src/shm/blocks.ts";
import {
  BLOCK,
  type DeviceMachine,
  DMA_START,
  deviceMachine,
  TABLES,
} from "../support/device-machine.ts";

const fibOffsets = { pba: 16, pal: 24, iota: 32, aibv: 48, aisb: 56, fmb: 64 } as const;

interface Input {
  adapterType?: number;
  address?: string;
  command?: number | string;
  dmaas?: number;
  enabled?: boolean;
  entry?: { region?: string; segment?: string; page?: string };
  fh?: string;
  fib?: { format?: number } & { [K in keyof typeof fibOffsets]?: string };
  fid?: number;
  format?: string;
  instruction?: string;
  isc?: number;
  length?: number | string;
  mask?: string;
  maskLength?: number;
  ndas?: number;
  oc?: number;
  offset?: string;
  oddPair?: boolean;
  operation?: number;
  pending?: number[];
  pfgid?: number;
  problem?: boolean;
  registered?: string;
  requestLength?: number;
  reserved?: string;
  responseLength?: number;
  space?: number;
  start?: string;
  token?: string;
  state?: string;
  host?: string;
}

interface Expectation {
  answer?: string;
  cc?: number;
  code?: number | string;
  contentCode?: number;
  entries?: number;
  fc?: string;
  fhAfter?: string;
  fid?: number;
  more?: boolean;
  nt?: number;
  pec?: number;
  program?: number;
  raised?: number;
  responseLength?: number;
  responseLengthAfter?: number;
  stateAfter?: string;
  status?: number;
  suppression?: string;
  token?: string;
  value?: string;
  words?: Readonly<Record<string, string>>;
  requestHigh?: string;
}

interface Row {
  source: string;
  input: Input;
  expect: Expectation;
}

function rows(name: string): Row[] {
  const file = new URL(`zpci/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, "utf8")) as Row[];
}

function title(row: Row): string {
  return `${row.source}: ${JSON.stringify(row.input)} -> ${JSON.stringify(row.expect)}`;
}

function numberOf(value: unknown, fallback: number): number {
  return value === undefined ? fallback : Number(value);
}

function bigOf(value: unknown, fallback: bigint): bigint {
  return value === undefined ? fallback : BigInt(value as string);
}

function hex16(value: number): string {
  return `0x${value.toString(16).padStart(4, "0")}`;
}

/** "cc1/12", "cc3", "operand": how the last instruction ended; register 2 or 4 holds the status. */
function ending(machine: DeviceMachine, register: number): string {
  const { cpu } = machine;
  if (cpu.programCode === 0x15) return "operand";
  if (cpu.programCode !== 0) return `program ${cpu.programCode}`;
  return cpu.cc === 1 ? `cc1/${cpu.status(register)}` : `cc${cpu.cc}`;
}

describe("state by instruction", () => {
  for (const row of rows("state-by-instruction")) {
    test(title(row), () => {
      const { instruction = "", state, host } = row.input;
      const machine = deviceMachine({ clearError: host === "clears" });
      const target = FunctionState[state as keyof typeof FunctionState];
      if (target >= FunctionState.ENABLED) prepare(machine, instruction);
      machine.setState(0, target);
      const answer = perform(machine, instruction);
      expect(answer).toBe(row.expect.answer);
      const after = FunctionState[row.expect.stateAfter as keyof typeof FunctionState];
      expect(machine.state(0)).toBe(after);
    });
  }
});

/** The registrations that the instruction's own sequence rules ask for. */
function prepare(machine: DeviceMachine, instruction: string): void {
  machine.bringUp(0);
  if (instruction === "mpcifc4") machine.mpcifc(0, 5);
  if (instruction === "mpcifc3" || instruction === "msi") {
    machine.fillFib();
    machine.mpcifc(0, 2);
  }
}

function perform(machine: DeviceMachine, instruction: string): string {
  const fh = BigInt(machine.handle(0)) << 32n;
  const operation = /^mpcifc(\d+)$/.exec(instruction)?.[1];
  if (operation !== undefined) return modify(machine, Number(operation));
  switch (instruction) {
    case "pcilg":
    case "pcistg":
      machine.execute(instruction, 0n, fh | 0xf0004n, 0n, 0n);
      return ending(machine, 4);
    case "pcistb":
      machine.execute("pcistb", fh | 0x10n, 0n, 0n, BigInt(BLOCK));
      return ending(machine, 2);
    case "rpcit":
      machine.execute("rpcit", fh, DMA_START, 0x1000n, 0n);
      return ending(machine, 2);
    case "stpcifc": {
      machine.execute("stpcifc", fh, 0n, 0n, BigInt(BLOCK));
      const end = ending(machine, 2);
      if (end !== "cc0") return end;
      return `fc 0x${machine.ram
        .u8(BLOCK + 8)
        .toString(16)
        .padStart(2, "0")}`;
    }
    case "list":
      return listed(machine);
    case "query":
      return query(machine);
    case "enable":
      return hex16(machine.clpSet(0, 0));
    case "disable":
      return disable(machine);
    case "dma": {
      const result = machine.dma[0]?.transfer(DMA_START + 0x8000n, new Uint8Array(4), false);
      return result === 0 ? "done" : result === -1 ? "refused" : `fault ${result}`;
    }
    case "msi":
      machine.dma[0]?.msi(3);
      return machine.floating.ioPending() === 0x04 ? "delivered" : "dropped";
    case "configure":
      return adapter(machine, 0x001a0001);
    case "deconfigure":
      return adapter(machine, 0x001b0001);
    default:
      throw new Error(`the row names an unknown instruction ${instruction}`);
  }
}

/** As Linux does it: cc 2 is asked again; the test plays the host between. */
function modify(machine: DeviceMachine, operation: number): string {
  machine.fillFib();
  machine.mpcifc(0, operation);
  const first = ending(machine, 2);
  if (first !== "cc2") return first;
  expect(machine.word(0, FunctionBlock.clearPhase)).toBe(1 | (operation << 8));
  machine.mpcifc(0, operation);
  expect(ending(machine, 2)).toBe("cc2");
  machine.setWord(0, FunctionBlock.clearPhase, PHASE_DONE);
  machine.mpcifc(0, operation);
  return `${first}, ${ending(machine, 2)}`;
}

function disable(machine: DeviceMachine): string {
  const first = hex16(machine.clpSet(0, 1));
  if (first !== "0x0108") return first;
  expect(hex16(machine.clpSet(0, 1))).toBe("0x0108");
  machine.setWord(0, FunctionBlock.resetPhase, PHASE_DONE);
  return `${first}, ${hex16(machine.clpSet(0, 1))}`;
}

function listed(machine: DeviceMachine): string {
  machine.ram.fill(BLOCK, 4096, 0);
  machine.ram.setU16(BLOCK, 32);
  machine.ram.setU16(BLOCK + 2, 2);
  machine.ram.setU16(BLOCK + 32, 4064);
  machine.execute("clp", 0n, BigInt(BLOCK), 0n, 0n);
  for (let at = BLOCK + 64; at < BLOCK + 32 + machine.ram.u16(BLOCK + 32); at += 16) {
    if (machine.ram.u32(at + 8) !== 0x11) continue;
    return `0x${machine.ram
      .u32(at + 4)
      .toString(16)
      .padStart(8, "0")}`;
  }
  return "absent";
}

function query(machine: DeviceMachine): string {
  machine.ram.fill(BLOCK, 4096, 0);
  machine.ram.setU16(BLOCK, 32);
  machine.ram.setU16(BLOCK + 2, 3);
  machine.ram.setU32(BLOCK + 16, machine.handle(0));
  machine.ram.setU16(BLOCK + 32, 384);
  machine.execute("clp", 0n, BigInt(BLOCK), 0n, 0n);
  return hex16(machine.ram.u16(BLOCK + 34));
}

function adapter(machine: DeviceMachine, command: number): string {
  machine.ram.fill(BLOCK, 4096, 0);
  machine.ram.setU16(BLOCK, 4096);
  machine.ram.setU8(BLOCK + 8, 2);
  machine.ram.setU32(BLOCK + 12, 0x11);
  machine.execute("servc", BigInt(command), BigInt(BLOCK), 0n, 0n);
  return hex16(machine.ram.u16(BLOCK + 6));
}

describe("CLP", () => {
  for (const row of rows("clp")) {
    test(title(row), () => {
      const machine = deviceMachine();
      const { input } = row;
      if (input.enabled === true) machine.clpSet(0, 0);
      const { ram } = machine;
      const length = numberOf(input.requestLength, 32);
      const response = BLOCK + length;
      ram.fill(BLOCK, 16384, 0);
      ram.setU16(BLOCK, length);
      ram.setU16(BLOCK + 2, numberOf(input.command, 2));
      ram.setU32(BLOCK + 4, numberOf(input.format, 0));
      ram.setU32(BLOCK + 12, numberOf(input.reserved, 0));
      const token = bigOf(input.token, 0n);
      const fh = input.fh === "current" ? machine.handle(0) : numberOf(input.fh, 0);
      ram.setU32(BLOCK + 16, Number(token >> 32n) || fh || numberOf(input.pfgid, 0) & 0xff);
      if (input.token !== undefined) ram.setU32(BLOCK + 20, Number(token & 0xffffffffn));
      if (input.oc !== undefined) ram.setU8(BLOCK + 22, numberOf(input.oc, 0));
      if (input.ndas !== undefined) ram.setU8(BLOCK + 23, numberOf(input.ndas, 0));
      ram.setU16(response, numberOf(input.responseLength, 32));
      machine.execute("clp", 0n, BigInt(BLOCK), 0n, 0n);
      expect(machine.cpu.programCode).toBe(row.expect.program ?? 0);
      if (row.expect.program !== undefined) return;
      expect(machine.cpu.cc).toBe(row.expect.cc ?? 0);
      expect(hex16(ram.u16(response + 2))).toBe(row.expect.code);
      if (row.expect.responseLengthAfter !== undefined) {
        expect(ram.u16(response)).toBe(row.expect.responseLengthAfter);
        expect(ram.u32(response + 20)).toBe(Number(row.expect.token));
        expect((ram.u16(response) - 32) / 16).toBe(row.expect.entries);
      }
      if (row.expect.fhAfter !== undefined) {
        expect(ram.u32(response + 16)).toBe(Number(row.expect.fhAfter));
      }
    });
  }
});

describe("MPCIFC", () => {
  for (const row of rows("mpcifc")) {
    test(title(row), () => {
      const machine = deviceMachine();
      const { input } = row;
      machine.clpSet(0, 0);
      machine.buildTables();
      if (input.registered === "ioat") machine.registerIoat(0);
      machine.fillFib();
      if (input.registered === "interrupts") machine.mpcifc(0, 2);
      const fib = machine.fibView();
      const change = input.fib ?? {};
      for (const name of Object.keys(fibOffsets) as (keyof typeof fibOffsets)[]) {
        const value = change[name];
        if (value !== undefined) fib.setBigUint64(fibOffsets[name], BigInt(value));
      }
      fib.setUint8(0, numberOf(change.format, 0));
      machine.cpu.problem = input.problem === true;
      const fh = bigOf(input.fh, BigInt(machine.handle(0)));
      const dmaas = BigInt(numberOf(input.dmaas, 0)) << 16n;
      const request = (fh << 32n) | dmaas | BigInt(numberOf(input.operation, 0));
      machine.execute("mpcifc", request, 0n, 0n, bigOf(input.address, BigInt(BLOCK)));
      expect(machine.cpu.programCode).toBe(row.expect.program ?? 0);
      expect(machine.cpu.cc).toBe(row.expect.cc ?? -1);
      expect(machine.cpu.status(2)).toBe(row.expect.status ?? 0);
      expect(machine.raised.map(({ pec }) => pec)).toEqual(
        row.expect.raised === undefined ? [] : [row.expect.raised],
      );
    });
  }
});

describe("PCILG, PCISTG, PCISTB", () => {
  for (const row of rows("load-store")) {
    test(title(row), () => {
      const machine = deviceMachine();
      const { input } = row;
      machine.clpSet(0, 0);
      for (let n = 0; n < 256; n++) (machine.regions[0] as { bar: Uint8Array }).bar[n] = n;
      machine.cpu.problem = input.problem === true;
      const fh = bigOf(input.fh, BigInt(machine.handle(0))) << 32n;
      const space = BigInt(numberOf(input.space, 0)) << 16n;
      const request = fh | space | BigInt(numberOf(input.length, 0));
      const offset = bigOf(input.offset, 0n);
      const isBlock = input.instruction === "pcistb";
      if (isBlock) {
        machine.execute("pcistb", request, offset, 0n, bigOf(input.address, BigInt(BLOCK)));
      } else {
        const name = input.instruction === "pcilg" ? "pcilg" : "pcistg";
        machine.execute(name, 0x1111222233334444n, request, offset, 0n);
      }
      expect(machine.cpu.programCode).toBe(row.expect.program ?? 0);
      expect(machine.cpu.cc).toBe(row.expect.cc ?? -1);
      expect(machine.cpu.status(isBlock ? 2 : 4)).toBe(row.expect.status ?? 0);
      if (row.expect.value !== undefined) {
        expect(machine.cpu.gr(2)).toBe(BigInt(`0x${row.expect.value}`));
      } else if (!isBlock) {
        expect(machine.cpu.gr(2)).toBe(0x1111222233334444n);
      }
    });
  }
});

const ENTRY = { region: TABLES + 2 * 8, segment: TABLES + 0x4000, page: TABLES + 0x8000 } as const;

describe("RPCIT", () => {
  for (const row of rows("rpcit")) {
    test(title(row), () => {
      const machine = deviceMachine();
      const { input } = row;
      machine.clpSet(0, 0);
      machine.buildTables();
      if (input.registered !== "none") machine.registerIoat(0);
      for (const level of Object.keys(ENTRY) as (keyof typeof ENTRY)[]) {
        const entry = input.entry?.[level];
        if (entry === undefined) continue;
        machine.ram.setU32(ENTRY[level], Number(BigInt(entry) >> 32n));
        machine.ram.setU32(ENTRY[level] + 4, Number(BigInt(entry) & 0xffff_ffffn));
      }
      machine.cpu.problem = input.problem === true;
      const fh = bigOf(input.fh, BigInt(machine.handle(0))) << 32n;
      const start = bigOf(input.start, DMA_START);
      const length = bigOf(input.length, 0x1000n);
      if (input.oddPair === true) {
        machine.cpu.begin();
        machine.devices.intercepts.get(0xb9d3)?.execute(machine.cpu, 0xb9d30025 | 0, 0);
      } else machine.execute("rpcit", fh, start, length, 0n);
      expect(machine.cpu.programCode).toBe(row.expect.program ?? 0);
      expect(machine.cpu.cc).toBe(row.expect.cc ?? -1);
      expect(machine.cpu.status(2)).toBe(row.expect.status ?? 0);
      const { raised } = row.expect;
      expect(machine.raised.map(({ pec }) => pec)).toEqual(raised === undefined ? [] : [raised]);
      const failed = raised !== undefined;
      expect(machine.state(0)).toBe(failed ? FunctionState.ERROR : FunctionState.ENABLED);
    });
  }
});

describe("STPCIFC", () => {
  for (const row of rows("stpcifc")) {
    test(title(row), () => {
      const machine = deviceMachine();
      const { input } = row;
      machine.clpSet(0, 0);
      machine.buildTables();
      if (input.registered === undefined) machine.registerIoat(0);
      machine.fillFib();
      if (input.registered === "interrupts") machine.mpcifc(0, 2);
      machine.ram.fill(BLOCK, 80, 0x55);
      machine.cpu.problem = input.problem === true;
      const fh = bigOf(input.fh, BigInt(machine.handle(0))) << 32n;
      const request = fh | (BigInt(numberOf(input.dmaas, 0)) << 16n);
      machine.execute("stpcifc", request, 0n, 0n, bigOf(input.address, BigInt(BLOCK)));
      expect(machine.cpu.programCode).toBe(row.expect.program ?? 0);
      expect(machine.cpu.cc).toBe(row.expect.cc ?? -1);
      expect(machine.cpu.status(2)).toBe(row.expect.status ?? 0);
      if (row.expect.fc === undefined) return;
      expect(machine.ram.u8(BLOCK + 8)).toBe(Number(row.expect.fc));
      for (const [offset, value] of Object.entries(row.expect.words ?? {})) {
        expect(machine.ram.u32(BLOCK + Number(offset))).toBe(Number(value));
      }
      const high = row.expect.requestHigh;
      if (high !== undefined) expect(machine.cpu.gr(2) >> 32n).toBe(BigInt(high));
    });
  }
});

describe("SIC", () => {
  for (const row of rows("sic")) {
    test(title(row), () => {
      const machine = deviceMachine();
      const { input } = row;
      machine.cpu.problem = input.problem === true;
      const isc = BigInt(numberOf(input.isc, 0)) << 27n;
      machine.execute("sic", BigInt(numberOf(input.operation, 0)), isc, 0n, 0n);
      expect(machine.cpu.programCode).toBe(row.expect.program ?? 0);
      // The condition code stays as it was.
      expect(machine.cpu.cc).toBe(-1);
      const expected = Number(row.expect.suppression ?? 0);
      expect(machine.vmWord(VmBlock.suppression)).toBe(expected);
    });
  }
});

describe("the MIO forms", () => {
  test.each([
    ["PCISTGI", 0xb9d4],
    ["PCIWB", 0xb9d5],
    ["PCILGI", 0xb9d6],
    ["PCISTBI", 0xebd4],
  ])("zpci-guest.md 1.9: %s is not installed: an operation exception", (_name, key) => {
    expect(deviceMachine().devices.intercepts.has(key)).toBe(false);
  });
});

describe("CHSC", () => {
  for (const row of rows("chsc")) {
    test(title(row), () => {
      const machine = deviceMachine();
      const { input } = row;
      const { ram } = machine;
      machine.bringUp(0);
      for (const pec of input.pending ?? []) {
        machine.setState(0, FunctionState.ERROR);
        machine.publish(0, pec);
      }
      const length = numberOf(input.length, 16);
      ram.fill(BLOCK, 4096, 0x55);
      ram.setU16(BLOCK, length);
      ram.setU16(BLOCK + 2, numberOf(input.command, 0x0e));
      const mask = bigOf(input.mask, 0xa000000000000000n);
      ram.setU32(BLOCK + 8, Number(mask >> 32n));
      machine.cpu.problem = input.problem === true;
      machine.execute("chsc", bigOf(input.address, BigInt(BLOCK)), 0n, 0n, 0n);
      expect(machine.cpu.programCode).toBe(row.expect.program ?? 0);
      if (row.expect.program !== undefined) return;
      expect(machine.cpu.cc).toBe(0);
      const response = BLOCK + length;
      expect(ram.u16(response + 2)).toBe(row.expect.code);
      if (row.expect.responseLength !== undefined) {
        expect(ram.u16(response)).toBe(row.expect.responseLength);
      }
      if (row.expect.pec === undefined) return;
      expect(ram.u8(BLOCK + 23)).toBe(row.expect.nt);
      expect(ram.u8(BLOCK + 24) & 0x80).toBe(row.expect.more === true ? 0x80 : 0);
      expect(ram.u8(BLOCK + 27)).toBe(row.expect.contentCode);
      expect(machine.bytes(BLOCK + 28, 52)).toEqual(new Uint8Array(52));
      expect(ram.u32(BLOCK + 84)).toBe(machine.handle(0));
      expect(ram.u32(BLOCK + 88)).toBe(row.expect.fid);
      expect(ram.u16(BLOCK + 110)).toBe(row.expect.pec);
    });
  }
});

describe("SERVC", () => {
  for (const row of rows("sclp")) {
    test(title(row), () => {
      const machine = deviceMachine();
      const { input } = row;
      const { ram } = machine;
      const address = numberOf(input.address, BLOCK);
      if (ram.contains(address, 4096)) {
        ram.fill(address, 4096, 0);
        ram.setU16(address, numberOf(input.length, 8));
        ram.setU8(address + 8, numberOf(input.adapterType, 0));
        if (input.fid !== undefined) ram.setU32(address + 12, numberOf(input.fid, 0));
        if (input.maskLength !== undefined) {
          ram.setU16(address + 10, numberOf(input.maskLength, 0));
        }
      }
      machine.cpu.problem = input.problem === true;
      machine.execute("servc", bigOf(input.command, 0n), BigInt(address), 0n, 0n);
      expect(machine.cpu.programCode).toBe(row.expect.program ?? 0);
      if (row.expect.program !== undefined) return;
      expect(machine.cpu.cc).toBe(0);
      expect(hex16(ram.u16(address + 6))).toBe(row.expect.code);
      expect(machine.serviceParameter()).toBe(address);
    });
  }
});
