/** The pieces that fetch and build Linux fixtures; plain modules, so their types are written here. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runNode } from "../../support/command.ts";

interface Source {
  readonly uris: string;
  readonly suites: readonly string[];
  readonly components: readonly string[];
  readonly signedBy: string;
}

interface AptModule {
  lines(text: string): Source[];
  stanzas(text: string): Source[];
  sourcesOf(sources: readonly Source[], architecture: string, release: string, own: string): string;
}

interface Entry {
  readonly name: string;
}

interface CpioModule {
  cpioArchive(entries: readonly Entry[]): Buffer;
  directory(name: string): Entry;
  file(name: string, data: Uint8Array, permissions?: number): Entry;
  symbolicLink(name: string, target: string): Entry;
  characterDevice(name: string, major: number, minor: number): Entry;
}

const fetcher = "guest-fixtures/linux/fetch.mjs";

async function fixtureModule<T>(name: string): Promise<T> {
  return (await import(
    new URL(`../../../guest-fixtures/linux/${name}`, import.meta.url).href
  )) as T;
}

const cpio = await fixtureModule<CpioModule>("cpio.mjs");
const apt = await fixtureModule<AptModule>("apt.mjs");

interface Member {
  readonly name: string;
  readonly mode: number;
  readonly device: readonly [number, number];
  readonly text: string;
}

/** Reads an archive as buffer-format.rst describes it. */
function members(archive: Buffer): Member[] {
  const found: Member[] = [];
  for (let at = 0; at < archive.length; ) {
    expect(archive.toString("latin1", at, at + 6)).toBe("070701");
    const field = (n: number): number =>
      Number.parseInt(archive.toString("latin1", at + 6 + n * 8, at + 14 + n * 8), 16);
    const nameEnd = at + 110 + field(11);
    const data = Math.ceil(nameEnd / 4) * 4;
    found.push({
      name: archive.toString("utf8", at + 110, nameEnd - 1),
      mode: field(1),
      device: [field(9), field(10)],
      text: archive.toString("utf8", data, data + field(6)),
    });
    at = Math.ceil((data + field(6)) / 4) * 4;
  }
  return found;
}

describe("the cpio writer", () => {
  it("gives names, modes, devices and contents, and ends with the trailer", () => {
    const archive = cpio.cpioArchive([
      cpio.directory("dev"),
      cpio.characterDevice("dev/console", 5, 1),
      cpio.file("init", Buffer.from("#!/bin/sh\n"), 0o755),
      cpio.symbolicLink("sh", "busybox"),
    ]);
    expect(members(archive)).toEqual([
      { name: "dev", mode: 0o40755, device: [0, 0], text: "" },
      { name: "dev/console", mode: 0o20600, device: [5, 1], text: "" },
      { name: "init", mode: 0o100755, device: [0, 0], text: "#!/bin/sh\n" },
      { name: "sh", mode: 0o120777, device: [0, 0], text: "busybox" },
      { name: "TRAILER!!!", mode: 0, device: [0, 0], text: "" },
    ]);
    expect(archive.length % 4).toBe(0);
  });
});

