/** A host that maps page by page: what MPCIFC and RPCIT ask of it, and what the guest hears meanwhile. */
import { describe, expect, it } from "vitest";
import { FunctionBlock, FunctionState } from "../../../src/shm/blocks.ts";
import { type DeviceMachine, DMA_START, deviceMachine } from "../../support/device-machine.ts";

const PHASE = { idle: 0, requested: 1, done: 3, failed: 4 };
const AVAIL = 0x10000;

/** What the worker would have mapped: page from DMA_START on -> frame * 2 + read-only. */
class Host {
  readonly pages = new Map<number, number>();
  batches = 0;
  largest = 0;

  readonly machine: DeviceMachine;
  readonly limit: number;

  constructor(machine: DeviceMachine, limit = Number.POSITIVE_INFINITY) {
    this.machine = machine;
    this.limit = limit;
  }

  /** Carries out the batch that stands, if one does. */
  serve(): boolean {
    const word = (name: number): number => this.machine.word(0, name);
    if (word(FunctionBlock.mapPhase) !== PHASE.requested) return false;
    const count = word(FunctionBlock.mapCount);
    this.batches += 1;
    this.largest = Math.max(this.largest, count);
    let phase = PHASE.done;
    for (let n = 0; n < count; n++) {
      const at = FunctionBlock.mapEntries + n * 3;
      const [page, pages, frame] = [word(at), word(at + 1), word(at + 2)];
      for (const mapped of [...this.pages.keys()]) {
        if (mapped >= page && mapped < page + pages) this.pages.delete(mapped);
      }
      if (frame < 0) continue;
      if (this.pages.size >= this.limit) phase = PHASE.failed;
      else this.pages.set(page, frame);
    }
    this.machine.setWord(0, FunctionBlock.mapPhase, phase);
    return true;
  }

  /** Repeats an instruction until it is not busy; returns cc and status. */
  until(instruction: () => void): [number, number] {
    for (let tries = 0; tries < 5000; tries++) {
      instruction();
      const { cpu } = this.machine;
      if (cpu.programCode !== 0) return [-cpu.programCode, 0];
      if (cpu.cc !== 2) return [cpu.cc, cpu.cc === 1 ? cpu.status(2) : 0];
      this.serve();
    }
    return [2, 0];
  }

  /** @param bytes of the aperture; guest storage has 4 MiB */
  register(bytes = 0x40_0000): [number, number] {
    return this.until(() => {
      this.machine.fillFib();
      this.machine.fibView().setBigUint64(24, DMA_START + BigInt(bytes) - 1n);
      this.machine.mpcifc(0, 4);
    });
  }

  refresh(address: number, length: number): [number, number] {
    const fh = BigInt(this.machine.handle(0)) << 32n;
    const start = DMA_START + BigInt(address);
    return this.until(() => this.machine.execute("rpcit", fh, start, BigInt(length), 0n));
  }
}

function pinned(limit?: number): Host {
  const machine = deviceMachine({ dmaAvail: AVAIL });
  machine.clpSet(0, 0);
  machine.buildTables();
  return new Host(machine, limit);
}

