import { describe, expect, test } from "vitest";
import { RequestKind } from "../../../src/abi/records.ts";
import {
  FunctionBlock,
  FunctionState,
  PHASE_DONE,
  PHASE_FAILED,
  PHASE_REQUESTED,
  PHASE_RUNNING,
} from "../../../src/shm/blocks.ts";
import { BLOCK, deviceMachine } from "../../support/device-machine.ts";

function broken() {
  const machine = deviceMachine({ clearError: true });
  machine.bringUp(0);
  machine.setState(0, FunctionState.ERROR);
  machine.fillFib();
  return machine;
}

describe("MPCIFC 9 and 7 on a host that clears errors", () => {
  test("tell the worker when they are asked for and when they are granted", () => {
    const machine = broken();
    machine.mpcifc(0, 9);
    machine.setWord(0, FunctionBlock.clearPhase, PHASE_DONE);
    machine.mpcifc(0, 9);
    machine.mpcifc(0, 7);
    machine.setWord(0, FunctionBlock.clearPhase, PHASE_DONE);
    machine.mpcifc(0, 7);
    expect(machine.cpu.cc).toBe(0);
    expect(machine.state(0)).toBe(FunctionState.ENABLED);
    expect(machine.requests(0).map(({ kind }) => kind)).toEqual([
      RequestKind.guestResetBlock,
      RequestKind.guestResetBlock,
      RequestKind.guestResetError,
      RequestKind.guestResetError,
    ]);
  });

  test("that the host refuses end with cc 1 status 40 and the state stays", () => {
    const machine = broken();
    machine.mpcifc(0, 9);
    machine.setWord(0, FunctionBlock.clearPhase, PHASE_FAILED);
    machine.mpcifc(0, 9);
    expect([machine.cpu.cc, machine.cpu.status(2)]).toEqual([1, 40]);
    expect(machine.state(0)).toBe(FunctionState.ERROR);
  });

  test("an operation that ended counts even if the guest has turned to the other one", () => {
    const machine = broken();
    machine.mpcifc(0, 9);
    machine.setWord(0, FunctionBlock.clearPhase, PHASE_DONE);
    machine.mpcifc(0, 7);
    expect(machine.cpu.cc).toBe(2);
    expect(machine.state(0)).toBe(FunctionState.BLOCKED);
    expect(machine.word(0, FunctionBlock.clearPhase)).toBe(PHASE_REQUESTED | (7 << 8));
  });

  test("are cc 2 while the host works, without a second request", () => {
    const machine = broken();
    machine.mpcifc(0, 9);
    machine.setWord(0, FunctionBlock.clearPhase, PHASE_RUNNING);
    for (let n = 0; n < 5; n++) {
      machine.mpcifc(0, n % 2 === 0 ? 7 : 9);
      expect(machine.cpu.cc).toBe(2);
    }
    expect(machine.requests(0)).toHaveLength(1);
  });

  test("are refused with status 40 while a host reset runs", () => {
    const machine = broken();
    machine.clpSet(0, 1);
    machine.fillFib();
    machine.mpcifc(0, 9);
    expect([machine.cpu.cc, machine.cpu.status(2)]).toEqual([1, 40]);
  });

  test("the end of an operation asked for before a reset does not unblock the new generation", () => {
    const machine = broken();
    machine.mpcifc(0, 9);
    machine.devices.reset();
    machine.setWord(0, FunctionBlock.clearPhase, PHASE_DONE);
    machine.bringUp(0);
    machine.setState(0, FunctionState.ERROR);
    machine.fillFib();
    machine.mpcifc(0, 9);
    expect(machine.cpu.cc).toBe(2);
    expect(machine.state(0)).toBe(FunctionState.ERROR);
  });

  test("are not refused for the end of a reset that nobody took before the function was deconfigured", () => {
    const machine = broken();
    machine.clpSet(0, 1); // asks for a reset …
    machine.devices.reset(); // … and nobody asks how it went
    machine.setWord(0, FunctionBlock.resetPhase, PHASE_DONE);
    machine.bringUp(0);
    machine.setState(0, FunctionState.ERROR);
    machine.fillFib();
    machine.mpcifc(0, 9);
    expect(machine.cpu.cc).toBe(2);
    expect(machine.word(0, FunctionBlock.clearPhase)).toBe(PHASE_REQUESTED | (9 << 8));
  });

  test("a permanent error that came meanwhile is cc 3", () => {
    const machine = broken();
    machine.mpcifc(0, 7);
    machine.setState(0, FunctionState.PERMANENT_ERROR);
    machine.setWord(0, FunctionBlock.clearPhase, PHASE_DONE);
    machine.mpcifc(0, 7);
    expect(machine.cpu.cc).toBe(3);
    expect(machine.state(0)).toBe(FunctionState.PERMANENT_ERROR);
  });
});

describe("STPCIFC", () => {
  test("stores what MPCIFC registered", () => {
    const machine = deviceMachine();
    const fh = machine.bringUp(0);
    machine.fillFib();
    machine.mpcifc(0, 2);
    machine.fillFib();
    machine.fibView().setBigUint64(64, 0x9200n);
    machine.mpcifc(0, 10);
    machine.ram.fill(BLOCK, 80, 0x55);
    machine.execute("stpcifc", BigInt(fh) << 32n, 0n, 0n, BigInt(BLOCK));
    expect(machine.cpu.cc).toBe(0);
    const fib = machine.fibView();
    // zpci-guest.md 3.1: offsets of fc, pba, pal, iota, the word at 40, aibv, aisb, fmb
    expect(fib.getUint8(8)).toBe(0x90);
    expect(fib.getBigUint64(16)).toBe(0x1_0000_0000n);
    expect(fib.getBigUint64(24)).toBe(0x1_003f_ffffn);
    expect(fib.getBigUint64(32)).toBe(0x20_0804n);
    expect(fib.getUint32(40)).toBe(0x20410080);
    expect(fib.getBigUint64(48)).toBe(0x9000n);
    expect(fib.getBigUint64(56)).toBe(0x9100n);
    expect(fib.getBigUint64(64)).toBe(0x9200n);
  });

  test("looks the function up by index and gives the enable bit back in R1", () => {
    const machine = deviceMachine();
    machine.bringUp(1);
    machine.execute("stpcifc", 0x00010001_00000000n, 0n, 0n, BigInt(BLOCK));
    expect(machine.cpu.cc).toBe(0);
    expect(machine.cpu.gr(2)).toBe(0x80010001_00000000n);
    machine.execute("stpcifc", 0x00010003_00000000n, 0n, 0n, BigInt(BLOCK));
    expect(machine.cpu.cc).toBe(3);
  });

  test("checks DMAAS before the address, and the address before the handle", () => {
    const machine = deviceMachine();
    machine.execute("stpcifc", 0x00010001_00010000n, 0n, 0n, 0x8004n);
    expect([machine.cpu.cc, machine.cpu.status(2)]).toEqual([1, 28]);
    machine.execute("stpcifc", 0x00010077_00000000n, 0n, 0n, 0x8004n);
    expect(machine.cpu.programCode).toBe(6);
  });

  test("of a disabled function with an enabled handle is cc 3", () => {
    const machine = deviceMachine();
    machine.execute("stpcifc", 0x80010000_00000000n, 0n, 0n, BigInt(BLOCK));
    expect(machine.cpu.cc).toBe(3);
  });
});
