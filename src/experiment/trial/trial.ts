/** One trial: every guest of the scenario under one policy, in virtual time, on one thread; and its ledger line. */
import { Stream } from "../../base/distribution.ts";
import { drivers, type Instruction, kernels } from "../../guest-model/index.ts";
import type { Policy } from "../../recovery/policy.ts";
import { binLowUs, type DoneTrial, type Histogram, type TrialRow } from "../ledger.ts";
import type { MetricName } from "../metrics.ts";
import { type Plan, type PlannedGuest, type TrialCoordinates, trialOf } from "../plan.ts";
import type { Scenario } from "../scenario.ts";
import { Books } from "./books.ts";
import type { Decider } from "./decider.ts";
import { TrialMemories, TrialMemory } from "./memory.ts";
import { Meter } from "./meter.ts";
import { World } from "./world.ts";

const TWO32 = 0x1_0000_0000;

/** What the ledger says of a trial before anything has happened in it. */
export function identityOf(plan: Plan, at: TrialCoordinates) {
  const point = plan.points[at.point];
  return {
    trial: at.trial,
    repetition: at.repetition,
    point: point?.label ?? "",
    scenario: point?.scenarios[at.scenario]?.name ?? "",
    guest: plan.guests[at.guest]?.label ?? "",
    policy: point?.policies[at.policy]?.label ?? "",
  };
}

/** Two words that stand for (seed, repetition, scenario): the same for every policy, guest and point. */
export function seedWords(seed: number, repetition: number, scenario: number): [number, number] {
  const stream = new Stream().key(seed | 0, Math.floor(seed / TWO32), repetition, scenario);
  return [stream.u32(), stream.u32()];
}

export interface ModelWorldOptions {
  readonly scenario: Scenario;
  readonly policy: Policy;
  readonly guest: Extract<PlannedGuest, { kind: "model" }>;
  readonly seed: number;
  readonly repetition: number;
  readonly scenarioNumber: number;
  readonly deadlineUs: number;
  /** Of an earlier trial with as many functions. */
  readonly memory?: TrialMemory | undefined;
  readonly decider?: Decider | undefined;
  readonly record?: ((instruction: Instruction) => void) | undefined;
  readonly turn?: ((world: World) => void) | undefined;
}

/** What a trial's measurements are read from. */
export interface Measured {
  readonly world: { readonly falseQuarantines: number; readonly vmStops: number };
  readonly meter: Meter;
  readonly books: Books;
}

export interface ModelWorld extends Measured {
  readonly world: World;
}

export function modelWorld(options: ModelWorldOptions): ModelWorld {
  const { scenario, guest } = options;
  const [seedA, seedB] = seedWords(options.seed, options.repetition, options.scenarioNumber);
  const meter = new Meter(scenario.functionsPerGuest, options.deadlineUs);
  const books = new Books();
  const driver = drivers[guest.driver];
  const kernel = kernels[guest.kernel];
  if (driver === undefined) {
    throw new RangeError(`no guest model ${guest.kernel} with driver ${guest.driver}`);
  }
  const times = { ...driver.times, ...guest.times };
  const world = new World({
    memory: options.memory ?? new TrialMemory(scenario.functionsPerGuest),
    scenario,
    policy: options.policy,
    kernel,
    driver: { ...driver, times },
    seedA,
    seedB,
    meter,
    books,
    decider: options.decider,
    record: options.record,
    turn: options.turn,
  });
  return { world, meter, books };
}

/** Runs trial `trial` of the plan with the model guest. */
export function runModelTrial(
  plan: Plan,
  trial: number,
  decider?: Decider & { readonly policy: Policy },
  memories: TrialMemories = new TrialMemories(),
): TrialRow {
  const found = trialOf(plan, trial);
  if (found?.guest.kind !== "model") {
    throw new RangeError(`the plan has no trial ${trial} with a model guest`);
  }
  const { at, scenario, planned, guest } = found;
  const parts = modelWorld({
    scenario,
    policy: decider?.policy ?? planned.policy,
    guest,
    seed: plan.seed,
    repetition: at.repetition,
    scenarioNumber: at.scenario,
    deadlineUs: plan.deadlineSeconds * 1e6,
    decider,
    memory: memories.of(scenario.functionsPerGuest),
  });
  for (let number = 0; number < scenario.guests; number++) parts.world.run(number);
  return { ...identityOf(plan, at), status: "done", ...measured(parts) };
}

/** Metrics, times to recover and phases, in the ledger's order. */
export function measured(parts: Measured): Pick<DoneTrial, "metrics" | "timeToRecover" | "phases"> {
  const { world, meter, books } = parts;
  const timeToRecover = meter.timeToRecover();
  const metrics: Partial<Record<MetricName, number>> = {
    availability: 1 - meter.downUs / meter.totalUs,
  };
  if (meter.recoveries > 0) {
    metrics.timeToRecover = meter.recoverUs / meter.recoveries / 1e6;
  }
  if (timeToRecover.recovered.length > 0) {
    metrics.timeToRecoverP50 = quantile(timeToRecover.recovered, 0.5);
    metrics.timeToRecoverP99 = quantile(timeToRecover.recovered, 0.99);
  }
  return {
    metrics: {
      ...metrics,
      stallSeconds: meter.downUs / 1e6,
      longestStall: meter.longestUs / 1e6,
      failures: meter.failures,
      recoveries: meter.recoveries,
      eventsRaised: books.raised,
      eventsFetched: books.fetched,
      lostHostQueueFull: books.hostQueueFull,
      lostStale: books.stale,
      lostSuperseded: books.superseded,
      lostPolicy: books.policy,
      lostUnverifiable: books.unverifiable,
      lostVmStopped: books.vmStopped,
      hostResets: books.hostResets,
      reinjections: books.reinjections,
      falseQuarantines: world.falseQuarantines,
      permanentLosses: meter.losses,
      vmStops: world.vmStops,
    },
    timeToRecover,
    phases: meter.phaseSeconds(),
  };
}

/** Upper bound of the bin that holds the quantile, seconds. */
function quantile(bins: Histogram, q: number): number {
  const total = bins.reduce((sum, [, count]) => sum + count, 0);
  const wanted = Math.max(1, Math.ceil(q * total));
  let seen = 0;
  for (const [bin, count] of bins) {
    seen += count;
    if (seen >= wanted) return binLowUs(bin + 1) / 1e6;
  }
  return 0;
}
