import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { createMetrics } from "../../../../src/control/metrics/index.ts";
import { type Family, parseExposition } from "../../../support/exposition.ts";
import { VmControlDouble } from "../../../support/vm-control-double.ts";

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description?: string };
}

const file = parse(readFileSync("config/deploy/zmend-alerts.yaml", "utf8")) as {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[];
};
const rules = file.groups.flatMap((group) => group.rules);

/** Families as a daemon with one VM and one recovery exposes them. */
async function families(): Promise<Map<string, Family>> {
  const vm = new VmControlDouble("alpha", [1]);
  const status = {
    directory: "",
    segments: 1,
    bytes: 1,
    written: 1,
    lost: 0,
    nextSeq: 2,
    queued: 0,
  };
  const metrics = createMetrics({ vms: () => [vm], journal: () => status });
  metrics.attach(vm);
  vm.entry(1, 1, "injected", {}, 1);
  vm.entry(2, 1, "fetched", {}, 1);
  vm.entry(3, 1, "recovered", {});
  const { body } = await metrics.scrape();
  metrics.close();
  return parseExposition(String(body), "prometheus");
}

/** Selectors of an expression: `name{label="value",…}`. */
function selectors(
  expr: string,
): { readonly name: string; readonly matchers: readonly string[][] }[] {
  return [...expr.matchAll(/\b((?:zmend|process)_\w+)(?:\{([^}]*)\})?/g)].map(
    ([, name = "", inside = ""]) => ({
      name,
      matchers: [...inside.matchAll(/(\w+)(=~|=)"([^"]*)"/g)].map(
        ([, label = "", , value = ""]) => [label, ...value.split("|")],
      ),
    }),
  );
}

describe("the alert rules", () => {
  it("ask only for metrics, labels and label values that the daemon has", async () => {
    const found = await families();
    for (const { alert, expr } of rules.filter(({ alert }) => alert !== "ZmendDown")) {
      expect([alert, selectors(expr).length > 0]).toEqual([alert, true]);
      for (const { name, matchers } of selectors(expr)) {
        const samples = [...found.values()].flatMap((family) =>
          family.samples.filter((sample) => sample.name === name),
        );
        expect([alert, name, samples.length > 0]).toEqual([alert, name, true]);
        for (const [label = "", ...values] of matchers) {
          const seen = new Set(samples.map(({ labels }) => labels[label]));
          expect([alert, label, values.filter((value) => !seen.has(value))]).toEqual([
            alert,
            label,
            [],
          ]);
        }
      }
    }
  });

  it("have names of their own, a severity, a summary, and a pause in a form that Prometheus reads", () => {
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
    expect(rules.length).toBeGreaterThan(8);
    for (const rule of rules) {
      expect(rule.alert).toMatch(/^Zmend[A-Z]\w+$/);
      expect(["warning", "critical"]).toContain(rule.labels.severity);
      expect(rule.annotations.summary).toMatch(/\.$/);
      expect(rule.for ?? "1m").toMatch(/^\d+[smh]$/);
      const open = rule.expr.replace(/"[^"]*"/g, "").replace(/[^(){}[\]]/g, "");
      expect([rule.alert, balanced(open)]).toEqual([rule.alert, true]);
    }
  });
});

function balanced(brackets: string): boolean {
  const rest = brackets.replace(/\(\)|\{\}|\[\]/g, "");
  return rest === "" || (rest !== brackets && balanced(rest));
}
