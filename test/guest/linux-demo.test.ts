/** `zmend demo --guest linux-…`, as a user types it: a stock kernel survives a broken disk, and says so itself. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { packageRoot } from "../../src/base/version.ts";
import { linuxKernels, linuxMissing } from "../support/linux-vm.ts";

const run = promisify(execFile);
const script = fileURLToPath(new URL("dist/src/daemon/zmend.js", packageRoot));

/** Ten times what the run may take by itself, as the demo's own limit. */
const LIMIT_MS = 1_100_000;

interface DemoResult {
  readonly verdict: string;
  readonly guest: { readonly linux: string; readonly console: readonly string[] };
  readonly functions: readonly { readonly notDelivered: Readonly<Record<string, number>> }[];
}

describe("zmend demo --guest", () => {
  for (const kernel of linuxKernels) {
    const missing = linuxMissing(kernel);
    it.skipIf(missing !== undefined)(
      `${kernel} recovers the first disk twice, refuses what is written to the dead one, and ends${missing ?? ""}`,
      async () => {
        const { stdout } = await run(
          process.execPath,
          [script, "demo", "--guest", kernel, "--json"],
          { maxBuffer: 64 * 1024 ** 2 },
        );
        const { verdict, guest, functions } = JSON.parse(stdout) as DemoResult;
        expect({ verdict, linux: guest.linux }).toEqual({ verdict: "recovered", linux: kernel });
        const [first, second] = functions;
        expect(first).toMatchObject({ state: "operational", errorsRaised: 2, recoveries: 2 });
        expect(first).toMatchObject({ fetchedByGuest: 2, dmaCorrupt: 0 });
        expect(second).toMatchObject({ state: "failed", errorsRaised: 1, recoveries: 0 });
        expect(second).toMatchObject({ fetchedByGuest: 1, dmaCorrupt: 0 });

        const said = (text: string | RegExp): string[] =>
          guest.console.filter((line) => line.search(text) >= 0);
        expect(said("zpci: 0001:00:00.0: Event 0x3a reports")).toHaveLength(1);
        expect(said("zpci: 0001:00:00.0: Event 0x7 reports")).toHaveLength(1);
        // Which controller has which number is a matter of who was probed first.
        expect(said(/nvme nvme[01]: restart after slot reset/)).toHaveLength(2);
        expect(said("zpci: 0001:00:00.0: The device is ready to resume operations")).toHaveLength(
          2,
        );
        expect(said(/nvme nvme[01]: failure state error detected/)).toHaveLength(1);
        expect(said("recovery: fid=00000002 failed for good: taken out")).toHaveLength(1);
        expect(said("recovery: report fid=00000001 state=ok")).toHaveLength(1);
        expect(said("recovery: report fid=00000002 state=failed")[0]).toMatch(
          / corrupt=0 refused=[1-9]\d*$/,
        );
      },
      LIMIT_MS,
    );
  }
});