describe("MPCIFC 4", () => {
  it("answers cc 2 until every valid entry of the guest's table is mapped, then cc 0", () => {
    const host = pinned();
    host.machine.registerIoat(0);
    expect(host.machine.cpu.cc).toBe(2);
    expect(host.machine.word(0, FunctionBlock.fibFlags)).toBe(0); // nothing is registered yet
    expect(host.register()).toEqual([0, 0]);
    expect(host.pages.size).toBe(4 * 256); // the four segments of buildTables
    expect(host.pages.get(0x123)).toBe(0x123 * 2);
    expect(host.machine.word(0, FunctionBlock.fibFlags)).toBe(2); // FIB_IOAT
  });

  it("asks for at most 64 entries at a time", () => {
    const host = pinned();
    host.register();
    expect(host.largest).toBe(64);
    expect(host.batches).toBeGreaterThanOrEqual(1024 / 64);
  });

  it("maps protected pages read-only, and nothing for invalid or malformed entries", () => {
    const host = pinned();
    const { machine } = host;
    const entry = (page: number, low: number): void =>
      machine.ram.setU32(machine.pageEntry(page * 0x1000) + 4, low);
    entry(0x10, 0x10000 | 0x200); // P
    entry(0x11, 0x400); //           I
    entry(0x12, 0); //               malformed: 0x0007 when the device meets it
    host.register();
    expect(host.pages.get(0x10)).toBe(0x10 * 2 + 1);
    expect([host.pages.has(0x11), host.pages.has(0x12)]).toEqual([false, false]);
    expect(host.pages.size).toBe(1024 - 2);
  });

  it("ends with cc 1 status 16 when the host has no room for all, and registers nothing", () => {
    const host = pinned(100);
    expect(host.register()).toEqual([1, 16]);
    expect(host.machine.word(0, FunctionBlock.fibFlags)).toBe(0);
    expect(host.machine.word(0, FunctionBlock.mapPhase)).toBe(PHASE.idle);
  });

  it("that asks for other tables than the last one begins anew", () => {
    const host = pinned();
    const { machine } = host;
    machine.registerIoat(0);
    host.serve();
    machine.fillFib();
    machine.fibView().setBigUint64(16, DMA_START + 0x100000n); // another aperture
    machine.mpcifc(0, 4);
    expect(machine.cpu.cc).toBe(2);
    const [page, pages, frame] = [0, 1, 2].map((n) =>
      machine.word(0, FunctionBlock.mapEntries + n),
    );
    expect([page, pages, frame]).toEqual([0, AVAIL, -1]); // everything goes first
  });

  it("a function that fails between two batches hears of it instead of the rest", () => {
    const host = pinned();
    host.machine.registerIoat(0);
    host.serve();
    host.machine.setState(0, FunctionState.ERROR);
    expect(host.register()).toEqual([1, 40]);
  });
});

describe("MPCIFC 5 and 6", () => {
  it("5 answers cc 2 until everything is unmapped", () => {
    const host = pinned();
    host.register();
    expect(host.until(() => host.machine.mpcifc(0, 5))).toEqual([0, 0]);
    expect(host.pages.size).toBe(0);
    expect(host.machine.word(0, FunctionBlock.fibFlags)).toBe(0);
    expect(host.until(() => host.machine.mpcifc(0, 5))).toEqual([1, 24]); // not registered
  });

  it("6 maps the new tables in the place of the old ones", () => {
    const host = pinned();
    host.register();
    const { machine } = host;
    machine.ram.setU32(machine.pageEntry(0x5000) + 4, 0x99000);
    const again = (): void => {
      machine.fillFib();
      machine.mpcifc(0, 6);
    };
    expect(host.until(again)).toEqual([0, 0]);
    expect(host.pages.get(5)).toBe(0x99 * 2);
    expect(host.pages.size).toBe(1024);
  });
});

describe("RPCIT", () => {
  it("maps what became valid and unmaps what became invalid, before it ends with cc 0", () => {
    const host = pinned();
    host.register();
    const { machine } = host;
    machine.ram.setU32(machine.pageEntry(0x20000) + 4, 0x400);
    machine.ram.setU32(machine.pageEntry(0x21000) + 4, 0x55000);
    expect(host.refresh(0x20000, 0x2000)).toEqual([0, 0]);
    expect([host.pages.get(0x20), host.pages.get(0x21)]).toEqual([undefined, 0x55 * 2]);
    expect(host.pages.get(0x22)).toBe(0x22 * 2);
  });

  it("cc 1 status 16 when dma_avail is used up; a flush of the whole aperture makes room", () => {
    const host = pinned(1024);
    host.register(0x100_0000);
    const { machine } = host;
    // A fifth segment, one page of it valid: there is no room for that page.
    const tables = machine.pageEntry(0) - 0x8000;
    machine.ram.setU32(tables + 0x4000 + 4 * 8 + 4, tables + 0x10000);
    for (let page = 0; page < 256; page++)
      machine.ram.setU32(tables + 0x10000 + page * 8 + 4, 0x400);
    machine.ram.setU32(tables + 0x10000 + 4, 0x1000);
    expect(host.refresh(0x400000, 0x1000)).toEqual([1, 16]);
    expect(machine.state(0)).toBe(FunctionState.ENABLED); // no error of the function
    expect(machine.raised).toEqual([]);
    // What the guest does then (zpci-guest.md 1.3): drop what it does not use, refresh everything.
    for (let page = 0; page < 256; page++)
      machine.ram.setU32(machine.pageEntry(page * 0x1000) + 4, 0x400);
    expect(host.refresh(0, 0x500000)).toEqual([0, 0]);
    expect(host.pages.get(0x400)).toBe(2);
    expect(host.pages.size).toBe(1024 - 256 + 1);
  });

  it("a malformed entry is an error event with its address, as without a mapping host", () => {
    const host = pinned();
    host.register();
    const { machine } = host;
    machine.ram.setU32(machine.pageEntry(0x30000) + 4, 0);
    expect(host.refresh(0x2f000, 0x2000)).toEqual([1, 8]);
    expect(machine.raised).toEqual([
      { index: 0, pec: 7, faddr: DMA_START + 0x30000n, write: false },
    ]);
    expect(machine.state(0)).toBe(FunctionState.ERROR);
  });

  it("a whole invalid segment or region is one entry, however many pages it covers", () => {
    const host = pinned();
    host.register(0x200_0000);
    const before = host.batches;
    expect(host.refresh(0x800000, 0x1000000)).toEqual([0, 0]); // sixteen segments that are invalid
    expect(host.batches - before).toBe(1);
  });
});

