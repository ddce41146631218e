import { beforeEach, describe, expect, it } from "vitest";
import { NvmeDriver } from "../../../support/nvme-driver.ts";
import { NvmeRig } from "../../../support/nvme-rig.ts";

// Status fields: Do Not Retry 0x4000, status code type << 8, status code (NVMe 1.4, Figures 125 to 131).
const INVALID_OPCODE = 0x4001;
const INVALID_FIELD = 0x4002;
const INVALID_NAMESPACE = 0x400b;
const INVALID_PRP_OFFSET = 0x4013;

let rig: NvmeRig;
let driver: NvmeDriver;

beforeEach(() => {
  rig = new NvmeRig({
    serial: "ZM0001",
    namespaces: [{ sizeBytes: 1 << 20 }, { sizeBytes: 1 << 16, blockBytes: 4096, readOnly: true }],
  });
  driver = new NvmeDriver(rig);
  driver.enableFunction();
  driver.start();
});

function text(data: DataView, offset: number, length: number): string {
  return String.fromCharCode(
    ...new Uint8Array(data.buffer, data.byteOffset + offset, length),
  ).replace(/[ \0]+$/, "");
}

describe("Identify", () => {
  it("describes the controller by Figure 247", () => {
    const { status, data } = driver.identify(1);
    expect(status).toBe(0);
    expect([data.getUint16(0, true), data.getUint16(2, true)]).toEqual([0x1b36, 0x1af4]);
    expect(text(data, 4, 20)).toBe("ZM0001");
    expect(data.getUint8(77)).toBe(7); //                MDTS: 512 KiB
    expect(data.getUint32(80, true)).toBe(0x10400); //    VER
    expect(data.getUint8(111)).toBe(1); //               I/O controller
    expect([data.getUint8(512), data.getUint8(513)]).toEqual([0x66, 0x44]);
    expect(data.getUint32(516, true)).toBe(2); //         NN
    expect(data.getUint16(520, true)).toBe(0x1d); //      ONCS
    expect(data.getUint32(536, true)).toBe(0); //         no SGLs
    expect(text(data, 768, 256)).toMatch(/^nqn\.2014-08\.org\.nvmexpress:uuid:[0-9a-f-]{36}$/);
  });

  it("gives controllers without a serial one of their own by function", () => {
    const serials = [7, 8].map((fid) => {
      const other = new NvmeDriver(new NvmeRig({}, { fid }));
      other.start();
      return text(other.identify(1).data, 4, 20);
    });
    expect(serials).toEqual(["zmend-00000007", "zmend-00000008"]);
  });

  it("describes namespaces by Figure 245", () => {
    const first = driver.identify(0, 1).data;
    expect([first.getBigUint64(0, true), first.getUint8(26)]).toEqual([2048n, 0]);
    expect([first.getUint8(130), first.getUint8(134)]).toEqual([9, 12]);
    const second = driver.identify(0, 2).data;
    expect([second.getBigUint64(0, true), second.getUint8(26)]).toEqual([16n, 1]);
    expect([first.getUint8(99), second.getUint8(99)]).toEqual([0, 1]); // write protected
  });

  it("refuses namespaces that do not exist", () => {
    for (const nsid of [0, 3, 0xffffffff]) {
      expect(driver.identify(0, nsid).status).toBe(INVALID_NAMESPACE);
      expect(driver.identify(3, nsid).status).toBe(INVALID_NAMESPACE);
    }
  });

  it("lists the active namespaces above the given one", () => {
    const all = driver.identify(2, 0).data;
    expect([0, 4, 8].map((at) => all.getUint32(at, true))).toEqual([1, 2, 0]);
    expect(driver.identify(2, 1).data.getUint32(0, true)).toBe(2);
    expect(driver.identify(2, 2).data.getUint32(0, true)).toBe(0);
    expect(driver.identify(2, 0xfffffffe).status).toBe(INVALID_NAMESPACE);
  });

  it("names a namespace by UUID and command set, the same in every run", () => {
    const bytes = (data: DataView) => new Uint8Array(data.buffer, data.byteOffset, 32).slice();
    const one = bytes(driver.identify(3, 1).data);
    expect([one[0], one[1], one[20], one[21], one[24]]).toEqual([3, 16, 4, 1, 0]);
    const again = new NvmeDriver(new NvmeRig({ serial: "ZM0001" }));
    again.start();
    expect(bytes(again.identify(3, 1).data).slice(0, 20)).toEqual(one.slice(0, 20));
    expect(bytes(driver.identify(3, 2).data).slice(4, 20)).not.toEqual(one.slice(4, 20));
  });

  it("knows the NVM command set and no other", () => {
    expect(driver.identify(0x1c).data.getUint32(0, true)).toBe(1);
    for (const cns of [5, 6, 7]) {
      expect(driver.identify(cns, 1).status).toBe(0);
      expect(driver.identify(cns, 1, 2 << 24).status).toBe(INVALID_FIELD);
    }
    expect(driver.identify(0x7f).status).toBe(INVALID_FIELD);
  });
});

