import { expect, test } from "vitest";
import { buildInterpreterModule } from "../../../src/cpu/index.ts";
import { cpuRig } from "../../support/cpu-rig.ts";

test("the generated module is valid and its dispatch function stays below 30 KiB", () => {
  const module = buildInterpreterModule();
  expect(WebAssembly.validate(module.bytes)).toBe(true);
  expect(module.dispatchBytes).toBeLessThan(30 * 1024);
  console.log(module.dispatchBytes, module.bytes.length, module.largestRowBytes);
});

test("LGHI, AGHI and AGR leave sum and condition code", () => {
  const rig = cpuRig();
  rig.put(0x1000, "a7190005 a71bfffe a7290007 b9080012");
  rig.start(0x1000);
  rig.vcpu.run(4);
  expect(rig.state.gr(1)).toBe(10n);
});