describe("apt's sources", () => {
  const expected = [
    "Types: deb",
    "URIs: copy:/mirror",
    "Suites: trixie trixie-security",
    "Components: main",
    "Architectures: s390x",
    "Signed-By: /keys.gpg",
    "",
  ].join("\n");

  it("are read from stanzas; other releases, sources of code and disabled ones are left out", () => {
    const text = [
      "# a comment",
      "Types: deb deb-src",
      "URIs: copy:/mirror",
      "Suites: bookworm bookworm-updates bookworm-security other",
      "Components: main contrib",
      "Signed-By: /keys.gpg",
      "",
      "Types: deb-src",
      "URIs: copy:/code",
      "Suites: bookworm",
      "Components: main",
      "",
      "Types: deb",
      "URIs: copy:/off",
      "Suites: bookworm",
      "Components: main",
      "Enabled: no",
    ].join("\n");
    expect(apt.sourcesOf(apt.stanzas(text), "s390x", "trixie", "bookworm")).toBe(expected);
  });

  it("are read from lines", () => {
    const text = [
      "# deb copy:/mirror bookworm main",
      "deb-src copy:/mirror bookworm main",
      "deb [arch=amd64 signed-by=/keys.gpg] copy:/mirror bookworm main contrib # note",
      "deb copy:/elsewhere stable main",
    ].join("\n");
    expect(apt.sourcesOf(apt.lines(text), "s390x", "trixie", "bookworm")).toBe(
      expected.replace(" trixie-security", ""),
    );
  });

  it("of a release without an end have no security suite", () => {
    const source = {
      uris: "copy:/m",
      suites: ["bookworm", "bookworm-security"],
      components: ["main"],
      signedBy: "",
    };
    expect(apt.sourcesOf([source], "s390x", "sid", "bookworm")).toContain("Suites: sid\n");
  });

  it("of no Debian release are refused", () => {
    expect(() => apt.sourcesOf([], "s390x", "trixie", "bookworm")).toThrow(
      /no sources of a Debian/,
    );
  });
});

interface ModulesModule {
  modulesWith(folder: string, wanted: readonly string[]): { name: string; data: Buffer }[];
}

const modules = await fixtureModule<ModulesModule>("modules.mjs");

describe("kernel modules", () => {
  let folder = "";
  const put = (name: string, depends: string): void =>
    writeFileSync(join(folder, name), `ELF\0license=GPL\0depends=${depends}\0name=x\0`);
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "zmend-modules-"));
    mkdirSync(join(folder, "deep"));
    put("nvme.ko", "nvme-core");
    put("deep/nvme-core.ko", "crc_a,crc-b");
    put("crc_a.ko", "");
    put("crc-b.ko", "crc_a");
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("come after what they depend on, each once, whether names have dashes or underscores", () => {
    const names = modules.modulesWith(folder, ["crc_a", "nvme"]).map(({ name }) => name);
    expect(names).toEqual(["crc_a.ko", "crc-b.ko", "nvme-core.ko", "nvme.ko"]);
  });

  it("that no package has are named", () => {
    expect(() => modules.modulesWith(folder, ["ext9"])).toThrow("have no module ext9");
  });
});

interface RootModule {
  missingPackages(isThere: (program: string) => boolean, asRoot: boolean): string[];
}

describe("a Debian root file system", () => {
  it("names the packages without which it cannot be made; fakeroot for those who are not root", async () => {
    const { missingPackages } = await fixtureModule<RootModule>("../debian-root/root.mjs");
    expect(missingPackages(() => false, false)).toEqual(["dpkg", "e2fsprogs", "fakeroot"]);
    expect(missingPackages((program) => program !== "mke2fs", true)).toEqual(["e2fsprogs"]);
    expect(missingPackages(() => true, false)).toEqual([]);
  });
});

describe("npm run fixtures", () => {
  it.each([
    [[], /no name given; name one or more of: linux-6\.1/],
    [["linux-9.9"], /'linux-9\.9' is unknown; name one or more of: linux-6\.1.*, debian-root /],
  ])("with %j says what it knows, status 2", (words, message) => {
    const result = runNode([fetcher, ...words]);
    expect(result).toMatchObject({ status: 2, stdout: "" });
    expect(result.stderr).toMatch(message);
  });

  it("pins what was tested by sha256", () => {
    const { kernels } = JSON.parse(readFileSync("guest-fixtures/linux/kernels.json", "utf8")) as {
      kernels: { tested: { package: string; sha256: string }[] }[];
    };
    for (const { tested } of kernels) {
      expect(tested.length).toBeGreaterThan(0);
      for (const entry of tested) expect(entry.sha256).toMatch(/^[0-9a-f]{64}$/);
    }
  });
});
