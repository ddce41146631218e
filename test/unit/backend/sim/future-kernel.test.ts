import { describe, expect, it } from "vitest";
import { HostBlock } from "../../../../src/backend/sim/host-area.ts";
import { SimVfioDevice } from "../../../../src/backend/sim/index.ts";
import { instant, SimHost } from "../../../support/sim-host.ts";

/** What a later kernel may add without breaking today's reader (vfio-uapi.md 2.1, 5.1, 7). */
function future(): { sim: SimHost; device: SimVfioDevice } {
  const host = { dialect: "zpci" as const, abi: "merged", future: true };
  const sim = new SimHost([{ fid: 2, host, timing: instant, changeHandle: false }]);
  return { sim, device: new SimVfioDevice(sim.vm, 0, sim.config(), { byteOrder: "big" }) };
}

function getInfo(device: SimVfioDevice): DataView {
  const first = new DataView(new ArrayBuffer(24));
  first.setUint32(0, 24);
  device.ioctl(0x3b6b, new Uint8Array(first.buffer));
  const whole = new DataView(new ArrayBuffer(first.getUint32(0)));
  whole.setUint32(0, whole.byteLength);
  expect(device.ioctl(0x3b6b, new Uint8Array(whole.buffer))).toBe(0);
  return whole;
}

describe("a kernel to come", () => {
  it("has ZPCI_BASE version 4, capabilities and flags that nobody knows", () => {
    const info = getInfo(future().device);
    expect(info.getUint32(4) & 0x7000).toBe(0x7000);
    const chain: [number, number][] = [];
    for (let at = info.getUint32(16); at !== 0; at = info.getUint32(at + 4)) {
      chain.push([info.getUint16(at), info.getUint16(at + 2)]);
    }
    expect(chain).toEqual([
      [0x7f01, 9],
      [1, 4],
      [0x7f02, 9],
      [2, 2],
      [3, 1],
      [4, 1],
      [0x7f03, 9],
    ]);
  });

  it("is read as today's host: same facts, the longer CCDF's first 32 bytes, nothing beside the slot", () => {
    const { sim } = future();
    const today = new SimHost([{ fid: 2 }]).function().facts;
    const host = sim.open();
    expect({ ...host.facts, ccdfErrLength: 32 }).toEqual(today);
    expect(host.facts.ccdfErrLength).toBe(64);
    const bytes = "11111111 00000000 00000000 fabcdefe 0123456789abcdef 22222222 3333 003a";
    sim.platform.raise(0, { type: "ccdf", ccdf: bytes });
    sim.run();
    const slot = sim.slot();
    sim.vm.bytes.fill(0xee, slot, slot + 64);
    expect(host.getError(slot)).toBe(0);
    const expected = "11111111 80020001 00000002 fabcdefe 0123456789abcdef 22222222 3333 003a";
    expect(sim.bytesAt(slot)).toBe(expected.replaceAll(" ", ""));
    expect(sim.bytesAt(slot + 32)).toBe("ee".repeat(32));
    expect(host.getError(slot)).toBe(-42);
  });

  it("loses an event whose whole length does not fit, as today's kernel loses one (2.1 row 10)", () => {
    const { sim, device } = future();
    sim.open();
    sim.platform.raise(0, { type: "ccdf", pec: 7 });
    sim.run();
    const view = new DataView(new ArrayBuffer(16));
    view.setUint32(0, 16);
    view.setUint32(4, 0x1000d);
    view.setBigUint64(8, BigInt(sim.vm.bytes.length - 63));
    expect(device.ioctl(0x3b75, new Uint8Array(view.buffer))).toBe(-14);
    expect(sim.area().get(HostBlock.queueHead)).toBe(1);
  });

  it("offers a second error feature and a length query that an old reader never asks for", () => {
    const { sim, device } = future();
    const feature = (number: number, data = 4): { rc: number; view: DataView } => {
      const view = new DataView(new ArrayBuffer(8 + data));
      view.setUint32(0, 8 + data);
      view.setUint32(4, 0x10000 | number);
      return { rc: device.ioctl(0x3b75, new Uint8Array(view.buffer)), view };
    };
    const length = feature(15);
    expect([length.rc, length.view.getUint32(8)]).toEqual([0, 64]);
    sim.open();
    sim.platform.raise(0, { type: "ccdf", pec: 7 });
    sim.run();
    expect(feature(14).rc).toBe(-22);
    expect(sim.area().get(HostBlock.queueHead)).toBe(0);
    const now = new SimHost([{ fid: 2 }]);
    const old = new SimVfioDevice(now.vm, 0, now.config(), { byteOrder: "big" });
    const probe = new DataView(new ArrayBuffer(8));
    probe.setUint32(0, 8);
    probe.setUint32(4, 0x5000e);
    expect(old.ioctl(0x3b75, new Uint8Array(probe.buffer))).toBe(-25);
  });
});
