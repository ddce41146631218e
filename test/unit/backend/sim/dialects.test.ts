import { describe, expect, it } from "vitest";
import { HostBlock } from "../../../../src/backend/sim/host-area.ts";
import { SimHostFunction, SimVfioDevice } from "../../../../src/backend/sim/index.ts";
import { instant, SimHost } from "../../../support/sim-host.ts";

const GET = 0x10000;
const SET = 0x20000;
const PROBE = 0x40000;
const EINVAL = 22;
const ENOTTY = 25;
const ENOMSG = 42;
const ENOENT = 2;
const REGION_9 = 9 * 2 ** 40;

interface Rig {
  readonly sim: SimHost;
  readonly device: SimVfioDevice;
  /** VFIO_DEVICE_FEATURE with argsz; the answer and the data part as hex. */
  feature(argsz: number, flags: number): { rc: number; data: string };
  raise(...pecs: number[]): void;
}

/** A kernel of that dialect, big-endian, mediating. */
function rig(abi: string): Rig {
  const sim = new SimHost([
    { fid: 2, host: { dialect: "zpci", abi }, timing: instant, changeHandle: false },
  ]);
  const device = new SimVfioDevice(sim.vm, 0, sim.config(), { byteOrder: "big" });
  device.errors.start();
  return {
    sim,
    device,
    feature: (argsz, flags) => {
      const buffer = new Uint8Array(Math.max(8, argsz)).fill(0xee, 8);
      const view = new DataView(buffer.buffer);
      view.setUint32(0, argsz);
      view.setUint32(4, flags);
      const rc = device.ioctl(0x3b75, buffer);
      return { rc, data: Buffer.from(buffer.subarray(8)).toString("hex") };
    },
    raise: (...pecs) => {
      const word = "fabcdeff 0123456789abcdef ffffffff ffff";
      const ccdfs = pecs.map((pec) => ({
        ccdf: `ffffffff 00000000 00000000 ${word} ${pec.toString(16).padStart(4, "0")}`,
      }));
      sim.platform.raise(0, { type: "burst", ccdfs });
      sim.run();
    },
  };
}

describe("feature GET by value, byte for byte (vfio-uapi.md 2.4)", () => {
  const first: readonly [string, number, number, string][] = [
    // abi, feature number, argsz, data of the first of two events: PEC 0x003a, one left
    ["v2", 11, 16, "003a0000 00000001"],
    ["v3", 11, 16, "003a0000 00000001"],
    ["v4", 11, 12, "003a0100"],
    ["v6", 11, 12, "003a0100"],
    ["v7", 12, 12, "003a0100"],
    ["v8", 12, 12, "003a0100"],
    ["v9", 12, 12, "0101003a"],
    ["v12", 12, 12, "0101003a"],
    ["v13", 13, 12, "0101003a"],
    ["v13-enomsg", 13, 12, "0101003a"],
    ["v13-enoent", 13, 12, "0101003a"],
    ["pec-only", 13, 10, "003a"],
    [
      "v14",
      13,
      80,
      `00000000 00000000 80020001 00000002 fabcde03 00000000 0123456789abcdef 00000000 0000 003a ${"00".repeat(32)}`,
    ],
    [
      "v18",
      13,
      80,
      `00000000 00000000 80020001 00000002 fabcde03 00000000 0123456789abcdef 00000000 0000 003a ${"00".repeat(32)}`,
    ],
    [
      "v19",
      13,
      72,
      `00000000 00000000 80020001 00000002 0123456789abcdef fabcde03 00000000 0000 003a ${"00".repeat(28)}`,
    ],
  ];

  it.each(first)("%s: feature %i, argsz %i", (abi, number, argsz, bytes) => {
    const { feature, raise } = rig(abi);
    raise(0x3a, 7);
    expect(feature(argsz, GET | number)).toEqual({ rc: 0, data: bytes.replaceAll(" ", "") });
  });

  it.each(first)(
    "%s: a GET that is a byte short is refused and takes nothing",
    (abi, number, argsz) => {
      const { sim, feature, raise } = rig(abi);
      raise(0x3a);
      expect(feature(argsz - 1, GET | number).rc).toBe(-EINVAL);
      expect(sim.area().get(HostBlock.queueHead)).toBe(0);
      expect(feature(argsz, GET | number).rc).toBe(0);
    },
  );

  it.each(first)("%s: PROBE answers 0 for GET, -EINVAL for SET", (abi, number) => {
    const { feature } = rig(abi);
    expect(feature(8, PROBE | GET | number).rc).toBe(0);
    expect(feature(8, PROBE | SET | number).rc).toBe(-EINVAL);
    expect(feature(8, number).rc).toBe(-EINVAL);
  });

  it("knows feature 13 only from v13 on; 11 and 12 mean other things in later kernels", () => {
    for (const abi of ["v1", "v6", "v12", "none"]) {
      expect(rig(abi).feature(8, PROBE | GET | 13).rc, abi).toBe(-ENOTTY);
    }
    expect(rig("v13").feature(8, PROBE | GET | 11).rc).toBe(-ENOTTY);
    expect(rig("merged").feature(8, PROBE | GET | 12).rc).toBe(-EINVAL);
  });

  const empty: readonly [string, number, number, number, string][] = [
    ["v12", 12, 12, 0, "01000000"],
    ["v13", 13, 12, 0, "01000000"],
    ["v13-enomsg", 13, 12, -ENOMSG, "eeeeeeee"],
    ["v13-enoent", 13, 12, -ENOENT, "eeeeeeee"],
    ["pec-only", 13, 10, -ENOENT, "eeee"],
    ["v14", 13, 80, -ENOMSG, "ee".repeat(72)],
    ["v19", 13, 72, -ENOMSG, "ee".repeat(64)],
  ];

  it.each(empty)(
    "%s: feature %i, argsz %i answers %i for an empty queue",
    (abi, number, argsz, rc, data) => {
      expect(rig(abi).feature(argsz, GET | number)).toEqual({ rc, data });
    },
  );

  it.each(["v2", "v4", "v8", "v11"])("%s: an empty queue answers 0 with arbitrary bytes", (abi) => {
    const number = abi === "v2" || abi === "v4" ? 11 : 12;
    const argsz = abi === "v2" ? 16 : 12;
    const { feature } = rig(abi);
    const answers = [1, 2, 3].map(() => feature(argsz, GET | number));
    expect(answers.map((answer) => answer.rc)).toEqual([0, 0, 0]);
    expect(new Set(answers.map((answer) => answer.data)).size).toBe(3);
    if (abi === "v11") expect(answers.every(({ data }) => data.startsWith("01"))).toBe(true);
  });

  it("keeps 16 events in v1 to v3, 4 from v4 on (vfio-uapi.md 2.4)", () => {
    for (const [abi, slots] of [
      ["v3", 16],
      ["v4", 4],
      ["merged", 4],
    ] as const) {
      const { sim, raise } = rig(abi);
      raise(...Array.from({ length: 20 }, () => 2));
      expect(sim.area().get(HostBlock.queueTail), abi).toBe(slots);
      expect(sim.book("hostDropped"), abi).toBe(20 - slots);
    }
  });
});

