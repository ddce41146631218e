/**
 * `npm run bench -- GROUP [--quick] [--jit]`: one JSON line per comparison, see `harness.ts`. Standard output has
 * nothing else. Exit status 0 when the group ran (a refused verdict is an answer), 2 for wrong usage.
 */
import { spawnSync } from "node:child_process";
import { tuneEngine } from "../../src/base/engine.ts";
import { suggestion } from "../../src/base/nearest.ts";
import type { Group } from "./harness.ts";

/** Loaded on demand: a group may need what another does not. */
const groups: Readonly<Record<string, () => Promise<Group>>> = {
  ring: async () => (await import("./ring/group.ts")).ring,
  event: async () => (await import("./event/group.ts")).event,
  zpci: async () => (await import("./zpci/group.ts")).zpci,
  daemon: async () => (await import("./daemon/group.ts")).daemon,
  boot: async () => (await import("./boot/group.ts")).boots,
  cpu: async () => (await import("./cpu/group.ts")).cpu,
  experiment: async () => (await import("./experiment/group.ts")).experiment,
};

tuneEngine();
const words = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const flags = process.argv.slice(2).filter((word) => word.startsWith("--"));
const known = ["--quick", "--jit"];
const unknownFlag = flags.find((flag) => !known.includes(flag));
const load = groups[words[0] ?? ""];
if (unknownFlag !== undefined) {
  usage(`unknown option '${unknownFlag}'${suggestion(unknownFlag, known)}`);
} else if (load === undefined || words.length > 1) {
  const word = words[0];
  usage(
    word === undefined
      ? "name a group"
      : `unknown group '${word}'${suggestion(word, Object.keys(groups))}`,
  );
} else {
  const group = await load();
  const commit = spawnSync("git", ["rev-parse", "--short=12", "HEAD"]).stdout?.toString().trim();
  await group({ quick: flags.includes("--quick"), jit: flags.includes("--jit") }, (line) => {
    process.stdout.write(`${JSON.stringify(commit ? { ...line, commit } : line)}\n`);
  });
}

function usage(problem: string): void {
  process.stderr.write(
    `bench: ${problem}; usage: npm run bench -- ${Object.keys(groups).join("|")} [--quick] [--jit]\n`,
  );
  process.exitCode = 2;
}
