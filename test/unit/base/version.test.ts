import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { packageRoot, zmendVersion } from "../../../src/base/version.ts";

describe("the package", () => {
  it("finds its root from the sources", () => {
    for (const name of ["package.json", "config/demo.yaml", "guest-fixtures/manifest.json"]) {
      expect(existsSync(new URL(name, packageRoot)), name).toBe(true);
    }
  });

  it("finds the same root from the compiled code", async () => {
    const compiled = new URL("dist/src/base/version.js", packageRoot).href;
    const module = (await import(compiled)) as typeof import("../../../src/base/version.ts");
    expect(module.packageRoot.href).toBe(packageRoot.href);
    expect(module.zmendVersion()).toBe(zmendVersion());
  });

  it("has the version of package.json, which the change log describes", () => {
    expect(zmendVersion()).toMatch(/^\d+\.\d+\.\d+$/);
    expect(readFileSync("CHANGELOG.md", "utf8")).toMatch(
      new RegExp(`^## (\\[?${zmendVersion().replaceAll(".", "\\.")}|\\[?Unreleased)`, "mi"),
    );
  });
});
