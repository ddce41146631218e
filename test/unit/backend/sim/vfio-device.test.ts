import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeCapabilities } from "../../../../src/backend/sim/capabilities.ts";
import { Hardware, HostBlock } from "../../../../src/backend/sim/host-area.ts";
import { SimHostFunction, SimVfioDevice } from "../../../../src/backend/sim/index.ts";
import { instant, SimHost } from "../../../support/sim-host.ts";

const EFAULT = 14;
const ENODEV = 19;
const EINVAL = 22;
const ENOTTY = 25;
const ENOMSG = 42;
const GET_INFO = 0x3b6b;
const REGION_INFO = 0x3b6c;
const IRQ_INFO = 0x3b6d;
const SET_IRQS = 0x3b6e;
const FEATURE = 0x3b75;
const GET = 0x10000;
const SET = 0x20000;
const PROBE = 0x40000;

interface Rig {
  readonly sim: SimHost;
  readonly device: SimVfioDevice;
  call(request: number, bytes: number, words: readonly number[]): { rc: number; view: DataView };
}

function rig(config: Partial<SimHost["configs"][number]> = {}): Rig {
  const sim = new SimHost([{ fid: 2, timing: instant, ...config }]);
  const device = new SimVfioDevice(sim.vm, 0, sim.config(), { byteOrder: "little" });
  return {
    sim,
    device,
    call: (request, bytes, words) => {
      const view = new DataView(new ArrayBuffer(bytes));
      for (const [index, word] of words.entries()) view.setUint32(index * 4, word, true);
      return { rc: device.ioctl(request, new Uint8Array(view.buffer)), view };
    },
  };
}

describe("GET_INFO (1.5)", () => {
  it("with 24 bytes tells the need, with 208 gives the chain 1, 2, 3, 4", () => {
    const { call } = rig();
    const short = call(GET_INFO, 24, [24]);
    expect(short.rc).toBe(0);
    const words = [0, 4, 8, 12, 16].map((at) => short.view.getUint32(at, true));
    expect(words).toEqual([208, 0x83, 9, 5, 0]);
    const { view } = call(GET_INFO, 208, [208]);
    expect(view.getUint32(16, true)).toBe(24);
    const ids: number[] = [];
    for (let at = 24; at !== 0; at = view.getUint32(at + 4, true))
      ids.push(view.getUint16(at, true));
    expect(ids).toEqual([1, 2, 3, 4]);
  });

  it("writes back only as many bytes as argsz says, and refuses fewer than 16", () => {
    const { call } = rig();
    const { rc, view } = call(GET_INFO, 24, [16, 0, 0, 0, 0xeeeeeeee]);
    expect([rc, view.getUint32(16, true)]).toEqual([0, 0xeeeeeeee]);
    expect(call(GET_INFO, 24, [15]).rc).toBe(-EINVAL);
    expect(call(GET_INFO, 8, [24]).rc).toBe(-EFAULT);
  });

  it("tells the current handle, and works in error (3.12)", () => {
    const { sim, call } = rig({ flr: false });
    sim.function().startReset();
    sim.run();
    sim.area().set(HostBlock.hardware, Hardware.ERROR);
    const { view } = call(GET_INFO, 208, [208]);
    expect(view.getUint32(24 + 32, true)).toBe(0x81020001);
  });

  it("leaves out the RESET flag of a function that cannot be reset", () => {
    const { view } = rig({ resettable: false }).call(GET_INFO, 24, [24]);
    expect(view.getUint32(4, true)).toBe(0x82);
  });
});

