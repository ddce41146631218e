/** Public surface of the metrics. */
export { createMetrics, type Metrics, type MetricsOptions, phaseBuckets } from "./metrics.ts";
export { metricTable } from "./table.ts";
