import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkDisks, type NvmeInput } from "../../../../src/backend/sim/index.ts";
import { NvmeDriver } from "../../../support/nvme-driver.ts";
import { NvmeRig } from "../../../support/nvme-rig.ts";

const READ = 2;
const WRITE = 1;
const LBA_RANGE = 0x4080;
const INVALID_FIELD = 0x4002;
const INVALID_PRP_OFFSET = 0x4013;

function probed(nvme: NvmeInput = { namespaces: [{ sizeBytes: 1 << 20 }] }): NvmeDriver {
  const driver = new NvmeDriver(new NvmeRig(nvme));
  driver.probe();
  return driver;
}

/** `bytes` of guest storage filled with a pattern of their places. */
function pattern(driver: NvmeDriver, bytes: number, seed: number): number {
  const at = driver.pages(Math.ceil(bytes / 4096) + 1);
  for (let i = 0; i < bytes; i++) driver.rig.dma.bytes[at + i] = (i * 7 + (i >> 9) + seed) & 0xff;
  return at;
}

function slice(driver: NvmeDriver, at: number, bytes: number): Uint8Array {
  return driver.rig.dma.bytes.slice(at, at + bytes);
}

function same(driver: NvmeDriver, one: number, other: number, bytes: number): boolean {
  return Buffer.compare(slice(driver, one, bytes), slice(driver, other, bytes)) === 0;
}

