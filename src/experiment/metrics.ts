/**
 * What a trial is measured by: the one list of names, units and directions that the ledger's schema, the
 * statistics and the report read. Times are virtual. Source of the definitions: design.md 4 (books), 5 (recovered).
 */

/** `higher` or `lower` is better; `none`: a count that describes the trial and cannot win or lose. */
export type Direction = "higher" | "lower" | "none";

interface MetricRow {
  readonly unit: string;
  readonly better: Direction;
  readonly title: string;
  /** How it is measured, one clause. */
  readonly means: string;
}

const rows = {
  availability: {
    unit: "ratio",
    better: "higher",
    title: "Availability",
    means: "share of all functions' time in which the guest's driver could do I/O",
  },
  timeToRecover: {
    unit: "s",
    better: "lower",
    title: "Time to recover, mean",
    means: "first error of a failure to the driver's I/O running again; recovered failures only",
  },
  timeToRecoverP50: {
    unit: "s",
    better: "lower",
    title: "Time to recover, median",
    means: "as the mean; the upper bound of the histogram's bin (1.6 % wide)",
  },
  timeToRecoverP99: {
    unit: "s",
    better: "lower",
    title: "Time to recover, 99th percentile",
    means: "as the median",
  },
  stallSeconds: {
    unit: "s",
    better: "lower",
    title: "I/O stall seen by the guest",
    means: "sum over functions of the time without I/O, permanent losses included",
  },
  longestStall: {
    unit: "s",
    better: "lower",
    title: "Longest I/O stall",
    means: "the longest single time without I/O of any function",
  },
  failures: {
    unit: "1",
    better: "none",
    title: "Failures",
    means: "functions that went from healthy to broken; a burst of events is one failure",
  },
  recoveries: {
    unit: "1",
    better: "none",
    title: "Recoveries",
    means: "failures after which the driver's I/O ran again without an operator",
  },
  eventsRaised: {
    unit: "1",
    better: "none",
    title: "Error events raised",
    means: "CCDFs that the platform raised",
  },
  eventsFetched: {
    unit: "1",
    better: "none",
    title: "Error events fetched by the guest",
    means: "CCDFs that CHSC handed out, repeats not counted",
  },
  lostHostQueueFull: {
    unit: "1",
    better: "lower",
    title: "Events lost by the host kernel's full queue",
    means: "book hostQueueFull",
  },
  lostStale: {
    unit: "1",
    better: "none",
    title: "Events dropped as stale",
    means: "book staleHandle: the handle was not current, dropping it is right",
  },
  lostSuperseded: {
    unit: "1",
    better: "none",
    title: "Events superseded",
    means: "book superseded: their generation ended before the guest fetched them",
  },
  lostPolicy: {
    unit: "1",
    better: "lower",
    title: "Events withheld by the policy",
    means: "book policy",
  },
  lostUnverifiable: {
    unit: "1",
    better: "lower",
    title: "Events that could not be verified",
    means: "book unverifiable",
  },
  lostVmStopped: {
    unit: "1",
    better: "lower",
    title: "Events lost because the VM was stopped",
    means: "book vmStopped",
  },
  hostResets: {
    unit: "1",
    better: "lower",
    title: "Host resets",
    means: "VFIO_DEVICE_RESETs that succeeded",
  },
  reinjections: {
    unit: "1",
    better: "lower",
    title: "Reinjections",
    means: "records that told the guest again",
  },
  falseQuarantines: {
    unit: "1",
    better: "lower",
    title: "False quarantines",
    means: "functions taken out of service by the policy although their hardware could be reset",
  },
  permanentLosses: {
    unit: "1",
    better: "lower",
    title: "Permanent losses",
    means: "times a function left service and needed an operator, whatever the reason",
  },
  vmStops: {
    unit: "1",
    better: "lower",
    title: "VM stops",
    means: "times the whole virtual machine was stopped",
  },
} as const satisfies Readonly<Record<string, MetricRow>>;

export type MetricName = keyof typeof rows;

export interface Metric extends MetricRow {
  readonly name: MetricName;
}

/** In ledger order. */
export const metrics: readonly Metric[] = Object.freeze(
  (Object.keys(rows) as MetricName[]).map((name) => ({ name, ...rows[name] })),
);
export const metricNames: readonly MetricName[] = metrics.map((metric) => metric.name);

export function metricOf(name: MetricName): Metric {
  return { name, ...rows[name] };
}

/** The parts of one time to recover, in order; their sum is the whole. */
export const phases = [
  "detect", //  error raised -> its CCDF read by the recovery worker
  "notify", //  … -> fetched by the guest with CHSC
  "guest", //   … -> the guest asks for the reset (CLP disable), its driver's teardown
  "reset", //   … -> the host function is reset and the disable granted
  "restore", // … -> enabled, DMA registered, first good PCI load
  "resume", //  … -> the driver's I/O runs again
] as const;
export type PhaseName = (typeof phases)[number];
