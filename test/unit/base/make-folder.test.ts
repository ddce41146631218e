import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeFolders } from "../../../src/base/make-folder.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "zmend-folders-"));
});
afterEach(() => rmSync(root, { recursive: true }));

describe("makeFolders", () => {
  it("makes a folder with those above it, and minds none that is there", () => {
    const folder = join(root, "a/b/c");
    makeFolders(folder, 0o700);
    makeFolders(folder, 0o755);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    mkdirSync(join(root, "there"));
    symlinkSync("there", join(root, "link"));
    makeFolders(join(root, "link"));
    makeFolders(join(root, "link/x"));
    expect(statSync(join(root, "there/x")).isDirectory()).toBe(true);
  });

  it("throws where something else stands, and where none can be made", () => {
    writeFileSync(join(root, "file"), "");
    symlinkSync("nowhere", join(root, "dangling"));
    expect(() => makeFolders(join(root, "file"))).toThrow("EEXIST");
    expect(() => makeFolders(join(root, "file/x"))).toThrow("ENOTDIR");
    expect(() => makeFolders(join(root, "dangling"))).toThrow("EEXIST");
    // Node's own mkdir with `recursive` does not return from this one.
    expect(() => makeFolders("/proc/zmend/state")).toThrow("ENOENT");
  });
});
