import { describe, expect, it } from "vitest";
import { TraceKind } from "../../../../src/abi/records.ts";
import { Hardware, HostBlock } from "../../../../src/backend/sim/host-area.ts";
import { instant, SimHost } from "../../../support/sim-host.ts";

const DONE = 2;
const ERROR = 4;
const BUSY = 1;
const FROM_GUEST = 1;
const TO_GUEST = 2;
const BASE = 0x1_0000_0000n;

function host(config: Partial<SimHost["configs"][number]> = {}): SimHost {
  const sim = new SimHost([{ fid: 2, timing: instant, ...config }]);
  sim.open();
  sim.setWord("pbaHigh", 1);
  sim.setWord("palHigh", 1);
  sim.setWord("palLow", 0x1fffffff);
  return sim;
}

/** Little-endian register store. */
function set(sim: SimHost, register: number, value: number): void {
  const swapped = new DataView(new ArrayBuffer(4));
  swapped.setUint32(0, value >>> 0, true);
  sim.regions().store(0, register, 4, 0, swapped.getInt32(0));
}

function get(sim: SimHost, register: number): number {
  const regions = sim.regions();
  regions.load(0, register, 4);
  const swapped = new DataView(new ArrayBuffer(4));
  swapped.setInt32(0, regions.valueLow);
  return swapped.getUint32(0, true);
}

function command(
  sim: SimHost,
  direction: number,
  iova: bigint,
  offset: number,
  length: number,
): void {
  set(sim, 0x10, Number(iova & 0xffffffffn));
  set(sim, 0x14, Number(iova >> 32n));
  set(sim, 0x18, offset);
  set(sim, 0x1c, length);
  set(sim, 0x20, direction);
}

function transfer(sim: SimHost, direction: number, iova: bigint, offset = 0, length = 64): number {
  command(sim, direction, iova, offset, length);
  sim.run();
  return get(sim, 0x0c);
}

describe("the DMA engine", () => {
  it("copies from guest memory into the scratch RAM and back", () => {
    const sim = host();
    set(sim, 0x08, 1);
    for (let i = 0n; i < 64n; i++) sim.dma[0]?.storage.set(BASE + i, Number(i) + 1);
    expect(transfer(sim, FROM_GUEST, BASE, 0x100)).toBe(DONE);
    expect([...sim.area().scratch.subarray(0x100, 0x104)]).toEqual([1, 2, 3, 4]);
    expect(transfer(sim, TO_GUEST, BASE + 0x5000n, 0x100)).toBe(DONE);
    expect(sim.dma[0]?.storage.get(BASE + 0x503fn)).toBe(64);
    expect([get(sim, 0x24), get(sim, 0x28)]).toEqual([2, 0]);
  });

  it("is busy until the platform has done the work, and ignores commands meanwhile", () => {
    const sim = host();
    set(sim, 0x08, 1);
    command(sim, FROM_GUEST, BASE, 0, 64);
    expect(get(sim, 0x0c)).toBe(BUSY);
    command(sim, FROM_GUEST, BASE, 0, 64);
    sim.run();
    expect([get(sim, 0x0c), get(sim, 0x24)]).toEqual([DONE, 1]);
  });

  it("latches its operands with the command", () => {
    const sim = host();
    set(sim, 0x08, 1);
    command(sim, FROM_GUEST, BASE, 0, 64);
    set(sim, 0x10, 0);
    set(sim, 0x14, 0);
    sim.run();
    expect(get(sim, 0x0c)).toBe(DONE);
  });

  it("does nothing while it is not enabled", () => {
    const sim = host();
    expect(transfer(sim, FROM_GUEST, BASE)).toBe(0);
    expect([get(sim, 0x24), get(sim, 0x28)]).toEqual([0, 0]);
  });

  it.each([
    ["length 0", FROM_GUEST, 0, 0],
    ["a length beyond 32 KiB", FROM_GUEST, 0, 0x8001],
    ["an end beyond the scratch RAM", FROM_GUEST, 0x7fff, 2],
    ["an offset near 2^32", TO_GUEST, 0xffffffff, 1],
    ["an unknown command", 3, 0, 64],
    ["command 0", 0, 0, 64],
  ])("refuses %s without an error event", (_, direction, offset, length) => {
    const sim = host();
    set(sim, 0x08, 1);
    expect(transfer(sim, direction, BASE, offset, length)).toBe(ERROR);
    expect([get(sim, 0x24), get(sim, 0x28)]).toEqual([0, 1]);
    expect([sim.book("errorsRaised"), sim.hardware()]).toEqual([0, Hardware.NORMAL]);
  });

  it("treats an access that the function's state forbids as refused, not as a fault", () => {
    const sim = host();
    set(sim, 0x08, 1);
    const [dma] = sim.dma;
    if (dma !== undefined) dma.refused = true;
    expect(transfer(sim, FROM_GUEST, BASE)).toBe(ERROR);
    expect([sim.book("errorsRaised"), sim.hardware()]).toEqual([0, Hardware.NORMAL]);
  });

  it.each([Hardware.ERROR, Hardware.BLOCKED, Hardware.PERMANENT])(
    "moves nothing in hardware state %i: DMA is blocked (3.9)",
    (state) => {
      const sim = host();
      set(sim, 0x08, 1);
      command(sim, TO_GUEST, BASE, 0, 64);
      sim.area().set(HostBlock.hardware, state);
      sim.run();
      expect(sim.dma[0]?.storage.size).toBe(0);
      expect(sim.book("errorsRaised")).toBe(0);
    },
  );
});