describe("reads and writes", () => {
  // One page, two pages (PRP2 = page), a list, an unaligned start, the longest transfer (a list of 128)
  for (const [blocks, offset] of [
    [1, 0],
    [8, 0],
    [9, 0],
    [16, 0],
    [17, 0],
    [64, 0x200],
    [64, 0xffc],
    [1024, 0],
    [1024, 0x404],
  ] as const) {
    it(`give back ${blocks} blocks that lay ${offset} bytes into a page`, () => {
      const driver = probed();
      const bytes = blocks * 512;
      const from = pattern(driver, bytes + 4096, blocks) + offset;
      const to = driver.pages(Math.ceil(bytes / 4096) + 1) + offset;
      expect(driver.io(WRITE, 3, blocks, from).status).toBe(0);
      expect(driver.io(READ, 3, blocks, to).status).toBe(0);
      expect(same(driver, to, from, bytes)).toBe(true);
      // Nothing before or behind the target was touched.
      expect(driver.rig.dma.bytes[to - 1] ?? 0).toBe(0);
      expect(driver.rig.dma.bytes[to + bytes]).toBe(0);
    });
  }

  it("read zeros where nothing was written", () => {
    const driver = probed();
    const at = pattern(driver, 4096, 1);
    driver.io(READ, 100, 8, at);
    expect(slice(driver, at, 4096).every((byte) => byte === 0)).toBe(true);
  });

  it("reach the last block and nothing behind it", () => {
    const driver = probed();
    const at = driver.pages(1);
    expect(driver.io(WRITE, 2047, 1, at).status).toBe(0);
    for (const [slba, blocks] of [
      [2047, 2],
      [2048, 1],
      [2 ** 32, 1],
      [2 ** 53, 1],
      [2 ** 63, 1],
    ] as const) {
      expect(driver.io(READ, slba, blocks, at).status).toBe(LBA_RANGE);
      expect(driver.io(WRITE, slba, blocks, at).status).toBe(LBA_RANGE);
    }
  });

  it("end at MDTS", () => {
    const driver = probed();
    expect(driver.io(READ, 0, 1025, 0).status).toBe(INVALID_FIELD);
  });

  it("work in blocks of 4096 bytes", () => {
    const driver = probed({ namespaces: [{ sizeBytes: 1 << 20, blockBytes: 4096 }] });
    const from = pattern(driver, 8192, 5);
    const to = driver.pages(2);
    driver.io(WRITE, 254, 2, from, 4096);
    driver.io(READ, 254, 2, to, 4096);
    expect(slice(driver, to, 8192)).toEqual(slice(driver, from, 8192));
    expect(driver.io(READ, 255, 2, to, 4096).status).toBe(LBA_RANGE);
  });

  it("work in pages of 16 KiB", () => {
    const driver = new NvmeDriver(new NvmeRig({ namespaces: [{ sizeBytes: 1 << 20 }] }));
    driver.enableFunction();
    driver.pages(8); // bases on a 16 KiB boundary
    const sq = driver.pages(4);
    const cq = driver.pages(4);
    driver.rewind(sq);
    driver.start(32, 0x00460060);
    driver.stop();
    driver.rig.set(0x28, Number(driver.iova(sq) & 0xffffffffn));
    driver.rig.set(0x30, Number(driver.iova(cq) & 0xffffffffn));
    driver.rig.set(0x14, 0x00460061 | (2 << 7));
    driver.rig.run();
    expect(driver.rig.get(0x1c)).toBe(1);
    driver.queues.set(0, { sq, cq, size: 32, tail: 0, head: 0, phase: 1, sqHead: 0 });
    driver.rewind(cq + 0x4000);
    const at = driver.pages(8);
    const { status } = driver.admin({ opcode: 6, prp1: driver.iova(at), cdw10: 1 });
    expect(status).toBe(0);
    expect(driver.rig.dma.view.getUint16(at, true)).toBe(0x1b36);
    // 4096 bytes from an offset of 12 KiB and a bit: the rest is in the second page.
    const second = driver.iova(at + 0x4000);
    const split = driver.admin({
      opcode: 6,
      prp1: driver.iova(at + 0x3800),
      prp2: second,
      cdw10: 1,
    });
    expect(split.status).toBe(0);
    expect(
      driver.admin({ opcode: 6, prp1: driver.iova(at + 0x3800), prp2: second + 0x1000n, cdw10: 1 })
        .status,
    ).toBe(INVALID_PRP_OFFSET);
  });

  it("are refused for namespaces that do not exist", () => {
    const driver = probed();
    for (const nsid of [0, 2, 0xffffffff]) {
      expect(driver.command(1, { opcode: READ, nsid }).status).toBe(0x400b);
    }
  });

  it("leave a write-protected namespace alone", () => {
    const driver = probed({ namespaces: [{ sizeBytes: 4096, readOnly: true }] });
    const at = pattern(driver, 512, 1);
    expect(driver.io(WRITE, 0, 1, at).status).toBe(0x4020);
    expect(driver.command(1, { opcode: 8, nsid: 1 }).status).toBe(0x4020);
    expect(driver.io(READ, 0, 1, at).status).toBe(0);
    expect(slice(driver, at, 512).every((byte) => byte === 0)).toBe(true);
  });

  it("do not exist where CC chose the admin queue alone", () => {
    const driver = new NvmeDriver(new NvmeRig());
    driver.enableFunction();
    driver.start(32, 0x00460070);
    driver.createQueue(1);
    expect(driver.command(1, { opcode: READ, nsid: 1 }).status).toBe(0x4001);
  });
});

