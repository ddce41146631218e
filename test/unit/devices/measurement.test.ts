/** Offsets and meanings: zpci-guest.md 11. The interval is the default group's, 4000 ms (zpci-guest.md 2.4). */
import { describe, expect, it } from "vitest";
import { Measurement } from "../../../src/devices/index.ts";
import { store } from "../../../src/shm/atomics.ts";
import { FunctionBlock, FunctionState } from "../../../src/shm/blocks.ts";
import { type DeviceMachine, DMA_START, deviceMachine } from "../../support/device-machine.ts";

const FMB = 0xa000;
const SECOND_US = 1_000_000;

function measured(): { machine: DeviceMachine; measurement: Measurement } {
  const machine = deviceMachine();
  machine.bringUp(0);
  return { machine, measurement: new Measurement(machine.vm, machine.ram, 0, 0) };
}

function setMeasurement(machine: DeviceMachine, address: number): void {
  machine.fillFib();
  machine.fibView().setBigUint64(64, BigInt(address));
  machine.mpcifc(0, 10);
  expect(machine.cpu.cc).toBe(0);
}

/** PCILG of config space. */
function loadConfig(machine: DeviceMachine): void {
  const fh = BigInt(machine.handle(0)) << 32n;
  machine.execute("pcilg", 0n, fh | (15n << 16n) | 4n, 0n, 0n);
}

function u64(machine: DeviceMachine, offset: number): bigint {
  const view = new DataView(machine.vm.buffer, machine.vm.map.ramOffset + FMB, 64);
  return view.getBigUint64(offset);
}

describe("the function measurement block", () => {
  it("is written every mui milliseconds with what happened since it was switched on", () => {
    const { machine, measurement } = measured();
    loadConfig(machine); // before: does not count
    setMeasurement(machine, FMB);
    loadConfig(machine);
    loadConfig(machine);
    machine.dma[0]?.transfer(DMA_START + 0x5000n, new Uint8Array(100), false);
    machine.dma[0]?.transfer(DMA_START + 0x6000n, new Uint8Array(5000), true);
    const fh = BigInt(machine.handle(0)) << 32n;
    machine.execute("rpcit", fh, DMA_START, 0x1000n, 0n);
    expect(measurement.step(0)).toBe(0);
    expect(measurement.nextEventUs()).toBe(4 * SECOND_US);
    measurement.step(3.9 * SECOND_US);
    expect(machine.ram.u32(FMB + 4)).toBe(0);
    measurement.step(4 * SECOND_US);
    expect(machine.ram.u32(FMB)).toBe(0x0080_0000); // format 0, DMA counters valid
    expect(machine.ram.u32(FMB + 4)).toBe(1); // samples
    expect([16, 24, 32, 40, 48, 56].map((at) => u64(machine, at))).toEqual([
      2n,
      0n,
      0n,
      1n,
      100n,
      5000n,
    ]);
    loadConfig(machine);
    measurement.step(8 * SECOND_US);
    expect([machine.ram.u32(FMB + 4), u64(machine, 16)]).toEqual([2, 3n]);
  });

  it("bears the time of its update: the TOD clock doubled, with bit 63 zero when it is whole", () => {
    const { machine, measurement } = measured();
    setMeasurement(machine, FMB);
    measurement.step(0);
    measurement.step(4 * SECOND_US);
    const todAtUnixEpoch = 0x7d91048bca000000n; // Linux arch/s390/include/asm/timex.h, TOD_UNIX_EPOCH
    const expected = BigInt.asUintN(64, (todAtUnixEpoch + (BigInt(4 * SECOND_US) << 12n)) << 1n);
    expect(u64(machine, 8)).toBe(expected);
    expect(u64(machine, 8) & 1n).toBe(0n);
  });

  it("counts store blocks apart from stores", () => {
    const { machine, measurement } = measured();
    setMeasurement(machine, FMB);
    measurement.step(0);
    const request = (BigInt(machine.handle(0)) << 32n) | 16n;
    machine.execute("pcistb", request, 0n, 0n, 0x9000n);
    expect(machine.cpu.cc).toBe(0);
    measurement.step(4 * SECOND_US);
    expect([u64(machine, 24), u64(machine, 32)]).toEqual([0n, 1n]);
  });

  it("goes on counting when its address changes, starts anew when it was off meanwhile", () => {
    const { machine, measurement } = measured();
    setMeasurement(machine, 0xb000);
    measurement.step(0);
    loadConfig(machine);
    setMeasurement(machine, FMB);
    measurement.step(2 * SECOND_US); // the interval begins again
    measurement.step(5.9 * SECOND_US);
    expect(machine.ram.u32(FMB + 4)).toBe(0);
    measurement.step(6 * SECOND_US);
    expect(u64(machine, 16)).toBe(1n);
    setMeasurement(machine, 0);
    expect(measurement.nextEventUs()).toBe(Number.POSITIVE_INFINITY);
    setMeasurement(machine, FMB);
    measurement.step(7 * SECOND_US);
    measurement.step(11 * SECOND_US);
    expect([machine.ram.u32(FMB + 4), u64(machine, 16)]).toEqual([1, 0n]);
  });

  it("a block outside storage is event 0x002a, and updates stop", () => {
    const { machine, measurement } = measured();
    setMeasurement(machine, 0x7fff_fff0);
    measurement.step(0);
    expect(measurement.step(4 * SECOND_US)).toBe(0x002a);
    expect(measurement.step(8 * SECOND_US)).toBe(0);
    expect(machine.word(0, FunctionBlock.fmbLow)).toBe(0);
  });

  it("a block that the guest names while another is found outside storage stays", () => {
    const { machine } = measured();
    setMeasurement(machine, 0x7fff_fff0);
    const block = (machine.vm.map.functionBlocks[0] as number) / 4;
    const contains = (): boolean => {
      store(machine.vm.words, block + FunctionBlock.fmbLow, FMB); // MPCIFC 10 on another thread
      return false;
    };
    const ram = Object.create(machine.ram, { contains: { value: contains } });
    const measurement = new Measurement(machine.vm, ram, 0, 0);
    measurement.step(0);
    expect(measurement.step(4 * SECOND_US)).toBe(0x002a); // of the first
    expect(machine.word(0, FunctionBlock.fmbLow)).toBe(FMB);
  });

  it("ends with CLP disable", () => {
    const { machine, measurement } = measured();
    setMeasurement(machine, FMB);
    measurement.step(0);
    machine.clpSet(0, 1);
    measurement.step(4 * SECOND_US);
    expect(machine.ram.u32(FMB + 4)).toBe(0);
  });

  it.each(["PERMANENT_ERROR", "RESERVED"] as const)(
    "is not written in %s: MPCIFC 10 has cc 3 there, and the guest frees the block",
    (state) => {
      const { machine, measurement } = measured();
      setMeasurement(machine, FMB);
      measurement.step(0);
      machine.setState(0, FunctionState[state]);
      machine.fillFib();
      machine.mpcifc(0, 10);
      expect(machine.cpu.cc).toBe(3);
      measurement.step(4 * SECOND_US);
      expect(machine.ram.u32(FMB + 4)).toBe(0);
    },
  );
});