describe("a translation fault of the device", () => {
  it("puts the function into error and reports code, address, direction and level", () => {
    const sim = host();
    set(sim, 0x08, 1);
    const [dma] = sim.dma;
    dma?.unmapped.add((BASE + 0x2000n) >> 12n);
    if (dma !== undefined) dma.faultLevel = 5;
    command(sim, TO_GUEST, BASE + 0x1ff0n, 0, 64);
    sim.run();
    expect(sim.hardware()).toBe(Hardware.ERROR);
    expect(sim.function().getError(sim.slot())).toBe(0);
    const view = sim.vm.view;
    expect(view.getUint16(sim.slot() + 30)).toBe(0x0007);
    expect(view.getBigUint64(sim.slot() + 16)).toBe(BASE + 0x2000n);
    expect(view.getUint32(sim.slot() + 12)).toBe(0x50000001); // ett 5, rw
    expect([sim.book("errorsRaised"), sim.book("errSignals")]).toEqual([1, 1]);
    const [fault] = sim.traces().filter((record) => record.kind === TraceKind.dmaFault);
    expect(fault?.body).toEqual([7, 1, 0x2000, 1]);
  });

  it("of the script strikes the next transfer, whatever its address, and only that one", () => {
    const sim = host();
    set(sim, 0x08, 1);
    sim.dma[0]?.unmapped.add(0x11fffffffn >> 12n);
    sim.platform.raise(0, { type: "dma", kind: "translation" });
    sim.run();
    expect(sim.book("errorsRaised")).toBe(0);
    command(sim, TO_GUEST, BASE, 0, 64);
    sim.run();
    expect(sim.dma[0]?.storage.size).toBe(0);
    expect(sim.function().getError(sim.slot())).toBe(0);
    expect(sim.vm.view.getUint16(sim.slot() + 30)).toBe(0x0007);
    expect(sim.vm.view.getBigUint64(sim.slot() + 16)).toBe(0x1_1fff_f000n);
    sim.function().startReset();
    sim.run();
    set(sim, 0x08, 1);
    expect(transfer(sim, TO_GUEST, BASE)).toBe(DONE);
  });

  it("of the script strikes as many transfers as it was asked for, one each", () => {
    const sim = host();
    sim.dma[0]?.unmapped.add(0x11fffffffn >> 12n);
    for (let n = 0; n < 2; n++) sim.platform.raise(0, { type: "dma", kind: "translation" });
    sim.run();
    for (let n = 1; n <= 3; n++) {
      set(sim, 0x08, 1);
      command(sim, TO_GUEST, BASE, 0, 64);
      sim.run();
      expect(sim.book("errorsRaised")).toBe(Math.min(n, 2));
      sim.function().startReset();
      sim.run();
    }
  });

  it("of the script leaves the aperture when the guest has mapped all of it", () => {
    const sim = host();
    set(sim, 0x08, 1);
    sim.platform.raise(0, { type: "dma", kind: "translation" });
    sim.run();
    command(sim, FROM_GUEST, BASE, 0, 64);
    sim.run();
    expect(sim.function().getError(sim.slot())).toBe(0);
    expect(sim.vm.view.getUint16(sim.slot() + 30)).toBe(0x0002);
    expect(sim.vm.view.getBigUint64(sim.slot() + 16)).toBe(0x1_2000_0000n);
  });

  it("of the script waits for a transfer that is allowed at all", () => {
    const sim = host();
    set(sim, 0x08, 1);
    const [dma] = sim.dma;
    sim.platform.raise(0, { type: "dma", kind: "translation" });
    sim.run();
    if (dma !== undefined) dma.refused = true;
    expect(transfer(sim, FROM_GUEST, BASE)).toBe(ERROR);
    expect(sim.book("errorsRaised")).toBe(0);
    if (dma !== undefined) dma.refused = false;
    transfer(sim, FROM_GUEST, BASE);
    expect(sim.book("errorsRaised")).toBe(1);
  });
});