describe("PRP entries", () => {
  let driver: NvmeDriver;
  beforeEach(() => {
    driver = probed();
  });
  const read = (blocks: number, prp1: bigint, prp2: bigint) =>
    driver.command(1, { opcode: READ, nsid: 1, prp1, prp2, cdw12: blocks - 1 }).status;

  it("are refused where their offsets are wrong, with nothing moved", () => {
    const at = driver.pages(4);
    const good = driver.iova(at);
    const list = driver.iova(driver.prpList([good + 4096n, good + 8192n + 4n]));
    driver.rig.dma.written.clear();
    expect(read(1, good + 1n, 0n)).toBe(INVALID_PRP_OFFSET); //      PRP1 not on a dword
    expect(read(16, good, good + 4096n + 8n)).toBe(INVALID_PRP_OFFSET); // PRP2 not on a page
    expect(read(24, good, list + 4n)).toBe(INVALID_PRP_OFFSET); //   list not on a qword
    expect(read(24, good, list)).toBe(INVALID_PRP_OFFSET); //        entry not on a page
    const data = [at, at + 4096, at + 8192].map((byte) => byte / 4096);
    expect(data.filter((page) => driver.rig.dma.written.has(page))).toEqual([]);
  });

  it("in a list may begin in the middle of a page and go on in the next", () => {
    const data = driver.pages(7);
    const first = driver.pages(1);
    const second = driver.pages(1);
    const { view } = driver.rig.dma;
    // Room for two entries: one of data, one that leads on.
    view.setBigUint64(first + 4080, driver.iova(data + 4096), true);
    view.setBigUint64(first + 4088, driver.iova(second), true);
    for (let n = 0; n < 5; n++) {
      view.setBigUint64(second + n * 8, driver.iova(data + (n + 2) * 4096), true);
    }
    const from = pattern(driver, 7 * 4096, 9);
    driver.io(WRITE, 0, 56, from);
    expect(read(56, driver.iova(data), driver.iova(first + 4080))).toBe(0);
    expect(same(driver, data, from, 7 * 4096)).toBe(true);
    view.setBigUint64(first + 4088, driver.iova(second + 8), true);
    expect(read(56, driver.iova(data), driver.iova(first + 4080))).toBe(INVALID_PRP_OFFSET);
  });

  it("in a list that leads to itself end when the data ends", () => {
    const list = driver.pages(1);
    const target = driver.iova(driver.pages(1));
    driver.rig.dma.view.setBigUint64(list + 4088, driver.iova(list), true);
    for (let n = 0; n < 511; n++) driver.rig.dma.view.setBigUint64(list + n * 8, target, true);
    const before = driver.rig.dma.transfers;
    expect(read(1024, target, driver.iova(list + 4088))).toBe(0);
    expect(driver.rig.dma.transfers - before).toBeLessThan(150);
  });

  it("that point at unmapped storage make an error event of the function, with address and direction", () => {
    const at = driver.pages(1);
    driver.rig.dma.unmapped.add(at / 4096);
    const host = driver.rig.host();
    host.open();
    driver.push(1, { opcode: READ, nsid: 1, prp1: driver.iova(at) + 0x40n, cdw12: 0 });
    driver.ring(1);
    driver.rig.run();
    expect(driver.rig.hardware()).toBe(1);
    const slot = driver.rig.vm.map.ramOffset;
    expect(host.getError(slot)).toBe(0);
    const ccdf = driver.rig.vm.view;
    expect(ccdf.getUint16(slot + 30)).toBe(0x0007); // vfio-uapi.md 2.2
    expect(ccdf.getUint32(slot + 12) & 1).toBe(1); // a read command writes guest storage
    expect(ccdf.getBigUint64(slot + 16)).toBe(driver.iova(at) + 0x40n);
    expect(host.getError(slot)).toBe(-42);
  });

  it("that fault end their command with Data Transfer Error once the function is cleared in place", () => {
    const rig = new NvmeRig({}, { clearError: true });
    const other = new NvmeDriver(rig);
    other.probe();
    const at = other.pages(1);
    rig.dma.unmapped.add(at / 4096);
    const host = rig.host();
    host.open();
    const cid = other.push(1, { opcode: READ, nsid: 1, prp1: other.iova(at), cdw12: 0 });
    other.ring(1);
    rig.run();
    expect(other.reap(1)).toEqual([]);
    host.startClear(9);
    rig.run();
    host.startClear(7);
    rig.run();
    expect(other.reap(1)).toMatchObject([{ cid, status: 4 }]);
    rig.dma.unmapped.clear();
    expect(other.io(READ, 0, 1, at).status).toBe(0);
  });
});

