/** The daemon bench's result lines. */
import type { FunctionReport } from "../../../src/control/daemon/status.ts";
import type { Count, Result } from "../harness.ts";

const round = (figure: number): number => Number(figure.toPrecision(4));

export type Facts = Readonly<Record<string, number>>;

export function against(
  name: string,
  unit: string,
  value: number,
  peer: string,
  peerValue: number,
  facts: Facts = {},
): Result {
  return {
    name,
    unit,
    better: "lower",
    value: round(value),
    peer,
    peerValue: round(peerValue),
    ratio: round(value / peerValue),
    ...facts,
  };
}

/** A figure whose peer is the bound that it has. */
export function bounded(
  name: string,
  unit: string,
  value: number,
  bound: number,
  facts: Facts = {},
): Result {
  return against(name, unit, value, "the bound", bound, facts);
}

/** Errors that were asked for and not raised, or that stand in nobody's books. */
export function lostLine(name: string, asked: number, reports: readonly FunctionReport[]): Count {
  const sum = (of: (report: FunctionReport) => number): number =>
    reports.reduce((total, report) => total + of(report), 0);
  const raised = sum((report) => report.errorsRaised);
  const fetched = sum((report) => report.fetchedByGuest);
  return {
    name,
    unit: "events",
    better: "lower",
    value: Math.abs(asked - raised) + sum((report) => Math.abs(report.open)),
    asked,
    raised,
    fetched,
    accounted: raised - fetched,
  };
}
