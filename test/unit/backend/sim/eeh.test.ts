import { describe, expect, it } from "vitest";
import { Hardware, HostBlock } from "../../../../src/backend/sim/host-area.ts";
import { SimVfioDevice } from "../../../../src/backend/sim/index.ts";
import { instant, SimHost } from "../../../support/sim-host.ts";

const EIO = 5;
const EFAULT = 14;
const EINVAL = 22;
const ENOTTY = 25;
const PE_OP = 0x3b79;
const GET_ADDR = 0x3b7a;
/** Operations and states of vfio-uapi.md 6.1. */
const Op = {
  disable: 0,
  enable: 1,
  unfreezeIo: 2,
  unfreezeDma: 3,
  getState: 4,
  deactivate: 5,
  hot: 6,
  fundamental: 7,
  configure: 8,
  inject: 9,
};

interface Rig {
  readonly sim: SimHost;
  ioctl(request: number, argument: Uint8Array | number): number;
  op(op: number, argsz?: number, flags?: number, err?: readonly number[]): number;
}

function rig(abi: string): Rig {
  const sim = new SimHost([{ fid: 2, host: { dialect: "eeh", abi }, timing: instant }]);
  const device = new SimVfioDevice(sim.vm, 0, sim.config(), {
    byteOrder: "big",
    whileBlocked: () => sim.run(),
  });
  device.errors.start();
  const ioctl = (request: number, argument: Uint8Array | number): number =>
    device.eeh?.ioctl(request, argument) ?? Number.NaN;
  return {
    sim,
    ioctl,
    op: (op, argsz = 12, flags = 0, err = []) => {
      const buffer = new Uint8Array(40);
      const view = new DataView(buffer.buffer);
      for (const [n, value] of [argsz, flags, op, 0, ...err].entries()) {
        view.setUint32(n * 4, value);
      }
      return ioctl(PE_OP, buffer.subarray(0, Math.max(12, argsz)));
    },
  };
}

function freeze(sim: SimHost, pec = 0x3a): void {
  sim.platform.raise(0, { type: "ccdf", pec });
  sim.run();
}

describe("VFIO_EEH_PE_OP (vfio-uapi.md 6.1)", () => {
  it("exists where EEH is the host's dialect: CHECK_EXTENSION 5 is positive", () => {
    const { ioctl } = rig("merged");
    expect(ioctl(0x3b65, 5)).toBe(1);
    expect(ioctl(0x3b65, 6)).toBe(0);
    expect(ioctl(0x3b6f, 0)).toBe(-ENOTTY);
    const zpci = new SimHost([{ fid: 2 }]);
    expect(new SimVfioDevice(zpci.vm, 0, zpci.config()).eeh).toBeUndefined();
  });

  it("refuses a short argsz, flags, and operations that it does not know", () => {
    const { op, ioctl } = rig("merged");
    expect(op(Op.getState, 11)).toBe(-EINVAL);
    expect(op(Op.getState, 12, 1)).toBe(-EINVAL);
    expect(op(10)).toBe(-EINVAL);
    expect(ioctl(PE_OP, new Uint8Array(11))).toBe(-EFAULT);
    expect(ioctl(PE_OP, 4)).toBe(-EFAULT);
  });

  it("thaws in two steps: STOPPED 2, STOPPED_DMA 4, NORMAL 0", () => {
    const { sim, op } = rig("merged");
    expect(op(Op.getState)).toBe(0);
    freeze(sim);
    expect(op(Op.getState)).toBe(2);
    expect(op(Op.unfreezeIo)).toBe(0);
    expect(op(Op.getState)).toBe(4);
    expect(op(Op.unfreezeDma)).toBe(0);
    expect(op(Op.getState)).toBe(0);
    expect([op(Op.unfreezeIo), op(Op.unfreezeDma), op(Op.disable), op(Op.configure)]).toEqual([
      0, 0, 0, 0,
    ]);
  });

  it("ENABLE takes the PE over and thaws it", () => {
    const { sim, op } = rig("merged");
    freeze(sim);
    expect(op(Op.enable)).toBe(0);
    expect(op(Op.getState)).toBe(0);
  });

  it.each([Op.hot, Op.fundamental])(
    "a reset is two calls: %i asserts, DEACTIVATE releases",
    (kind) => {
      const { sim, op } = rig("merged");
      freeze(sim);
      expect(op(kind)).toBe(0);
      expect(op(Op.getState)).toBe(1);
      expect(sim.hardware()).toBe(Hardware.RESETTING);
      expect(op(Op.unfreezeDma)).toBe(-EIO);
      expect(op(Op.deactivate)).toBe(0);
      expect(op(Op.getState)).toBe(0);
      expect(op(Op.deactivate)).toBe(0);
    },
  );

  it("a PE that is given up stays UNAVAIL 5 and cannot be reset", () => {
    const { sim, op } = rig("merged");
    freeze(sim, 0x3b);
    expect(op(Op.getState)).toBe(5);
    expect(op(Op.unfreezeDma)).toBe(-EIO);
    expect(op(Op.hot)).toBe(-EIO);
    expect(op(Op.getState)).toBe(5);
  });

  it("a frozen PE swallows further errors until it is thawed", () => {
    const { sim, op } = rig("merged");
    freeze(sim);
    freeze(sim);
    expect(sim.book("hostDropped")).toBe(1);
    expect(op(Op.unfreezeDma)).toBe(0);
    sim.area().set(HostBlock.queueHead, sim.area().get(HostBlock.queueTail));
    freeze(sim);
    expect(sim.book("hostDropped")).toBe(1);
    expect(op(Op.getState)).toBe(2);
  });

  it("injects errors: type 0 or 1, function 0 to 19, with the whole structure only", () => {
    const { sim, op } = rig("merged");
    expect(op(Op.inject)).toBe(-EINVAL);
    expect(op(Op.inject, 40, 0, [2, 0])).toBe(-EINVAL);
    expect(op(Op.inject, 40, 0, [0, 20])).toBe(-EINVAL);
    expect(op(Op.inject, 40, 0, [1, 19])).toBe(0);
    sim.run();
    expect(op(Op.getState)).toBe(2);
    expect(sim.book("errorsRaised")).toBe(1);
  });

  it("signals nothing: the ERR eventfd stays silent, loads of all ones tell", () => {
    const { sim } = rig("merged");
    const host = sim.open();
    freeze(sim);
    expect(host.takeSignals()).toBe(0);
    const regions = sim.regions();
    regions.load(0, 0, 4);
    regions.load(0, 0, 4);
    expect(regions.valueLow).toBe(-1);
    expect(host.takeSignals()).toBe(1);
  });
});

