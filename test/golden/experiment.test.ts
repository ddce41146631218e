/**
 * The smoke experiment: its ledger's digest is committed, the README prints it, and every text block there is what the
 * command prints. When results change on purpose, take over the new digest in both places.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { ledgerJsonSchema } from "../../src/experiment/ledger-schema.ts";

const folder = mkdtempSync(join(tmpdir(), "zmend-golden-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const { command, digest } = JSON.parse(readFileSync("test/golden/experiment-digest.json", "utf8"));

interface Node {
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Node>>;
}

it("the smoke experiment has the committed digest, the README prints it, and its report's bytes repeat", () => {
  const zmend = join(process.cwd(), "dist/src/daemon/zmend.js");
  const run = spawnSync(process.execPath, [zmend, "experiment", "run", "smoke"], {
    encoding: "utf8",
    cwd: folder,
  });
  expect(run.stderr).toBe("");
  expect(run.status).toBe(0);
  const out = join(folder, "zmend-smoke");
  const bytes = readFileSync(join(out, "ledger.jsonl"));
  expect(createHash("sha256").update(bytes).digest("hex")).toBe(digest);
  const readme = readFileSync("README.md", "utf8");
  expect(readme).toContain(`\`\`\`text\n${run.stdout}\`\`\``);
  expect(readme).toContain(command.replace("zmend", "node dist/src/daemon/zmend.js"));
  const report = readFileSync(join(out, "report.md"), "utf8");
  expect(report).toContain(digest);
  expect(report).toContain("zmend experiment run smoke");
  expect(report).not.toContain(folder);
  const first = JSON.parse(bytes.toString().split("\n")[1] ?? "");
  const schema = (ledgerJsonSchema() as { oneOf: readonly Node[] }).oneOf[0] as Node;
  expect(Object.keys(first)).toEqual(schema.required);
  const known = Object.keys(schema.properties?.["metrics"]?.properties ?? {});
  expect(known.filter((name) => name in first.metrics)).toEqual(Object.keys(first.metrics));
});
