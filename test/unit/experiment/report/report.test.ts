import { describe, expect, test } from "vitest";
import { chartsOf } from "../../../../src/experiment/report/charts/index.ts";
import { paretoFront, sharedLabels } from "../../../../src/experiment/report/charts/pareto.ts";
import {
  countText,
  differenceText,
  estimateText,
  listText,
  probabilityText,
  timeText,
} from "../../../../src/experiment/report/format.ts";
import { type Provenance, renderReport } from "../../../../src/experiment/report/index.ts";
import { limitsOf } from "../../../../src/experiment/report/limits.ts";
import { renderMarkdown } from "../../../../src/experiment/report/markdown.ts";
import { type Analysis, summarise } from "../../../../src/experiment/summary.ts";
import { knownPlan, knownRows } from "../../../support/experiment-rows.ts";

const provenance: Provenance = {
  version: "0.1.0",
  command: "zmend experiment run storm-vs-budget.yaml --seed 42",
  ledgerSha256: "c0ffee".padEnd(64, "0"),
};

async function analysed(points: readonly number[]): Promise<Analysis> {
  const plan = knownPlan({ points });
  return summarise(knownRows(plan), plan);
}
const sweep = await analysed([1, 6, 12]);
const report = await renderReport(sweep, provenance);

describe("numbers in a report", () => {
  test("have the digits that the interval supports", () => {
    expect(estimateText("availability", 0.999954321, { low: 0.99995, high: 0.99996 })).toEqual({
      value: "99.9954 %",
      interval: "99.9950 to 99.9960",
    });
    expect(estimateText("hostResets", 12.3456, { low: 11, high: 14 })).toEqual({
      value: "12.3",
      interval: "11.0 to 14.0",
    });
  });

  test("choose the unit of time by size", () => {
    expect([3e-6, 0.0042, 1.5, 59, 600, 36_000].map(timeText)).toEqual([
      "3.00 µs",
      "4.20 ms",
      "1.50 s",
      "59.0 s",
      "10.0 min",
      "10.0 h",
    ]);
  });

  test("show a difference with its sign, ratios in points", () => {
    expect(differenceText("availability", -0.0012, { low: -0.002, high: -0.0004 })).toEqual({
      value: "−0.12 points",
      interval: "−0.20 to −0.04",
    });
    expect(differenceText("hostResets", 3, { low: 3, high: 3 })).toEqual({
      value: "+3",
      interval: "",
    });
  });

  test("never show a negative zero", () => {
    expect(differenceText("hostResets", -0.00001, { low: -0.5, high: 0.5 }).value).toBe("0.0");
  });

  test("name probabilities, counts and lists as text does", () => {
    expect([probabilityText(0.0001), probabilityText(0.0421)]).toEqual(["p < 0.001", "p = 0.042"]);
    expect([countText(7), countText(1234567)]).toEqual(["7", "1,234,567"]);
    expect([listText(["a"]), listText(["a", "b", "c"])]).toEqual(["a", "a, b and c"]);
  });
});

