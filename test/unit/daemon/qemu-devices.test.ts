import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { deviceHelp, deviceModels, parseDevices } from "../../../src/daemon/qemu-devices.ts";

let folder = "";
let disk = "";
let other = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "zmend-devices-"));
  disk = join(folder, "disk.raw");
  other = join(folder, "other.raw");
  writeFileSync(disk, Buffer.alloc(65536));
  writeFileSync(other, Buffer.alloc(65536));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** `text` with one option per line, DISK and OTHER for the two images. */
function parse(text: string) {
  const lines = text.replaceAll("DISK", disk).replaceAll("OTHER", other).split("\n");
  const values = (name: string): string[] =>
    lines
      .map((line) => line.trim())
      .filter((line) => line.startsWith(`-${name} `))
      .map((line) => line.slice(name.length + 2));
  return parseDevices({
    device: values("device"),
    drive: values("drive"),
    blockdev: values("blockdev"),
  });
}

describe("-device", () => {
  it("gives an nvme its drive, its serial and the identifiers of its zpci device", () => {
    const { functions } = parse(`
      -drive file=DISK,if=none,id=d0,format=raw
      -device zpci,uid=5,fid=0x42,target=nv0,id=z0
      -device nvme,serial=abc,drive=d0,id=nv0`);
    expect(functions).toHaveLength(1);
    expect(functions[0]).toMatchObject({ uid: 5, fid: 0x42, device: "nvme" });
    expect(functions[0]?.nvme).toMatchObject({
      serial: "abc",
      namespaces: [{ file: disk, blockBytes: 512 }],
    });
  });

  it("gives a function without a zpci device the first free identifiers, from 1", () => {
    const { functions } = parse(`
      -drive file=DISK,if=none,id=d0
      -drive file=OTHER,if=none,id=d1,readonly=on
      -device nvme,serial=a,drive=d0
      -device zpci,target=b,fid=1
      -device nvme,serial=b,drive=d1,id=b,logical_block_size=4096`);
    expect(functions.map(({ uid, fid }) => [uid, fid])).toEqual([
      [1, 2],
      [2, 1],
    ]);
    expect(functions[1]?.nvme?.namespaces).toEqual([
      { file: other, readOnly: true, blockBytes: 4096 },
    ]);
  });

  it("takes block devices by node, in place and as JSON, and namespaces of their own", () => {
    const { functions } = parse(`
      -blockdev driver=file,node-name=f0,filename=DISK
      -blockdev driver=raw,node-name=r0,file=f0,read-only=on
      -blockdev {"driver":"raw","node-name":"r1","file":{"driver":"file","filename":"OTHER"}}
      -device nvme,serial=a,id=n
      -device nvme-ns,drive=r0,bus=n
      -device nvme-ns,drive=r1`);
    expect(functions[0]?.nvme?.namespaces).toEqual([
      { file: disk, readOnly: true, blockBytes: 512 },
      { file: other, blockBytes: 512 },
    ]);
  });

  it("plugged later takes a drive that no device has, and gives it back when it goes", () => {
    const { catalogue, blocks } = parse(`-drive if=none,id=d0,file=DISK,format=raw`);
    const plug = (id: string, properties: object) =>
      catalogue.functionOf("nvme", id, { serial: "s", ...properties }, { fid: 7, uid: 8 });
    expect(plug("n1", { drive: "d0" })).toMatchObject({
      fid: 7,
      uid: 8,
      device: "nvme",
      nvme: { serial: "s", namespaces: [{ file: disk, blockBytes: 512 }] },
    });
    expect(blocks()).toEqual([{ id: "d0", file: disk, readOnly: false, device: "n1" }]);
    expect(() => plug("n2", { drive: "d0" })).toThrow("Drive 'd0' is already in use");
    catalogue.released?.("n1");
    expect(plug("n2", { drive: "d0" })).toMatchObject({ fid: 7 });
    expect(() => plug("n3", {})).toThrow("it has no disk");
  });

  it("sclpconsole names its chardev", () => {
    expect(parse("-device sclpconsole,chardev=c0").console).toBe("c0");
    expect(parse("").console).toBeUndefined();
  });

  const drive = "-drive file=DISK,if=none,id=d0\n";
  it.each([
    [
      "-device nvmee,serial=a",
      "-device nvmee,serial=a: 'nvmee' is not a valid device model name (did you mean 'nvme'?); known: nvme, nvme-ns, diag288, sclpconsole, vfio-pci, zpci",
    ],
    ["-device id=a", "-device id=a: driver= is missing"],
    ["-device nvme,drive=d0", "serial property not set"],
    [
      "-device nvme,seriall=a,drive=d0",
      "device 'nvme' has no property 'seriall' (did you mean 'serial'?)",
    ],
    ["-device nvme,serial=123456789012345678901,drive=d0", "expected 1 to 20 printable"],
    ["-device nvme,serial=a", "it has no disk; add drive=ID"],
    [
      "-device nvme,serial=a,drive=d1",
      "Cannot find device='d1' nor node-name='d1' (did you mean 'd0'?); known: d0",
    ],
    [
      "-device nvme,serial=a,drive=d0\n-device nvme,serial=b,drive=d0",
      "Drive 'd0' is already in use by another device",
    ],
    [
      "-device nvme,serial=a,drive=d0,logical_block_size=1024",
      "logical_block_size=1024: expected 512 or 4096",
    ],
    ["-device nvme-ns,drive=d0", "no nvme device stands before it"],
    ["-device nvme-ns,drive=d0,bus=x", "no nvme device with the id 'x' stands before it"],
    ["-device zpci,uid=1", "target must be defined"],
    ["-device zpci,target=x", "target=x: no PCI device has this id"],
    [
      "-device nvme,id=a,serial=a,drive=d0\n-device zpci,target=a\n-device zpci,target=a",
      "target=a: the device has a zpci device already",
    ],
    ["-device zpci,target=a,uid=70000", "uid=70000: expected a number from 0 to 65535"],
    ["-device zpci,target=a,fid=0x100000000", "expected a number from 0x0 to 0xffffffff"],
    ["-device zpci,target=a,id=a\n-device nvme,serial=a,id=a", "Duplicate ID 'a' for device"],
    ["-device sclpconsole\n-device sclpconsole", "there is one console"],
    ["-drive file=OTHER,if=none,id=d0", "the id 'd0' is already taken by another drive"],
    ["-drive file=OTHER,id=d1", "if=virtio: not supported; use if=none"],
    ["-drive if=none,id=d1", "file= is missing"],
    ["-drive file=OTHER,if=none,id=d1,format=qcow2", "format=qcow2: not supported; known: raw"],
    [
      "-drive file=OTHER,if=none,id=d1,read-only=on",
      "a drive has no property 'read-only' (did you mean 'readonly'?)",
    ],
    ["-blockdev driver=qcow2,node-name=x", "driver=qcow2: not supported"],
    [
      "-blockdev driver=raw,node-name=x,file=y",
      "file=y: no block device before it has this node-name",
    ],
    ["-drive file=DISK.none,if=none,id=d1", "disk.raw.none does not exist"],
    [
      "-drive file=DISK,if=none,id=d1\n-device nvme,serial=a,drive=d0\n-device nvme,serial=b,drive=d1",
      "is used twice and written",
    ],
  ])("%s is refused in one sentence", (text, message) => {
    expect(() => parse(drive + text)).toThrow(message);
  });

  it("with one id twice names it: FID and UID belong to one function", () => {
    const two = (left: string, right: string): string => `${drive}
      -drive file=OTHER,if=none,id=d1
      -device zpci,target=a,${left}
      -device zpci,target=b,${right}
      -device nvme,serial=a,drive=d0,id=a
      -device nvme,serial=b,drive=d1,id=b`;
    expect(() => parse(two("uid=7", "uid=7"))).toThrow(
      "-device zpci,target=b,uid=7: uid 0x7 is already in use",
    );
    expect(() => parse(two("fid=9", "fid=9"))).toThrow("fid 0x9 is already in use");
    expect(parse(two("uid=0", "uid=0")).functions.map(({ uid }) => uid)).toEqual([1, 2]);
  });

  it("with an image of odd size is refused", () => {
    const odd = join(folder, "odd.raw");
    writeFileSync(odd, Buffer.alloc(700));
    expect(() => parse(`-drive file=${odd},if=none,id=d0\n-device nvme,serial=a,drive=d0`)).toThrow(
      `disk image ${odd} has 700 bytes`,
    );
  });
});

describe("-device help", () => {
  it("lists every model, and a model's properties on request", () => {
    const list = deviceHelp(["help"]) ?? "";
    for (const { name } of deviceModels) expect(list).toContain(`name "${name}"`);
    for (const { name, properties } of deviceModels) {
      const text = deviceHelp([`${name},help`]) ?? "";
      expect(text).toMatch(new RegExp(`^${name} options:\n`));
      for (const property of properties) expect(text).toContain(`  ${property.name}=<`);
    }
  });

  it("is asked for by no other words", () => {
    expect(deviceHelp(["nvme,serial=help"])).toBeUndefined();
    expect(() => deviceHelp(["nvmx,help"])).toThrow("not a valid device model name");
  });
});