describe("pages that are not mapped", () => {
  it("are one entry with their neighbours: a page table of them takes one batch, not four", () => {
    const host = pinned();
    host.register();
    const { machine } = host;
    for (let page = 0; page < 256; page++)
      machine.ram.setU32(machine.pageEntry(page * 0x1000) + 4, 0x400);
    machine.ram.setU32(machine.pageEntry(0x80000) + 4, 0x77000);
    const before = host.batches;
    expect(host.refresh(0, 0x100000)).toEqual([0, 0]);
    expect(host.batches - before).toBe(1);
    expect(host.pages.size).toBe(1024 - 255);
    expect(host.pages.get(0x80)).toBe(0x77 * 2);
  });
});

describe("RPCIT without a mapping host", () => {
  it("over a huge range drops every cached translation", () => {
    const machine = deviceMachine();
    machine.bringUp(0);
    const fh = BigInt(machine.handle(0)) << 32n;
    const data = new Uint8Array(4);
    expect(machine.dma[0]?.transfer(DMA_START + 0x5000n, data, false)).toBe(0);
    machine.ram.setU32(machine.pageEntry(0x5000) + 4, 0x400);
    machine.execute("rpcit", fh, 0n, 0xffff_ffff_ffff_f000n, 0n);
    expect(machine.cpu.cc).toBe(0);
    expect(machine.dma[0]?.transfer(DMA_START + 0x5000n, data, false)).toBe(0x0007);
  });
});

describe("designation types (zpci-guest.md 5.1)", () => {
  const entryTypes = [0x0, 0x4, 0x8, 0xc];
  it.each([0, 1, 2, 3])("type %i: its table is walked down to the page", (type) => {
    const machine = deviceMachine();
    machine.clpSet(0, 0);
    machine.buildTables();
    const tables = machine.pageEntry(0) - 0x8000;
    const write = (address: number, low: number): void => {
      machine.ram.setU32(address, 0);
      machine.ram.setU32(address + 4, low);
    };
    // DMA_START is 2^32: region-third index 2, segment index 0; higher indices are 0.
    let origin = type === 0 ? tables + 0x4000 : tables;
    for (let level = 2; level <= type; level++) {
      const upper = tables + 0x20000 * level;
      for (let n = 0; n < 2048; n++) write(upper + n * 8, 0x20);
      write(upper, origin | (entryTypes[level - 1] ?? 0) | 0x3);
      if (level > 1) write(upper, (origin & ~0x3fff) | ((entryTypes[level] ?? 0) & 0xc) | 0x3);
      origin = upper;
    }
    machine.fillFib();
    machine.fibView().setBigUint64(32, BigInt(origin | 0x800 | (type << 2)));
    machine.mpcifc(0, 4);
    expect(machine.cpu.cc).toBe(0);
    machine.ram.setU32(0x77000, 0x12345678);
    const data = new Uint8Array(4);
    expect(machine.dma[0]?.transfer(DMA_START + 0x77000n, data, false)).toBe(0);
    expect([...data]).toEqual([0x12, 0x34, 0x56, 0x78]);
  });
});