describe("the 2014 forms (vfio-uapi.md 6.2)", () => {
  const words = (...values: number[]): Uint8Array => {
    const buffer = new Uint8Array(values.length * 4);
    for (const [n, value] of values.entries()) new DataView(buffer.buffer).setUint32(n * 4, value);
    return buffer;
  };

  it("SET_OPTION takes argsz and option in 8 bytes", () => {
    const { sim, ioctl } = rig("2014-v6");
    freeze(sim);
    expect(ioctl(PE_OP, words(7, Op.unfreezeIo))).toBe(-EINVAL);
    expect(ioctl(PE_OP, words(8, Op.unfreezeIo))).toBe(0);
    expect(sim.hardware()).toBe(Hardware.BLOCKED);
    expect(ioctl(PE_OP, words(8, Op.unfreezeDma))).toBe(0);
    expect(sim.hardware()).toBe(Hardware.NORMAL);
    // State and reset calls had numbers of their own, which are not known.
    expect(ioctl(PE_OP, words(8, 4))).toBe(-EINVAL);
  });

  it("GET_ADDR writes address or sharing mode into info", () => {
    const { ioctl } = rig("2014-v6");
    const address = words(12, 0, 0);
    const sharing = words(12, 1, 0);
    expect([ioctl(GET_ADDR, address), ioctl(GET_ADDR, sharing)]).toEqual([0, 0]);
    expect(new DataView(address.buffer).getUint32(8)).toBe(0x10000);
    expect(new DataView(sharing.buffer).getUint32(8)).toBe(1);
    expect(ioctl(GET_ADDR, words(11, 0, 0))).toBe(-EINVAL);
    expect(ioctl(GET_ADDR, words(12, 2, 0))).toBe(-EINVAL);
  });

  it("as its reviewer wanted: a plain u32 in, the answer as positive return value", () => {
    const { sim, ioctl } = rig("2014-u32");
    freeze(sim);
    expect(ioctl(PE_OP, Op.unfreezeDma)).toBe(0);
    expect(sim.hardware()).toBe(Hardware.NORMAL);
    expect([ioctl(GET_ADDR, 0), ioctl(GET_ADDR, 1)]).toEqual([0x10000, 1]);
    expect(ioctl(PE_OP, 7)).toBe(-EINVAL);
  });
});
