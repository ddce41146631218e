/**
 * The page in a browser. Screenshots of both colour schemes go to the folder in ZMEND_SCREENSHOTS, if it is set: a change of
 * the page's looks is to be looked at.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Browser, Page as Tab } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createHttp, type HttpService } from "../../src/control/http/service.ts";
import { createPage, newToken, type PageOptions } from "../../src/control/page/index.ts";
import { FunctionBlock } from "../../src/shm/blocks.ts";
import { launchChromium, needsChromium, withoutChromium } from "../support/chromium.ts";
import { VmControlDouble } from "../support/vm-control-double.ts";

const token = newToken();
let browser: Browser;
let rebinding: Browser;
const ends: (() => Promise<unknown> | unknown)[] = [];

beforeAll(async () => {
  if (withoutChromium) return;
  browser = await launchChromium();
  rebinding = await launchChromium(["--host-resolver-rules=MAP evil.example 127.0.0.1"]);
});
afterAll(async () => {
  await browser?.close();
  await rebinding?.close();
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

interface Served {
  readonly vms: readonly VmControlDouble[];
  readonly service: HttpService;
  readonly address: string;
}

async function serve(journal?: PageOptions["journal"]): Promise<Served> {
  const vms = [new VmControlDouble("alpha", [1, 2]), new VmControlDouble("beta", [3])];
  const kept = journal === undefined ? {} : { journal };
  const page = createPage({ vms: () => vms, intervalMs: 50, injection: { token }, ...kept });
  for (const vm of vms) page.attach(vm);
  const { contentSecurityPolicy } = page;
  const routes = page.routes();
  const service = await createHttp({ what: "page", port: 0, routes, contentSecurityPolicy });
  ends.push(
    () => service.close(),
    () => page.close(),
  );
  return { vms, service, address: page.address(service.url) };
}

/** A tab whose every complaint is kept: script errors, console errors, violations of the policy, foreign requests. */
async function open(
  address: string,
  own: string,
  colorScheme: "light" | "dark" = "light",
): Promise<{ readonly tab: Tab; readonly complaints: string[] }> {
  const context = await browser.newContext({
    colorScheme,
    viewport: { width: 1400, height: 1000 },
  });
  ends.push(() => context.close());
  const tab = await context.newPage();
  const complaints: string[] = [];
  tab.on("pageerror", (error) => complaints.push(error.message));
  tab.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  tab.on("request", (request) => {
    if (!request.url().startsWith(`${own}/`) && !request.url().startsWith("data:")) {
      complaints.push(`foreign request: ${request.url()}`);
    }
  });
  await tab.goto(address);
  await tab.waitForSelector("text=Live");
  return { tab, complaints };
}

function recover(vm: VmControlDouble, fid: number, fromUs: number, n: number): void {
  const at = (us: number): number => fromUs + us;
  const pec = { pec: "0x003a" };
  const state = (us: number, from: string, to: string): void =>
    vm.entry(at(us), fid, "state", { from, to, event: "e" });
  vm.entry(at(0), fid, "error-raised", { ...pec, disposition: "stored" });
  state(10, "operational", "draining");
  vm.entry(at(20), fid, "ccdf-read", pec, n);
  vm.entry(at(40 + 10 * n), fid, "injected", pec, n);
  state(60, "draining", "awaiting-guest");
  vm.entry(at(200), fid, "fetched", pec, n);
  state(210, "awaiting-guest", "guest-recovering");
  state(9_000, "guest-recovering", "resetting");
  state(15_000, "resetting", "operational");
  vm.entry(at(15_000), fid, "recovered", { durationUs: 15_000 });
}

/** Three VMs' worth of history for a picture: recoveries, a failed function, a quarantined one. */
function tell({ vms: [alpha, beta] }: Served): void {
  if (alpha === undefined || beta === undefined) return;
  alpha.executed = 123_456_789;
  alpha.nowUs = 35_000_000;
  beta.nowUs = 35_000_000;
  for (let n = 1; n <= 8; n++) recover(alpha, 1, n * 4_000_000, n);
  recover(beta, 3, 30_000_000, 1);
  alpha.entry(31_000_000, 2, "state", { from: "operational", to: "failed", event: "e" });
  alpha.functionStates = ["operational", "failed"];
  alpha.setWord(0, FunctionBlock.errorsRaised, 9);
  alpha.setWord(0, FunctionBlock.fetchedByGuest, 8);
  alpha.setWord(0, FunctionBlock.hostDropped, 1);
  alpha.setWord(0, FunctionBlock.recoveries, 8);
  beta.entry(32_000_000, 3, "state", { from: "operational", to: "quarantined", event: "e" });
  beta.functionStates = ["quarantined"];
}

