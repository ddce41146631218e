/** What the program, its machine and its CPUs are. Source: qmp.md 6. */

import { VCPUS_MAX } from "../../../base/limits.ts";
import { cpuModels } from "../../../cpu/index.ts";
import { CpuModel, isCpuModelName } from "../../../cpu/model.ts";
import { command } from "../command.ts";
import { cpuFeatures } from "../cpu-features.ts";
import { QmpError } from "../errors.ts";
import { CPU_PATH, CPU_TYPE, MACHINE_TYPE, MACHINE_VERSIONED } from "../machine-type.ts";
import {
  any,
  arrayOf,
  bool,
  enumeration,
  int,
  optional,
  type Static,
  str,
  struct,
  union,
} from "../schema.ts";
import { protocolVersion } from "../version.ts";

const versionType = struct({
  qemu: struct({ major: int, minor: int, micro: int }),
  package: str,
});

const machineInfo = struct({
  name: str,
  alias: optional(str),
  "is-default": optional(bool),
  "cpu-max": int,
  "hotpluggable-cpus": bool,
  "numa-mem-supported": bool,
  deprecated: bool,
  "default-cpu-type": optional(str),
  "default-ram-id": optional(str),
  acpi: bool,
});

const cpuProps = struct({
  "core-id": optional(int),
  "socket-id": optional(int),
  "book-id": optional(int),
  "drawer-id": optional(int),
});

const cpuInfoS390 = struct({
  "cpu-state": enumeration(["uninitialized", "stopped", "check-stop", "operating", "load"]),
});
const cpuInfo = union(
  {
    "cpu-index": int,
    "qom-path": str,
    "qom-type": str,
    "thread-id": int,
    props: optional(cpuProps),
    target: enumeration(["s390x"]),
  },
  "target",
  { s390x: cpuInfoS390 },
);

/** An entry of query-qmp-schema: the schema's own type (qmp.md 5). */
const schemaInfo = union(
  {
    name: str,
    "meta-type": enumeration([
      "builtin",
      "enum",
      "array",
      "object",
      "alternate",
      "command",
      "event",
    ]),
    features: optional(arrayOf(str)),
  },
  "meta-type",
  {
    builtin: struct({
      "json-type": enumeration([
        "string",
        "number",
        "int",
        "boolean",
        "null",
        "object",
        "array",
        "value",
      ]),
    }),
    enum: struct({ members: arrayOf(struct({ name: str })), values: arrayOf(str) }),
    array: struct({ "element-type": str }),
    object: struct({
      members: arrayOf(struct({ name: str, type: str, default: optional(any) })),
      tag: optional(str),
      variants: optional(arrayOf(struct({ case: str, type: str }))),
    }),
    alternate: struct({ members: arrayOf(struct({ type: str })) }),
    command: struct({ "arg-type": str, "ret-type": str, "allow-oob": optional(bool) }),
    event: struct({ "arg-type": str }),
  },
);

const cpuModelInfo = struct({ name: str, props: optional(any) });

