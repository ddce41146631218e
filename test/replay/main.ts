/**
 * `npm run replay:zpci -- FILE.log[.gz] [--json]`: a recorded log of zPCI instructions against our machine. Exit
 * status 0 no difference but listed ones, 1 others, 2 bad usage or no log.
 */
import { parseArgs } from "node:util";
import { ZmendError } from "../../src/base/errors.ts";
import { listedDifferences } from "./differences.ts";
import { readLog } from "./log.ts";
import { replayLog } from "./replay.ts";

const usage = `Usage: npm run replay:zpci -- FILE.log[.gz] [options]
  --json   one JSON object: {instructions, same, listed, different, byReason, first?}
  --list   list the deliberate differences, with reason and source`;

function main(): number {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: "boolean", default: false },
      list: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(`${usage}\n`);
    return 0;
  }
  if (values.list) {
    for (const { name, reason, source } of listedDifferences) {
      process.stdout.write(`${name.padEnd(20)} ${reason} (${source})\n`);
    }
    return 0;
  }
  const [file] = positionals;
  if (file === undefined || positionals.length > 1) {
    throw new ZmendError("USAGE", "name one log of zPCI instructions, plain or gzip");
  }
  const result = replayLog(readLog(file));
  if (values.json) {
    process.stdout.write(`${JSON.stringify(result)}\n`);
  } else {
    const { instructions, same, listed, different, byReason, first } = result;
    process.stdout.write(
      `${instructions} instructions: ${same} answered the same, ${listed} differ as listed, ${different} differ\n`,
    );
    for (const [name, count] of Object.entries(byReason)) {
      const reason = listedDifferences.find((entry) => entry.name === name)?.reason;
      process.stdout.write(`  ${count} x ${name}: ${reason}\n`);
    }
    if (first !== undefined) {
      process.stdout.write(
        `first difference, line ${first.line}: ${first.text}\n  recorded ${first.recorded}\n  ours     ${first.ours}\n`,
      );
    }
  }
  return result.different === 0 ? 0 : 1;
}

try {
  process.exitCode = main();
} catch (error) {
  const problem = error instanceof Error ? error.message : String(error);
  process.stderr.write(`replay:zpci: ${problem}\n${usage}\n`);
  process.exitCode = 2;
}