/** Run inside the browser: elements that can be used or looked at and have no name. */
const unnamedElements = `
  [...document.querySelectorAll("button, select, input, svg[role=img], [role=region]")]
    .filter((element) => {
      const labelled = element.getAttribute("aria-labelledby");
      const name =
        element.getAttribute("aria-label") ??
        (labelled === null ? undefined : document.getElementById(labelled)?.textContent) ??
        element.closest("label")?.textContent;
      return (name ?? "").trim() === "";
    })
    .map((element) => element.outerHTML)`;

/** A request that would be carried out if it came from the page itself. */
const injection = JSON.stringify({
  method: "POST",
  headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
  body: JSON.stringify({ vm: "alpha", fid: 1, pec: 58 }),
});

/** Run inside the browser, on a foreign page that even knows the token: everything it may try, and what came of it. */
const attack = (url: string): string => `(async () => {
  const attempt = (request) =>
    request().then(async (answer) => answer.type + " " + (await answer.text()).length, () => "refused");
  const event = (element, good) =>
    new Promise((resolve) => {
      element.onload = () => resolve(good);
      element.onerror = () => resolve("refused");
    });
  const outcome = {};
  outcome.read = await attempt(() => fetch("${url}/view"));
  outcome.blind = await attempt(() => fetch("${url}/view", { mode: "no-cors" }));
  outcome.post = await attempt(() => fetch("${url}/inject", { ...${injection}, headers: {}, mode: "no-cors" }));
  outcome.token = await attempt(() => fetch("${url}/inject", ${injection}));
  outcome.stream = await new Promise((resolve) => {
    const source = new EventSource("${url}/events");
    source.onerror = () => resolve("refused");
    source.addEventListener("start", () => resolve("read"));
  });
  const script = document.createElement("script");
  script.src = "${url}/page.js";
  const ran = event(script, "ran");
  document.head.append(script);
  outcome.script = await ran;
  const frame = document.createElement("iframe");
  frame.src = "${url}/";
  const loaded = event(frame, "loaded");
  document.body.append(frame);
  outcome.frame = await loaded;
  return outcome;
})()`;

