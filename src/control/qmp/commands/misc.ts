/**
 * Character devices, statistics, the human monitor, and what management programs ask of every emulator, with true
 * answers for a machine that has no TPM, no migration and no I/O threads. Source: qmp.md 6 and 7.
 */
import { command, machineOf } from "../command.ts";
import { QmpError } from "../errors.ts";
import { arrayOf, bool, enumeration, int, number, optional, str, struct } from "../schema.ts";
import { statistics, statisticsSchema, statisticsTargets } from "../statistics.ts";

const ringFormat = enumeration(["utf8", "base64"]);
const migrationCapability = enumeration(["xbzrle", "events", "postcopy-ram"]);
const capabilityStatus = struct({ capability: migrationCapability, state: bool });
const statValue = struct({ name: str, value: number });

export const miscCommands = [
  command({
    name: "human-monitor-command",
    summary: "run a line of the human monitor",
    arguments: struct({ "command-line": str, "cpu-index": optional(int) }),
    returns: str,
    run: async (args, { host }) => {
      const cpus = host.control?.vm.map.vcpuAreas.length ?? 0;
      const index = args["cpu-index"];
      if (index !== undefined && (index < 0 || index >= cpus)) {
        throw new QmpError("Parameter 'cpu-index' expects a CPU number");
      }
      return host.monitor(args["command-line"], index ?? 0);
    },
  }),
  command({
    name: "query-chardev",
    summary: "character devices",
    returns: arrayOf(struct({ label: str, filename: str, "frontend-open": bool })),
    run: (_, { host }) =>
      host.chardevs.list().map((entry) => ({
        label: entry.label,
        filename: entry.filename(),
        "frontend-open": entry.frontendOpen(),
      })),
  }),
  command({
    name: "ringbuf-read",
    summary: "take text out of a ring buffer",
    arguments: struct({ device: str, size: int, format: optional(ringFormat) }),
    returns: str,
    run: ({ device, size, format = "utf8" }, { host }) => {
      const ring = host.chardevs.ring(device);
      if (size <= 0) throw new QmpError("size must be greater than zero");
      return ring.read(size).toString(format === "base64" ? "base64" : "utf8");
    },
  }),
  command({
    name: "ringbuf-write",
    summary: "put text into a ring buffer",
    arguments: struct({ device: str, data: str, format: optional(ringFormat) }),
    run: ({ device, data, format = "utf8" }, { host }) =>
      host.chardevs.ring(device).write(Buffer.from(data, format === "base64" ? "base64" : "utf8")),
  }),
  command({
    name: "query-stats-schemas",
    summary: "which statistics there are",
    arguments: struct({ provider: optional(enumeration(["zmend"])) }),
    returns: arrayOf(
      struct({
        provider: enumeration(["zmend"]),
        target: statisticsTargets,
        stats: arrayOf(
          struct({
            name: str,
            type: enumeration(["cumulative", "instant"]),
            unit: optional(enumeration(["seconds", "bytes"])),
            base: optional(int),
            exponent: int,
          }),
        ),
      }),
    ),
    run: () => statisticsSchema(),
  }),
  command({
    name: "query-stats",
    summary: "statistics of the VM or its CPUs",
    arguments: struct({ target: statisticsTargets }),
    returns: arrayOf(
      struct({
        provider: enumeration(["zmend"]),
        "qom-path": optional(str),
        stats: arrayOf(statValue),
      }),
    ),
    run: ({ target }, { host }) => statistics(machineOf(host), target),
  }),
  command({
    name: "query-yank",
    summary: "connections that can be cut",
    returns: arrayOf(struct({ type: str, id: optional(str) })),
    oob: true,
    run: () => [],
  }),
  command({
    name: "yank",
    summary: "cut connections",
    arguments: struct({ instances: arrayOf(struct({ type: str, id: optional(str) })) }),
    oob: true,
    run: ({ instances }) => {
      const first = instances[0];
      if (first === undefined) return;
      throw new QmpError(`Instance '${first.id ?? first.type}' not found`, "DeviceNotFound");
    },
  }),
  command({
    name: "query-iothreads",
    summary: "I/O threads",
    returns: arrayOf(struct({ id: str, "thread-id": int })),
    run: () => [],
  }),
  command({
    name: "query-tpm-models",
    summary: "models of a TPM",
    returns: arrayOf(enumeration([])),
    run: () => [],
  }),
  command({
    name: "query-tpm-types",
    summary: "backends of a TPM",
    returns: arrayOf(enumeration([])),
    run: () => [],
  }),
  command({
    name: "query-migrate-capabilities",
    summary: "capabilities of migration, all off",
    returns: arrayOf(capabilityStatus),
    run: () =>
      (["xbzrle", "events", "postcopy-ram"] as const).map((capability) => ({
        capability,
        state: false,
      })),
  }),
  command({
    name: "migrate-set-capabilities",
    summary: "switch capabilities of migration",
    arguments: struct({ capabilities: arrayOf(capabilityStatus) }),
    run: ({ capabilities }) => {
      // Management programs switch events on before every start; nothing else could be done with any.
      const wanted = capabilities.find(({ capability, state }) => state && capability !== "events");
      if (wanted !== undefined) {
        throw new QmpError(`This machine cannot be migrated: '${wanted.capability}' stays off`);
      }
    },
  }),
  command({
    name: "query-migrate",
    summary: "progress of a migration",
    returns: struct({ "blocked-reasons": optional(arrayOf(str)) }),
    run: () => ({ "blocked-reasons": ["zmend has no migration; x-zmend-save writes a snapshot"] }),
  }),
  command({
    name: "query-balloon",
    summary: "guest memory left by a balloon",
    returns: struct({ actual: int }),
    run: () => {
      throw new QmpError("No balloon device has been activated", "DeviceNotActive");
    },
  }),
];
