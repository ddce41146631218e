import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { bytesFrom, decodeAbi, diffAbi, findAbi, registerAbi } from "../../../src/daemon/abi.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "zmend-abi-test-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => {
  process.exitCode = 0;
  vi.unstubAllEnvs();
});

/** Standard output of `zmend abi …`. */
async function abi(...args: string[]): Promise<string> {
  const written: string[] = [];
  const write = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    written.push(String(text));
    return true;
  });
  try {
    const program = new Command("zmend").exitOverride();
    registerAbi(program);
    await program.parseAsync(["abi", ...args], { from: "user" });
  } finally {
    write.mockRestore();
  }
  return written.join("");
}

async function abiJson(...args: string[]): Promise<unknown> {
  return JSON.parse(await abi(...args, "--json"));
}

const feature = "vfio_device_feature_zpci_err";

describe("zmend abi list", () => {
  it("is [{name, version}], every version of the error feature among them", async () => {
    const rows = (await abiJson("list")) as { name: string; version: string }[];
    const versions = rows.filter((row) => row.name === feature).map((row) => row.version);
    for (const version of ["v1", "v12", "v13", "v13-enomsg", "v19", "v20", "merged", "none"]) {
      expect(versions).toContain(version);
    }
    expect(rows.every((row) => Object.keys(row).join() === "name,version")).toBe(true);
    expect(await abi("list")).toContain("vfio_device_info_cap_zpci_base: 1 2 3\n");
  });
});

describe("zmend abi show", () => {
  it("v13 is version, pending_errors, pec in 4 bytes (vfio-uapi 2.4)", async () => {
    expect(await abiJson("show", feature, "--at", "v13")).toEqual({
      name: feature,
      version: "v13",
      size: 4,
      byteOrder: "host",
      fields: [
        { name: "version", offset: 0, size: 1 },
        { name: "pending_errors", offset: 1, size: 1 },
        { name: "pec", offset: 2, size: 2 },
      ],
    });
  });

  it("gives bit fields of the CCDF as masks (vfio-uapi 2.2)", async () => {
    const shown = (await abiJson("show", "zpci_ccdf_err")) as {
      byteOrder: string;
      fields: unknown[];
    };
    expect(shown.byteOrder).toBe("big");
    expect(shown.fields).toContainEqual({ name: "ett", offset: 12, mask: 0xf0000000 });
    expect(shown.fields).toContainEqual({ name: "rw", offset: 12, mask: 0x00000001 });
    expect(shown.fields).toContainEqual({ name: "pec", offset: 30, size: 2 });
  });

  it("suggests the nearest name and version", () => {
    expect(() => findAbi("zpci_cdf_err")).toThrow(/did you mean 'zpci_ccdf_err'/);
    expect(() => findAbi(`${feature}@v13-enomg`)).toThrow(/did you mean 'v13-enomsg'/);
    expect(() => findAbi("vfio_device_info_cap_zpci_base", "4")).toThrow(/it has 1, 2, 3\./);
  });

  it("means what was merged when no version is named, else the newest", () => {
    expect(findAbi(feature).version).toBe("merged");
    expect(findAbi("vfio_device_info_cap_zpci_base").version).toBe("3");
  });
});

describe("zmend abi diff", () => {
  it("between ZPCI_BASE 2 and 3 is ccdf_err_length alone, at the same size", async () => {
    const name = "vfio_device_info_cap_zpci_base";
    expect(await abiJson("diff", `${name}@2`, `${name}@3`)).toEqual({
      a: { name, version: "2", size: 40 },
      b: { name, version: "3", size: 40 },
      differences: [
        { field: "ccdf_err_length", b: { name: "ccdf_err_length", offset: 36, size: 4 } },
      ],
    });
  });

  it("of a version with itself is empty", () => {
    expect(diffAbi(findAbi(`${feature}@v20`), findAbi(`${feature}@merged`))).toEqual([]);
  });
});

