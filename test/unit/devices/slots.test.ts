import { beforeEach, describe, expect, it } from "vitest";
import {
  identityProblem,
  plugFunction,
  reserveFunction,
  slotIsFree,
} from "../../../src/devices/index.ts";
import { FunctionBlock, FunctionState } from "../../../src/shm/blocks.ts";
import { BLOCK, type DeviceMachine, deviceMachine } from "../../support/device-machine.ts";

let machine: DeviceMachine;
beforeEach(() => {
  machine = deviceMachine();
});

/** CLP List PCI as a guest asks for everything: FIDs with configuration bit and handle, and the flags byte. */
function list(): { flags: number; entries: { fid: number; configured: boolean; fh: number }[] } {
  const { ram } = machine;
  ram.fill(BLOCK, 4096, 0);
  ram.setU16(BLOCK, 32);
  ram.setU16(BLOCK + 2, 2);
  ram.setU16(BLOCK + 32, 4064);
  machine.execute("clp", 0n, BigInt(BLOCK), 0n, 0n);
  expect(ram.u16(BLOCK + 34)).toBe(0x0010);
  const entries = [];
  for (let at = 64; at < 32 + ram.u16(BLOCK + 32); at += 16) {
    entries.push({
      fid: ram.u32(BLOCK + at + 8),
      configured: ram.u32(BLOCK + at + 4) >>> 31 === 1,
      fh: ram.u32(BLOCK + at + 12),
    });
  }
  return { flags: ram.u8(BLOCK + 62), entries };
}

describe("a slot of the function table", () => {
  it("is not the guest's until it is announced: RESERVED functions are not listed", () => {
    const before = list().entries.length;
    machine.vm.words.fill(0, slotWord(1), slotWord(1) + FunctionBlock.sizeBytes / 4);
    expect(slotIsFree(machine.vm, 1)).toBe(true);
    reserveFunction(machine.vm, 1, { fid: 0x77, uid: 7 }, machine.regions[1] as never);
    expect(machine.state(1)).toBe(FunctionState.RESERVED);
    expect(list().entries).toHaveLength(before - 1);
    expect(machine.clpSet(1, 0)).toBe(0x0102); // zpci-guest.md 4.3, our answer for enable in RESERVED
  });

  it("takes another function under a new handle and generation, with books of its own", () => {
    const words = [FunctionBlock.errorsRaised, FunctionBlock.loads, FunctionBlock.permanent];
    for (const word of words) machine.setWord(0, word, 5);
    const handle = machine.handle(0);
    const generation = machine.generation(0);
    plugFunction(machine.vm, 0, { fid: 0x99, uid: 9 }, machine.regions[0] as never);
    expect(machine.state(0)).toBe(FunctionState.DISABLED);
    expect(machine.handle(0)).toBe(handle + 0x01000000);
    expect(machine.generation(0)).toBe(generation + 1);
    expect(words.map((word) => machine.word(0, word))).toEqual([0, 0, 0]);
  });

  it("is free again only when the guest has fetched the last event of its function", () => {
    expect(slotIsFree(machine.vm, 0)).toBe(false);
    machine.setState(0, FunctionState.RESERVED);
    expect(slotIsFree(machine.vm, 0)).toBe(true);
    machine.publish(0, 0x0304, { kind: 2 });
    expect(slotIsFree(machine.vm, 0)).toBe(false);
  });

  it("that is empty has no handle and no FID: 0 names nobody", () => {
    machine.vm.words.fill(0, slotWord(0), slotWord(0) + FunctionBlock.sizeBytes / 4);
    expect(machine.devices.zpci.byHandle(0)).toBeUndefined();
    expect(machine.devices.zpci.byFid(0)).toBeUndefined();
  });

  it("serves what was plugged into it last", () => {
    const { regions, facts } = machine.devices.zpci.all[1] as never as {
      regions: never;
      facts: object;
    };
    machine.devices.plug(0, { regions, facts: { ...facts, pft: 0x0b } as never, clearError: true });
    expect(machine.devices.zpci.all[0]?.facts.pft).toBe(0x0b);
    machine.devices.plug(0, undefined);
    expect(machine.devices.zpci.all[0]?.regions.load(0, 0, 4)).toBe(-22); // EINVAL
    expect(machine.devices.zpci.all[0]?.regions.store(0, 0, 4, 0, 0)).toBe(-22);
  });
});

describe("an availability event", () => {
  /** FH, FID and PEC of the next event that CHSC hands out. */
  function fetch(): [number, number, number] {
    const events = machine.devices.css.events;
    const slot = events.next();
    const bytes = new Uint8Array(32);
    const view = new DataView(bytes.buffer);
    events.copyCcdf(slot, bytes, view, 0);
    events.fetched(slot);
    return [view.getUint32(4), view.getUint32(8), view.getUint16(30)];
  }

  it("shows the handle of the moment it is fetched", () => {
    const fid = machine.word(0, FunctionBlock.fid);
    machine.publish(0, 0x0301, { kind: 2 });
    machine.clpSet(0, 0);
    expect(fetch()).toEqual([machine.handle(0), fid, 0x0301]);
  });

  it("keeps FH and FID of a function whose slot has another one by now", () => {
    const fid = machine.word(0, FunctionBlock.fid);
    const handle = machine.handle(0);
    machine.publish(0, 0x0304, { kind: 2 });
    plugFunction(machine.vm, 0, { fid: 0x99, uid: 9 }, machine.regions[0] as never);
    expect(fetch()).toEqual([handle, fid, 0x0304]);
  });

  it("0x0306 speaks of several functions: no FH, no FID", () => {
    machine.publish(0, 0x0306, { kind: 2 });
    machine.vm.view.setUint32(ccdfBody() + 4, 0);
    machine.vm.view.setUint32(ccdfBody() + 8, 0);
    expect(fetch()).toEqual([0, 0, 0x0306]);
  });
});

describe("identities", () => {
  it("FIDs are unique, UIDs where they are checked", () => {
    const { vm } = machine;
    const fid = machine.word(0, FunctionBlock.fid);
    expect(identityProblem(vm, { fid, uid: 0x50 }, true)).toMatch(/^fid 0x.* is already taken$/);
    expect(identityProblem(vm, { fid, uid: 0x50 }, true, 0)).toBeUndefined();
    expect(identityProblem(vm, { fid: 0x5000, uid: 1 }, true)).toMatch(
      /^uid 0x1 is already taken by the function with fid 0x/,
    );
    expect(identityProblem(vm, { fid: 0x5000, uid: 1 }, false)).toBeUndefined();
    expect(identityProblem(vm, { fid: 0x5000, uid: 0 }, true)).toMatch(/^uid 0x0 is outside/);
    expect(identityProblem(vm, { fid: 0x5000, uid: 0x10000 }, true)).toMatch(/^uid 0x10000 is/);
  });

  it.each([
    [true, 1],
    [false, 0],
  ])("CLP List PCI tells the guest whether UIDs are checked: %s", (uidChecking, flag) => {
    machine = deviceMachine({ uidChecking });
    expect(list().flags).toBe(flag);
  });
});

function slotWord(index: number): number {
  return (machine.vm.map.functionBlocks[index] as number) / 4;
}

function ccdfBody(): number {
  const ring = machine.vm.map.ccdfRings[0] as number;
  return ring + 256 + 32; // header of the ring, body of its first record
}
