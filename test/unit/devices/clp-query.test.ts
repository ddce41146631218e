import { describe, expect, test } from "vitest";
import { FunctionState } from "../../../src/shm/blocks.ts";
import { BLOCK, type DeviceMachine, deviceMachine } from "../../support/device-machine.ts";

function query(machine: DeviceMachine, command: number, word: number, length: number): DataView {
  machine.ram.fill(BLOCK, 8192, 0);
  machine.ram.setU16(BLOCK, 32);
  machine.ram.setU16(BLOCK + 2, command);
  machine.ram.setU32(BLOCK + 16, word);
  machine.ram.setU16(BLOCK + 32, length);
  machine.execute("clp", 0n, BigInt(BLOCK), 0n, 0n);
  return new DataView(machine.bytes(BLOCK + 32, length).buffer);
}

describe("List PCI functions", () => {
  test("describes each function by ids, configuration, FID and current handle", () => {
    const machine = deviceMachine();
    machine.clpSet(1, 0);
    const list = query(machine, 2, 0, 4064);
    // zpci-guest.md 2.2: max functions at 28, flags at 30, entry size at 31, entries from 32
    expect(list.getUint16(28)).toBe(4096);
    expect(list.getUint8(30)).toBe(0x01);
    expect(list.getUint8(31)).toBe(16);
    expect(list.getUint16(48)).toBe(0x0010); // device id
    expect(list.getUint16(50)).toBe(0x1b36); // vendor id
    expect(list.getUint32(52)).toBe(0x80000000);
    expect(list.getUint32(56)).toBe(0x22);
    expect(list.getUint32(60)).toBe(0x81010001);
  });

  test("shows the ids of before while a function in error reads as all ones", () => {
    const machine = deviceMachine();
    machine.bringUp(0);
    query(machine, 2, 0, 4064);
    machine.regions[0]?.config.fill(0xff);
    machine.setState(0, FunctionState.ERROR);
    const list = query(machine, 2, 0, 4064);
    expect(list.getUint32(32)).toBe(0x00101b36);
    expect(list.getUint32(44)).toBe(machine.handle(0));
  });

  test("knows the ids of a function that broke before the guest first asked", () => {
    const machine = deviceMachine();
    machine.regions[0]?.config.fill(0xff);
    expect(query(machine, 2, 0, 4064).getUint32(32)).toBe(0x00101b36);
  });

  test("resumes from any token it handed out, also across functions that are not listed", () => {
    const machine = deviceMachine();
    machine.setState(1, FunctionState.RESERVED);
    const first = query(machine, 2, 0, 48);
    expect(first.getUint32(20)).toBe(2);
    machine.ram.setU32(BLOCK + 16, 0);
    machine.ram.setU32(BLOCK + 20, 2);
    machine.ram.setU16(BLOCK + 32, 48);
    machine.execute("clp", 0n, BigInt(BLOCK), 0n, 0n);
    expect(machine.ram.u32(BLOCK + 32 + 40)).toBe(0x33);
    expect(machine.ram.u32(BLOCK + 32 + 20)).toBe(0);
  });
});

describe("Query PCI function", () => {
  test("fills the response at the offsets of the sheet", () => {
    const machine = deviceMachine();
    const response = query(machine, 3, machine.handle(1), 384);
    // zpci-guest.md 2.3
    expect(response.getUint16(2)).toBe(0x0010);
    expect(response.getUint8(19)).toBe(0x0a);
    expect(response.getUint32(20)).toBe(0x22);
    expect([...new Uint8Array(response.buffer, 24, 6)]).toEqual([14, 0, 0, 0, 0, 0]);
    expect(response.getUint16(30)).toBe(0x1c0);
    expect(response.getUint32(32, true)).toBe(0x04);
    expect(response.getUint8(63)).toBe(0x0b);
    expect(response.getBigUint64(64)).toBe(0x1_0000_0000n);
    expect(response.getBigUint64(72)).toBe(0x01ff_ffff_ffff_ffffn);
    expect(response.getUint32(124)).toBe(2);
    // Linux's structure is longer than what is filled; the rest stays zero.
    expect([...new Uint8Array(response.buffer, 192, 192)].every((byte) => byte === 0)).toBe(true);
  });

  test("cut off by a short response block writes nothing behind it", () => {
    const machine = deviceMachine();
    machine.ram.fill(BLOCK, 256, 0x77);
    machine.ram.fill(BLOCK, 40, 0);
    machine.ram.setU16(BLOCK, 32);
    machine.ram.setU16(BLOCK + 2, 3);
    machine.ram.setU32(BLOCK + 16, machine.handle(0));
    machine.ram.setU16(BLOCK + 32, 8);
    machine.execute("clp", 0n, BigInt(BLOCK), 0n, 0n);
    expect(machine.ram.u16(BLOCK + 34)).toBe(0x0010);
    expect([...machine.bytes(BLOCK + 40, 200)].every((byte) => byte === 0x77)).toBe(true);
  });
});

describe("Query PCI function group", () => {
  test("describes the group of the functions", () => {
    const group = query(deviceMachine(), 4, 0x0a, 64);
    // zpci-guest.md 2.4
    expect(group.getUint16(16)).toBe(65);
    expect(group.getUint8(18)).toBe(1);
    expect(group.getUint8(19)).toBe(0x01);
    expect(group.getUint16(20)).toBe(128);
    expect(group.getUint16(22)).toBe(4000);
    expect(group.getUint8(24)).toBe(0x40);
    expect(group.getBigUint64(40)).toBe(0xfe00_0000_0000_0000n);
  });

  test("has QEMU's default group 0xff beside them", () => {
    const group = query(deviceMachine(), 4, 0xff, 64);
    expect(group.getUint16(2)).toBe(0x0010);
    expect(group.getUint16(16)).toBe(128);
  });
});

describe("CLP immediate form", () => {
  test("command 1 gives the installed logical processors, anything else cc 3", () => {
    const machine = deviceMachine();
    const clp = machine.devices.intercepts.get(0xb9a0);
    machine.cpu.begin();
    machine.cpu.setRegister(4, 1n);
    clp?.execute(machine.cpu, 0xb9a08224 | 0, 0);
    // zpci-guest.md 1.1: base 0 and PCI 2
    expect(machine.cpu.gr(2)).toBe(0xa000_0000_0000_0000n);
    expect(machine.cpu.cc).toBe(0);
    machine.cpu.setRegister(4, 2n);
    clp?.execute(machine.cpu, 0xb9a08224 | 0, 0);
    expect(machine.cpu.cc).toBe(3);
    clp?.execute(machine.cpu, 0xb9a00524 | 0, 0);
    expect(machine.cpu.cc).toBe(3);
  });
});
