/**
 * The daemon's metrics in Prometheus' and OpenMetrics' text forms, by prom-client with registries of its own.
 *
 * Use: `const metrics = createMetrics({ vms: () => controls, journal: () => journal.status() })`; `metrics.attach(vm)`
 * for each VM (its ledger entries feed the phase histogram); serve `metrics.routes()` with `createHttp`;
 * `metrics.close()` at the end. A VM that is gone for good is forgotten with `metrics.forget(name)`; one that is only
 * started again keeps its histogram.
 */
import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, Gauge, Histogram, Registry, type RegistryContentType } from "prom-client";
import { zmendVersion } from "../../base/version.ts";
import { PhaseTracker, type RecoveryPhase } from "../../machine/phases.ts";
import type { VmControl } from "../../machine/vm-control.ts";
import type { HttpAnswer, HttpRoutes } from "../http/service.ts";
import type { JournalStatus } from "../journal/index.ts";
import { fidLabel, type MetricSources, metricTable } from "./table.ts";

export interface MetricsOptions {
  /** The VMs as they are now. */
  readonly vms: () => readonly VmControl[];
  readonly journal?: () => JournalStatus | undefined;
}

export interface Metrics {
  /** Feeds the VM's ledger to the phase histogram. @returns the end of it */
  attach(vm: VmControl): () => void;
  /** Drops the phase histograms of a VM that will not come back. */
  forget(vm: string): void;
  /** @param accept the request's Accept header */
  scrape(accept?: string): Promise<HttpAnswer>;
  /** `GET /metrics` and `GET /healthz`. */
  routes(): HttpRoutes;
  close(): void;
}

/** Microseconds of a wake-up to the minute that a policy may wait. Seconds, as Prometheus wants them. */
export const phaseBuckets: readonly number[] = [
  ...[0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005],
  ...[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
];

const LAG_RESOLUTION_MS = 40;

type PhaseLabels = {
  readonly vm: string;
  readonly fid: string;
  readonly phase: RecoveryPhase;
};

/** prom-client renames a counter when it writes OpenMetrics, so each form has objects of its own. */
class MetricSet {
  readonly registry: Registry<RegistryContentType>;
  readonly #metrics: readonly (Counter<string> | Gauge<string>)[];
  #busy: Promise<unknown> = Promise.resolve();

  constructor(contentType: RegistryContentType) {
    this.registry = new Registry();
    this.registry.setContentType(contentType);
    const registers = [this.registry];
    this.#metrics = metricTable.map(({ name, type, help, labels }) => {
      const configuration = { name, help, labelNames: [...labels], registers };
      return type === "counter" ? new Counter(configuration) : new Gauge(configuration);
    });
  }

  /** One scrape after the other: the values live in the metrics between filling and writing. */
  text(sources: () => MetricSources): Promise<string> {
    const text = this.#busy.then(() => {
      this.#fill(sources());
      return this.registry.metrics();
    });
    this.#busy = text.catch(() => {});
    return text;
  }

  #fill(sources: MetricSources): void {
    for (const [index, row] of metricTable.entries()) {
      const metric = this.#metrics[index] as Counter<string>;
      metric.reset();
      // A metric without labels begins with a 0 that nobody has measured.
      if (row.labels.length === 0) metric.remove();
      for (const { labels, value } of row.read(sources)) metric.inc(labels, value);
    }
  }
}

export function createMetrics(options: MetricsOptions): Metrics {
  const prometheus = new MetricSet(Registry.PROMETHEUS_CONTENT_TYPE);
  const openMetrics = new MetricSet(Registry.OPENMETRICS_CONTENT_TYPE);
  // A histogram has the same names in both.
  const phases = new Histogram({
    name: "zmend_recovery_phase_seconds",
    help: "Phases of recoveries: of every event until the guest has it, of every recovery from then on.",
    labelNames: ["vm", "fid", "phase"],
    buckets: [...phaseBuckets],
    registers: [prometheus.registry, openMetrics.registry],
  });
  /** Label sets in use, by VM: what `forget` has to remove. */
  const phaseLabels = new Map<string, Map<string, PhaseLabels>>();
  const lag = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
  lag.enable();
  const sources = (): MetricSources => ({
    version: zmendVersion(),
    vms: options.vms(),
    journal: options.journal?.(),
    process: processFigures(lag),
  });
  const scrape = async (accept?: string): Promise<HttpAnswer> => {
    const set = wantsOpenMetrics(accept) ? openMetrics : prometheus;
    return { type: set.registry.contentType, body: await set.text(sources) };
  };
  return {
    attach(vm) {
      const known = phaseLabels.get(vm.name) ?? new Map<string, PhaseLabels>();
      phaseLabels.set(vm.name, known);
      const tracker = new PhaseTracker({
        sample: (fid, phase, us) => {
          const labels = { vm: vm.name, fid: fidLabel(fid), phase };
          known.set(`${fid} ${phase}`, labels);
          phases.observe(labels, Math.max(0, us) / 1e6);
        },
      });
      return vm.on((event) => {
        if (event.type === "entry") tracker.add(event.entry);
      });
    },
    forget: (vm) => {
      for (const labels of phaseLabels.get(vm)?.values() ?? []) phases.remove(labels);
      phaseLabels.delete(vm);
    },
    scrape,
    routes: () => ({
      "GET /metrics": ({ headers }) => scrape(headers.accept),
      "GET /healthz": () => health(options.vms()),
    }),
    close: () => lag.disable(),
  };
}

/** 200 while the control thread answers and no VM has died of itself; 503 names those that have. */
function health(vms: readonly VmControl[]): HttpAnswer {
  const dead = vms.filter((vm) => vm.runState() === "internal-error").map((vm) => vm.name);
  const body = `${JSON.stringify({ status: dead.length === 0 ? "ok" : "failing", vms: vms.length, dead })}\n`;
  return { status: dead.length === 0 ? 200 : 503, type: "application/json", body };
}

function processFigures(lag: IntervalHistogram): MetricSources["process"] {
  const seconds = (nanoseconds: number): number =>
    // The monitor measures its own timer too: what is above the interval is lag. Nothing measured yet is NaN.
    Number.isFinite(nanoseconds) ? Math.max(0, nanoseconds / 1e9 - LAG_RESOLUTION_MS / 1000) : 0;
  const measured = {
    mean: seconds(lag.mean),
    p50: seconds(lag.percentile(50)),
    p99: seconds(lag.percentile(99)),
    max: seconds(lag.count === 0 ? 0 : lag.max),
  };
  lag.reset();
  const { user, system } = process.cpuUsage();
  return {
    residentBytes: process.memoryUsage.rss(),
    cpuSeconds: (user + system) / 1e6,
    lag: measured,
  };
}

/** Content negotiation as Prometheus does it: the higher quality wins, and plain text if nothing is said. */
function wantsOpenMetrics(accept: string | undefined): boolean {
  let open = 0;
  let plain = 0;
  for (const range of (accept ?? "").split(",")) {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    const quality = Number(parameters.find((part) => part.startsWith("q="))?.slice(2) ?? 1);
    const weight = Number.isFinite(quality) ? quality : 0;
    const version = parameters.find((part) => part.startsWith("version="))?.slice(8);
    if (type === "application/openmetrics-text") {
      if (version === undefined || version === "1.0.0") open = Math.max(open, weight);
    } else if (["text/plain", "text/*", "*/*"].includes(type)) plain = Math.max(plain, weight);
  }
  return open > 0 && open >= plain;
}