describe(`the page in Chromium${needsChromium}`, () => {
  for (const scheme of ["light", "dark"] as const) {
    it.skipIf(withoutChromium)(
      `shows VMs, functions, states and recoveries, ${scheme}`,
      async () => {
        const served = await serve();
        const { tab, complaints } = await open(served.address, served.service.url, scheme);
        tell(served);
        await tab.waitForSelector("td:has-text('quarantined')");
        await tab.waitForSelector(".chart canvas");
        const row = tab
          .locator("tr", { has: tab.locator("code", { hasText: "0x00000001" }) })
          .first();
        const words = await row.locator("svg").getAttribute("aria-label");
        expect(words).toMatch(
          /^function 0x00000001 of alpha: operational; last 1 min: .*resetting \d times/,
        );
        expect(await row.locator("td.number").allTextContents()).toEqual([
          "9",
          "8",
          "1",
          "8",
          "0",
          "0",
        ]);
        const recoveries = tab
          .locator("section", { has: tab.locator("#recoveries") })
          .locator(".scroll tbody tr");
        expect(await recoveries.count()).toBe(9);
        expect(await recoveries.first().textContent()).toContain("14.800 ms");
        expect(
          await tab.evaluate(
            '[...document.querySelectorAll(".scroll")].filter((e) => e.scrollWidth > e.clientWidth).length',
          ),
        ).toBe(0);
        const back = await tab.evaluate("getComputedStyle(document.body).backgroundColor");
        expect(back).toBe(scheme === "light" ? "rgb(255, 255, 255)" : "rgb(13, 17, 23)");
        const folder = process.env["ZMEND_SCREENSHOTS"];
        const picture = await tab.screenshot({
          fullPage: true,
          ...(folder === undefined ? {} : { path: join(folder, `page-${scheme}.png`) }),
        });
        expect(picture.length).toBeGreaterThan(20_000);
        expect(complaints).toEqual([]);
      },
    );
  }

  it.skipIf(withoutChromium)(
    "follows a function live, and says so when the daemon has gone",
    async () => {
      const { vms, service, address } = await serve();
      const { tab } = await open(address, service.url);
      const [alpha] = vms;
      if (alpha === undefined) throw new Error("no VM");
      for (const state of ["resetting", "verifying", "operational"] as const) {
        alpha.functionStates = [state, "operational"];
        await tab.waitForSelector(`tr:has(code:text-is("0x00000001")) .state:has-text("${state}")`);
      }
      await service.close();
      await tab.waitForSelector("text=Disconnected since");
    },
  );

  it.skipIf(withoutChromium)(
    "can be worked with the keyboard alone: an error is raised on a function",
    async () => {
      const { vms, service, address } = await serve();
      const { tab, complaints } = await open(address, service.url);
      expect(tab.url()).toBe(`${service.url}/`);
      await tab.waitForSelector("button");
      for (let presses = 0; presses < 30; presses++) {
        await tab.keyboard.press("Tab");
        const name = await tab.evaluate('document.activeElement?.getAttribute("aria-label")');
        if (name === "Inject into function 0x00000002 of alpha") break;
      }
      const outline = await tab.evaluate("getComputedStyle(document.activeElement).outlineStyle");
      expect(outline).toBe("solid");
      await tab.keyboard.press("Enter");
      await tab.waitForSelector("text=PEC 0x003a raised on alpha, function 0x00000002.");
      expect(vms[0]?.injected).toEqual([{ fid: 2, request: { pec: 0x3a } }]);
      expect(complaints).toEqual([]);
      await tab.fill("input[type=password]", "wrong");
      await tab.click('button[aria-label="Inject into function 0x00000003 of beta"]');
      await tab.waitForSelector("text=The token is wrong; use the one that the daemon printed");
      expect(vms[1]?.injected).toEqual([]);
    },
  );

  it.skipIf(withoutChromium)(
    "says in red what the journal has lost, on a narrow screen as well",
    async () => {
      const healthy = { directory: "", segments: 1, bytes: 9, written: 5, nextSeq: 6, queued: 0 };
      let lost = 0;
      const served = await serve(() => ({
        ...healthy,
        lost,
        ...(lost > 0 ? { problem: "ENOSPC" } : {}),
      }));
      const { tab } = await open(served.address, served.service.url);
      await tab.setViewportSize({ width: 390, height: 844 });
      expect(await tab.locator("[role=alert]").count()).toBe(0);
      lost = 1234;
      const banner = tab.locator("[role=alert]");
      await banner.waitFor();
      expect(await banner.textContent()).toMatch(
        /The journal has lost 1234 records\. +It cannot be written now \(ENOSPC\)\. The guests go on/,
      );
      const looks = await tab.evaluate(
        'getComputedStyle(document.querySelector("[role=alert]")).color',
      );
      expect(looks).toBe("rgb(179, 18, 29)");
      const wide = await tab.evaluate("document.documentElement.scrollWidth - innerWidth");
      expect(wide).toBeLessThanOrEqual(0);
      const folder = process.env["ZMEND_SCREENSHOTS"];
      if (folder === undefined) return;
      tell(served);
      await tab.waitForSelector("td:has-text('quarantined')");
      await tab.screenshot({ path: join(folder, "page-narrow.png"), fullPage: true });
    },
  );

  it.skipIf(withoutChromium)(
    "has a name for everything that can be used, and headings for every part",
    async () => {
      const { service, address } = await serve();
      const { tab } = await open(address, service.url);
      await tab.waitForSelector("button");
      const unnamed = await tab.evaluate(unnamedElements);
      expect(unnamed).toEqual([]);
      expect(await tab.locator("h1").count()).toBe(1);
      expect((await tab.locator("h2").allTextContents()).length).toBe(4);
      expect(await tab.evaluate("document.documentElement.lang")).toBe("en");
      expect(await tab.locator("th:not([scope])").count()).toBe(0);
    },
  );

  it.skipIf(withoutChromium)(
    "gives another origin's page nothing and takes no command from it",
    async () => {
      const { vms, service } = await serve();
      const attacker: Server = createServer((_, response) =>
        response.writeHead(200, { "Content-Type": "text/html" }).end("<h1>attacker</h1>"),
      );
      await new Promise<void>((resolve) => attacker.listen(0, "127.0.0.1", resolve));
      ends.push(() => new Promise((resolve) => attacker.close(resolve)));
      const context = await browser.newContext();
      ends.push(() => context.close());
      const tab = await context.newPage();
      await tab.goto(`http://127.0.0.1:${(attacker.address() as AddressInfo).port}/`);
      const got = await tab.evaluate<Record<string, string>>(attack(service.url));
      // An opaque answer has no readable body.
      expect(got).toMatchObject({
        read: "refused",
        token: "refused",
        stream: "refused",
        script: "refused",
      });
      expect(["opaque 0", "refused"]).toContain(got["blind"]);
      expect(["opaque 0", "refused"]).toContain(got["post"]);
      expect(vms[0]?.injected).toEqual([]);
      const framed = tab.frames().find((frame) => frame !== tab.mainFrame());
      expect(await framed?.locator("text=Live").count()).toBe(0);
    },
  );

  it.skipIf(withoutChromium)(
    "is not fooled by a name server: evil.example that resolves to loopback",
    async () => {
      const { vms, service } = await serve();
      const context = await rebinding.newContext();
      ends.push(() => context.close());
      const tab = await context.newPage();
      const answer = await tab.goto(`http://evil.example:${service.port}/view`);
      expect(answer?.status()).toBe(403);
      expect(await answer?.text()).not.toContain("alpha");
      const status = await tab
        .evaluate(`fetch("/inject", ${injection}).then((answer) => answer.status)`)
        .catch(() => "refused by the browser");
      expect([403, "refused by the browser"]).toContain(status);
      expect(vms[0]?.injected).toEqual([]);
    },
  );
});
