/**
 * "What this does not show", derived from the plan: what the guests are a model of, which faults the scenarios cannot
 * produce, what the statistics assume. A limit is listed because the plan has it, never by habit.
 */
import {
  comparedDrivers,
  comparedKernels,
  differences,
  type KernelName,
} from "../../guest-model/index.ts";
import type { Plan } from "../plan.ts";
import type { Scenario } from "../scenario.ts";
import { listText, timeText } from "./format.ts";

export function limitsOf(plan: Plan): string[] {
  const scenarios = plan.points.flatMap((point) => point.scenarios);
  return [
    ...guestLimits(plan),
    ...faultLimits(scenarios),
    ...hostLimits(scenarios),
    ...statisticalLimits(plan),
  ];
}

function guestLimits(plan: Plan): string[] {
  const models = plan.guests.filter((guest) => guest.kind === "model");
  const machines = plan.guests.filter((guest) => guest.kind === "machine");
  const limits: string[] = [];
  if (models.length > 0) {
    const kernels = [...new Set(models.map((guest) => guest.kernel))];
    const drivers = [...new Set(models.map((guest) => guest.driver))];
    limits.push(
      `Guests are a model of Linux's zPCI error handling, in the flavours of kernel ${listText(kernels)}, with drivers of the kind ${listText(drivers)}. No real kernel ran; other kernels, drivers and loads may do otherwise.`,
      ...comparisonLimits(kernels, drivers),
      "The model's times are drawn from distributions; they are as good as the recoveries these were fitted to.",
    );
  }
  if (machines.length > 0) {
    limits.push(
      `${listText(machines.map((guest) => guest.label))}: a real kernel on zmend's emulated CPU, from one snapshot. Times of guest code are counted in instructions and are not those of an IBM Z machine.`,
    );
  }
  limits.push(
    "The host kernel and the PCI functions are simulated. A fault of firmware, of the PCI fabric or of the host kernel itself is outside the simulation.",
  );
  return limits;
}

/** What the model was held against, and how they differ; what was not compared at all. */
function comparisonLimits(kernels: readonly KernelName[], drivers: readonly string[]): string[] {
  const real = comparedKernels.filter(({ flavour }) => kernels.includes(flavour));
  const compared = comparedDrivers.filter(
    (row) => drivers.includes(row.driver) && row.kernels.some((kernel) => kernels.includes(kernel)),
  );
  const limits: string[] = [];
  if (real.length > 0 && compared.length > 0) {
    const names = real.map((kernel) => `${kernel.package} ${kernel.version}`);
    const modules = compared.map(({ driver, module }) =>
      driver === module ? driver : `${driver} (module ${module})`,
    );
    const listed = differences.filter((one) => one.kernels.some((name) => kernels.includes(name)));
    limits.push(
      `For the driver ${listText(modules)} the model's zPCI instructions and the recovery machine's states were compared one by one with those of ${listText(names)} on zmend's CPU, one function, an idle guest. They differ in ${listText(listed.map(({ what }) => what))}.`,
    );
  }
  const uncompared = drivers.flatMap((driver) => {
    const known = comparedDrivers.find((row) => row.driver === driver)?.kernels ?? [];
    const missing = kernels.filter((kernel) => !known.includes(kernel));
    if (missing.length === 0) return [];
    const where = missing.length === kernels.length ? "" : ` on kernel ${listText(missing)}`;
    return [`${driver}${where}`];
  });
  if (uncompared.length > 0) {
    limits.push(
      `Not compared with a real one, only written from its source: the driver ${listText(uncompared)}.`,
    );
  }
  return limits;
}

function faultLimits(scenarios: readonly Scenario[]): string[] {
  const sources = scenarios.flatMap((scenario) => scenario.sources);
  const pecs = [...new Set(sources.flatMap((source) => source.pecs.map(({ pec }) => pec)))];
  const kinds = new Set(sources.map((source) => source.arrivals.kind));
  const limits: string[] = [];
  if (pecs.length > 0) {
    const names = pecs.sort((a, b) => a - b).map((pec) => `0x${pec.toString(16).padStart(4, "0")}`);
    limits.push(`Only the event codes ${listText(names)} occur.`);
  }
  if (kinds.size === 1 && kinds.has("poisson")) {
    limits.push(
      "Errors arrive at a constant rate, independent of each other: no ageing, no storms.",
    );
  }
  if (kinds.has("trace")) {
    limits.push(
      "Errors of a recorded trace come at the same times in every repetition: the intervals do not cover how typical that trace is.",
    );
  }
  if (sources.every((source) => source.scope === "function")) {
    limits.push("No fault hits several functions at once.");
  }
  if (sources.every((source) => source.stale === 0))
    limits.push("No event carries a stale handle.");
  if (sources.every((source) => source.lostSignal === 0)) limits.push("No error signal is lost.");
  return limits;
}

function hostLimits(scenarios: readonly Scenario[]): string[] {
  const never = (key: "refused" | "failed" | "hangs" | "broken"): boolean =>
    scenarios.every((scenario) => scenario.host[key] === 0);
  const missing = [
    never("refused") ? "is never refused" : "",
    never("failed") ? "never fails" : "",
    never("hangs") ? "never hangs" : "",
  ].filter((text) => text !== "");
  const limits: string[] = [];
  if (missing.length > 0) limits.push(`A host reset ${listText(missing)}.`);
  if (never("broken")) limits.push("No function is broken for good: every one can be reset.");
  if (scenarios.every((scenario) => scenario.operator.restartVmUs === undefined)) {
    limits.push("Nobody restarts a stopped VM within a trial, so a stop costs the rest of it.");
  }
  if (scenarios.every((scenario) => scenario.operator.repairUs === undefined)) {
    limits.push("Nobody repairs a function that left service within a trial.");
  }
  const horizons = [...new Set(scenarios.map((scenario) => scenario.horizonUs))];
  limits.push(
    `A trial watches ${listText(horizons.map((us) => timeText(us / 1e6)))} of virtual time; what takes longer to show is not seen.`,
  );
  return limits;
}

function statisticalLimits(plan: Plan): string[] {
  return [
    "Intervals cover chance within these scenarios, not the choice of the scenarios.",
    "Recovery curves treat the failures of one trial as independent; under correlated faults their bands are too narrow. The tables of metrics do not share this: there the repetition is the unit.",
    ...(plan.stop === undefined
      ? []
      : [
          `The number of repetitions was decided by the data (stopping rule on ${plan.stop.metric}); measured over 1,000 repeated experiments, its intervals still cover as they say.`,
        ]),
  ];
}
