/** The report as a reader gets it: opened in a real browser, without a network, dark, light and for print. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { renderReport } from "../../../../src/experiment/report/index.ts";
import { summarise } from "../../../../src/experiment/summary.ts";
import { knownPlan, knownRows } from "../../../support/experiment-rows.ts";

const program = "/usr/bin/chromium";
const present = existsSync(program);
const name = present
  ? "the report in Chromium"
  : "the report in Chromium (skipped: Debian's chromium is not installed)";

describe.skipIf(!present)(name, () => {
  const folder = mkdtempSync(join(tmpdir(), "zmend-report-"));
  const file = join(folder, "report.html");
  let browser: Browser;

  beforeAll(async () => {
    const plan = knownPlan({ points: [1, 12], repetitions: 12 });
    const analysis = await summarise(knownRows(plan), plan);
    const report = await renderReport(analysis, {
      version: "0.1.0",
      command: "zmend experiment run x.yaml",
      ledgerSha256: "0".repeat(64),
    });
    writeFileSync(file, report.html);
    browser = await chromium.launch({
      executablePath: program,
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    });
  });

  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test.each([
    ["light", "screen", "rgb(255, 255, 255)"],
    ["dark", "screen", "rgb(20, 24, 29)"],
    ["dark", "print", "rgb(255, 255, 255)"],
  ] as const)(
    "on a %s page for %s asks for nothing, complains of nothing and draws every figure in colours that show",
    async (colorScheme, media, background) => {
      const page = await browser.newPage({ colorScheme, viewport: { width: 1000, height: 800 } });
      const asked: string[] = [];
      const said: string[] = [];
      page.on("request", (request) => asked.push(request.url()));
      page.on("console", (message) => said.push(message.text()));
      page.on("pageerror", (error) => said.push(String(error)));
      await page.emulateMedia({ media, colorScheme });
      await page.goto(pathToFileURL(file).href);
      const seen = await page.evaluate<{
        background: string;
        figures: { width: number; height: number; inks: string[] }[];
        overflow: number;
        verdictBottom: number;
      }>(`(() => ({
        background: getComputedStyle(document.body).backgroundColor,
        figures: [...document.querySelectorAll("figure svg")].map((svg) => {
          const box = svg.getBoundingClientRect();
          const texts = [...svg.querySelectorAll("text")];
          return { width: box.width, height: box.height, inks: texts.map((text) => getComputedStyle(text).fill) };
        }),
        overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
        verdictBottom: document.querySelector(".verdict").getBoundingClientRect().bottom,
      }))()`);
      await page.close();
      expect(asked).toEqual([pathToFileURL(file).href]);
      expect(said).toEqual([]);
      expect(seen.background).toBe(background);
      expect(seen.figures.length).toBe(5);
      for (const { width, height, inks } of seen.figures) {
        expect(width).toBeGreaterThan(300);
        expect(height).toBeGreaterThan(60);
        expect(inks.length).toBeGreaterThan(3);
        for (const ink of inks) expect(ink).not.toBe(background);
      }
      expect(seen.overflow).toBeLessThanOrEqual(0);
      expect(seen.verdictBottom).toBeLessThan(800); // seen without scrolling
    },
  );

  test("fits a narrow screen", async () => {
    const page = await browser.newPage({ viewport: { width: 390, height: 800 } });
    await page.goto(pathToFileURL(file).href);
    const overflow = await page.evaluate<number>(
      "document.documentElement.scrollWidth - document.documentElement.clientWidth",
    );
    await page.close();
    expect(overflow).toBeLessThanOrEqual(0);
  });
});