describe("the facts read from the chain", () => {
  it("are those of the recorded host", () => {
    const { facts } = new SimHost([{ fid: 2, profile: "recorded" }]).function();
    expect(facts).toEqual({
      startDma: 0x1_0000_0000n,
      endDma: 0x1_1fff_ffffn,
      pchid: 0,
      vfn: 0,
      fmbLength: 0,
      pft: 0,
      gid: 0xff,
      ccdfErrLength: 32,
      dasm: 0n,
      msiAddress: 0xfe00_0000_0000_0000n,
      refresh: true,
      mui: 4000,
      noi: 128,
      maxstbl: 128,
      groupVersion: 0,
      pfip: [0, 0, 0, 0],
      utilityString: [],
      barSizeLog2: [16, 0, 0, 0, 0, 0],
      msixVectors: 65,
    });
  });

  it("of a plain function carry the utility string, and stay right when built while in error", () => {
    const sim = new SimHost([{ fid: 2 }]);
    sim.area().set(HostBlock.hardware, Hardware.ERROR);
    const { facts } = sim.function();
    expect(facts.utilityString.length).toBe(64);
    expect(facts.utilityString.slice(0, 6)).toEqual([0xe9, 0xd4, 0xc5, 0xd5, 0xc4, 0x40]);
    expect(facts.msixVectors).toBe(1);
  });

  it("survive any chain: nothing is read outside, no loop is followed for ever", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.integer({ min: 0, max: 300 }),
        (bytes, at) => {
          if (bytes.length >= 20) new DataView(bytes.buffer).setUint32(16, at, true);
          expect(decodeCapabilities(bytes, "little").pfip.length).toBeLessThanOrEqual(4);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("of a host that wants a buffer of 4 GiB for them are those of a host without any", () => {
    const sim = new SimHost([{ fid: 2 }]);
    const device = new SimVfioDevice(sim.vm, 0, sim.config(), { byteOrder: "little" });
    const sizes: number[] = [];
    const ioctl = device.ioctl.bind(device);
    device.ioctl = (request, buffer = new Uint8Array(0)) => {
      const result = ioctl(request, buffer);
      if (request !== GET_INFO) return result;
      sizes.push(buffer.length);
      new DataView(buffer.buffer).setUint32(0, 0xffff_fff0, true);
      return result;
    };
    const { facts } = new SimHostFunction(sim.vm, 0, sim.config(), { device });
    expect(sizes).toEqual([24]);
    expect(facts.ccdfErrLength).toBe(0);
  });

  it("of a version 2 host have no CCDF length, so the feature counts as absent (5.1)", () => {
    const { call } = rig({ kernel: "7.2" });
    const { view } = call(GET_INFO, 208, [208]);
    view.setUint32(24 + 36, 32, true); // what padding might hold
    const facts = decodeCapabilities(new Uint8Array(view.buffer), "little");
    expect([facts.baseVersion, facts.ccdfErrLength, facts.handle]).toEqual([2, 0, 0x80020001]);
  });
});

describe("GET_REGION_INFO (1.6)", () => {
  it("has BAR 0, the config space and nothing else", () => {
    const { call } = rig();
    const sizes = [0, 1, 2, 3, 4, 5, 6, 7].map((index) => {
      const { rc, view } = call(REGION_INFO, 40, [40, 0, index]);
      expect(rc).toBe(0);
      expect(view.getBigUint64(24, true)).toBe(BigInt(index) << 40n);
      return Number(view.getBigUint64(16, true));
    });
    expect(sizes).toEqual([65536, 0, 0, 0, 0, 0, 0, 256]);
    expect(call(REGION_INFO, 32, [32, 0, 8]).rc).toBe(-EINVAL);
    expect(call(REGION_INFO, 32, [32, 0, 9]).rc).toBe(-EINVAL);
    expect(call(REGION_INFO, 32, [31, 0, 0]).rc).toBe(-EINVAL);
  });

  it("says of BAR 0 that its MSI-X page may be mapped, when there is room for the capability", () => {
    const { call } = rig();
    const short = call(REGION_INFO, 32, [32, 0, 0]).view;
    expect([short.getUint32(0, true), short.getUint32(4, true), short.getUint32(12, true)]).toEqual(
      [40, 0xf, 0],
    );
    const long = call(REGION_INFO, 40, [40, 0, 0]).view;
    expect([long.getUint32(12, true), long.getUint16(32, true)]).toEqual([32, 3]);
  });
});

describe("GET_IRQ_INFO and SET_IRQS (1.7)", () => {
  const set = (
    { call }: Rig,
    flags: number,
    index: number,
    start: number,
    count: number,
    data: readonly number[] = [],
    argsz = 20 + 4 * data.length,
  ): number =>
    call(SET_IRQS, 20 + 4 * data.length, [argsz, flags, index, start, count, ...data]).rc;

  it("knows five indices", () => {
    const { call } = rig();
    expect(call(IRQ_INFO, 16, [16, 0, 5]).rc).toBe(-EINVAL);
    expect(call(IRQ_INFO, 16, [15, 0, 3]).rc).toBe(-EINVAL);
  });

  it("reads 2048 MSI-X vectors while the function is in error (3.12)", () => {
    const { sim, call } = rig({ profile: "recorded" });
    sim.area().set(HostBlock.hardware, Hardware.ERROR);
    expect(call(IRQ_INFO, 16, [16, 0, 2]).view.getUint32(12, true)).toBe(2048);
  });

  it("arms and disarms ERR; the loopback signals once and nothing is injected", () => {
    const test = rig();
    expect(set(test, 0x21, 3, 0, 1)).toBe(-EINVAL); // not armed
    expect(set(test, 0x21, 3, 0, 0)).toBe(-EINVAL);
    expect(set(test, 0x24, 3, 0, 1, [5])).toBe(0);
    expect(set(test, 0x21, 3, 0, 1)).toBe(0);
    expect(test.sim.function().takeSignals()).toBe(1);
    expect(test.sim.function().getError(test.sim.slot())).toBe(-ENOMSG);
    expect(set(test, 0x22, 3, 0, 1, [0])).toBe(0);
    expect(test.sim.function().takeSignals()).toBe(0);
    expect(set(test, 0x22, 3, 0, 1, [1])).toBe(0);
    expect(test.sim.function().takeSignals()).toBe(1);
    expect(set(test, 0x24, 3, 0, 1, [0xffffffff])).toBe(0);
    expect(set(test, 0x21, 3, 0, 1)).toBe(-EINVAL);
    expect(set(test, 0x24, 3, 0, 1, [5])).toBe(0);
    expect(set(test, 0x21, 3, 0, 0)).toBe(0);
    expect(set(test, 0x21, 3, 0, 0)).toBe(-EINVAL);
  });

  it("arms REQ as well", () => {
    const test = rig();
    expect([set(test, 0x24, 4, 0, 1, [5]), set(test, 0x21, 4, 0, 0)]).toEqual([0, 0]);
  });

  it.each([
    ["no data type", 0x20, 3, 0, 1, EINVAL],
    ["two data types", 0x23, 3, 0, 1, EINVAL],
    ["an unknown flag", 0x61, 3, 0, 1, EINVAL],
    ["no action", 0x01, 3, 0, 1, ENOTTY],
    ["two actions", 0x31, 3, 0, 1, ENOTTY],
    ["MASK, which ERR has not", 0x09, 3, 0, 1, ENOTTY],
    ["start beyond the index", 0x21, 3, 1, 1, EINVAL],
    ["count beyond the index", 0x21, 3, 0, 2, EINVAL],
    ["an overflowing range", 0x21, 3, 0, 0xffffffff, EINVAL],
    ["an index that does not exist", 0x21, 5, 0, 1, EINVAL],
    ["an index without vectors", 0x21, 0, 0, 0, EINVAL],
  ])("refuses %s", (_, flags, index, start, count, errno) => {
    expect(set(rig(), flags, index, start, count)).toBe(-errno);
  });

  it("refuses an argsz too short for its items, and a buffer shorter than its argsz", () => {
    expect(set(rig(), 0x24, 3, 0, 1, [5], 23)).toBe(-EINVAL);
    expect(rig().call(SET_IRQS, 20, [24, 0x24, 3, 0, 1]).rc).toBe(-EFAULT);
    expect(rig().call(SET_IRQS, 20, [19, 0x21, 3, 0, 1]).rc).toBe(-EINVAL);
  });

  it("enables MSI-X as one block and disables it", () => {
    const test = rig({ profile: "recorded" });
    expect(set(test, 0x21, 2, 0, 0)).toBe(-EINVAL); // not enabled
    expect(set(test, 0x24, 2, 0, 3, [4, 5, 0xffffffff])).toBe(0);
    expect(set(test, 0x24, 2, 1, 1, [6])).toBe(0);
    expect(set(test, 0x24, 2, 3, 1, [6])).toBe(-EINVAL);
    expect(set(test, 0x21, 2, 0, 1)).toBe(0);
    expect(set(test, 0x21, 2, 0, 0)).toBe(0);
    expect(set(test, 0x24, 2, 0, 66, new Array(66).fill(1))).toBe(-EINVAL);
    expect(set(test, 0x24, 2, 64, 2, [1, 1])).toBe(-EINVAL);
  });
});

describe("DEVICE_FEATURE (1.4 and 2.1)", () => {
  const feature = ({ call }: Rig, bytes: number, words: readonly number[]): number =>
    call(FEATURE, bytes, words).rc;

  it("follows the ladder of 1.4 in its order", () => {
    const test = rig();
    expect(feature(test, 4, [16])).toBe(-EFAULT);
    expect(feature(test, 8, [7, PROBE | GET | 13])).toBe(-EINVAL);
    expect(feature(test, 16, [16, 0x80000 | GET | 13])).toBe(-EINVAL);
    expect(feature(test, 16, [16, GET | SET | 200])).toBe(-EINVAL);
    expect(feature(test, 16, [16, GET | 200])).toBe(-ENOTTY);
    expect(feature(test, 8, [8, PROBE | SET | 13])).toBe(-EINVAL);
    expect(feature(test, 8, [8, PROBE | GET | 13])).toBe(0);
    expect(feature(test, 16, [16, 13])).toBe(-EINVAL);
    expect(feature(test, 16, [15, GET | 13])).toBe(-EINVAL);
    expect(feature(test, 8, [16, GET | 13])).toBe(-EFAULT);
    expect(feature(test, 16, [16, GET | 13, 4096])).toBe(-ENOMSG);
  });

  it("never writes its header back and accepts a larger argsz", () => {
    const { sim, call } = rig();
    sim.open();
    sim.platform.raise(0, { type: "ccdf", pec: 0x3a });
    sim.run();
    const { rc, view } = call(FEATURE, 64, [64, GET | 13, sim.slot()]);
    expect([rc, view.getUint32(0, true), view.getUint32(4, true)]).toEqual([0, 64, GET | 13]);
    expect(sim.vm.view.getUint16(sim.slot() + 30)).toBe(0x3a);
  });

  it("hands each event to one of two readers of the same function (one queue, 3.6)", () => {
    const test = rig();
    const { sim, call } = test;
    sim.open();
    sim.platform.raise(0, { type: "burst", ccdfs: [{ pec: 1 }, { pec: 2 }] });
    sim.run();
    const other = sim.function();
    expect(call(FEATURE, 16, [16, GET | 13, sim.slot(0)]).rc).toBe(0);
    expect(other.getError(sim.slot(1))).toBe(0);
    const pecs = [0, 1].map((n) => sim.vm.view.getUint16(sim.slot(n) + 30));
    expect(pecs).toEqual([1, 2]);
    expect(other.getError(sim.slot(2))).toBe(-ENOMSG);
  });

  it("unknown ioctls are ENOTTY", () => {
    expect(rig().call(0x3b6a, 8, [8]).rc).toBe(-ENOTTY);
  });
});

describe("region I/O through the device fd (1.6, 3.12)", () => {
  const CONFIG = 7 * 2 ** 40;

  it("reads the config space in PCI byte order, and not past its end", () => {
    const { device } = rig();
    const id = new Uint8Array(4);
    expect(device.regions.pread(CONFIG, id)).toBe(4);
    expect([...id]).toEqual([0x34, 0x12, 0x4d, 0x5a]);
    expect(device.regions.pread(CONFIG + 254, id)).toBe(-EFAULT);
    expect(device.regions.pread(0xfffe, id)).toBe(-EINVAL);
    expect(device.regions.pread(2 * 2 ** 40, id)).toBe(-EINVAL);
    expect(device.regions.pread(-4, id)).toBe(-EINVAL);
  });

  it("cuts odd ranges into natural pieces", () => {
    const { device } = rig();
    const data = Uint8Array.from({ length: 21 }, (_, i) => i + 1);
    expect(device.regions.pwrite(0x8003, data)).toBe(21);
    const back = new Uint8Array(21);
    expect(device.regions.pread(0x8003, back)).toBe(21);
    expect(back).toEqual(data);
  });

  it("in error: config ENODEV, BARs from the copy, registers ones", () => {
    const { sim, device } = rig();
    sim.area().set(HostBlock.hardware, Hardware.ERROR);
    const word = new Uint8Array(4);
    expect(device.regions.pread(CONFIG, word)).toBe(-ENODEV);
    expect(device.regions.pread(CONFIG + 0x10, word)).toBe(4);
    expect([...word]).toEqual([4, 0, 0, 0]);
    expect(device.regions.pread(0, word)).toBe(4);
    expect([...word]).toEqual([255, 255, 255, 255]);
    expect(device.regions.pwrite(0x8000, word)).toBe(4);
  });

  it("hides the MSI-X table: ones, and stores dropped", () => {
    const { sim, device } = rig();
    const word = new Uint8Array(4);
    expect(device.regions.pwrite(0x1008, word)).toBe(4);
    expect(device.regions.pread(0x1008, word)).toBe(4);
    expect([...word]).toEqual([255, 255, 255, 255]);
    expect(sim.area().msixTable[12]).toBe(1);
  });
});
