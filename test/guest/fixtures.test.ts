import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import {
  CONTROL_ENABLE,
  CONTROL_INTERRUPT,
  DMA_FROM_GUEST,
  DMA_TO_GUEST,
  STATUS_BUSY,
  STATUS_DONE,
  STATUS_ERROR,
  TestFunction,
  TestRegister,
} from "../../src/abi/test-function.ts";
import { QemuGuest, qemuInstalled } from "./qemu-guest.ts";

const folder = "guest-fixtures";

interface Manifest {
  version: number;
  fixtures: {
    name: string;
    file: string;
    sha256: string;
    sources: string[];
    sourceSha256: string;
    compiler: string;
    flags: string;
    licence: string;
    rebuild: string;
  }[];
}

const manifest = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")) as Manifest;
const image = (name: string): Buffer => readFileSync(join(folder, "bin", `${name}.elf`));
const compilerVersion = spawnSync("s390x-linux-gnu-gcc", ["-dumpfullversion"], {
  encoding: "utf8",
}).stdout?.trim();
const sameCompiler = manifest.fixtures.every((row) =>
  row.compiler.startsWith(`gcc ${compilerVersion} `),
);

function sha256(parts: readonly Buffer[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

describe("the manifest", () => {
  it("lists every committed binary and nothing else", () => {
    const files = readdirSync(join(folder, "bin")).map((name) => `bin/${name}`);
    expect(manifest.fixtures.map((row) => row.file).sort()).toEqual(files.sort());
    expect(manifest.fixtures.map((row) => row.name)).toEqual([
      "hello",
      "zrecover",
      "zhang",
      "zhostile",
      "zsmp",
    ]);
  });

  it.each(manifest.fixtures)("gives the SHA-256 of $name as committed", (row) => {
    expect(sha256([readFileSync(join(folder, row.file))])).toBe(row.sha256);
  });

  it.each(manifest.fixtures)("describes the sources that $name was built from", (row) => {
    const parts = row.sources.map((name) => readFileSync(join(folder, name)));
    expect(sha256(parts)).toBe(row.sourceSha256);
    expect(row.licence).toBe("Apache-2.0");
    expect(row.rebuild).toBe("npm run fixtures:build");
  });
});

describe.each(manifest.fixtures)("the binary of $name", (row) => {
  const bytes = image(row.name);

  it("is a static big-endian ELF64 for s390 with one segment below 1 MiB, entered at 0x20000", () => {
    expect(bytes.subarray(0, 6).toString("hex")).toBe("7f454c460202"); // ELF64, big-endian
    expect(bytes.readUInt16BE(16)).toBe(2); // ET_EXEC
    expect(bytes.readUInt16BE(18)).toBe(22); // EM_S390
    expect(bytes.readBigUInt64BE(24)).toBe(0x20000n);
    expect(bytes.readUInt16BE(56)).toBe(1); // program headers
    const header = Number(bytes.readBigUInt64BE(32));
    expect(bytes.readUInt32BE(header)).toBe(1); // PT_LOAD
    const address = bytes.readBigUInt64BE(header + 24); // p_paddr
    const memory = bytes.readBigUInt64BE(header + 40); // p_memsz
    expect(address).toBe(0x20000n);
    expect(address + memory).toBeLessThan(0x100000n);
  });

  it("carries no path, no compiler name and no build id", () => {
    const text = bytes.toString("latin1");
    expect(text).not.toMatch(/\/(home|tmp|usr|root|work)\//);
    expect(text).not.toMatch(/GCC: |GNU C|\.note\.gnu/);
    expect(bytes.length).toBeLessThan(64 * 1024);
  });
});

describe.skipIf(!compilerVersion || !sameCompiler)(
  "the build (with the manifest's compiler)",
  () => {
    it("gives the committed bytes again, in any folder", () => {
      const copy = mkdtempSync(join(tmpdir(), "zmend-fixture-copy-"));
      try {
        cpSync(folder, copy, { recursive: true });
        const result = spawnSync(process.execPath, [join(copy, "build.mjs"), "--check"], {
          encoding: "utf8",
        });
        expect(result.stdout).toBe(`${manifest.fixtures.length} fixtures rebuilt identically\n`);
        expect(result.status).toBe(0);
      } finally {
        rmSync(copy, { recursive: true, force: true });
      }
    });
  },
);

describe("the guests' view of the test function", () => {
  const header = readFileSync(join(folder, "include/test-function.h"), "utf8");
  const defines = Object.fromEntries(
    [...header.matchAll(/^#define TF_(\w+) (\w+)$/gm)].map(([, name, value]) => [
      name,
      Number(value),
    ]),
  );

  it("has the numbers of src/abi/test-function.ts", () => {
    expect(defines).toEqual({
      VENDOR_ID: TestFunction.vendorId,
      DEVICE_ID: TestFunction.deviceId,
      ID_VALUE: 0x444e4d5a, // "ZMND", src/abi/test-function.ts
      VERSION_VALUE: 1,
      SCRATCH_OFFSET: TestFunction.scratchOffset,
      SCRATCH_BYTES: TestFunction.scratchBytes,
      DMA_BYTES_MAX: TestFunction.dmaBytesMax,
      ID: TestRegister.id,
      VERSION: TestRegister.version,
      CONTROL: TestRegister.control,
      STATUS: TestRegister.status,
      DMA_ADDRESS: TestRegister.dmaAddress,
      DMA_OFFSET: TestRegister.dmaOffset,
      DMA_LENGTH: TestRegister.dmaLength,
      DMA_COMMAND: TestRegister.dmaCommand,
      DMA_COUNT: TestRegister.dmaCount,
      ERROR_COUNT: TestRegister.errorCount,
      SCRATCHPAD: TestRegister.scratchpad,
      CONTROL_ENABLE,
      CONTROL_INTERRUPT,
      STATUS_BUSY,
      STATUS_DONE,
      STATUS_ERROR,
      DMA_FROM_GUEST,
      DMA_TO_GUEST,
    });
  });
});

interface Sequence {
  version: number;
  name: string;
  source: string;
  file: string;
  recordBytes: number;
  events: {
    atUs: number;
    offset: number;
    contentCode: number;
    pec: string;
    handle: string;
    origin: string;
  }[];
}

describe("the event sequences", () => {
  const names = readdirSync(join(folder, "ccdf"))
    .filter((name) => name.endsWith(".json"))
    .map((name) => name.slice(0, -".json".length));
  const read = (name: string): [Sequence, Buffer] => {
    const sequence = JSON.parse(
      readFileSync(join(folder, "ccdf", `${name}.json`), "utf8"),
    ) as Sequence;
    return [sequence, readFileSync(join(folder, "ccdf", sequence.file))];
  };

  it("are the ones that the demo and the documents name", () => {
    expect(names.sort()).toEqual([
      "permanent-003b",
      "recorded-7.3-burst",
      "recorded-7.3-single",
      "single-003a",
      "stale-handle",
    ]);
  });

  it.each(names)("%s uses every record of its file once, in order of time", (name) => {
    const [sequence, bytes] = read(name);
    expect(sequence.version).toBe(1);
    expect(sequence.name).toBe(name);
    expect(sequence.recordBytes).toBe(32); // zpci-guest.md 7.1
    expect(sequence.events.map((event) => event.offset)).toEqual(
      Array.from({ length: bytes.length / 32 }, (_, index) => index * 32),
    );
    const times = sequence.events.map((event) => event.atUs);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    for (const event of sequence.events) {
      expect(["own", "stale"]).toContain(event.handle);
      expect(["recorded", "reconstructed", "constructed"]).toContain(event.origin);
      expect(event.contentCode).toBe(1);
      expect(bytes.readUInt16BE(event.offset + 30)).toBe(Number(event.pec));
    }
  });

  it("holds the four records that the genuine 7.3-rc7 kernel handed out, then two reconstructed ones", () => {
    const [sequence, bytes] = read("recorded-7.3-burst");
    const records = sequence.events.map((event) =>
      bytes.subarray(event.offset, event.offset + 32).toString("hex"),
    );
    // vfio-zpci-7.3-rc7.json, sixFaultsWithoutDraining.get
    expect(records.slice(0, 4)).toEqual([
      "0000000080020001000000020000000000000000100100000000000000000002",
      "0000000080020001000000020000000000000000100200000000000000000002",
      "0000000080020001000000020000000000000000100300000000000000000002",
      "0000000080020001000000020000000000000000100400000000000000000002",
    ]);
    expect(bytes.readBigUInt64BE(4 * 32 + 16)).toBe(0x10050000n);
    expect(bytes.readBigUInt64BE(5 * 32 + 16)).toBe(0x10060000n);
    expect(sequence.events.map((event) => event.origin)).toEqual([
      "recorded",
      "recorded",
      "recorded",
      "recorded",
      "reconstructed",
      "reconstructed",
    ]);
    expect(sequence.events.every((event) => event.atUs === 0)).toBe(true);
  });
});

// zhostile is not run here: some of its operations end QEMU 7.2 itself (heap corruption, null pointer).
describe.skipIf(!qemuInstalled)("under QEMU (an independent machine)", () => {
  let guest: QemuGuest | undefined;
  const start = (name: string, devices: readonly string[]): QemuGuest => {
    const file = join(folder, "bin", `${name}.elf`);
    if (!existsSync(file)) throw new Error(`${file} is missing`);
    guest = new QemuGuest(file, devices);
    return guest;
  };
  const functionOf = (uid: number, fid: number): string[] => [
    `zpci,uid=${uid},fid=${fid},target=pci${fid}`,
    `virtio-rng-pci,id=pci${fid}`,
  ];
  const plug = async (uid: number, fid: number): Promise<void> => {
    await guest?.command("device_add", { driver: "zpci", uid, fid, target: `pci${fid}` });
    await guest?.command("device_add", { driver: "virtio-rng-pci", id: `pci${fid}` });
  };

  afterEach(async () => {
    await guest?.close();
    guest = undefined;
  });

  it("hello prints its line and stops the machine", async () => {
    const hello = start("hello", []);
    await hello.ended();
    expect(hello.lines).toEqual(["hello: a bare-metal s390x guest with 8 MiB"]);
  });

  it("zrecover lists more functions than one CLP answer holds, registers and gives back each", async () => {
    // 18 functions: the list answer has room for 16, so the resume token is used.
    const zrecover = start(
      "zrecover",
      Array.from({ length: 18 }, (_, index) => functionOf(index + 1, index + 0x20)).flat(),
    );
    await zrecover.line("working on 18 functions");
    await zrecover.command("system_powerdown");
    await zrecover.ended();
    expect(zrecover.lines[0]).toBe("zrecover: boot ram 8 MiB facilities 69 71 72");
    const given = zrecover.lines.filter((line) =>
      line.endsWith("foreign config 1af4 deregister 0 0 disable 0010"),
    );
    expect(given).toHaveLength(18);
    expect(zrecover.lines.at(-1)).toBe("report end");
  });

  it("zrecover takes the channel-report machine check and fetches hot-plug events until none is left", async () => {
    const zrecover = start("zrecover", functionOf(1, 1));
    await zrecover.line("working on 1 functions");
    await plug(9, 0x99);
    await zrecover.line("fid 00000099 fh 00020001 foreign config 1af4");
    await zrecover.command("device_del", { id: `pci${0x99}` });
    await zrecover.line("availability pec 0308");
    await zrecover.command("system_powerdown");
    await zrecover.ended();
    expect(zrecover.lines.filter((line) => line.includes("00000099"))).toEqual([
      "zrecover: fid 00000099 fh 00020001 availability pec 0301",
      "zrecover: fid 00000099 fh 00020001 found vendor 1af4 device 1005 uid 0009",
      "zrecover: fid 00000099 fh 00020001 foreign config 1af4 deregister 0 0 disable 0010",
      "zrecover: fid 00000099 fh 00020001 availability pec 0303",
      "zrecover: fid 00000099 fh 00020001 deconfigure code 0020",
      "zrecover: fid 00000099 fh 00020001 away pec 0303 checked 0 corrupt 0",
      "zrecover: fid 00000099 fh 00020001 availability pec 0308",
      "zrecover: fid 00000099 fh 00020001 away pec 0308 checked 0 corrupt 0",
    ]);
    // The MCIC has all bits that Linux needs and the save areas hold the interrupted registers.
    expect(zrecover.lines.join("\n")).not.toContain("machine check faulty");
  });

  it("zhang takes the machine check but leaves its event unread", async () => {
    const zhang = start("zhang", functionOf(1, 1));
    await zhang.line("working on 1 functions");
    await plug(9, 0x99);
    await zhang.line("zhang: channel report ignored");
    await zhang.command("system_powerdown");
    await zhang.ended();
    expect(zhang.lines.join("\n")).not.toContain("availability");
    expect(zhang.lines.at(-1)).toBe("report end");
  });
});
