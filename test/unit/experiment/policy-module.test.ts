import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { planOf } from "../../../src/experiment/experiment-file.ts";
import type { TrialRow } from "../../../src/experiment/ledger.ts";
import { TrialRunner } from "../../../src/experiment/trial/runner.ts";

const folder = mkdtempSync(join(tmpdir(), "zmend-module-"));
const runners: TrialRunner[] = [];
afterAll(async () => {
  for (const runner of runners) await runner.close();
  rmSync(folder, { recursive: true, force: true });
});

/** One trial of a day under the module. */
function trial(source: string, planned = source): TrialRow {
  writeFileSync(join(folder, "policy.mjs"), planned);
  const plan = planOf(
    `version: 1
name: m
question: Which?
repetitions: 2
metrics: [availability]
scenarios:
  - name: s
    hours: 24
    errors: [{ arrivals: { poisson: { perHour: 1 } } }]
    host: { failed: 0.6 }
guests: [{ kernel: "7.3", driver: nvme }]
policies: [{ module: policy.mjs }, reset-first]
`,
    "m.yaml",
    folder,
  );
  const sha256 = createHash("sha256")
    .update(readFileSync(join(folder, "policy.mjs")))
    .digest("hex");
  expect(plan.points[0]?.policies[0]).toMatchObject({ label: "policy", module: { sha256 } });
  writeFileSync(join(folder, "policy.mjs"), source);
  const runner = new TrialRunner(plan, folder);
  runners.push(runner);
  return runner.row(0);
}

function metrics(row: TrialRow) {
  if (row.status !== "done") throw new Error(row.reason);
  return row.metrics;
}

describe("a policy as an ES module", () => {
  it("decides what the recovery machine does: the first error resets, the second is quarantined", () => {
    const row = trial(
      "export default { onError: (fn) => (fn.errors < 2 ? 'reset' : 'quarantine') };",
    );
    expect(metrics(row)).toMatchObject({ falseQuarantines: 1, permanentLosses: 1 });
    expect(metrics(row).recoveries).toBeGreaterThan(0);
  });

  it("without an opinion does what its base does, to the last bit", () => {
    const nothing = trial("export default {};");
    const wordless = trial(
      "export default { onError() {}, onDeadline() {}, onResetFailure() {} };",
    );
    expect(nothing.status).toBe("done");
    expect(metrics(wordless)).toEqual(metrics(nothing));
  });

  it("that throws is a failed trial that says who and what", () => {
    expect(trial("export default { onError() { throw new Error('no idea'); } };")).toMatchObject({
      status: "failed",
      reason: "policy 'policy' threw in onError: no idea",
    });
  });

  it("that answers nonsense is a failed trial that says what it should have been", () => {
    expect(trial("export default { onError: () => ({ a: 1 }) };")).toMatchObject({
      status: "failed",
      reason:
        "policy 'policy' answered {\"a\":1} to onError; expected one of inject, reset, quarantine, unplug, stop-vm",
    });
  });

  it("that cannot be loaded, or has no default export, is a failed trial", () => {
    expect(trial("export default {")).toMatchObject({ status: "failed" });
    expect(trial("export const x = 1;")).toMatchObject({
      reason: "policy 'policy' is no policy module: it has no object as its default export",
    });
  });

  it("that was changed since the plan was made is not run", () => {
    expect(trial("export default { };", "export default {};")).toMatchObject({
      reason: "policy module policy.mjs is not the one that was planned",
    });
  });

  it("that loops is withdrawn", () => {
    const looping = "let n = 0; export default { onError() { if (n++ > 0) for (;;); } };";
    expect(trial(looping)).toMatchObject({
      status: "failed",
      reason: "policy 'policy' gave no answer to onError within 1000 ms",
      withdraws: true,
    });
  });
});