describe("queue management", () => {
  const create = (cdw10: number, cdw11: number, prp1 = driver.iova(driver.pages(1))) =>
    driver.admin({ opcode: 5, prp1, cdw10, cdw11 }).status;
  const createSq = (cdw10: number, cdw11: number, prp1 = driver.iova(driver.pages(1))) =>
    driver.admin({ opcode: 1, prp1, cdw10, cdw11 }).status;

  it("refuses bad completion queues, each with its own status", () => {
    expect(create(0x001f0000, 3)).toBe(0x4101); //     QID 0
    expect(create(0x001f0041, 3)).toBe(0x4101); //     QID 65
    expect(create(0x00000001, 3)).toBe(0x4102); //     one entry
    expect(create(0x08000001, 3)).toBe(0x4102); //     more than MQES
    expect(create(0x001f0001, 3, driver.iova(8))).toBe(INVALID_PRP_OFFSET);
    expect(create(0x001f0001, 0x00410003)).toBe(0x4108); // vector 65
    expect(create(0x001f0001, 2)).toBe(INVALID_FIELD); // not contiguous
    expect(create(0x001f0001, 3)).toBe(0);
    expect(create(0x001f0001, 3)).toBe(0x4101); //     exists
  });

  it("refuses bad submission queues, each with its own status", () => {
    expect(createSq(0x001f0001, 0x00010001)).toBe(0x4100); // no such completion queue
    create(0x001f0001, 3);
    expect(createSq(0x001f0001, 0x00000001)).toBe(0x4100); // the admin one
    expect(createSq(0x001f0000, 0x00010001)).toBe(0x4101);
    expect(createSq(0x00000001, 0x00010001)).toBe(0x4102);
    expect(createSq(0x001f0001, 0x00010000)).toBe(INVALID_FIELD);
    expect(createSq(0x001f0001, 0x00010001)).toBe(0);
    expect(createSq(0x001f0001, 0x00010001)).toBe(0x4101);
  });

  it("takes 64 pairs", () => {
    for (let qid = 1; qid <= 64; qid++) driver.createQueue(qid, 2);
    for (const qid of [1, 33, 64]) {
      expect(driver.command(qid, { opcode: 0, nsid: 1 })).toMatchObject({ status: 0, sqid: qid });
    }
  });

  it("deletes in the right order only", () => {
    driver.createQueue(1);
    const remove = (opcode: number, qid: number) => driver.admin({ opcode, cdw10: qid }).status;
    expect(remove(4, 1)).toBe(0x410c); // submission queue still there
    expect([remove(0, 2), remove(4, 2), remove(0, 0), remove(4, 0)]).toEqual([
      0x4101, 0x4101, 0x4101, 0x4101,
    ]);
    expect([remove(0, 1), remove(4, 1)]).toEqual([0, 0]);
    driver.createQueue(1);
  });

  it("wants entry sizes chosen in CC first", () => {
    driver.start(32, 0x00000060);
    expect(create(0x001f0001, 3)).toBe(0x4102);
  });
});

