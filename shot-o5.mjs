import { chromium } from "playwright-core";
const [url, prefix] = process.argv.slice(2);
const b = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox","--disable-gpu"] });
for (const colorScheme of ["dark","light"]) {
  const p = await b.newPage({ viewport: { width: 1300, height: 1000 }, colorScheme });
  const c=[]; p.on("console", m => c.push(m.type()+": "+m.text())); p.on("pageerror", e => c.push(e.message));
  p.on("requestfailed", r => c.push("failed "+r.url()));
  await p.goto(url); await p.waitForSelector("text=Live"); await new Promise(r=>setTimeout(r,2500));
  await p.screenshot({ path: `${prefix}-${colorScheme}.png`, fullPage: true });
  console.log(colorScheme, c);
}
await b.close();
