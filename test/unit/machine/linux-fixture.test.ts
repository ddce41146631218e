import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { linuxFixtureNames, readLinuxFixture } from "../../../src/machine/linux-fixture.ts";

let folder = "";
let root: URL;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "zmend-linux-"));
  root = pathToFileURL(`${folder}/`);
  mkdirSync(join(folder, ".cache/linux-6.1"), { recursive: true });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function put(name: string, text: string): void {
  writeFileSync(join(folder, ".cache/linux-6.1", name), text);
}

const sum = (text: string): string => createHash("sha256").update(text).digest("hex");

function cacheWhole(): void {
  put("kernel", "k");
  put("initramfs.cpio", "i");
  const files = [
    { file: "kernel", sha256: sum("k") },
    { file: "initramfs.cpio", sha256: sum("i") },
  ];
  put("fixture.json", JSON.stringify({ name: "linux-6.1", files }));
}

describe("a cached kernel", () => {
  it("is one of those that the fixture command knows", () => {
    expect(linuxFixtureNames()).toContain("linux-6.1");
  });

  it("comes with its first root file system", () => {
    cacheWhole();
    const { kernel, initrd } = readLinuxFixture("linux-6.1", root);
    expect(Buffer.from(kernel.image).toString()).toBe("k");
    expect(Buffer.from(initrd.bytes).toString()).toBe("i");
    expect(kernel.file).toBe(join(folder, ".cache/linux-6.1/kernel"));
  });

  it("that is not there is named with the command that fetches it", () => {
    expect(() => readLinuxFixture("linux-6.1", root)).toThrow(
      "The kernel linux-6.1 is not cached; fetch it with: npm run fixtures -- linux-6.1",
    );
  });

  it.each([
    ["kernel", "changed"],
    ["fixture.json", "{"],
    ["fixture.json", "{}"],
  ])("with a damaged %s is refused", (name, text) => {
    cacheWhole();
    put(name, text);
    expect(() => readLinuxFixture("linux-6.1", root)).toThrow(
      "The cached kernel linux-6.1 is damaged; remove .cache/linux-6.1",
    );
  });
});
