/**
 * Numbers as people read them: as many digits as the interval supports, in the unit that keeps them short. Only
 * toFixed, which the language defines exactly, so the same text on every machine.
 */
import { type MetricName, metricOf } from "../metrics.ts";

interface Scale {
  readonly factor: number;
  readonly suffix: string;
}

/** Seconds in µs, ms, s, min or h, by size. */
function timeScale(seconds: number): Scale {
  const size = Math.abs(seconds);
  if (size === 0) return { factor: 1, suffix: " s" };
  if (size < 1e-3) return { factor: 1e6, suffix: " µs" };
  if (size < 1) return { factor: 1e3, suffix: " ms" };
  if (size < 300) return { factor: 1, suffix: " s" };
  if (size < 18_000) return { factor: 1 / 60, suffix: " min" };
  return { factor: 1 / 3600, suffix: " h" };
}

function scaleOf(metric: MetricName, size: number, difference: boolean): Scale {
  const { unit } = metricOf(metric);
  if (unit === "ratio") return { factor: 100, suffix: difference ? " points" : " %" };
  return unit === "s" ? timeScale(size) : { factor: 1, suffix: "" };
}

/** Digits after the point that show `resolution` to two digits; at most 8. */
function decimalsFor(resolution: number): number {
  let decimals = 0;
  for (let unit = resolution; unit > 0 && unit < 9.95 && decimals < 8; unit *= 10) decimals += 1;
  return decimals;
}

function decimalsOf(scaled: number, width: number): number {
  return width > 0
    ? decimalsFor(width)
    : Number.isInteger(scaled)
      ? 0
      : decimalsFor(Math.abs(scaled) / 10);
}

/** -0 and 0.00 with a sign are nobody's number. */
function fixed(value: number, decimals: number): string {
  const text = value.toFixed(decimals);
  return /^-0\.?0*$/.test(text) ? text.slice(1) : text;
}

function signed(value: number, decimals: number): string {
  const text = fixed(value, decimals);
  return value > 0 && /[1-9]/.test(text) ? `+${text}` : text.replace("-", "−");
}

export interface EstimateText {
  readonly value: string;
  /** "low to high", in the same unit; "" without an interval. */
  readonly interval: string;
}

interface Limits {
  readonly low: number | null;
  readonly high: number | null;
}

export function estimateText(metric: MetricName, mean: number, limits: Limits): EstimateText {
  return texts(scaleOf(metric, mean, false), mean, limits, fixed);
}

/** With its sign; a difference of ratios in percentage points. */
export function differenceText(
  metric: MetricName,
  difference: number,
  limits: Limits,
): EstimateText {
  return texts(scaleOf(metric, difference, true), difference, limits, signed);
}

function texts(
  { factor, suffix }: Scale,
  value: number,
  { low, high }: Limits,
  write: (value: number, decimals: number) => string,
): EstimateText {
  const width = low === null || high === null ? 0 : (high - low) * factor;
  const decimals = decimalsOf(value * factor, width);
  const interval =
    low === null || high === null || low === high
      ? ""
      : `${write(low * factor, decimals)} to ${write(high * factor, decimals)}`;
  return { value: `${write(value * factor, decimals)}${suffix}`, interval };
}

/** Three significant digits with a unit. */
export function timeText(seconds: number): string {
  const { factor, suffix } = timeScale(seconds);
  const scaled = seconds * factor;
  return `${fixed(scaled, Math.min(2, decimalsFor(Math.abs(scaled) / 10)))}${suffix}`;
}

export function probabilityText(p: number): string {
  return p < 0.001 ? "p < 0.001" : p > 0.999 ? "p > 0.999" : `p = ${p.toFixed(3)}`;
}

export function countText(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** "a", "a and b", "a, b and c". */
export function listText(items: readonly string[]): string {
  return items.length < 2 ? items.join("") : `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`;
}