describe("features", () => {
  it("have their defaults, keep what is set, and lose it with a reset", () => {
    expect(driver.getFeature(1).dw0).toBe(7);
    driver.setFeature(1, 0x01020303);
    expect(driver.getFeature(1).dw0).toBe(0x01020303);
    expect(driver.getFeature(1, 1).dw0).toBe(7); //  default
    expect(driver.getFeature(1, 3).dw0).toBe(4); //  changeable, not saveable
    driver.start();
    expect(driver.getFeature(1).dw0).toBe(7);
  });

  it("give 64 queues of each kind, before queues exist only", () => {
    expect(driver.setFeature(7, 0)).toMatchObject({ status: 0, dw0: 0x003f003f });
    expect(driver.setFeature(7, 0xffff).status).toBe(INVALID_FIELD);
    driver.createQueue(1);
    expect(driver.setFeature(7, 0).status).toBe(0x400c);
  });

  it("refuse what does not exist or does not fit", () => {
    expect(driver.getFeature(0x0f).status).toBe(INVALID_FIELD); //    keep alive
    expect(driver.setFeature(0x0d, 0).status).toBe(INVALID_FIELD); // host memory buffer
    expect(driver.setFeature(2, 1).status).toBe(INVALID_FIELD); //    power state 1
    expect(driver.setFeature(9, 65).status).toBe(INVALID_FIELD); //   vector 65
    expect(driver.setFeature(1, 0, 1).status).toBe(0x410f); //        not namespace specific
    expect(driver.setFeature(1, 0, 9).status).toBe(INVALID_NAMESPACE);
    expect(driver.admin({ opcode: 9, cdw10: 0x80000001 }).status).toBe(0x410d); // not saveable
  });

  it("know the command set profile only where CC chose all command sets", () => {
    expect(driver.getFeature(0x19)).toMatchObject({ status: 0, dw0: 0 });
    driver.start(32, 0x00460000);
    expect(driver.getFeature(0x19).status).toBe(INVALID_FIELD);
  });

  it("keep temperature thresholds and vector settings apart", () => {
    expect(driver.getFeature(4).dw0).toBe(343);
    expect(driver.getFeature(4, 0, 0x00100000).dw0).toBe(0);
    driver.setFeature(4, 0x0010_0000 | 250);
    expect([driver.getFeature(4).dw0, driver.getFeature(4, 0, 0x00100000).dw0]).toEqual([343, 250]);
    driver.setFeature(9, 0x10000 | 64);
    expect([driver.getFeature(9, 0, 64).dw0, driver.getFeature(9, 0, 63).dw0]).toEqual([
      0x10040, 63,
    ]);
  });
});

describe("log pages", () => {
  it("keep the four newest errors, newest first", () => {
    for (let n = 0; n < 6; n++) driver.admin({ opcode: 0x99, cid: 0x100 + n, nsid: n });
    const { data } = driver.logPage(1, 256);
    expect([0, 1, 2, 3].map((n) => Number(data.getBigUint64(n * 64, true)))).toEqual([6, 5, 4, 3]);
    expect(data.getUint16(10, true)).toBe(0x105); //               CID
    expect(data.getUint16(12, true)).toBe((0x4001 << 1) & 0xffff);
    expect(data.getUint32(24, true)).toBe(5);
  });

  it("count in the SMART log", () => {
    driver.createQueue(1);
    const at = driver.pages(1);
    driver.io(1, 0, 8, at);
    driver.io(2, 0, 8, at);
    driver.io(2, 0, 8, at);
    const { data } = driver.logPage(2, 512);
    expect(data.getUint16(1, true)).toBe(323);
    expect([data.getBigUint64(32, true), data.getBigUint64(48, true)]).toEqual([1n, 1n]);
    expect([data.getBigUint64(64, true), data.getBigUint64(80, true)]).toEqual([2n, 1n]);
    expect(data.getBigUint64(112, true)).toBe(1n);
    expect(driver.logPage(2, 512, { nsid: 1 }).status).toBe(0x4109);
  });

  it("show one firmware slot and the commands supported", () => {
    const firmware = driver.logPage(3, 512).data;
    expect([firmware.getUint8(0), text(firmware, 8, 8)]).toEqual([1, "1.0"]);
    const effects = driver.logPage(5, 4096).data;
    expect(effects.getUint32(6 * 4, true)).toBe(1);
    expect([effects.getUint32(1024 + 4, true), effects.getUint32(1024 + 4 * 0x0d, true)]).toEqual([
      3, 0,
    ]);
  });

  it("refuse unknown pages, odd offsets, offsets beyond the end and lengths beyond MDTS", () => {
    const prp1 = driver.iova(driver.pages(1));
    const log = (cdw10: number, cdw11 = 0, cdw12 = 0, cdw13 = 0) =>
      driver.admin({ opcode: 2, nsid: 0xffffffff, prp1, cdw10, cdw11, cdw12, cdw13 }).status;
    expect(log(0x007f0077)).toBe(0x4109);
    expect(log(0x000f0002, 0, 2)).toBe(INVALID_FIELD);
    expect(log(0x000f0002, 0, 516)).toBe(INVALID_FIELD);
    expect(log(0x000f0002, 0, 0, 1)).toBe(INVALID_FIELD);
    expect(log(0xffff0002, 0xffff)).toBe(INVALID_FIELD);
    expect(log(0x000f0002, 0, 508)).toBe(0); // four bytes are left of it
  });
});

