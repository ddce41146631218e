/** Counters of the VM in the shape of query-stats. Source: qmp.md 6. */
import { booksBalance } from "../../machine/books.ts";
import type { VmControl } from "../../machine/vm-control.ts";
import { CPU_PATH } from "./machine-type.ts";
import { enumeration, type Static } from "./schema.ts";

export const statisticsTargets = enumeration(["vm", "vcpu", "cryptodev"]);
type Target = Static<typeof statisticsTargets>;

interface Row {
  readonly name: string;
  readonly type: "cumulative" | "instant";
  readonly unit?: "seconds";
  readonly exponent: number;
  readonly read: (control: VmControl) => number;
}

function sum(
  control: VmControl,
  read: (status: ReturnType<VmControl["functions"]>[number]) => number,
) {
  return control.functions().reduce((total, status) => total + read(status), 0);
}

const vmRows: readonly Row[] = [
  {
    name: "time",
    type: "cumulative",
    unit: "seconds",
    exponent: -6,
    read: (control) => Math.round(control.timeUs()),
  },
  {
    name: "errors-raised",
    type: "cumulative",
    exponent: 0,
    read: (control) => sum(control, ({ books }) => books.errorsRaised),
  },
  {
    name: "errors-injected",
    type: "cumulative",
    exponent: 0,
    read: (control) => sum(control, ({ books }) => books.injected),
  },
  {
    name: "errors-fetched",
    type: "cumulative",
    exponent: 0,
    read: (control) => sum(control, ({ books }) => books.fetchedByGuest),
  },
  {
    name: "errors-unaccounted",
    type: "instant",
    exponent: 0,
    read: (control) => sum(control, ({ books }) => booksBalance(books)),
  },
  {
    name: "recoveries",
    type: "cumulative",
    exponent: 0,
    read: (control) => sum(control, ({ books }) => books.recoveries),
  },
  {
    name: "host-resets",
    type: "cumulative",
    exponent: 0,
    read: (control) => sum(control, ({ books }) => books.hostResets),
  },
];

const vcpuRows: readonly Row[] = [
  {
    name: "instructions",
    type: "cumulative",
    exponent: 0,
    read: (control) => control.instructions(),
  },
];

const rowsOf = (target: Target): readonly Row[] =>
  target === "vm" ? vmRows : target === "vcpu" ? vcpuRows : [];

export function statisticsSchema() {
  return (["vm", "vcpu"] as const).map((target) => ({
    provider: "zmend" as const,
    target,
    stats: rowsOf(target).map(({ name, type, unit, exponent }) => ({
      name,
      type,
      ...(unit === undefined ? {} : { unit, base: 10 }),
      exponent,
    })),
  }));
}

export function statistics(control: VmControl, target: Target) {
  const rows = rowsOf(target);
  if (rows.length === 0) return [];
  return [
    {
      provider: "zmend" as const,
      ...(target === "vcpu" ? { "qom-path": `${CPU_PATH}/device[0]` } : {}),
      stats: rows.map(({ name, read }) => ({ name, value: read(control) })),
    },
  ];
}
