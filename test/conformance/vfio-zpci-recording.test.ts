/**
 * Replays every request of the dialogue with the genuine 7.3-rc7 kernel (`data/vfio-zpci-7.3-rc7.json`), in
 * recorded order, against the simulated host; the answers must be the recorded ones. The host was
 * big-endian. The recorded function was an NVMe controller; here the same fault, a read outside the
 * translation aperture, is made with the test function's DMA engine.
 */
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { SimVfioDevice } from "../../src/backend/sim/index.ts";
import { instant, SimHost } from "../support/sim-host.ts";

const recording = JSON.parse(
  readFileSync(new URL("data/vfio-zpci-7.3-rc7.json", import.meta.url), "utf8"),
);

const GET = 0x10000;
const SET = 0x20000;
const PROBE = 0x40000;

function hexWords(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString("hex");
  return (text.match(/.{8}/g) ?? []).join(" ");
}

describe("the dialogue with the 7.3-rc7 kernel", () => {
  let sim: SimHost;
  let device: SimVfioDevice;

  const connect = (kernel: "7.3" | "7.2"): void => {
    const profile = "recorded" as const;
    // QEMU, the platform of the recording, keeps the handle over a reset.
    sim = new SimHost([{ fid: 2, profile, kernel, changeHandle: false, timing: instant }]);
    const options = { byteOrder: "big" as const, whileBlocked: () => sim.run() };
    device = new SimVfioDevice(sim.vm, 0, sim.config(), options);
    sim.open();
  };

  beforeAll(() => connect("7.3"));

  /** DataView over a fresh request buffer. */
  const request = (bytes: number, words: readonly number[]): DataView => {
    const view = new DataView(new ArrayBuffer(bytes));
    for (const [index, word] of words.entries()) view.setUint32(index * 4, word);
    return view;
  };
  const bytesOf = (view: DataView): Uint8Array => new Uint8Array(view.buffer);
  const ioctl = (number: number, view: DataView): number => device.ioctl(number, bytesOf(view));
  const feature = (argsz: number, flags: number, address = 0n): number => {
    const view = request(16, [argsz, flags]);
    view.setBigUint64(8, address);
    return ioctl(0x3b75, view);
  };
  const getCcdf = (): { rc: number; ccdf?: string } => {
    const slot = sim.slot();
    sim.vm.bytes.fill(0xee, slot, slot + 32);
    const rc = feature(16, GET | 13, BigInt(slot));
    if (rc !== 0) return { rc };
    return { rc, ccdf: hexWords(sim.vm.bytes.slice(slot, slot + 32)) };
  };
  const signals = (): number => sim.function().takeSignals();

  /** A device read at an address outside the aperture, as the recording's submission queue base. */
  const fault = (address: bigint): void => {
    const bar = 0;
    const at = (offset: number): number => bar * 2 ** 40 + offset;
    const write = (offset: number, value: number): void => {
      const data = new Uint8Array(4);
      new DataView(data.buffer).setUint32(0, value, true);
      expect(device.regions.pwrite(at(offset), data)).toBe(4);
    };
    write(0x08, 1); //                     control: enable
    write(0x10, Number(address & 0xffffffffn));
    write(0x14, Number(address >> 32n));
    write(0x18, 0);
    write(0x1c, 64); //                    length
    write(0x20, 1); //                     from guest
    sim.run();
  };

  it("getInfo: flags, counts, and the capability chain word by word", () => {
    const { request: asked, answer, capabilities } = recording.getInfo;
    const view = request(asked.argsz, [asked.argsz]);
    expect(ioctl(0x3b6b, view)).toBe(answer.rc);
    expect(view.getUint32(0)).toBe(answer.argsz);
    expect(view.getUint32(4)).toBe(Number(answer.flags));
    expect(view.getUint32(8)).toBe(answer.numRegions);
    expect(view.getUint32(12)).toBe(answer.numIrqs);
    expect(view.getUint32(16)).toBe(answer.capOffset);
    let at = view.getUint32(16);
    for (const capability of capabilities) {
      expect(view.getUint16(at)).toBe(capability.id);
      expect(view.getUint16(at + 2)).toBe(capability.version);
      expect(view.getUint32(at + 4)).toBe(capability.next);
      const length = capability.words.split(" ").length * 4;
      expect(hexWords(bytesOf(view).subarray(at, at + length))).toBe(capability.words);
      at = capability.next;
    }
    expect(at).toBe(0);
  });

  it("irqInfo: every index", () => {
    for (const { index, rc, flags, count } of recording.irqInfo) {
      const view = request(16, [16, 0, index]);
      expect(ioctl(0x3b6d, view)).toBe(rc);
      expect([view.getUint32(4), view.getUint32(12)]).toEqual([Number(flags), count]);
    }
  });

  it("probe: features 0 to 15, GET and SET", () => {
    const answers = recording.probe.map(({ feature: number }: { feature: number }) => ({
      feature: number,
      get: feature(8, PROBE | GET | number),
      set: feature(8, PROBE | SET | number),
    }));
    expect(answers).toEqual(recording.probe);
  });

  it("feature13: the whole ladder on an idle function", () => {
    const slot = BigInt(sim.slot());
    expect({
      idleGet: feature(16, GET | 13, slot),
      nullPointer: feature(16, GET | 13, 0n),
      shortArgsz: feature(12, GET | 13, slot),
      set: feature(16, SET | 13, slot),
      getAndSet: feature(16, GET | SET | 13, slot),
      badPointerWhileIdle: feature(16, GET | 13, 0xffff_ffff_ffff_f000n),
    }).toEqual(recording.feature13);
  });

  it("oneFault: one signal, ones from the registers, the CCDF, then empty, then a reset", () => {
    const { eventfd, registerReadsAfter, get, reset } = recording.oneFault;
    fault(0x1000_0000n);
    expect(signals()).toBe(eventfd);
    const register = new Uint8Array(4);
    expect(device.regions.pread(0x0c, register)).toBe(4);
    expect(Buffer.from(register).toString("hex")).toBe(registerReadsAfter);
    expect([getCcdf(), getCcdf()]).toEqual(get);
    expect(device.ioctl(0x3b6f)).toBe(reset);
    expect(device.regions.pread(0x0c, register)).toBe(4);
    expect(Buffer.from(register).toString("hex")).toBe("00000000");
  });

  it("sixFaultsWithoutDraining: a signal each, four kept over the resets, two dropped", () => {
    const { eventfdSignalsPerFault, get } = recording.sixFaultsWithoutDraining;
    const seen: number[] = [];
    for (let n = 1; n <= 6; n++) {
      fault(0x1000_0000n + BigInt(n) * 0x1_0000n);
      seen.push(signals());
      expect(device.ioctl(0x3b6f)).toBe(0);
    }
    expect(seen).toEqual(eventfdSignalsPerFault);
    expect(get.map(() => getCcdf())).toEqual(get);
    expect(sim.book("hostDropped")).toBe(2);
    expect(sim.book("errorsRaised")).toBe(7);
  });

  it("kernelWithoutFeature: 7.2 answers ENOTTY and base version 2", () => {
    connect("7.2");
    const { probe13Get, baseCapabilityVersion } = recording.kernelWithoutFeature;
    expect(feature(8, PROBE | GET | 13)).toBe(probe13Get);
    const view = request(1024, [1024]);
    ioctl(0x3b6b, view);
    expect(view.getUint16(24)).toBe(1);
    expect(view.getUint16(26)).toBe(baseCapabilityVersion);
    expect(view.getUint32(24 + 36)).toBe(0); // padding there
    expect(sim.function().open()).toBe(-25);
  });
});