describe("queues on storage that is not there", () => {
  it("set CFS: a submission queue that cannot be fetched", () => {
    const rig = new NvmeRig({}, { clearError: true });
    const driver = new NvmeDriver(rig);
    driver.probe();
    rig.dma.unmapped.add(driver.queue(1).sq / 4096);
    driver.ring(1);
    rig.set(0x1008, 1);
    rig.run();
    expect(rig.hardware()).toBe(1);
    const host = rig.host();
    host.startClear(9);
    rig.run();
    expect(rig.get(0x1c)).toBe(3);
  });

  it("set CFS: a completion queue that cannot be written", () => {
    const rig = new NvmeRig({}, { clearError: true });
    const driver = new NvmeDriver(rig);
    driver.probe();
    rig.dma.unmapped.add(driver.queue(1).cq / 4096);
    driver.push(1, { opcode: 0, nsid: 1 });
    driver.ring(1);
    rig.run();
    rig.host().startClear(9);
    rig.run();
    expect(rig.get(0x1c)).toBe(3);
  });

  it("wait where the guest refuses DMA, and go on when it does not any more", () => {
    const driver = probed();
    driver.rig.dma.refused = true;
    const cid = driver.push(1, { opcode: 0, nsid: 1 });
    driver.ring(1);
    driver.rig.run();
    expect(driver.rig.hardware()).toBe(0);
    const next = driver.rig.platform.nextEventUs();
    expect(next).toBeGreaterThan(0);
    driver.rig.dma.refused = false;
    driver.rig.clock.advanceTo(next);
    driver.rig.run();
    expect(driver.reap(1)).toMatchObject([{ cid, status: 0 }]);
  });
});

describe("completion queues", () => {
  it("carry phase tags, submission queue heads and identifiers over many rounds", () => {
    const driver = probed();
    for (let n = 0; n < 200; n++) {
      const done = driver.command(1, { opcode: 0, nsid: 1, cid: 0xff00 + (n & 0xff) });
      expect(done.sqHead).toBe((n + 1) % 64);
      expect(done.cid).toBe(0xff00 + (n & 0xff));
    }
  });

  it("that are full stop their submission queues until entries are taken", () => {
    const driver = new NvmeDriver(new NvmeRig());
    driver.enableFunction();
    driver.start();
    driver.createQueue(1, 4);
    for (let n = 0; n < 3; n++) driver.push(1, { opcode: 0, nsid: 1 });
    driver.ring(1);
    driver.rig.run();
    for (let n = 0; n < 3; n++) driver.push(1, { opcode: 0, nsid: 1 });
    driver.ring(1);
    driver.rig.run();
    const first = driver.reap(1, false);
    expect(first).toHaveLength(3);
    expect(first.at(-1)?.sqHead).toBe(3);
    driver.rig.set(0x100c, driver.queue(1).head);
    driver.rig.run();
    expect(driver.reap(1)).toHaveLength(3);
  });

  it("signal their own vectors, once for what is posted together", () => {
    const driver = probed();
    const { vectors } = driver.rig.dma;
    vectors.length = 0;
    for (let n = 0; n < 5; n++) driver.push(1, { opcode: 0, nsid: 1 });
    driver.ring(1);
    driver.rig.run();
    expect(vectors).toEqual([1]);
    driver.identify(1);
    expect(vectors).toEqual([1, 0]);
  });

  it("signal later where their vectors are masked", () => {
    const driver = probed();
    const { rig } = driver;
    rig.dma.vectors.length = 0;
    rig.set(0x201c, 1);
    driver.command(1, { opcode: 0, nsid: 1 });
    expect([rig.dma.vectors, rig.get(0x3000)]).toEqual([[], 2]);
    rig.set(0x201c, 0);
    rig.run();
    expect([rig.dma.vectors, rig.get(0x3000)]).toEqual([[1], 0]);
  });

  it("without interrupts signal nothing", () => {
    const driver = probed();
    driver.admin({ opcode: 0, cdw10: 1 });
    driver.admin({ opcode: 4, cdw10: 1 });
    const { rig } = driver;
    const size = 63 * 0x10000;
    driver.admin({
      opcode: 5,
      prp1: driver.iova(driver.queue(1).cq),
      cdw10: size + 1,
      cdw11: 0x10001,
    });
    driver.admin({
      opcode: 1,
      prp1: driver.iova(driver.queue(1).sq),
      cdw10: size + 1,
      cdw11: 0x10001,
    });
    Object.assign(driver.queue(1), { tail: 0, head: 0, phase: 1 });
    rig.dma.bytes.fill(0, driver.queue(1).cq, driver.queue(1).cq + 1024);
    rig.dma.vectors.length = 0;
    expect(driver.command(1, { opcode: 0, nsid: 1 }).status).toBe(0);
    expect(rig.dma.vectors).toEqual([]);
  });
});