describe("the report", () => {
  test("has the same bytes twice, in one process, with vega's counters advanced", async () => {
    expect(await renderReport(sweep, provenance)).toEqual(report);
  });

  test("names no resource outside itself: no address, no script, no import", () => {
    expect(report.html).not.toMatch(/https?:|<script|<link|<img|@import|url\((?!#)|\bsrc=/);
    expect(report.markdown).not.toMatch(/https?:/);
  });

  test("begins with the question and the verdict", () => {
    const text = report.markdown.split("\n").filter((line) => line !== "");
    expect(text[0]).toBe("# Which recovery policy keeps a guest's functions up?");
    expect(text[2]).toMatch(/^__mediated wins on availability/);
    expect(report.html.indexOf('class="verdict"')).toBeLessThan(report.html.indexOf("<figure"));
  });

  test("draws means, survival curves, the front, the phases and the sweep", () => {
    expect(chartsOf(sweep).map((chart) => chart.id)).toEqual([
      "means",
      "survival",
      "pareto",
      "phases",
      "sweep",
    ]);
    expect(report.html.match(/<svg role="img"/g)?.length).toBe(5);
  });

  test("describes every figure for those who do not see it, by ids that occur once", () => {
    const ids = [...report.html.matchAll(/\bid="([^"]+)"/g)].map((match) => match[1]);
    expect(new Set(ids).size).toBe(ids.length);
    for (const match of report.html.matchAll(/aria-labelledby="([^"]+)"/g)) {
      for (const id of (match[1] ?? "").split(" ")) expect(ids).toContain(id);
    }
    for (const match of report.html.matchAll(/url\(#([^)]+)\)/g)) expect(ids).toContain(match[1]);
  });

  test("draws in the page's colours only, so that dark pages and paper work", () => {
    const figures = [...report.html.matchAll(/<svg[\s\S]*?<\/svg>/g)].map((match) => match[0]);
    const colours = figures.flatMap((figure) => [
      ...figure.matchAll(/\b(?:fill|stroke)="([^"]+)"/g),
    ]);
    const used = new Set(colours.map((match) => match[1]));
    expect(
      [...used].filter((colour) => !/^(var\(--[\w-]+\)|none|transparent)$/.test(colour ?? "")),
    ).toEqual([]);
    for (const colour of used) {
      const name = /^var\((--[\w-]+)\)$/.exec(colour ?? "")?.[1];
      if (name !== undefined) expect(report.html).toContain(`${name}:#`);
    }
  });

  test("has a caption and headers for rows and columns in every table", () => {
    const tables = [...report.html.matchAll(/<table>[\s\S]*?<\/table>/g)].map((match) => match[0]);
    expect(tables.length).toBeGreaterThan(8);
    for (const table of tables) {
      expect(table).toContain("<caption>");
      expect(table).toContain('<th scope="col"');
      expect(table).toContain('<th scope="row"');
    }
  });

  test("says how to get it again: command, seed, digest, version", () => {
    for (const text of [report.html, report.markdown]) {
      expect(text).toContain("zmend experiment run storm-vs-budget.yaml --seed 42");
      expect(text).toContain(provenance.ledgerSha256);
      expect(text).toContain("0.1.0");
    }
  });

  test("writes the limits of a time with one unit, and an open one as such", () => {
    expect(report.markdown).toMatch(/\| mediated \| [\d,]+ \| \d+ \| \d+ ms \(\d+ to \d+ ms\) \|/);
    expect(report.markdown).toContain("not reached");
  });

  test("names each method with its source", () => {
    for (const source of ["Efron 1987", "Holm", "Kaplan and Meier", "Greenwood", "Cliff"]) {
      expect(report.html).toContain(source);
    }
  });

  test("keeps markup out of names that people wrote", async () => {
    const plan = { ...sweep.plan, question: '<b>"x"</b> & *y*' };
    const rude = await renderReport({ ...sweep, plan }, provenance);
    expect(rude.html).toContain("<h1>&lt;b&gt;&quot;x&quot;&lt;/b&gt; &amp; *y*</h1>");
    expect(rude.markdown).toContain('# \\<b\\>"x"\\</b\\> & \\*y\\*');
  });

  test("of a sweep too large to draw lists the best policy of each cell, and says how many are left out", async () => {
    const points = Array.from({ length: 250 }, (_, index) => 1 + index / 10);
    const plan = knownPlan({ points, repetitions: 2 });
    const large = await renderReport(await summarise(knownRows(plan, 3), plan), provenance);
    expect(large.markdown).toContain("of the best policy in each of 250 cells (too many to draw)");
    expect(large.markdown).toContain("10 further cells are in summary.json.");
    expect(large.markdown).toContain("| rate=24.9 | mediated |");
  });

  test("of one policy without recoveries is still a page", async () => {
    const plan = knownPlan({ policies: ["mediated"], repetitions: 3 });
    const rows = [...knownRows(plan, 0)];
    const bare = await renderReport(await summarise(rows, plan), provenance);
    expect(bare.html).toContain("Only one policy was tried");
    expect(bare.html).toContain("</html>");
  });
});

describe("what a report does not show", () => {
  test("is read off the plan", () => {
    const limits = limitsOf(sweep.plan).join("\n");
    expect(limits).toContain("flavours of kernel 6.1");
    expect(limits).toContain("Only the event codes 0x003a occur.");
    expect(limits).toContain("A host reset never fails and never hangs.");
    expect(limits).not.toContain("No error signal is lost.");
  });
});

describe("the front of availability against resets", () => {
  test("has the policies that no other beats on both", () => {
    const points = [
      { policy: "best", availability: 0.99, resets: 9 },
      { policy: "cheap", availability: 0.9, resets: 1 },
      { policy: "beaten", availability: 0.9, resets: 5 },
      { policy: "worse", availability: 0.98, resets: 10 },
    ];
    expect(paretoFront(points)).toEqual(["cheap", "best"]);
  });

  test("of points in one place gives them one label, which can be read", () => {
    const points = [
      { policy: "mediated", at: 2.05, resets: 121.7 },
      { policy: "reset-first", at: 3.77, resets: 236 },
      { policy: "patient", at: 1.02, resets: 123.1 },
      { policy: "quarantine", at: 2.05, resets: 121.7 },
    ];
    expect(sharedLabels(points)).toEqual(["mediated, quarantine", "reset-first", "patient", ""]);
  });
});

describe("Markdown", () => {
  test("draws tables with the numbers on the right", () => {
    const text = renderMarkdown({
      title: "T",
      subtitle: "S",
      blocks: [
        {
          kind: "table",
          caption: "C",
          columns: [{ title: "A" }, { title: "B", numeric: true }],
          rows: [["x", "1"]],
          strong: [0],
        },
      ],
    });
    expect(text).toBe("# T\n\nS\n\nC:\n\n| A | B |\n| --- | ---: |\n| __x__ | __1__ |\n");
  });
});
