import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nextPage, TableWalk } from "../../../src/devices/zpci/walk.ts";
import { FunctionBlock, FunctionState, VmBlock } from "../../../src/shm/blocks.ts";
import { beginAccess, dmaEpoch, endAccess } from "../../../src/shm/dma-activity.ts";
import {
  type DeviceMachine,
  DMA_START,
  deviceMachine,
  RAM_BYTES,
  TABLES,
} from "../../support/device-machine.ts";

const REFUSED = -1;

function ready(): DeviceMachine {
  const machine = deviceMachine();
  machine.bringUp(0);
  return machine;
}

function dma(machine: DeviceMachine, address: number, write: boolean, length = 4): number {
  const iova = DMA_START + BigInt(address);
  return machine.dma[0]?.transfer(iova, new Uint8Array(length), write) ?? Number.NaN;
}

function setEntry(machine: DeviceMachine, address: number, low: number): void {
  machine.ram.setU32(address + 4, low);
}

function refresh(machine: DeviceMachine, address: number, length: number): void {
  const fh = BigInt(machine.handle(0)) << 32n;
  machine.execute("rpcit", fh, DMA_START + BigInt(address), BigInt(length), 0n);
}

describe("translation", () => {
  test("a transfer over page borders lands where the tables say", () => {
    const machine = ready();
    // Pages 0x50 and 0x51 of the device are pages 0x90 and 0x30 of storage.
    setEntry(machine, machine.pageEntry(0x50000), 0x90000);
    setEntry(machine, machine.pageEntry(0x51000), 0x30000);
    const data = Uint8Array.from({ length: 0x1800 }, (_, n) => n % 251);
    expect(machine.dma[0]?.transfer(DMA_START + 0x50800n, data, true)).toBe(0);
    expect(machine.bytes(0x90800, 0x800)).toEqual(data.slice(0, 0x800));
    expect(machine.bytes(0x30000, 0x1000)).toEqual(data.slice(0x800));
    const back = new Uint8Array(0x1800);
    expect(machine.dma[0]?.transfer(DMA_START + 0x50800n, back, false)).toBe(0);
    expect(back).toEqual(data);
  });

  test("a 1 MiB frame is translated without a page table", () => {
    const machine = ready();
    setEntry(machine, TABLES + 0x4000 + 8, 0x100000 | 0x400);
    machine.ram.setU32(0x123450, 0xcafe1234);
    const data = new Uint8Array(4);
    expect(machine.dma[0]?.transfer(DMA_START + 0x123450n, data, false)).toBe(0);
    expect([...data]).toEqual([0xca, 0xfe, 0x12, 0x34]);
  });

  // zpci-guest.md 5.3, column "R for zmend"
  test.each([
    ["below PBA", -0x1000],
    ["beyond PAL", RAM_BYTES],
  ])("an IOVA %s is PEC 0x0002", (_, address) => {
    expect(dma(ready(), address, false)).toBe(0x0002);
  });

  test("no registered translation is PEC 0x0001", () => {
    const machine = deviceMachine();
    machine.clpSet(0, 0);
    expect(dma(machine, 0, false)).toBe(0x0001);
  });

  test("a write with the IOTA protected is PEC 0x0004, a read goes through", () => {
    const machine = ready();
    machine.mpcifc(0, 5);
    machine.fillFib();
    machine.fibView().setBigUint64(32, BigInt(TABLES) | 0xa04n);
    machine.mpcifc(0, 4);
    expect(dma(machine, 0x3000, true)).toBe(0x0004);
    expect(dma(machine, 0x3000, false)).toBe(0);
  });

  test.each([
    ["region", TABLES + 16, TABLES + 0x4000 + 0x200 + 7],
    ["segment", TABLES + 0x4000, TABLES + 0x8000 + 0x200],
    ["page", TABLES + 0x8000 + 24, 0x3200],
  ])("a write through a protected %s entry is PEC 0x0005, a read goes through", (_, entry, low) => {
    const machine = ready();
    setEntry(machine, entry, low);
    expect(dma(machine, 0x3000, true)).toBe(0x0005);
    expect(dma(machine, 0x3000, false)).toBe(0);
  });

  test.each([
    ["invalid region entry", TABLES + 16, 0x20, 0x0007, 1],
    ["zero region entry", TABLES + 16, 0, 0x0007, 1],
    ["region entry with length 2", TABLES + 16, TABLES + 0x4000 + 6, 0x0008, 1],
    ["region entry with an offset", TABLES + 16, TABLES + 0x4000 + 0x47, 0x0008, 1],
    ["region entry of another type", TABLES + 16, TABLES + 0x4000 + 0xb, 0x0009, 1],
    ["invalid segment entry", TABLES + 0x4000, 0x20, 0x0007, 0],
    ["segment entry of another type", TABLES + 0x4000, TABLES + 0x8000 + 4, 0x0009, 0],
    ["invalid page entry", TABLES + 0x8000 + 24, 0x3400, 0x0007, 4],
    ["segment table beyond storage", TABLES + 16, 0xfff00007 | 0, 0x000b, 0],
    ["page frame beyond storage", TABLES + 0x8000 + 24, 0xfff00000 | 0, 0x000b, 4],
  ])("%s is a fault at its level", (_, entry, low, pec, level) => {
    const machine = ready();
    setEntry(machine, entry, low);
    expect(dma(machine, 0x3000, false)).toBe(pec);
    expect(machine.dma[0]?.faultAddress).toBe(DMA_START + 0x3000n);
    expect(machine.dma[0]?.faultLevel).toBe(level);
  });

  test("a transfer faults at the first byte of the bad page and the bytes before it have moved", () => {
    const machine = ready();
    setEntry(machine, machine.pageEntry(0x52000), 0x400);
    machine.ram.fill(0x51000, 0x1000, 0);
    const data = new Uint8Array(0x1000).fill(7);
    expect(machine.dma[0]?.transfer(DMA_START + 0x51800n, data, true)).toBe(0x0007);
    expect(machine.dma[0]?.faultAddress).toBe(DMA_START + 0x52000n);
    expect(machine.bytes(0x51800, 0x800)).toEqual(new Uint8Array(0x800).fill(7));
  });

  test("an IOVA at the end of 64 bits is out of range and not an address that wraps", () => {
    const machine = ready();
    const result = machine.dma[0]?.transfer(0xffff_ffff_ffff_f000n, new Uint8Array(0x2000), false);
    expect(result).toBe(0x0002);
  });

  test("region-second and region-first tables are walked", () => {
    const machine = ready();
    const walk = new TableWalk(machine.ram);
    const second = 0x30_0000;
    const first = 0x30_4000;
    setEntry(machine, second, TABLES | 0x8 | 3);
    setEntry(machine, first, second | 0xc | 3);
    expect(walk.walk(0, second | 0x808, 1, 0x3000)).toBe(0);
    expect(walk.frame).toBe(0x3000);
    expect(walk.walk(0, first | 0x80c, 1, 0x3000)).toBe(0);
    expect(walk.frame).toBe(0x3000);
  });

  test("inspecting a range meets the first malformed entry that walks of its pages meet", () => {
    const machine = ready();
    const walk = new TableWalk(machine.ram);
    const first = Number(DMA_START / 4096n);
    const pages = RAM_BYTES / 4096;
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            // Region entry, segment entries, page entries
            fc.oneof(
              fc.constant(2),
              fc.integer({ min: 2048, max: 2054 }),
              fc.integer({ min: 4096, max: 5119 }),
            ),
            fc.constantFrom(0, 0x20, 0x400, 0x24, 0x10_0400, 0x1000, 0x5000_0000),
          ),
          { maxLength: 6 },
        ),
        fc.integer({ min: 0, max: pages }),
        fc.integer({ min: 0, max: pages + 600 }),
        (changed, from, to) => {
          machine.buildTables();
          for (const [index, low] of changed) setEntry(machine, TABLES + index * 8, low);
          let expected = 0;
          let failed = 0;
          let page = first + from;
          while (page < first + to && expected === 0) {
            const result = walk.walk(0, TABLES | 0x804, page >>> 20, page << 12);
            if (result > 0) [expected, failed] = [result, page];
            page = nextPage(page, result, walk.level);
          }
          const found = walk.inspect(0, TABLES | 0x804, first + from, first + to);
          expect([found, found === 0 ? 0 : walk.failedPage]).toEqual([expected, failed]);
        },
      ),
    );
  });

  test("random table contents never lead outside guest storage and never throw", () => {
    const machine = ready();
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 8191 }), fc.integer()), { maxLength: 200 }),
        fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }),
        fc.boolean(),
        (entries, iova, write) => {
          machine.buildTables();
          for (const [index, low] of entries) setEntry(machine, TABLES + index * 8, low);
          refresh(machine, 0, 0x100000);
          machine.setState(0, FunctionState.ENABLED);
          const result = machine.dma[0]?.transfer(iova, new Uint8Array(64), write) ?? -2;
          return result >= REFUSED && result <= 0x0b;
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe("a remembered translation", () => {
  test("is used until RPCIT, and not after it", () => {
    const machine = ready();
    machine.ram.setU32(0x60000, 0x11111111);
    machine.ram.setU32(0x61000, 0x22222222);
    const read = (): number => {
      const data = new Uint8Array(4);
      machine.dma[0]?.transfer(DMA_START + 0x60000n, data, false);
      return data[0] ?? 0;
    };
    expect(read()).toBe(0x11);
    setEntry(machine, machine.pageEntry(0x60000), 0x61000);
    refresh(machine, 0x60000, 0x1000);
    expect(machine.cpu.cc).toBe(0);
    expect(read()).toBe(0x22);
  });

  test("ends with deregistration and with CLP disable", () => {
    const machine = ready();
    expect(dma(machine, 0x3000, false)).toBe(0);
    machine.mpcifc(0, 5);
    expect(dma(machine, 0x3000, false)).toBe(0x0001);
    machine.clpSet(0, 1);
    expect(dma(machine, 0x3000, false)).toBe(REFUSED);
  });

  test("guest tables made before a reset are valid at once after register-IOAT", () => {
    const machine = ready();
    machine.clpSet(0, 1);
    machine.clpSet(0, 0);
    machine.registerIoat(0);
    expect(dma(machine, 0x3000, false)).toBe(0);
  });
});

describe("RPCIT", () => {
  test.each([
    ["zero page entry", TABLES + 0x8000 + 24, 0, 0x0007, 0x3000],
    ["region entry with a bad length", TABLES + 16, TABLES + 0x4000 + 6, 0x0008, 0],
    ["segment entry of another type", TABLES + 0x4000 + 8, TABLES + 0x8800 + 4, 0x0009, 0x100000],
  ])("%s puts the function into error: cc 1 status 8 and an event", (_, entry, low, pec, at) => {
    const machine = ready();
    setEntry(machine, entry, low);
    refresh(machine, at & ~0xfffff, 0x100000);
    expect([machine.cpu.cc, machine.cpu.status(2)]).toEqual([1, 8]);
    expect(machine.state(0)).toBe(FunctionState.ERROR);
    expect(machine.raised).toEqual([
      { index: 0, pec, faddr: DMA_START + BigInt(at), write: false },
    ]);
  });

  test("invalid entries are no error, and are stepped over to the next border", () => {
    const machine = ready();
    setEntry(machine, machine.pageEntry(0x5000), 0x400);
    setEntry(machine, TABLES + 0x4000 + 8, 0x20);
    // From the middle of the invalid segment: the bad entry right behind it must be seen.
    setEntry(machine, machine.pageEntry(0x200000), 0);
    refresh(machine, 0x180000, 0x100000);
    expect([machine.cpu.cc, machine.cpu.status(2)]).toEqual([1, 8]);
    expect(machine.raised[0]?.faddr).toBe(DMA_START + 0x200000n);
  });

  test("a range partly outside the aperture is clamped, one wholly outside or wrapping is an error", () => {
    const machine = ready();
    refresh(machine, -0x1000, 0x3000);
    expect(machine.cpu.cc).toBe(0);
    refresh(machine, RAM_BYTES, 0x1000);
    expect([machine.cpu.cc, machine.cpu.status(2)]).toEqual([1, 8]);
    expect(machine.raised.map(({ pec }) => pec)).toEqual([0x0002]);
    machine.setState(0, FunctionState.ENABLED);
    const fh = BigInt(machine.handle(0)) << 32n;
    machine.execute("rpcit", fh, DMA_START, 0xffff_ffff_ffff_f000n, 0n);
    expect([machine.cpu.cc, machine.cpu.status(2)]).toEqual([1, 8]);
  });

  test("over more pages than a page table has: all is forgotten and no entry looked at", () => {
    const machine = ready();
    expect(dma(machine, 0x3000, false)).toBe(0); // remembered
    setEntry(machine, machine.pageEntry(0x3000), 0);
    refresh(machine, 0, 0x101000);
    expect(machine.cpu.cc).toBe(0);
    expect(dma(machine, 0x3000, false)).toBe(0x0007);
  });

  test("a self-referencing table over the whole address space ends after a bounded look", () => {
    const machine = ready();
    machine.mpcifc(0, 5);
    machine.fillFib();
    machine.fibView().setBigUint64(24, 0x01ff_ffff_ffff_ffffn);
    machine.mpcifc(0, 4);
    for (let n = 0; n < 2048; n++) setEntry(machine, TABLES + n * 8, (TABLES + 0x4000) | 7);
    for (let n = 0; n < 2048; n++) setEntry(machine, TABLES + 0x4000 + n * 8, TABLES + 0x8000);
    for (let n = 0; n < 256; n++) setEntry(machine, TABLES + 0x8000 + n * 8, 0x3000);
    refresh(machine, 0, 2 ** 52);
    expect(machine.cpu.cc).toBe(0);
  });

  test("waits for a page copy in flight, and says busy if it does not end", () => {
    const machine = ready();
    const block = (machine.vm.map.functionBlocks[0] as number) / 4;
    const begun = beginAccess(machine.vm.words, block);
    refresh(machine, 0, 0x1000);
    expect(machine.cpu.cc).toBe(2);
    expect(dmaEpoch(machine.vm.words, block)).not.toBe(begun);
    endAccess(machine.vm.words, block);
    refresh(machine, 0, 0x1000);
    expect(machine.cpu.cc).toBe(0);
  });
});

describe("MSI", () => {
  function interrupting(control = 0x20410080): DeviceMachine {
    const machine = ready();
    machine.fillFib();
    machine.fibView().setUint32(40, control);
    machine.mpcifc(0, 2);
    machine.ram.fill(0x9000, 0x200, 0);
    return machine;
  }

  test("sets the vector's bit, the summary bit, and makes the subclass pending", () => {
    // ISC 3, noi 65, aibvo 5, sum 1, aisbo 9
    const machine = interrupting(0x30410589);
    machine.dma[0]?.msi(12);
    // aibvo 5 + 12 = bit 17: byte 2, mask 0x40; aisbo 9: byte 1, mask 0x40 (zpci-guest.md 6)
    expect([...machine.bytes(0x9000, 4)]).toEqual([0, 0, 0x40, 0]);
    expect([...machine.bytes(0x9100, 4)]).toEqual([0, 0x40, 0, 0]);
    expect(machine.floating.ioPending()).toBe(1 << 3);
  });

  test("interrupts once per summary bit", () => {
    const machine = interrupting();
    machine.dma[0]?.msi(0);
    machine.floating.claimIo(2);
    machine.dma[0]?.msi(1);
    expect([...machine.bytes(0x9000, 1)]).toEqual([0xc0]);
    expect(machine.floating.ioPending()).toBe(0);
  });

  test("beyond noi is dropped and counted", () => {
    const machine = interrupting();
    machine.dma[0]?.msi(65);
    machine.dma[0]?.msi(64);
    expect(machine.word(0, FunctionBlock.interruptionsDropped)).toBe(1);
    expect([...machine.bytes(0x9008, 1)]).toEqual([0x80]);
  });

  test("without registration or after deregistration is dropped", () => {
    const machine = ready();
    machine.dma[0]?.msi(0);
    machine.fillFib();
    machine.mpcifc(0, 2);
    machine.mpcifc(0, 3);
    machine.dma[0]?.msi(0);
    expect(machine.word(0, FunctionBlock.interruptionsDropped)).toBe(2);
    expect(machine.floating.ioPending()).toBe(0);
  });

  test("SIC mode 1 lets one interruption through, later ones leave their bits only", () => {
    const machine = interrupting();
    const sic = (mode: bigint): void => machine.execute("sic", mode, 2n << 27n, 0n, 0n);
    const deliver = (vector: number): boolean => {
      machine.ram.fill(0x9100, 8, 0);
      machine.dma[0]?.msi(vector);
      return machine.floating.claimIo(2);
    };
    sic(1n);
    expect([deliver(0), deliver(1), deliver(2)]).toEqual([true, false, false]);
    expect([...machine.bytes(0x9000, 1)]).toEqual([0xe0]);
    sic(1n);
    expect([deliver(3), deliver(4)]).toEqual([true, false]);
    sic(0n);
    expect([deliver(5), deliver(6)]).toEqual([true, true]);
    expect(machine.vmWord(VmBlock.suppression)).toBe(0);
  });

  test("SIC with another mode is an operand exception and changes nothing", () => {
    const machine = interrupting();
    machine.execute("sic", 1n, 2n << 27n, 0n, 0n);
    const before = machine.vmWord(VmBlock.suppression);
    for (const mode of [2n, 3n, 4n, 16n, 0xffffn]) {
      machine.execute("sic", mode, 2n << 27n, 0n, 0n);
      expect(machine.cpu.programCode).toBe(0x15);
    }
    expect(machine.vmWord(VmBlock.suppression)).toBe(before);
  });
});
