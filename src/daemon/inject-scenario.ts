/** `zmend vm inject VM --scenario FILE`: an experiment's faults, played to a live VM in real time. */
import { setTimeout as sleep } from "node:timers/promises";
import { monotonicNowUs } from "../base/clock.ts";
import { ZmendError } from "../base/errors.ts";
import { hex } from "../base/hex.ts";
import { suggestion } from "../base/nearest.ts";
import { countOf } from "../base/wording.ts";
import type { FunctionReport, VmReport } from "../control/daemon/status.ts";
import type { Injection } from "../experiment/injections.ts";
import { type ClientOptions, DaemonClient, stateDirOf } from "./client.ts";
import { duration } from "./status-table.ts";

export interface ScenarioOptions extends ClientOptions {
  readonly scenario: string;
  readonly of?: string;
  readonly set?: Readonly<Record<string, string>>;
  readonly seed?: number;
  readonly repetition?: number;
  readonly speed?: number;
}

/** A step of waiting, so that an interruption is noticed. */
const WAIT_MS = 500;

/** Before a wait of hours, not after it. */
async function requireRunning(client: DaemonClient, vm: string): Promise<void> {
  const reports = (await client.request("vm-list")) as VmReport[];
  const state = reports.find(({ name }) => name === vm)?.state ?? "";
  if (state === "running" || state === "paused") return;
  throw new ZmendError(
    "STATE_REFUSED",
    `VM ${vm} is ${state} and cannot take errors; start it first.`,
  );
}

/** How many errors, and for how long somebody will wait for them. */
function outlook(list: readonly Injection[], speed: number): string {
  const [first, last] = [list[0]?.atUs ?? 0, list.at(-1)?.atUs ?? 0];
  const times = `the first after ${duration(first / speed)}, the last after ${duration(last / speed)}`;
  const hint = speed === 1 && last > 600e6 ? "; --speed N plays them N times as fast" : "";
  return list.length === 0 ? "no errors" : `${countOf(list.length, "error")}, ${times}${hint}`;
}

export async function injectScenario(vm: string, options: ScenarioOptions): Promise<void> {
  const { loadExperiment } = await import("../experiment/experiment-file.ts");
  const { injectionsOf } = await import("../experiment/injections.ts");
  const plan = loadExperiment(options.scenario, { set: options.set ?? {}, seed: options.seed });
  const names = plan.points[0]?.scenarios.map(({ name }) => name) ?? [];
  const scenario = options.of === undefined ? 0 : names.indexOf(options.of);
  if (scenario < 0) {
    const { of = "" } = options;
    throw new ZmendError(
      "USAGE",
      `--of ${of}: ${options.scenario} has no such scenario${suggestion(of, names)}; it has ${names.join(", ")}.`,
    );
  }
  const client = await DaemonClient.connect(stateDirOf(options));
  try {
    const functions = (await client.request("function-list", { vm })) as FunctionReport[];
    const { repetition = 0, speed = 1 } = options;
    const of = { plan, scenario, repetition, functions: functions.length };
    await requireRunning(client, vm);
    if (options.json !== true) {
      const name = `${names[scenario] ?? ""} of ${options.scenario}, repetition ${repetition}`;
      process.stdout.write(`${name}: ${outlook([...injectionsOf(of)], speed)}\n`);
    }
    const list = injectionsOf(of);
    const startUs = monotonicNowUs();
    let count = 0;
    for (const { atUs, index, pec, stale } of list) {
      const dueUs = startUs + atUs / speed;
      for (let left = dueUs - monotonicNowUs(); left > 0; left = dueUs - monotonicNowUs()) {
        await sleep(Math.min(WAIT_MS, left / 1000));
      }
      const { id = "", fid = "" } = functions[index] ?? {};
      await client.request("vm-inject", { vm, function: id, pec, ...(stale ? { stale } : {}) });
      count += 1;
      const facts = { atSeconds: atUs / 1e6, fid, pec: hex(pec, 4), stale };
      const text = `${(atUs / 1e6).toFixed(3).padStart(12)} s  ${fid}  PEC ${facts.pec}${stale ? ", stale" : ""}`;
      process.stdout.write(`${options.json === true ? JSON.stringify(facts) : text}\n`);
    }
    if (options.json !== true) process.stdout.write(`${vm}: ${count} errors raised\n`);
  } finally {
    client.close();
  }
}
