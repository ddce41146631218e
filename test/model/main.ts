/**
 * `npm run verify:model`: proves the shared-memory protocols with SPIN and prints one row per claim. Exit
 * status 0 when every protocol holds and every weakened one fails, 1 when not, 3 without spin or gcc.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cases, missingTool, verify } from "./verify.ts";

const missing = missingTool();
if (missing !== undefined) {
  process.stderr.write(
    `verify:model needs the programs spin and gcc (Debian packages of these names); ${missing} is missing.\n`,
  );
  process.exitCode = 3;
} else {
  const scratch = mkdtempSync(join(tmpdir(), "zmend-model-"));
  try {
    let wrong = 0;
    process.stdout.write(row("model", "claim", "expected", "found", "states", "s", ""));
    cases.forEach((item, index) => {
      const verdict = verify(item, scratch, String(index));
      if (verdict.found !== item.expect) wrong += 1;
      process.stdout.write(
        row(
          item.model,
          item.claim,
          item.expect,
          verdict.found,
          String(verdict.states),
          verdict.seconds.toFixed(1),
          verdict.found === item.expect ? verdict.error : `<- expected "${item.expect}"`,
        ),
      );
    });
    process.stdout.write(
      wrong === 0
        ? `All ${cases.length} as expected.\n`
        : `${wrong} of ${cases.length} not as expected.\n`,
    );
    process.exitCode = wrong === 0 ? 0 : 1;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function row(...cells: readonly string[]): string {
  const widths = [9, 88, 9, 8, 9, 5, 0];
  const padded = cells.map((cell, n) =>
    n === 4 || n === 5 ? cell.padStart(widths[n] ?? 0) : cell.padEnd(widths[n] ?? 0),
  );
  return `${padded.join(" ").trimEnd()}\n`;
}
