/** The tables of `zmend vm list`, `function list` and `status`. Pure text. */
import type { DaemonReport, FunctionReport, VmReport } from "../control/daemon/status.ts";
import { type Column, textTable } from "./text-table.ts";

export interface StatusReport {
  readonly daemon: DaemonReport;
  readonly vms: readonly VmReport[];
  readonly functions: readonly FunctionReport[];
}

export const vmColumns: readonly Column<VmReport>[] = [
  ["vm", (row) => row.name],
  ["state", (row) => (row.restartPending ? `${row.state}, restarts` : row.state)],
  ["up", (row) => duration(row.timeUs)],
  ["memory", (row) => `${Math.round(row.memoryBytes / 1024 ** 2)} MiB`],
  [
    "functions",
    (row) =>
      row.troubled === 0
        ? `${row.functions}`
        : `${row.functions} (${row.troubled} not operational)`,
  ],
  ["instructions", (row) => row.instructions.toLocaleString("en")],
  ["restarts", (row) => `${row.restarts}`],
];

export const functionColumns: readonly Column<FunctionReport>[] = [
  ["vm", (row) => row.vm],
  ["fid", (row) => row.fid],
  ["id", (row) => row.id],
  ["state", (row) => row.state],
  ["guest sees", (row) => row.guestState],
  ["policy", (row) => row.policy],
  ["raised", (row) => `${row.errorsRaised}`],
  ["fetched", (row) => `${row.fetchedByGuest}`],
  ["not delivered", (row) => lossText(row.notDelivered)],
  ["recoveries", (row) => `${row.recoveries}`],
  ["resets", (row) => `${row.hostResets}`],
];

function lossText(notDelivered: FunctionReport["notDelivered"]): string {
  const reasons = Object.entries(notDelivered).filter(([, count]) => count > 0);
  return reasons.map(([reason, count]) => `${count} ${reason}`).join(", ") || "-";
}

/** "1 d 2 h", "3 m 4 s": the two largest units. */
export function duration(us: number): string {
  const seconds = Math.floor(us / 1e6);
  const parts = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "m"],
    [seconds % 60, "s"],
  ] as const;
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return "0 s";
  return parts
    .slice(first, first + 2)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(" ");
}

/** How urgent lines are marked: on a terminal in red, else as they are. */
export type Paint = (text: string) => string;
export const plain: Paint = (text) => text;
export const red: Paint = (text) => `\u001b[31m${text}\u001b[0m`;

const settled = ["operational"];

/** The whole status as text. */
export function statusText({ daemon, vms, functions }: StatusReport, alarm: Paint = plain): string {
  const lines = [
    `zmend ${daemon.version}, pid ${daemon.pid}, up ${duration(daemon.uptimeUs)}, ` +
      `${Math.round(daemon.residentBytes / 1024 ** 2)} MiB resident, state in ${daemon.stateDir}`,
    `metrics ${daemon.metrics || "off"}   page ${daemon.page || "off"}`,
  ];
  if (daemon.journal.lost > 0 || daemon.journal.problem !== undefined) {
    const why = daemon.journal.problem === undefined ? "" : `: ${daemon.journal.problem}`;
    lines.push(alarm(`JOURNAL: ${daemon.journal.lost} records lost${why}`));
  }
  if (daemon.reloadError !== undefined) {
    lines.push(alarm(`RELOAD REFUSED, the old config stays: ${daemon.reloadError}`));
  }
  lines.push("", textTable(vmColumns, vms));
  for (const vm of vms)
    if (vm.failure !== undefined) lines.push(alarm(`${vm.name}: ${vm.failure}`));
  if (functions.length > 0) {
    const [title = "", ...rows] = textTable(functionColumns, functions).split("\n");
    lines.push("", title);
    for (const [index, row] of rows.entries()) {
      const fine = settled.includes(functions[index]?.state ?? "");
      lines.push(fine ? row : alarm(row));
    }
  }
  return lines.join("\n");
}