describe("asynchronous events", () => {
  const request = () => {
    const cid = driver.push(0, { opcode: 0x0c });
    driver.ring(0);
    rig.run();
    return cid;
  };

  it("complete no request until something happens, and take four at most", () => {
    for (let n = 0; n < 4; n++) request();
    expect(driver.reap(0)).toEqual([]);
    request();
    expect(driver.reap(0)[0]?.status).toBe(0x4105);
  });

  it("report a doorbell of a queue that does not exist, once until the log is read", () => {
    const first = request();
    const second = request();
    rig.set(0x1008, 1);
    rig.run();
    expect(driver.reap(0)).toMatchObject([{ cid: first, status: 0, dw0: 0x00010000 }]);
    rig.set(0x1008, 1);
    rig.set(0x1fff & ~3, 1);
    rig.run();
    expect(driver.reap(0)).toEqual([]);
    driver.logPage(1, 64, { retain: true });
    rig.set(0x1008, 1);
    rig.run();
    expect(driver.reap(0)).toEqual([]);
    driver.logPage(1, 64);
    rig.set(0x1008, 1);
    rig.run();
    expect(driver.reap(0)).toMatchObject([{ cid: second, dw0: 0x00010000 }]);
  });

  it("report a doorbell value beyond the queue, or a head beyond what was posted", () => {
    request();
    rig.set(0x1000, 32);
    rig.run();
    expect(driver.reap(0)).toMatchObject([{ dw0: 0x00010100 }]);
    driver.logPage(1, 64);
    request();
    rig.set(0x1004, (driver.queue(0).head + 5) % 32);
    rig.run();
    expect(driver.reap(0)).toMatchObject([{ dw0: 0x00010100 }]);
  });

  it("report a temperature beyond a threshold to who asked for it", () => {
    driver.setFeature(4, 300);
    request();
    rig.run();
    expect(driver.reap(0)).toEqual([]);
    driver.setFeature(0x0b, 2);
    driver.push(0, { opcode: 9, cdw10: 4, cdw11: 299 });
    driver.ring(0);
    rig.run();
    expect(driver.reap(0).map(({ dw0 }) => dw0)).toContain(0x00020101);
    expect(driver.logPage(2, 512).data.getUint8(0)).toBe(2);
  });

  it("report a changed namespace to who asked for it, with its log page", () => {
    driver.setFeature(0x0b, 0x100);
    request();
    expect(rig.platform.nvme(0)?.setReadOnly(2, false)).toBe(true);
    rig.run();
    expect(driver.reap(0)).toMatchObject([{ dw0: 0x00040002 }]);
    expect(driver.logPage(4, 4096).data.getUint32(0, true)).toBe(2);
    expect(driver.logPage(4, 4096).data.getUint32(0, true)).toBe(0);
    expect(driver.identify(0, 2).data.getUint8(99)).toBe(0);
  });

  it("are withdrawn by Abort", () => {
    const cid = request();
    driver.push(0, { opcode: 8, cdw10: cid << 16 });
    driver.ring(0);
    rig.run();
    expect(driver.reap(0)).toMatchObject([
      { cid, status: 7 },
      { status: 0, dw0: 0 },
    ]);
  });
});

describe("other admin commands", () => {
  it("are invalid opcodes: format, firmware, security, namespace management, keep alive", () => {
    for (const opcode of [0x80, 0x10, 0x11, 0x81, 0x82, 0x0d, 0x15, 0x18, 0x7f, 0xc0, 0xff]) {
      expect(driver.admin({ opcode }).status).toBe(INVALID_OPCODE);
    }
  });

  it("Abort of a command that is not there leaves bit 0 set, of a queue that is not there fails", () => {
    expect(driver.admin({ opcode: 8, cdw10: 0x77770000 })).toMatchObject({ status: 0, dw0: 1 });
    expect(driver.admin({ opcode: 8, cdw10: 5 }).status).toBe(INVALID_FIELD);
  });

  it("fused operations and SGLs are invalid fields", () => {
    for (const flags of [1, 2, 0x40, 0x80]) {
      expect(driver.admin({ opcode: 6, flags, cdw10: 1 }).status).toBe(INVALID_FIELD);
    }
  });
});
