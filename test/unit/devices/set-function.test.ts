import { describe, expect, test } from "vitest";
import { RequestKind, TraceKind } from "../../../src/abi/records.ts";
import {
  FunctionBlock,
  FunctionState,
  PHASE_DONE,
  PHASE_FAILED,
  PHASE_IDLE,
  PHASE_REQUESTED,
  PHASE_RUNNING,
  WORK_REQUEST,
} from "../../../src/shm/blocks.ts";
import { BLOCK, deviceMachine } from "../../support/device-machine.ts";

const ENABLE = 0;
const DISABLE = 1;

describe("CLP enable", () => {
  test("counts the instance bits of the handle up and tells the worker the new handle", () => {
    const machine = deviceMachine();
    const handles = [];
    for (let n = 0; n < 3; n++) {
      expect(machine.clpSet(1, ENABLE)).toBe(0x0010);
      handles.push(machine.handle(1));
      expect(machine.clpSet(1, DISABLE)).toBe(0x0010);
    }
    expect(handles).toEqual([0x81010001, 0x82010001, 0x83010001]);
    const enabled = machine.requests(1).filter(({ kind }) => kind === RequestKind.guestEnable);
    expect(enabled.map(({ b0 }) => b0 >>> 0)).toEqual(handles);
  });

  test("wraps the instance from 127 to 0 and never touches kind and index", () => {
    const machine = deviceMachine();
    machine.setWord(2, FunctionBlock.guestHandle, 0x7f010002);
    machine.clpSet(2, ENABLE);
    expect(machine.handle(2)).toBe(0x80010002);
  });

  test("is refused with 0x0106 while a permanent error stands, and allowed after deconfigure", () => {
    const machine = deviceMachine();
    machine.bringUp(0);
    machine.setState(0, FunctionState.PERMANENT_ERROR);
    expect(machine.clpSet(0, DISABLE)).toBe(0x0010);
    expect(machine.clpSet(0, ENABLE)).toBe(0x0106);
    for (const command of [0x001b0001n, 0x001a0001n]) {
      machine.ram.fill(BLOCK, 16, 0);
      machine.ram.setU16(BLOCK, 16);
      machine.ram.setU8(BLOCK + 8, 2);
      machine.ram.setU32(BLOCK + 12, 0x11);
      machine.execute("servc", command, BigInt(BLOCK), 0n, 0n);
      expect(machine.ram.u16(BLOCK + 6)).toBe(0x0020);
    }
    expect(machine.clpSet(0, ENABLE)).toBe(0x0010);
  });

  test("answers busy while the worker resets the host on its own account", () => {
    const machine = deviceMachine();
    machine.setWord(0, FunctionBlock.resetPhase, PHASE_RUNNING);
    expect(machine.clpSet(0, ENABLE)).toBe(0x0108);
    machine.setWord(0, FunctionBlock.resetPhase, PHASE_IDLE);
    expect(machine.clpSet(0, ENABLE)).toBe(0x0010);
  });

  test("answers busy instead of losing a request when the worker is a full ring behind", () => {
    const machine = deviceMachine();
    let cycles = 0;
    let code = 0x0010;
    while (code === 0x0010 && cycles < 100) {
      code = machine.clpSet(0, cycles % 2 === 0 ? ENABLE : DISABLE);
      cycles += 1;
    }
    expect(code).toBe(0x0108);
    expect(cycles).toBe(65);
    expect(machine.requests(0)).toHaveLength(64);
    expect(machine.clpSet(0, ENABLE)).toBe(0x0010);
  });

  test("starts without the registrations that a forced unplug left behind", () => {
    const machine = deviceMachine();
    machine.bringUp(0);
    machine.setState(0, FunctionState.RESERVED);
    machine.setState(0, FunctionState.DISABLED);
    expect(machine.handle(0) >>> 31).toBe(0);
    machine.clpSet(0, ENABLE);
    machine.registerIoat(0);
    expect(machine.cpu.cc).toBe(0);
  });
});