describe("zmend abi decode", () => {
  it("reads a CCDF given as hex", async () => {
    const hex = "00000000 80020001 00000002 fabc1203 0000000100002000 00000000 0000 003a";
    expect(await abiJson("decode", "zpci_ccdf_err", hex)).toEqual({
      fields: {
        reserved1: 0,
        fh: 0x80020001,
        fid: 2,
        ett: 0xf,
        mvn: 0xabc,
        dmaas: 0x12,
        reserved2: 0,
        q: 1,
        rw: 1,
        faddr: 0x100002000,
        reserved3: 0,
        reserved4: 0,
        pec: 0x3a,
      },
    });
  });

  it("reads host-order structures as s390x writes them, little-endian on request", async () => {
    const at = ["--at", "v4"];
    expect(await abiJson("decode", feature, "003a0200", ...at)).toEqual({
      fields: { pec: 0x3a, pending_errors: 2, pad: 0 },
    });
    const little = ["--byte-order", "little"];
    expect(await abiJson("decode", feature, "3a000200", ...at, ...little)).toEqual({
      fields: { pec: 0x3a, pending_errors: 2, pad: 0 },
    });
  });

  it("prints 64-bit values above 2^53 as hex text, losing no bit", () => {
    const data = new Uint8Array(32).fill(0xff, 16, 24);
    expect(decodeAbi(findAbi("zpci_ccdf_err"), data)["faddr"]).toBe("0xffffffffffffffff");
  });

  it("takes a file of bytes or of hex digits", () => {
    const raw = join(folder, "raw.bin");
    const text = join(folder, "text.hex");
    writeFileSync(raw, Uint8Array.of(1, 0, 0, 0x3a));
    writeFileSync(text, "0100 003a\n");
    expect([...bytesFrom(raw, 4)]).toEqual([1, 0, 0, 0x3a]);
    expect([...bytesFrom(text, 4)]).toEqual([1, 0, 0, 0x3a]);
    expect(() => bytesFrom(join(folder, "absent"), 4)).toThrow(/nor a file that exists/);
  });

  it("refuses a wrong size, naming the right one and versions that it would fit", () => {
    const item = findAbi(feature);
    expect(() => decodeAbi(item, new Uint8Array(64))).toThrow(/takes 8 bytes, got 64 .*v19/);
    expect(() => decodeAbi(findAbi("zpci_ccdf_err"), new Uint8Array(31))).toThrow(/takes 32 bytes/);
    expect(() => decodeAbi(findAbi(`${feature}@none`), new Uint8Array(0))).toThrow(/no data/);
  });

  it("gives the 2019 region's string what follows 50 bytes", () => {
    const region = findAbi("vfio_region_zpci_info@2019");
    const data = new Uint8Array(53).fill(0xe9, 50);
    expect(decodeAbi(region, data)["util_str"]).toBe("e9e9e9");
    expect(() => decodeAbi(region, new Uint8Array(49))).toThrow(/at least 50/);
  });
});

const headers = ["/usr/include/linux/vfio.h", "/usr/include/linux/vfio_zdev.h"];

const present = headers.every((file) => existsSync(file));

describe.skipIf(!present)(`zmend abi check${present ? "" : " (needs linux-libc-dev)"}`, () => {
  it("agrees with the kernel headers of this machine", async () => {
    const rows = (await abiJson("check", ...headers)) as {
      name: string;
      version: string;
      agrees: boolean;
    }[];
    expect(rows.filter((row) => !row.agrees)).toEqual([]);
    const names = rows.map((row) => row.name);
    expect(names).toContain("vfio_device_info_cap_zpci_base");
    expect(names).toContain("vfio_eeh_pe_op");
    expect(names).toContain("vfio_irq_set");
    expect(process.exitCode).toBe(0);
  });

  it("finds a member that moved, says where, and exits 1", async () => {
    const moved = join(folder, "moved.h");
    writeFileSync(
      moved,
      "struct vfio_device_feature_zpci_err { unsigned short pec; unsigned char version, pending_errors; };\n",
    );
    const rows = (await abiJson("check", moved)) as { agrees: boolean; differences: string[] }[];
    expect(rows.map((row) => row.agrees)).toEqual([false]);
    expect(rows[0]?.differences.join("; ")).toContain("offset");
    expect(process.exitCode).toBe(1);
  });

  it("recognises a posted version by its header", async () => {
    const posted = join(folder, "v19.h");
    writeFileSync(
      posted,
      `struct vfio_device_feature_zpci_err {
        unsigned feature_flags, reserved1, fh, fid; unsigned long long faddr;
        unsigned ett:4, mvn:12, dmaas:8, reserved2:6, q:1, rw:1;
        unsigned reserved3; unsigned short reserved4, pec; unsigned char reserved5[28]; };\n`,
    );
    expect(await abiJson("check", posted)).toEqual([
      { name: feature, version: "v19", agrees: true, differences: [] },
    ]);
  });

  it("says so when a header has none of the structures, is missing, or is broken", async () => {
    const other = join(folder, "other.h");
    const broken = join(folder, "broken.h");
    writeFileSync(other, "struct other { int x; };\n");
    writeFileSync(broken, "struct other { int x }}\n");
    await expect(abi("check", other)).rejects.toThrow(/no structure that zmend knows/);
    await expect(abi("check", join(folder, "absent.h"))).rejects.toThrow(/does not exist/);
    await expect(abi("check", broken)).rejects.toThrow(/do not compile/);
  });

  it("fails with exit status 3 and one sentence without a compiler", async () => {
    vi.stubEnv("CC", join(folder, "no-such-compiler"));
    await expect(abi("check", ...headers)).rejects.toMatchObject({
      exitStatus: 3,
      message: expect.stringMatching(/^No C compiler: .*\.$/),
    });
  });
});
