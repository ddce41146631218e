/** Types of the schema: what they refuse, in QEMU's words, and what query-qmp-schema makes of them. qmp.md 3 and 5. */
import { describe, expect, it } from "vitest";
import { commandTable } from "../../../../src/control/qmp/commands/index.ts";
import { eventTable } from "../../../../src/control/qmp/event-table.ts";
import { qmpSchema } from "../../../../src/control/qmp/introspection.ts";
import {
  alternate,
  arrayOf,
  bool,
  enumeration,
  int,
  intRange,
  optional,
  str,
  struct,
} from "../../../../src/control/qmp/schema.ts";

describe("checking arguments", () => {
  const type = struct({
    name: str,
    count: optional(int),
    mode: optional(enumeration(["utf8", "base64"])),
    list: optional(arrayOf(struct({ on: bool }))),
    either: optional(alternate([int, str])),
    small: optional(intRange(1, 9)),
  });

  it.each([
    [{}, "Parameter 'name' is missing"],
    [{ name: 1 }, "Invalid parameter type for 'name', expected: string"],
    [{ name: "x", count: "1" }, "Invalid parameter type for 'count', expected: integer"],
    [{ name: "x", count: 1.5 }, "Invalid parameter type for 'count', expected: integer"],
    [{ name: "x", more: 1 }, "Parameter 'more' is unexpected"],
    [{ name: "x", mode: "utf9" }, "Parameter 'mode' does not accept value 'utf9'"],
    [{ name: "x", list: [{}] }, "Parameter 'list[0].on' is missing"],
    [{ name: "x", list: {} }, "Invalid parameter type for 'list', expected: array"],
    [
      { name: "x", either: true },
      "Invalid parameter type for 'either', expected: integer or string",
    ],
    [{ name: "x", small: 10 }, "Parameter 'small' expects an integer from 1 to 9"],
  ])("refuses %j", (value, message) => {
    expect(() => type.check(value, "")).toThrow(message);
  });

  it("takes what is described, and nothing from the prototype", () => {
    expect(type.check({ name: "x", either: "0x1", list: [{ on: true }] }, "")).toEqual({
      name: "x",
      either: "0x1",
      list: [{ on: true }],
    });
    expect(() => struct({ toString: str }).check({}, "")).toThrow(
      "Parameter 'toString' is missing",
    );
  });
});

describe("query-qmp-schema", () => {
  const entries = qmpSchema(commandTable, eventTable);
  const byName = new Map(entries.map((entry) => [String(entry["name"]), entry]));

  it("has unique names, numbers for types, and no reference that leads nowhere", () => {
    expect(byName.size).toBe(entries.length);
    const references: string[] = [];
    const collect = (value: unknown, key: string): void => {
      if (Array.isArray(value)) for (const item of value) collect(item, key);
      else if (typeof value === "object" && value !== null) {
        for (const [name, item] of Object.entries(value)) collect(item, name);
      } else if (/^(arg-type|ret-type|element-type|type)$/.test(key))
        references.push(String(value));
    };
    collect(entries, "");
    expect(references.filter((name) => !byName.has(name))).toEqual([]);
    const typed = entries.filter((entry) =>
      /^(enum|object|alternate)$/.test(String(entry["meta-type"])),
    );
    expect(typed.filter((entry) => !/^\d+$/.test(String(entry["name"])))).toEqual([]);
    expect(typed.length).toBeGreaterThan(50);
  });

  it("is true to the type that it has in itself", () => {
    const row = commandTable.find(({ name }) => name === "query-qmp-schema");
    expect(row?.returns.check(JSON.parse(JSON.stringify(entries)), "")).toHaveLength(
      entries.length,
    );
  });

  it("describes every command and event of the tables, with one type for no arguments", () => {
    const named = (meta: string): string[] =>
      entries.filter((entry) => entry["meta-type"] === meta).map((entry) => String(entry["name"]));
    expect(named("command")).toEqual(commandTable.map(({ name }) => name));
    expect(named("event")).toEqual(eventTable.map(({ name }) => name));
    expect(byName.get("stop")?.["arg-type"]).toBe(byName.get("cont")?.["arg-type"]);
    expect(byName.get("stop")?.["ret-type"]).toBe(byName.get("STOP")?.["arg-type"]);
    expect(byName.get("device_del")).toMatchObject({ "meta-type": "command" });
    expect(byName.get("yank")).toMatchObject({ "allow-oob": true });
    expect(byName.get("int")).toEqual({ name: "int", "meta-type": "builtin", "json-type": "int" });
  });

  it("has the commands and events that management programs look for (qmp.md 4, 6 and 7)", () => {
    const wanted = `qmp_capabilities query-version query-commands query-status stop cont quit system_reset
      system_powerdown query-name query-uuid query-target query-kvm query-machines query-current-machine
      query-cpus-fast query-pci query-chardev device_add device_del device-list-properties qom-list qom-get
      qom-set qom-list-types human-monitor-command ringbuf-read ringbuf-write query-yank yank query-stats
      query-stats-schemas inject-nmi watchdog-set-action query-qmp-schema qom-list-properties query-cpu-definitions query-tpm-models
      query-tpm-types query-command-line-options query-migrate-capabilities query-cpu-model-expansion
      migrate-set-capabilities query-hotpluggable-cpus query-iothreads query-named-block-nodes query-block
      x-zmend-inject-error x-zmend-query-recovery x-zmend-set-policy x-zmend-query-faults x-zmend-trace
      STOP RESUME RESET SHUTDOWN POWERDOWN GUEST_PANICKED DEVICE_DELETED DEVICE_UNPLUG_GUEST_ERROR
      WATCHDOG X_ZMEND_ERROR X_ZMEND_RECOVERY`;
    expect(wanted.split(/\s+/).filter((name) => !byName.has(name))).toEqual([]);
    expect(byName.has("query-events")).toBe(false);
    // Nothing here could send them (event-table.ts).
    expect(["MEMORY_FAILURE", "VFU_CLIENT_HANGUP"].filter((name) => byName.has(name))).toEqual([]);
  });
});
