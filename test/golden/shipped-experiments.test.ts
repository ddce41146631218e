/**
 * One repetition of each shipped experiment whose guests are models: the digest of its ledger is committed, the one that
 * `zmend experiment run NAME --repetitions 1` prints. `fleet-1000` is left out for its length, `real-guest` for its machine
 * (test/guest/experiment-machine.test.ts). When results change on purpose, take over the new digests.
 */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { experimentNames, loadExperiment } from "../../src/experiment/experiment-file.ts";
import { headerOf, LedgerDigest, ledgerText } from "../../src/experiment/ledger.ts";
import { trialsPerRepetition } from "../../src/experiment/plan.ts";
import { TrialRunner } from "../../src/experiment/trial/runner.ts";

const digests: Record<string, string> = JSON.parse(
  readFileSync("test/golden/shipped-experiments.json", "utf8"),
);

it("every shipped experiment but the fleet's and the machine's has a golden digest", () => {
  const long = ["fleet-1000", "real-guest"];
  expect(Object.keys(digests).sort()).toEqual(
    experimentNames().filter((name) => !long.includes(name)),
  );
});

it.each(Object.entries(digests))("%s comes to its golden digest", async (name, golden) => {
  const plan = loadExperiment(name, { repetitions: 1 });
  const digest = new LedgerDigest();
  digest.add(ledgerText(headerOf(plan)));
  const runner = new TrialRunner(plan, "");
  for (let trial = 0; trial < trialsPerRepetition(plan); trial++) digest.add(runner.line(trial));
  await runner.close();
  expect(digest.hex()).toBe(golden);
});