describe("the device region of v1", () => {
  const read = (device: SimVfioDevice, position: number, length: number): string => {
    const target = new Uint8Array(length);
    expect(device.pread(REGION_9 + position, target)).toBe(length);
    return Buffer.from(target).toString("hex");
  };

  it("is region 9, IBM's vendor type and subtype 2, 8 bytes, read only", () => {
    const { device } = rig("v1");
    const buffer = new Uint8Array(48);
    const view = new DataView(buffer.buffer);
    view.setUint32(0, 48);
    view.setUint32(8, 9);
    expect(device.ioctl(0x3b6c, buffer)).toBe(0);
    expect(view.getUint32(4)).toBe(9); // READ and CAPS
    expect([view.getBigUint64(16), view.getBigUint64(24)]).toEqual([8n, BigInt(REGION_9)]);
    expect([view.getUint16(32), view.getUint32(40), view.getUint32(44)]).toEqual([
      2, 0x80001014, 2,
    ]);
    expect(device.pread(REGION_9 + 4, new Uint8Array(5))).toBe(-EINVAL);
    const absent = new Uint8Array(48);
    new DataView(absent.buffer).setUint32(0, 48);
    new DataView(absent.buffer).setUint32(8, 9);
    expect(rig("merged").device.ioctl(0x3b6c, absent)).toBe(-EINVAL);
  });

  it("any read takes an event, a short one and one from the middle too", () => {
    const { device, raise } = rig("v1");
    raise(0x3a, 7, 9);
    expect(read(device, 0, 8)).toBe("003a000000000002");
    expect(read(device, 0, 2)).toBe("0007");
    expect(read(device, 4, 4)).toBe("00000000");
  });

  it("an empty queue gives the record before, again", () => {
    const { device, raise } = rig("v1");
    expect(read(device, 0, 8)).toBe("0000000000000000");
    raise(0x3a);
    expect(read(device, 0, 8)).toBe("003a000000000000");
    expect(read(device, 0, 8)).toBe("003a000000000000");
  });
});