export const queryCommands = [
  command({
    name: "query-version",
    summary: "protocol version and package",
    returns: versionType,
    run: () => protocolVersion(),
  }),
  command({
    name: "query-commands",
    summary: "names of all commands",
    returns: arrayOf(struct({ name: str })),
    run: (_, { host }) => host.commands().map(({ name }) => ({ name })),
  }),
  command({
    name: "query-qmp-schema",
    summary: "types of all commands and events",
    returns: arrayOf(schemaInfo),
    // It is made once, as the text that is sent.
    run: (_, { host }) => host.schema() as unknown as readonly Static<typeof schemaInfo>[],
  }),
  command({
    name: "query-name",
    summary: "name of the guest",
    returns: struct({ name: optional(str) }),
    run: (_, { host }) => (host.control === undefined ? {} : { name: host.control.name }),
  }),
  command({
    name: "query-uuid",
    summary: "UUID of the guest",
    returns: struct({ UUID: str }),
    run: (_, { host }) => ({ UUID: host.uuid ?? "00000000-0000-0000-0000-000000000000" }),
  }),
  command({
    name: "query-target",
    summary: "architecture of the guest",
    returns: struct({ arch: enumeration(["s390x"]) }),
    run: () => ({ arch: "s390x" as const }),
  }),
  command({
    name: "query-kvm",
    summary: "whether KVM is used",
    returns: struct({ enabled: bool, present: bool }),
    run: () => ({ enabled: false, present: false }),
  }),
  command({
    name: "query-machines",
    summary: "machine types",
    arguments: struct({ "compat-props": optional(bool) }),
    returns: arrayOf(machineInfo),
    run: () => [
      {
        name: MACHINE_VERSIONED,
        alias: MACHINE_TYPE,
        "is-default": true,
        "cpu-max": VCPUS_MAX,
        "hotpluggable-cpus": false,
        "numa-mem-supported": false,
        deprecated: false,
        "default-cpu-type": CPU_TYPE,
        "default-ram-id": "s390.ram",
        acpi: false,
      },
      {
        name: "none",
        "cpu-max": 1,
        "hotpluggable-cpus": false,
        "numa-mem-supported": false,
        deprecated: false,
        "default-ram-id": "ram",
        acpi: false,
      },
    ],
  }),
  command({
    name: "query-current-machine",
    summary: "what the machine can do now",
    returns: struct({ "wakeup-suspend-support": bool }),
    run: () => ({ "wakeup-suspend-support": false }),
  }),
  command({
    name: "query-cpus-fast",
    summary: "the guest's CPUs",
    returns: arrayOf(cpuInfo),
    run: (_, { host }) => {
      const { control } = host;
      return (control?.vm.map.vcpuAreas ?? []).map((_area, index) => ({
        "cpu-index": index,
        "qom-path": `${CPU_PATH}/device[${index}]`,
        "qom-type": CPU_TYPE,
        // Threads of a Node process have no ids that another process could use.
        "thread-id": process.pid,
        props: { "core-id": index, "socket-id": 0, "book-id": 0, "drawer-id": 0 },
        target: "s390x" as const,
        "cpu-state":
          control?.runState() === "shutdown" ? ("stopped" as const) : ("operating" as const),
      }));
    },
  }),
  command({
    name: "query-hotpluggable-cpus",
    summary: "slots of CPUs",
    returns: arrayOf(
      struct({ type: str, "vcpus-count": int, props: cpuProps, "qom-path": optional(str) }),
    ),
    run: (_, { host }) =>
      (host.control?.vm.map.vcpuAreas ?? []).map((_area, index) => ({
        type: CPU_TYPE,
        "vcpus-count": 1,
        props: { "core-id": index },
        "qom-path": `${CPU_PATH}/device[${index}]`,
      })),
  }),
  command({
    name: "query-cpu-definitions",
    summary: "CPU models",
    returns: arrayOf(
      struct({
        name: str,
        typename: str,
        static: bool,
        "migration-safe": optional(bool),
        "unavailable-features": optional(arrayOf(str)),
        deprecated: bool,
      }),
    ),
    run: () =>
      [...Object.keys(cpuModels), "qemu"].map((name) => ({
        name,
        typename: `${name}-s390x-cpu`,
        static: false,
        "migration-safe": name !== "max" && name !== "qemu",
        "unavailable-features": [],
        deprecated: false,
      })),
  }),
  command({
    name: "query-cpu-model-expansion",
    summary: "the features of a CPU model",
    arguments: struct({ type: enumeration(["static", "full"]), model: cpuModelInfo }),
    returns: struct({ model: cpuModelInfo }),
    run: ({ model }) => {
      // `host` asks for the CPU below, which a guest of ours never sees: the emulated one is what there is.
      const name = model.name === "host" || model.name === "qemu" ? "zmend" : model.name;
      if (!isCpuModelName(name)) {
        throw new QmpError(`The CPU definition '${model.name}' is unknown.`);
      }
      return { model: { name, props: cpuFeatures(new CpuModel(name)) } };
    },
  }),
  command({
    name: "query-memory-size-summary",
    summary: "guest memory",
    returns: struct({ "base-memory": int, "plugged-memory": optional(int) }),
    run: (_, { host }) => ({ "base-memory": host.control?.spec.ramBytes ?? 0 }),
  }),
  command({
    name: "query-command-line-options",
    summary: "options of the program",
    arguments: struct({ option: optional(str) }),
    returns: arrayOf(
      struct({
        option: str,
        parameters: arrayOf(
          struct({
            name: str,
            type: enumeration(["string", "boolean", "number", "size"]),
            help: optional(str),
          }),
        ),
      }),
    ),
    run: ({ option }, { host }) => {
      const rows = host.commandLineOptions();
      if (option === undefined) return rows;
      const found = rows.filter((row) => row.option === option);
      if (found.length === 0) throw new QmpError(`invalid option name: ${option}`);
      return found;
    },
  }),
];
