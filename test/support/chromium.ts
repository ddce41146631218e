/** Debian's Chromium, headless, driven by playwright-core. It may load nothing but what the test serves. */
import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

const EXECUTABLE = "/usr/bin/chromium";

/** For `it.skipIf`, with the reason in the test's name. */
export const withoutChromium = !existsSync(EXECUTABLE);
export const needsChromium = withoutChromium ? " (skipped: no /usr/bin/chromium)" : "";

export function launchChromium(extra: readonly string[] = []): Promise<Browser> {
  return chromium.launch({
    executablePath: EXECUTABLE,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      ...extra,
    ],
  });
}
