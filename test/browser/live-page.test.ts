/**
 * The page of a live daemon in a browser: an error that the page injects, the guest that recovers from it, and what the page
 * then shows. Screenshots of both colour schemes go to the folder in ZMEND_SCREENSHOTS, if it is set.
 */
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launchChromium, needsChromium, withoutChromium } from "../support/chromium.ts";
import { daemonConfig, type Ready, TestDaemon } from "../support/daemon.ts";

describe.skipIf(withoutChromium)(`the page of a live daemon${needsChromium}`, () => {
  const daemon = new TestDaemon(daemonConfig(["alpha", "beta"], "page: { inject: true }\n"));
  let browser: Browser;
  let ready: Ready;
  beforeAll(async () => {
    [browser, ready] = await Promise.all([launchChromium(), daemon.start()]);
  });
  afterAll(async () => {
    await browser.close();
    await daemon.remove();
  });

  it("injects with the token of the ready line; the guest recovers and the page shows it", async () => {
    await daemon.until(() => ready.ready);
    // The guest's driver is at work.
    for (;;) {
      const { stdout } = await daemon.zmend("vm", "console", "alpha", "--no-follow");
      if (stdout.includes("working on")) break;
    }
    const tab = await browser.newPage({ viewport: { width: 1400, height: 1000 } });
    const complaints: string[] = [];
    tab.on("pageerror", (error) => complaints.push(error.message));
    tab.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
    await tab.goto(ready.page);
    await tab.waitForSelector("text=Live");
    await tab.click('button[aria-label="Inject into function 0x00000001 of alpha"]');
    // A recovery, with its phases, in the table of the last ones.
    const recoveries = tab.locator('section[aria-labelledby="recoveries"] .scroll tbody tr');
    await recoveries.first().waitFor();
    expect(await recoveries.first().textContent()).toMatch(/alpha/);
    const [report] = await daemon.ask<{ recoveries: number; state: string }[]>(
      "function",
      "list",
      "alpha",
    );
    expect(report).toMatchObject({ recoveries: 1, state: "operational" });
    const folder = process.env["ZMEND_SCREENSHOTS"];
    for (const colorScheme of ["light", "dark"] as const) {
      await tab.emulateMedia({ colorScheme });
      if (folder === undefined) continue;
      await tab.screenshot({ path: join(folder, `live-${colorScheme}.png`), fullPage: true });
    }
    expect(complaints).toEqual([]);
  });
});
