/** `zmend vm inject VM --scenario FILE`: an experiment's faults, played to a live VM in real time. */
import { setTimeout as sleep } from "node:timers/promises";
import { monotonicNowUs } from "../base/clock.ts";
import { ZmendError } from "../base/errors.ts";
import { hex } from "../base/hex.ts";
import { suggestion } from "../base/nearest.ts";
import type { FunctionReport } from "../control/daemon/status.ts";
import { type ClientOptions, DaemonClient, stateDirOf } from "./client.ts";

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
    const list = injectionsOf({
      plan,
      scenario,
      repetition: options.repetition ?? 0,
      functions: functions.length,
    });
    const speed = options.speed ?? 1;
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
