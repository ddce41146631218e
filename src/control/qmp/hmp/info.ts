/** `info …` of the human monitor: texts as QEMU prints them. Source: qmp.md 6; observed on QEMU 7.2 and 11.1. */
import { hex } from "../../../base/hex.ts";
import type { QmpHost } from "../command.ts";
import { modelOf } from "../commands/devices.ts";
import { pciClassNames, pciFacts } from "../devices.ts";
import { functionType } from "../qom.ts";
import { protocolVersion } from "../version.ts";
import { registers } from "./registers.ts";

export interface InfoRow {
  readonly name: string;
  readonly help: string;
  readonly run: (host: QmpHost, cpu: number) => string;
}

export const infoTable: readonly InfoRow[] = [
  { name: "status", help: "show the current VM status (running|paused)", run: status },
  { name: "version", help: "show the version", run: version },
  {
    name: "name",
    help: "show the current VM name",
    run: (host) => `${host.control?.name ?? ""}\n`,
  },
  { name: "uuid", help: "show the current VM UUID", run: uuid },
  { name: "kvm", help: "show KVM information", run: () => "kvm support: not compiled\n" },
  { name: "cpus", help: "show infos for each CPU", run: cpus },
  { name: "registers", help: "show the cpu registers", run: registers },
  { name: "pci", help: "show PCI info", run: pci },
  { name: "block", help: "show info of block devices", run: block },
  { name: "chardev", help: "show the character devices", run: chardev },
  { name: "qtree", help: "show device tree", run: qtree },
  { name: "mtree", help: "show memory tree", run: mtree },
  { name: "x-zmend-recovery", help: "show state and books of every function", run: recovery },
];

/** Run states as the monitor words them. */
function status(host: QmpHost): string {
  const state = host.control?.runState() ?? "prelaunch";
  if (state === "running" || state === "paused") return `VM status: ${state}\n`;
  return `VM status: paused (${state === "io-error" ? "internal-error" : state})\n`;
}

function version(): string {
  const { qemu, package: name } = protocolVersion();
  return `${qemu.major}.${qemu.minor}.${qemu.micro}${name}\n`;
}

function uuid(host: QmpHost): string {
  return `${host.uuid ?? "00000000-0000-0000-0000-000000000000"}\n`;
}

function cpus(host: QmpHost): string {
  const areas = host.control?.vm.map.vcpuAreas ?? [];
  return areas
    .map((_, index) => `${index === 0 ? "*" : " "} CPU #${index}: thread_id=${process.pid}\n`)
    .join("");
}

function pci(host: QmpHost): string {
  const { control } = host;
  if (control === undefined) return "PCI devices not supported\n";
  const text = control.functions().map((entry) => {
    const facts = pciFacts(control, entry);
    const name = pciClassNames[facts.classCode];
    const shown = name ?? `Class ${digits(facts.classCode)}`;
    const place = facts.barAddress === undefined ? "(not mapped)" : barRange(facts);
    return [
      `  Bus  0, device ${String(entry.index).padStart(3)}, function 0:`,
      `    ${shown}: PCI device ${digits(facts.vendor)}:${digits(facts.device)}`,
      `      PCI subsystem ${digits(facts.subsystemVendor)}:${digits(facts.subsystem)}`,
      `      BAR0: 64 bit memory ${place}`,
      `      id "${entry.id}"`,
      "",
    ].join("\n");
  });
  return text.join("");
}

function barRange(facts: { readonly barAddress: bigint | undefined; readonly barBytes: number }) {
  const from = facts.barAddress ?? 0n;
  return `at ${hex(from, 16)} [${hex(from + BigInt(facts.barBytes) - 1n, 16)}]`;
}

function digits(value: number): string {
  return value.toString(16).padStart(4, "0");
}

function block(host: QmpHost): string {
  return host
    .blocks()
    .map((node) => {
      const flags = node.readOnly ? " (raw, read-only)" : " (raw)";
      const attached =
        node.device === undefined
          ? ""
          : `    Attached to:      /machine/peripheral/${node.device}\n`;
      return `${node.id} (#${node.id}): ${node.file}${flags}\n${attached}`;
    })
    .join("\n");
}

function chardev(host: QmpHost): string {
  return host.chardevs
    .list()
    .map(({ label, filename }) => `${label}: filename=${filename()}\n`)
    .join("");
}

function qtree(host: QmpHost): string {
  if (host.control === undefined) return "";
  const zpci = host.devices
    .zpci()
    .map((entry) => [
      `      dev: zpci, id "${entry.id ?? ""}"`,
      `        uid = ${entry.uid} (${hex(entry.uid)})`,
      `        fid = ${entry.fid} (${hex(entry.fid)})`,
      `        target = "${entry.target}"`,
      "        interpret = false",
      "        forwarding-assist = false",
    ]);
  const functions = host.devices.functions().map((entry) => {
    const type = functionType(entry.device);
    const model = host.catalogue.models.some(({ name }) => name === type)
      ? modelOf(host, type)
      : undefined;
    return [
      `      dev: ${type}, id "${entry.id}"`,
      ...(model === undefined
        ? []
        : [`        addr = ${entry.index.toString(16).padStart(2, "0")}.0`]),
      `        x-zmend-state = "${entry.state}"`,
      `        x-zmend-guest-state = "${entry.guestState}"`,
      `        x-zmend-policy = "${entry.policy}"`,
    ];
  });
  return [
    "bus: main-system-bus",
    "  type System",
    '  dev: s390-pcihost, id ""',
    "    bus: s390-pcibus.0",
    "      type s390-pcibus",
    ...zpci.flat(),
    "    bus: pci.0",
    "      type PCI",
    ...functions.flat(),
    '  dev: s390-sclp-event-facility, id ""',
    "    bus: s390-sclp-events-bus.0",
    "      type s390-sclp-events-bus",
    '      dev: sclpconsole, id ""',
    '      dev: sclpquiesce, id ""',
    "",
  ].join("\n");
}

function mtree(host: QmpHost): string {
  const bytes = host.control?.spec.ramBytes ?? 0;
  const last = hex(BigInt(Math.max(0, bytes - 1)), 16).slice(2);
  return [
    "address-space: memory",
    "  0000000000000000-ffffffffffffffff (prio 0, i/o): system",
    `    0000000000000000-${last} (prio 0, ram): s390.ram`,
    "",
  ].join("\n");
}

function recovery(host: QmpHost): string {
  return host.devices
    .functions()
    .map(({ id, fid, state, policy, books }) => {
      const lost = Object.values(books.notDelivered).reduce((sum, count) => sum + count, 0);
      return (
        `${id}: fid=${hex(fid)} state=${state} policy=${policy} raised=${books.errorsRaised}` +
        ` injected=${books.injected} fetched=${books.fetchedByGuest} not-delivered=${lost}` +
        ` recoveries=${books.recoveries}\n`
      );
    })
    .join("");
}
