/**
 * Metrics and alert rules, judged by others: Prometheus' promtool and the OpenMetrics parser of its Python client
 * (Debian's prometheus and python3-prometheus-client).
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { createMetrics } from "../../../../src/control/metrics/index.ts";
import { VmControlDouble } from "../../../support/vm-control-double.ts";

const runs = (program: string, ...words: string[]): boolean =>
  spawnSync(program, words, { stdio: "ignore" }).status === 0;
const noPromtool = !runs("promtool", "--version");
const needsPromtool = noPromtool ? " (skipped: no promtool)" : "";
const parser = "prometheus_client.openmetrics.parser";
const noParser = !runs("/usr/bin/python3", "-c", `import ${parser}`);
const needsParser = noParser ? " (skipped: no python3-prometheus-client)" : "";

const rules = resolve("config/deploy/zmend-alerts.yaml");

function output(program: string, words: readonly string[], input = ""): [number | null, string] {
  const { status, stdout, stderr } = spawnSync(program, words, { input, encoding: "utf8" });
  return [status, stdout + stderr];
}

/** What a daemon with one VM and one recovery exposes. */
async function exposition(accept?: string): Promise<string> {
  const vm = new VmControlDouble("alpha", [1, 2]);
  const metrics = createMetrics({ vms: () => [vm], journal: () => undefined });
  metrics.attach(vm);
  vm.entry(1, 1, "injected", {}, 1);
  vm.entry(2, 1, "fetched", {}, 1);
  vm.entry(3, 1, "recovered", {});
  const { body } = await metrics.scrape(accept);
  metrics.close();
  return String(body);
}

describe("Prometheus' own tools", () => {
  it.skipIf(noPromtool)(`find nothing to say about the metrics${needsPromtool}`, async () => {
    expect(output("promtool", ["check", "metrics"], await exposition())).toEqual([0, ""]);
  });

  it.skipIf(noParser)(`read the OpenMetrics form${needsParser}`, async () => {
    const script = `import sys, ${parser} as p
names = [f.name for f in p.text_string_to_metric_families(sys.stdin.read())]
print("zmend_recovery_phase_seconds" in names, "zmend_events" in names)`;
    const text = await exposition("application/openmetrics-text; version=1.0.0");
    expect(text).toMatch(/# EOF\n$/);
    expect(output("/usr/bin/python3", ["-c", script], text)).toEqual([0, "True True\n"]);
  });

  it.skipIf(noPromtool)(`take the alert rules, which fire when they should${needsPromtool}`, () => {
    expect(output("promtool", ["check", "rules", rules])[0]).toBe(0);
    const folder = mkdtempSync(join(tmpdir(), "zmend-rules-"));
    const series = (name: string, values: string) => ({ series: name, values });
    const alerts = (name: string, labels?: object, summary = "", description = "") => ({
      eval_time: "20m",
      alertname: name,
      exp_alerts:
        labels === undefined
          ? []
          : [{ exp_labels: labels, exp_annotations: { summary, description } }],
    });
    const fn = 'vm="a",fid="0x00000001"';
    const of = { vm: "a", fid: "0x00000001" };
    const test = {
      rule_files: [rules],
      evaluation_interval: "1m",
      tests: [
        {
          interval: "1m",
          input_series: [
            series('zmend_journal_failing{instance="host"}', "0x5 1x20"),
            series(`zmend_function_state{${fn},state="failed"}`, "0x5 1x20"),
            series(`zmend_events_total{${fn},outcome="raised"}`, "0+1x25"),
            series('zmend_vm_state{vm="a",state="running"}', "1x25"),
          ],
          alert_rule_test: [
            alerts(
              "ZmendJournalLoses",
              { severity: "critical", instance: "host" },
              "The journal of host loses records.",
              "The disk is full or hangs. Guests go on; what happens to them is not written down.",
            ),
            alerts(
              "ZmendFunctionLost",
              { severity: "warning", state: "failed", ...of },
              "Function 0x00000001 of VM a is failed.",
              "A quarantined function comes back with `zmend function release a 0x00000001`.",
            ),
            alerts("ZmendErrorStorm"),
            alerts("ZmendVmDead"),
          ],
        },
      ],
    };
    const file = join(folder, "test.yaml");
    // JSON is YAML.
    writeFileSync(file, JSON.stringify(test));
    const [status, text] = output("promtool", ["test", "rules", file]);
    rmSync(folder, { recursive: true });
    expect([status, text]).toEqual([0, expect.stringMatching(/SUCCESS/)]);
  });
});