describe("MSI-X", () => {
  const enableMsix = (sim: SimHost): void => {
    sim.regions().store(15, 0x43, 1, 0, 0x80);
  };
  const unmask = (sim: SimHost, data: number): void => {
    set(sim, 0x1008, data);
    set(sim, 0x100c, 0);
  };

  it("signals the message data of vector 0 at the end of a transfer", () => {
    const sim = host();
    enableMsix(sim);
    unmask(sim, 5);
    set(sim, 0x08, 3);
    transfer(sim, FROM_GUEST, BASE);
    expect(sim.dma[0]?.vectors).toEqual([5]);
  });

  it("is silent unless the guest asked for it in the control register and enabled it", () => {
    const quiet = host();
    enableMsix(quiet);
    unmask(quiet, 5);
    set(quiet, 0x08, 1);
    transfer(quiet, FROM_GUEST, BASE);
    expect(quiet.dma[0]?.vectors).toEqual([]);
    const disabled = host();
    unmask(disabled, 5);
    set(disabled, 0x08, 3);
    transfer(disabled, FROM_GUEST, BASE);
    expect(disabled.dma[0]?.vectors).toEqual([]);
  });

  it("holds a masked vector pending and delivers it once when it is unmasked", () => {
    const sim = host();
    enableMsix(sim);
    set(sim, 0x08, 3);
    transfer(sim, FROM_GUEST, BASE);
    transfer(sim, FROM_GUEST, BASE);
    expect(get(sim, 0x1800)).toBe(1);
    unmask(sim, 7);
    sim.run();
    expect(sim.dma[0]?.vectors).toEqual([7]);
    expect(get(sim, 0x1800)).toBe(0);
  });

  it("is not delivered by a function whose transfer just failed: MSI is blocked in error", () => {
    const sim = host();
    enableMsix(sim);
    unmask(sim, 5);
    set(sim, 0x08, 3);
    command(sim, FROM_GUEST, 0n, 0, 64);
    sim.run();
    expect(sim.dma[0]?.vectors).toEqual([]);
    expect(sim.hardware()).toBe(Hardware.ERROR);
  });
});