describe("detection", () => {
  const open = (abi: string): { sim: SimHost; host: SimHostFunction; rc: number } => {
    const { sim } = rig(abi);
    const host = new SimHostFunction(sim.vm, 0, sim.config(), { byteOrder: "big" });
    return { sim, host, rc: host.open() };
  };

  it.each(["v1", "v2", "v6", "v7", "v12"])("%s is taken as configured", (abi) => {
    expect(open(abi).rc).toBe(0);
  });

  it.each(["v13", "v13-enomsg", "v13-enoent", "pec-only", "v14", "v18", "v19", "v20", "merged"])(
    "%s is found by probing: capability version, then the shortest argsz that is not refused",
    (abi) => {
      const { sim, host, rc } = open(abi);
      expect(rc).toBe(0);
      expect(host.getError(sim.slot())).toBe(-ENOMSG);
      sim.platform.raise(0, { type: "ccdf", pec: 7, faddr: 0x1234 });
      sim.run();
      expect(host.getError(sim.slot())).toBe(0);
      expect(sim.bytesAt(sim.slot()).slice(-4)).toBe("0007");
      expect(host.getError(sim.slot())).toBe(-ENOMSG);
    },
  );

  it("keeps an event that the probing GET took", () => {
    for (const abi of ["v13", "v14", "v19", "pec-only"]) {
      const { sim, raise } = rig(abi);
      raise(0x0b);
      const host = new SimHostFunction(sim.vm, 0, sim.config(), { byteOrder: "big" });
      expect(host.open(), abi).toBe(0);
      expect(sim.area().get(HostBlock.queueHead), abi).toBe(1);
      expect(host.getError(sim.slot()), abi).toBe(0);
      expect(sim.bytesAt(sim.slot()).slice(-4), abi).toBe("000b");
      expect(host.getError(sim.slot()), abi).toBe(-ENOMSG);
    }
  });

  it("counts a held event among what close throws away", () => {
    const { sim, raise } = rig("v13");
    raise(0x0b, 7);
    const host = new SimHostFunction(sim.vm, 0, sim.config());
    expect(host.open()).toBe(0);
    expect(host.close()).toBe(2);
  });

  it("an older host is -ENOTTY and mediates nothing", () => {
    const { sim, rc } = open("none");
    expect(rc).toBe(-ENOTTY);
    expect(sim.area().get(HostBlock.mediated)).toBe(0);
    expect(sim.config().kernel).toBe("7.2");
  });
});

describe("what cannot be believed", () => {
  const opened = (abi: string): { sim: SimHost; host: SimHostFunction } => {
    const sim = new SimHost([
      { fid: 2, host: { dialect: "zpci", abi }, timing: instant, changeHandle: false },
    ]);
    return { sim, host: sim.open() };
  };

  it.each(["v1", "v2", "v8", "v11"])("%s: GET waits for a signal", (abi) => {
    const { sim, host } = opened(abi);
    sim.platform.raise(0, { type: "burst", ccdfs: [{ pec: 2 }, { pec: 2 }] });
    sim.run();
    expect(host.getError(sim.slot())).toBe(-ENOMSG);
    expect(host.takeSignals()).toBe(2);
    // Then it goes on while the record says that more are left.
    expect([1, 2, 3].map(() => host.getError(sim.slot()))).toEqual([0, 0, -ENOMSG]);
  });

  it.each(["v1", "v2", "v8", "v11"])(
    "%s: an event read before its own signal is not read twice",
    (abi) => {
      const { sim, host } = opened(abi);
      sim.platform.raise(0, { type: "burst", ccdfs: [{ pec: 2 }] });
      sim.run();
      host.takeSignals();
      // Stored, with its signal still to come.
      sim.area().set(HostBlock.errArmed, 0);
      sim.platform.raise(0, { type: "burst", ccdfs: [{ pec: 2 }] });
      sim.run();
      expect([1, 2, 3].map(() => host.getError(sim.slot()))).toEqual([0, 0, -ENOMSG]);
      sim.setWord("errSignals", 1);
      host.takeSignals();
      expect(host.getError(sim.slot())).toBe(-ENOMSG);
    },
  );

  it.each(["v1", "v2", "v8", "v11"])(
    "%s: a signal without an event gives a record that names no error",
    (abi) => {
      const { sim, host } = opened(abi);
      sim.setWord("errSignals", 1); // the loopback trigger of SET_IRQS
      host.takeSignals();
      expect(host.getError(sim.slot())).toBe(0);
      expect(sim.bytesAt(sim.slot()).slice(-4)).toBe("0000");
      expect(host.getError(sim.slot())).toBe(-ENOMSG);
      expect(sim.book("errorsRaised")).toBe(1);
    },
  );

  it.each(["v4", "v13", "pec-only"])(
    "%s: a record without a handle counts only while the function is in error",
    (abi) => {
      const { sim, host } = opened(abi);
      sim.platform.raise(0, { type: "ccdf", pec: 7 });
      sim.run();
      host.takeSignals();
      sim.area().set(HostBlock.hardware, 0); // healthy again before anybody asked
      expect(host.getError(sim.slot())).toBe(0);
      expect(sim.bytesAt(sim.slot()).slice(-4)).toBe("0000");
    },
  );
});