describe("the other I/O commands", () => {
  let driver: NvmeDriver;
  let at: number;
  beforeEach(() => {
    driver = probed({ namespaces: [{ sizeBytes: 1 << 20 }, { sizeBytes: 1 << 16 }] });
    at = pattern(driver, 64 * 512, 3);
    driver.io(WRITE, 0, 64, at);
  });
  const block = (slba: number): Uint8Array => {
    const to = driver.pages(1);
    driver.io(READ, slba, 1, to);
    return slice(driver, to, 512);
  };
  const zero = new Uint8Array(512);

  it("Flush takes one namespace or all", () => {
    expect(driver.command(1, { opcode: 0, nsid: 2 }).status).toBe(0);
    expect(driver.command(1, { opcode: 0, nsid: 0xffffffff }).status).toBe(0);
    expect(driver.command(1, { opcode: 0, nsid: 3 }).status).toBe(0x400b);
  });

  it("Write Zeroes zeroes its range alone", () => {
    expect(driver.command(1, { opcode: 8, nsid: 1, cdw10: 5, cdw12: 2 }).status).toBe(0);
    expect([block(5), block(6), block(7)]).toEqual([zero, zero, zero]);
    expect(block(4)).toEqual(slice(driver, at + 4 * 512, 512));
    expect(block(8)).toEqual(slice(driver, at + 8 * 512, 512));
    expect(driver.command(1, { opcode: 8, nsid: 1, cdw10: 2047, cdw12: 1 }).status).toBe(LBA_RANGE);
  });

  it("Dataset Management deallocates all its ranges, or none when one is out of range", () => {
    const ranges = driver.pages(1);
    const set = (n: number, slba: bigint, blocks: number) => {
      driver.rig.dma.view.setUint32(ranges + n * 16 + 4, blocks, true);
      driver.rig.dma.view.setBigUint64(ranges + n * 16 + 8, slba, true);
    };
    const dsm = (count: number, attributes: number) =>
      driver.command(1, {
        opcode: 9,
        nsid: 1,
        prp1: driver.iova(ranges),
        cdw10: count - 1,
        cdw11: attributes,
      }).status;
    set(0, 1n, 1);
    set(1, 3n, 2);
    set(2, 2048n, 1);
    set(3, 2n ** 64n - 1n, 0xffffffff);
    expect(dsm(3, 4)).toBe(LBA_RANGE);
    expect(dsm(4, 4)).toBe(LBA_RANGE);
    expect(block(1)).toEqual(slice(driver, at + 512, 512));
    expect(dsm(4, 1)).toBe(0); // advice about integral reads: nothing to do
    expect(dsm(2, 4)).toBe(0);
    expect([block(1), block(3), block(4)]).toEqual([zero, zero, zero]);
    expect(block(2)).toEqual(slice(driver, at + 2 * 512, 512));
  });

  it("Compare tells equal from different", () => {
    expect(driver.io(5, 0, 64, at).status).toBe(0);
    driver.rig.dma.bytes[at + 31 * 1000] = (driver.rig.dma.bytes[at + 31 * 1000] ?? 0) ^ 1;
    expect(driver.io(5, 0, 64, at).status).toBe(0x4285);
  });

  it("everything else is an invalid opcode", () => {
    for (const opcode of [3, 4, 6, 0x0c, 0x0d, 0x11, 0x19, 0x7d, 0x80, 0xff]) {
      expect(driver.command(1, { opcode, nsid: 1 }).status).toBe(0x4001);
    }
  });
});

