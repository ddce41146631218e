/**
 * Runs the Promela models with SPIN: every protocol of `src/shm` as it is must hold, and every weakened one
 * must fail, else the model would prove nothing. A run is `spin -a`, a C compiler, and the verifier it
 * made, in a temporary folder.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export interface Case {
  readonly model: "ring" | "doorbell" | "channel";
  readonly claim: string;
  /** Macros of the model. */
  readonly define: readonly string[];
  /** `holds`: no error in any interleaving. `fails`: the verifier must find one. */
  readonly expect: "holds" | "fails";
  /** Checks the model's LTL formula under weak fairness instead of assertions and end states. */
  readonly live?: true;
}

const NEVER = "no record lost, doubled, overwritten or torn; no data race; no deadlock";
const WOKEN = "no wake-up lost";
const DELIVERED = "no event lost, none waits for ever";

export const cases: readonly Case[] = [
  { model: "ring", claim: NEVER, define: ["DEATHS=1"], expect: "holds" },
  {
    model: "ring",
    claim: `${NEVER}, destructive GET`,
    define: ["DRAIN", "DEATHS=2"],
    expect: "holds",
  },
  weak("ring", "published before it is filled", "WEAK_PUBLISH_BEFORE_FILL", "DEATHS=0"),
  weak("ring", "batch count written after the publish", "WEAK_COUNT_AFTER_PUBLISH", "DEATHS=0"),
  weak("ring", "head returned before the record is read", "WEAK_HEAD_BEFORE_READ", "DEATHS=0"),
  weak("ring", "credits not returned before sleeping", "WEAK_NO_FLUSH", "DEATHS=0"),
  weak("ring", "a dead batch's words left standing", "WEAK_NO_TAKE_BACK", "DEATHS=1"),
  weak("ring", "a successor that trusts an unarmed slot", "WEAK_UNARMED", "DRAIN", "DEATHS=1"),
  { model: "doorbell", claim: WOKEN, define: [], expect: "holds" },
  {
    model: "doorbell",
    claim: "all work is drained in the end",
    define: ["LIVE"],
    expect: "holds",
    live: true,
  },
  weak("doorbell", "sleeps without a second look", "WEAK_NO_SECOND_LOOK"),
  weak("doorbell", "sleeping flag set after the look", "WEAK_FLAG_AFTER_LOOK"),
  weak("doorbell", "summary cleared after the drain", "WEAK_TAKE_AFTER_DRAIN"),
  weak("doorbell", "notify if the flag is seen, no exchange", "WEAK_NOTIFY_IF_SEEN"),
  { model: "channel", claim: `${DELIVERED}`, define: [], expect: "holds" },
  {
    model: "channel",
    claim: `${DELIVERED}, a worker dies`,
    define: ["DEATHS=1", "OTHERS=1"],
    expect: "holds",
  },
  {
    model: "channel",
    claim: "every event is fetched in the end",
    define: ["LIVE", "EVENTS=1", "OTHERS=1"],
    expect: "holds",
    live: true,
  },
  weak("channel", "STCRW without a second look", "WEAK_NO_SECOND_LOOK"),
  weak("channel", "enabled wait without a second look", "WEAK_SLEEP_UNSEEN"),
  weak("channel", "SEI flag cleared after the scan", "WEAK_FLAG_AFTER_SCAN"),
  weak("channel", "summary bit cleared after the look", "WEAK_SUMMARY_AFTER_LOOK"),
  weak("channel", "summary bit set after the CRW", "WEAK_SUMMARY_AFTER_POST"),
  weak("channel", "posted before it is published", "WEAK_POST_BEFORE_PUBLISH"),
  weak(
    "channel",
    "a successor that only posts",
    "WEAK_POST_AGAIN",
    "DEATHS=1",
    "EVENTS=1",
    "OTHERS=1",
  ),
  weak(
    "channel",
    "reposts only if records are left",
    "WEAK_REPOST_IF_RECORDS",
    "DEATHS=1",
    "EVENTS=1",
    "OTHERS=1",
  ),
  weak(
    "channel",
    "reposts without waking a sleeper again",
    "WEAK_REPOST_KICKS",
    "DEATHS=1",
    "EVENTS=1",
    "OTHERS=1",
  ),
];

function weak(model: Case["model"], claim: string, ...define: readonly string[]): Case {
  return { model, claim: `weakened: ${claim}`, define, expect: "fails" };
}

export interface Verdict {
  /** "holds", "fails", or "unknown" when the search was cut short. */
  readonly found: "holds" | "fails" | "unknown";
  /** What the verifier complained about. */
  readonly error: string;
  readonly states: number;
  readonly seconds: number;
}

/** Names the missing program of the Debian packages spin and gcc, or nothing when both are there. */
export function missingTool(): string | undefined {
  return ["spin", "gcc"].find((tool) => spawnSync(tool, ["--version"]).error !== undefined);
}

/** Source folder of the models; the compiled form of this file runs from `dist/`. */
const models = ["./", "../../../test/model/"]
  .map((path) => fileURLToPath(new URL(path, import.meta.url)))
  .find((path) => hasModel(path));

function hasModel(folder: string): boolean {
  try {
    return readFileSync(join(folder, "ring.pml")).length > 0;
  } catch {
    return false;
  }
}

const DEPTH = "1000000";

export function verify(item: Case, scratch: string, name: string): Verdict {
  const folder = join(scratch, name);
  mkdirSync(folder);
  const defines = item.define.map((macro) => `-D${macro}`);
  const started = performance.now();
  execute("spin", [...defines, "-a", join(String(models), `${item.model}.pml`)], folder);
  const compile = item.live ? ["-DNFAIR=3"] : ["-DSAFETY", "-DNOCLAIM"];
  execute("gcc", ["-O1", "-w", "-DCOLLAPSE", ...compile, "-o", "pan", "pan.c"], folder);
  const search = item.live ? ["-a", "-f"] : [];
  const output = execute(join(folder, "pan"), [`-m${DEPTH}`, "-n", ...search], folder);
  const errors = /errors: (\d+)/.exec(output)?.[1];
  const complete = !/max search depth too small|Search not completed/i.test(output);
  return {
    found:
      errors === undefined ? "unknown" : errors !== "0" ? "fails" : complete ? "holds" : "unknown",
    error: /^pan:\d+: (.*?)( \(at depth|$)/m.exec(output)?.[1] ?? "",
    states: Number(/([\d.e+]+) states, stored/.exec(output)?.[1] ?? 0),
    seconds: (performance.now() - started) / 1e3,
  };
}

function execute(command: string, parameters: readonly string[], cwd: string): string {
  const result = spawnSync(command, parameters, { cwd, encoding: "utf8", maxBuffer: 1 << 26 });
  if (result.error) throw result.error;
  const output = result.stdout + result.stderr;
  if (result.status !== 0) throw new Error(`${command} failed on a model: ${output.slice(0, 400)}`);
  return output;
}
