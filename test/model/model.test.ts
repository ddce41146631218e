/**
 * The SPIN proofs of `npm run verify:model`, one test per claim. They need the Debian packages spin and gcc;
 * without them every test is skipped and says so.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { cases, missingTool, verify } from "./verify.ts";

const missing = missingTool();
const scratch = mkdtempSync(join(tmpdir(), "zmend-model-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe(missing === undefined ? "SPIN" : `SPIN (skipped: ${missing} is not installed)`, () => {
  cases.forEach((item, index) => {
    const name = `${item.model} ${item.expect}: ${item.claim} [${item.define.join(" ")}]`;
    test.skipIf(missing !== undefined)(name, () => {
      const verdict = verify(item, scratch, String(index));
      expect(verdict.found).toBe(item.expect);
      expect(verdict.states).toBeGreaterThan(20);
    });
  });

  test("every protocol that must hold is also tried weakened", () => {
    const holding = new Set(cases.filter((c) => c.expect === "holds").map((c) => c.model));
    const failing = new Set(cases.filter((c) => c.expect === "fails").map((c) => c.model));
    expect(failing).toEqual(holding);
  });
});