describe("a namespace on a file", () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "zmend-nvme-"));
    file = join(folder, "disk.raw");
    writeFileSync(file, Buffer.alloc(64 * 512, 0x5a));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("is read, written and zeroed in place", () => {
    const driver = probed({ namespaces: [{ file }] });
    const at = pattern(driver, 1024, 7);
    expect(driver.io(WRITE, 10, 2, at).status).toBe(0);
    expect(driver.command(1, { opcode: 8, nsid: 1, cdw10: 20, cdw12: 3 }).status).toBe(0);
    expect(driver.command(1, { opcode: 0, nsid: 1 }).status).toBe(0);
    const expected = Buffer.alloc(64 * 512, 0x5a);
    expected.set(slice(driver, at, 1024), 10 * 512);
    expected.fill(0, 20 * 512, 24 * 512);
    expect(readFileSync(file).equals(expected)).toBe(true);
    driver.io(READ, 63, 1, at);
    expect(slice(driver, at, 512).every((byte) => byte === 0x5a)).toBe(true);
    expect(driver.io(READ, 64, 1, at).status).toBe(LBA_RANGE);
    driver.rig.platform.close();
  });

  it("writes through by force unit access and without a write cache", () => {
    const driver = probed({ namespaces: [{ file }] });
    const at = driver.pages(1);
    const prp1 = driver.iova(at);
    expect(driver.command(1, { opcode: 1, nsid: 1, prp1, cdw12: 0x40000000 }).status).toBe(0);
    expect(driver.setFeature(6, 0).status).toBe(0);
    expect(driver.command(1, { opcode: 1, nsid: 1, prp1 }).status).toBe(0);
  });

  it("answers with a media error where the file has shrunk, and counts it", () => {
    const driver = probed({ namespaces: [{ file }] });
    truncateSync(file, 512);
    const at = driver.pages(1);
    expect(driver.io(READ, 5, 1, at).status).toBe(0x281);
    expect(driver.logPage(2, 512).data.getBigUint64(160, true)).toBe(1n);
  });

  it("is refused when it is missing, of odd size, empty or a folder, naming it", () => {
    const odd = join(folder, "odd.raw");
    const empty = join(folder, "empty.raw");
    writeFileSync(odd, Buffer.alloc(700));
    writeFileSync(empty, "");
    for (const bad of [join(folder, "none.raw"), odd, empty, folder]) {
      expect(() => checkDisks([{ nvme: { namespaces: [{ file: bad }] } }])).toThrow(bad);
    }
    expect(() =>
      checkDisks([{ nvme: { namespaces: [{ file, blockBytes: 4096 }] } }]),
    ).not.toThrow();
    writeFileSync(odd, Buffer.alloc(512));
    const twice = (readOnly: boolean): void =>
      checkDisks([
        { nvme: { namespaces: [{ file: odd, readOnly: true }] } },
        { nvme: { namespaces: [{ file: odd, readOnly }] } },
      ]);
    expect(() => twice(true)).not.toThrow();
    expect(() => twice(false)).toThrow("is used twice and written");
    expect(() => checkDisks([{ nvme: { namespaces: [{ file: odd, blockBytes: 4096 }] } }])).toThrow(
      "multiple of 4096",
    );
  });
});
