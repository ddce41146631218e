/**
 * The controller behind the real zPCI device: its DMA goes through the guest's translation tables, its MSI-X
 * messages become adapter interruption bits, and its faults carry the codes that the tables gave.
 */
import { beforeEach, describe, expect, it } from "vitest";
import type { ZpciDma } from "../../../../src/devices/index.ts";
import { FunctionState } from "../../../../src/shm/blocks.ts";
import { type DeviceMachine, deviceMachine, RAM_BYTES } from "../../../support/device-machine.ts";
import { NvmeDriver } from "../../../support/nvme-driver.ts";
import { FlatDma, NvmeRig } from "../../../support/nvme-rig.ts";

/** Guest storage of a machine, reached as its function 0 reaches it. */
class TableDma extends FlatDma {
  readonly #dma: ZpciDma;

  constructor(machine: DeviceMachine) {
    super(new Uint8Array(machine.vm.buffer, machine.vm.map.ramOffset, RAM_BYTES));
    this.#dma = machine.dma[0] as ZpciDma;
  }

  override transfer(iova: bigint, target: Uint8Array, write: boolean): number {
    const result = this.#dma.transfer(iova, target, write);
    this.faultAddress = this.#dma.faultAddress;
    this.faultLevel = this.#dma.faultLevel;
    return result;
  }

  override msi(vector: number): void {
    this.#dma.msi(vector);
  }
}

let machine: DeviceMachine;
let rig: NvmeRig;
let driver: NvmeDriver;
/** Where the driver's pages begin: above what the machine's own tests use, below the tables. */
const FIRST = 0x2_0000;

beforeEach(() => {
  machine = deviceMachine();
  machine.bringUp(0);
  machine.fillFib();
  machine.mpcifc(0, 2); // interrupts: bit vector at 0x9000, summary at 0x9100
  rig = new NvmeRig({ namespaces: [{ sizeBytes: 1 << 20 }] }, {}, new TableDma(machine));
  rig.host().open();
  driver = new NvmeDriver(rig);
  driver.rewind(FIRST);
  driver.probe();
});

/** PEC, failing address, write bit and table level of the event that the host holds. */
function event(): { pec: number; faddr: bigint; write: number; level: number } {
  const slot = rig.vm.map.ramOffset;
  expect(rig.host().getError(slot)).toBe(0);
  const word = rig.vm.view.getUint32(slot + 12);
  return {
    pec: rig.vm.view.getUint16(slot + 30),
    faddr: rig.vm.view.getBigUint64(slot + 16),
    write: word & 1,
    level: word >>> 28,
  };
}

function read(at: number): void {
  driver.push(1, { opcode: 2, nsid: 1, prp1: driver.iova(at), cdw12: 7 });
  driver.ring(1);
  rig.run();
}

describe("the NVMe controller behind a guest's tables", () => {
  it("moves data through lists of pages that lie anywhere in storage", () => {
    const from = driver.pages(20);
    const to = driver.pages(20);
    for (let i = 0; i < 20 * 4096; i++) rig.dma.bytes[from + i] = (i * 11 + (i >> 12)) & 0xff;
    // The table maps the target's pages backwards: what the device writes first lands last.
    const entries = Array.from({ length: 20 }, (_, n) => machine.pageEntry(to + n * 4096));
    const frames = entries.map((entry) => machine.ram.u32(entry + 4)).reverse();
    for (const [n, entry] of entries.entries()) machine.ram.setU32(entry + 4, frames[n] ?? 0);
    machine.registerIoat(0);
    expect(driver.io(1, 0, 160, from).status).toBe(0);
    expect(driver.io(2, 0, 160, to).status).toBe(0);
    for (let page = 0; page < 20; page++) {
      const source = from + page * 4096;
      const target = to + (19 - page) * 4096;
      const equal = Buffer.compare(
        rig.dma.bytes.slice(source, source + 4096),
        rig.dma.bytes.slice(target, target + 4096),
      );
      expect([page, equal]).toEqual([page, 0]);
    }
  });

  it("announces completions by the bits of its vectors", () => {
    rig.dma.bytes.fill(0, 0x9000, 0x9200);
    driver.command(1, { opcode: 0, nsid: 1 });
    expect([rig.dma.bytes[0x9000], rig.dma.bytes[0x9100]]).toEqual([0x40, 0x80]);
    driver.identify(1);
    expect(rig.dma.bytes[0x9000]).toBe(0xc0);
  });

  it("faults on a page that is not mapped with 0x0007", () => {
    const at = driver.pages(1);
    const entry = machine.pageEntry(at) + 4;
    const mapped = machine.ram.u32(entry);
    machine.ram.setU32(entry, mapped | 0x400); // invalid
    machine.registerIoat(0);
    read(at);
    expect(event()).toMatchObject({ pec: 0x0007, faddr: driver.iova(at), write: 1 });
  });

  it("faults on a protected page with 0x0005 when it writes, and reads it", () => {
    const at = driver.pages(1);
    const entry = machine.pageEntry(at) + 4;
    machine.ram.setU32(entry, machine.ram.u32(entry) | 0x200); // protected
    machine.registerIoat(0);
    expect(driver.io(1, 0, 8, at).status).toBe(0);
    read(at);
    expect(event()).toMatchObject({ pec: 0x0005, faddr: driver.iova(at), write: 1 });
  });

  it("faults outside the aperture with 0x0002", () => {
    driver.push(1, { opcode: 2, nsid: 1, prp1: 0x1000n, cdw12: 7 });
    driver.ring(1);
    rig.run();
    expect(event()).toMatchObject({ pec: 0x0002, faddr: 0x1000n });
  });

  it("waits while the guest's function is not enabled, without an event", () => {
    machine.setState(0, FunctionState.ERROR);
    const cid = driver.push(1, { opcode: 0, nsid: 1 });
    driver.ring(1);
    rig.run();
    expect(rig.host().getError(rig.vm.map.ramOffset)).toBe(-42);
    machine.setState(0, FunctionState.ENABLED);
    rig.settle(1e6);
    expect(driver.reap(1)).toMatchObject([{ cid, status: 0 }]);
  });
});
