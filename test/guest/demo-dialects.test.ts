import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { packageRoot } from "../../src/base/version.ts";
import { runNode } from "../support/command.ts";

const zmend = fileURLToPath(new URL("dist/src/daemon/zmend.js", packageRoot));

/** The main job, under virtual time, over hosts of one shape per kind of carrier and empty rule. */
describe("zmend demo over another host", () => {
  it.each([
    ["--abi", "v1"],
    ["--abi", "v13"],
    ["--abi", "v19"],
    ["--dialect", "eeh"],
    ["--dialect", "aer"],
  ])("%s %s: every function ends as the config expects", (option, name) => {
    const { status, stderr, stdout } = runNode([
      zmend,
      "demo",
      "--deterministic",
      "--json",
      option,
      name,
    ]);
    expect([status, stderr]).toEqual([0, ""]);
    const { functions } = JSON.parse(stdout) as { functions: { state: string }[] };
    expect(functions.map((entry) => entry.state)).toEqual(["operational", "operational", "failed"]);
  });

  it("refuses a shape that no kernel had, naming the nearest", () => {
    const { status, stderr, stdout } = runNode([zmend, "demo", "--abi", "v21"]);
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^zmend: --abi: abi 'v21' is unknown \(did you mean 'v\d+'\?\)/);
  });
});