describe("CLP disable", () => {
  test("ends the generation and drops interrupts, translation and measurement", () => {
    const machine = deviceMachine();
    machine.bringUp(0);
    machine.fillFib();
    machine.mpcifc(0, 2);
    const before = machine.generation(0);
    expect(machine.clpSet(0, DISABLE)).toBe(0x0010);
    expect(machine.generation(0)).toBe(before + 1);
    expect(machine.word(0, FunctionBlock.fibFlags)).toBe(0);
    expect(machine.word(0, FunctionBlock.aibvLow)).toBe(0);
    expect(machine.word(0, FunctionBlock.iotaLow)).toBe(0);
  });

  test("in error asks once for the host reset, rings the worker, and is busy until it has ended", () => {
    const machine = deviceMachine();
    machine.bringUp(0);
    machine.setState(0, FunctionState.ERROR);
    for (let n = 0; n < 5; n++) expect(machine.clpSet(0, DISABLE)).toBe(0x0108);
    expect(machine.word(0, FunctionBlock.resetPhase)).toBe(PHASE_REQUESTED);
    expect(machine.word(0, FunctionBlock.workerSummary) & WORK_REQUEST).toBe(WORK_REQUEST);
    expect(machine.requests(0)).toEqual([
      { kind: RequestKind.guestDisable, b0: FunctionState.ERROR },
    ]);
    const polls = machine.traced().filter(({ kind }) => kind === TraceKind.guestClp);
    expect(polls.map(({ b1 }) => b1)).toEqual([0x0108]);
    machine.setWord(0, FunctionBlock.resetPhase, PHASE_RUNNING);
    expect(machine.clpSet(0, DISABLE)).toBe(0x0108);
    machine.setWord(0, FunctionBlock.resetPhase, PHASE_DONE);
    expect(machine.clpSet(0, DISABLE)).toBe(0x0010);
    expect(machine.word(0, FunctionBlock.resetPhase)).toBe(PHASE_IDLE);
    expect(machine.state(0)).toBe(FunctionState.DISABLED);
    expect(machine.requests(0)).toEqual([
      { kind: RequestKind.guestDisable, b0: FunctionState.ERROR },
    ]);
  });

  test("after a host reset that failed succeeds, and leaves a permanent error behind", () => {
    const machine = deviceMachine();
    machine.bringUp(0);
    machine.setState(0, FunctionState.BLOCKED);
    expect(machine.clpSet(0, DISABLE)).toBe(0x0108);
    machine.setWord(0, FunctionBlock.resetPhase, PHASE_FAILED);
    expect(machine.clpSet(0, DISABLE)).toBe(0x0010);
    expect(machine.word(0, FunctionBlock.permanent)).toBe(1);
    expect(machine.clpSet(0, ENABLE)).toBe(0x0106);
  });

  test("that turns permanent while the host reset runs waits for it and is then permanent", () => {
    const machine = deviceMachine();
    machine.bringUp(0);
    machine.setState(0, FunctionState.ERROR);
    machine.clpSet(0, DISABLE);
    machine.setState(0, FunctionState.PERMANENT_ERROR);
    expect(machine.clpSet(0, DISABLE)).toBe(0x0108);
    machine.setWord(0, FunctionBlock.resetPhase, PHASE_DONE);
    expect(machine.clpSet(0, DISABLE)).toBe(0x0010);
    expect(machine.word(0, FunctionBlock.permanent)).toBe(1);
  });

  test("does not take the end of an earlier generation's host reset for its own", () => {
    const machine = deviceMachine();
    machine.bringUp(0);
    machine.setState(0, FunctionState.ERROR);
    machine.clpSet(0, DISABLE);
    machine.devices.reset(); // machine reset in the middle of it
    machine.setWord(0, FunctionBlock.resetPhase, PHASE_DONE);
    machine.bringUp(0);
    machine.setState(0, FunctionState.ERROR);
    expect(machine.clpSet(0, DISABLE)).toBe(0x0108);
    expect(machine.word(0, FunctionBlock.resetPhase)).toBe(PHASE_REQUESTED);
  });
});

describe("proof of life", () => {
  test("is the first good load after enable and register-IOAT, told once", () => {
    const machine = deviceMachine();
    machine.clpSet(0, ENABLE);
    const load = (): void => {
      const fh = BigInt(machine.handle(0)) << 32n;
      machine.execute("pcilg", 0n, fh | 0xf0004n, 0n, 0n);
    };
    load();
    machine.buildTables();
    machine.registerIoat(0);
    machine.requests(0);
    load();
    load();
    expect(machine.requests(0)).toEqual([{ kind: RequestKind.guestProof, b0: 0 }]);
    expect(machine.traced().filter(({ kind }) => kind === TraceKind.guestProof)).toHaveLength(1);
  });

  test("is not a load of all ones, which a dead function gives", () => {
    const machine = deviceMachine();
    const fh = BigInt(machine.bringUp(0)) << 32n;
    machine.regions[0]?.bar.fill(0xff);
    for (const length of [1n, 2n, 4n, 8n]) machine.execute("pcilg", 0n, fh | length, 0n, 0n);
    expect(machine.requests(0)).toEqual([]);
    machine.regions[0]?.bar.fill(0xfe);
    machine.execute("pcilg", 0n, fh | 8n, 0n, 0n);
    expect(machine.requests(0)).toEqual([{ kind: RequestKind.guestProof, b0: 0 }]);
  });
});
