/** The protocol on a socket, without a machine (-machine none): qmp.md 1 to 3, and clients that mean harm. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  Chardevs,
  createQmpServer,
  type QmpServer,
  RingBuffer,
} from "../../../../src/control/qmp/index.ts";
import { OUTPUT_MAX_BYTES } from "../../../../src/control/qmp/session.ts";
import type { LedgerEntry } from "../../../../src/machine/ledger-entry.ts";
import { FakeControl, fakeSpec } from "../../../support/fake-control.ts";
import { QmpClient } from "../../../support/qmp-client.ts";

let folder: string;
let path: string;
let server: QmpServer;
let ring: RingBuffer;
const others: QmpServer[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "zmend-qmp-"));
  path = join(folder, "qmp.sock");
  ring = new RingBuffer(16);
  const chardevs = new Chardevs();
  chardevs.add({ label: "r0", filename: () => "ringbuf", frontendOpen: () => true, ring });
  server = createQmpServer(undefined, { chardevs });
  await server.listen({ path });
});
afterEach(async () => {
  await Promise.all([server, ...others.splice(0)].map((one) => one.close()));
  rmSync(folder, { recursive: true });
});

describe("a connection", () => {
  it("begins with the greeting: version, package and the capability oob", async () => {
    const client = await QmpClient.connect(path);
    const { QMP } = await client.until(() => true);
    expect(QMP).toMatchObject({
      version: {
        qemu: { major: 11, minor: 1, micro: 3 },
        package: expect.stringMatching(/^zmend-/),
      },
      capabilities: ["oob"],
    });
  });

  it("only negotiates first, and negotiates once", async () => {
    const client = await QmpClient.connect(path);
    expect(await client.refused("query-status")).toEqual({
      class: "CommandNotFound",
      desc: "Expecting capabilities negotiation with 'qmp_capabilities'",
    });
    expect(await client.refused("qmp_capabilities", { enable: ["speed"] })).toEqual({
      class: "GenericError",
      desc: "Parameter 'enable[0]' does not accept value 'speed'",
    });
    await client.execute("qmp_capabilities");
    expect(await client.refused("qmp_capabilities")).toEqual({
      class: "CommandNotFound",
      desc: "Capabilities negotiation is already complete, command ignored",
    });
  });

  it.each([
    ['{"execute":"nope","id":1}', "CommandNotFound", "The command nope has not been found", 1],
    [
      '{"execute":"stop","argumnts":{},"id":"a"}',
      "GenericError",
      "QMP input member 'argumnts' is unexpected",
      "a",
    ],
    ['{"execute":7,"id":2}', "GenericError", "QMP input member 'execute' must be a string", 2],
    [
      '{"execute":"stop","arguments":[],"id":3}',
      "GenericError",
      "QMP input member 'arguments' must be an object",
      3,
    ],
    ['{"id":4}', "GenericError", "QMP input lacks member 'execute'", 4],
    ["[1]", "GenericError", "QMP input must be a JSON object", undefined],
    ["12 ", "GenericError", "QMP input must be a JSON object", undefined],
    [
      '{"execute":"exec","exec-oob":"x"}',
      "GenericError",
      "QMP input member 'exec-oob' is unexpected",
      undefined,
    ],
    ['{"execute":"device_del","id":5}', "GenericError", "Parameter 'id' is missing", 5],
    [
      '{"execute":"stop","arguments":{"x":1},"id":6}',
      "GenericError",
      "Parameter 'x' is unexpected",
      6,
    ],
    [
      '{"execute":"query-command-line-options","arguments":{"option":1},"id":7}',
      "GenericError",
      "Invalid parameter type for 'option', expected: string",
      7,
    ],
    [
      '{"execute":"device-list-properties","arguments":{"typename":"x"},"id":8}',
      "DeviceNotFound",
      "Device 'x' not found",
      8,
    ],
    [
      '{"execute":"qom-get","arguments":{"path":"/machine/nope","property":"x"},"id":9}',
      "DeviceNotFound",
      "Device '/machine/nope' not found",
      9,
    ],
  ])("answers %s as QEMU does", async (line, errorClass, desc, id) => {
    const client = await QmpClient.ready(path);
    const at = client.messages.length;
    client.send(line);
    const answer = await client.until(() => true, at);
    expect(answer).toEqual({
      error: { class: errorClass, desc },
      ...(id === undefined ? {} : { id }),
    });
  });

  it("gives an id back as it was sent, after a result and before an error, line by line with CR LF", async () => {
    const client = await QmpClient.ready(path);
    client.send(`{"execute":"query-target","id":{"n":[1.0,18446744073709551615,"\u00e9"]}}`);
    client.send(`{"execute":"nope","id":1.50}`);
    await client.until(({ error }) => error !== undefined);
    expect(client.lines.slice(-2)).toEqual([
      '{"return": {"arch": "s390x"}, "id": {"n": [1.0, 18446744073709551615, "\\u00e9"]}}',
      '{"id": 1.50, "error": {"class": "CommandNotFound", "desc": "The command nope has not been found"}}',
    ]);
  });

  it("takes out-of-band commands from a client that asked for them, and from no other", async () => {
    const client = await QmpClient.connect(path);
    await client.execute("qmp_capabilities", { enable: ["oob"] });
    client.send('{"exec-oob":"query-yank","id":1}{"exec-oob":"stop","id":2}');
    client.send('{"exec-oob":"stop","execute":"stop","id":3}');
    expect((await client.reply(1)).return).toEqual([]);
    expect((await client.reply(2)).error?.desc).toBe("The command stop does not support OOB");
    expect((await client.reply(3)).error?.desc).toBe(
      "QMP input member 'execute' clashes with 'exec-oob'",
    );
  });

  it("answers a control character with an error and starts clean", async () => {
    const client = await QmpClient.ready(path);
    client.send('{"execute":"quer');
    client.send(new Uint8Array([1]));
    expect((await client.until(({ error }) => error !== undefined)).error).toMatchObject({
      class: "GenericError",
      desc: expect.stringMatching(/^\d+:\d+: JSON parse error, stray '\\x01'$/),
    });
    expect(await client.execute("query-kvm")).toEqual({ enabled: false, present: false });
  });

  it("answers what was sent before the client shut its side down", async () => {
    const client = await QmpClient.ready(path);
    const slow =
      '{"execute":"human-monitor-command","arguments":{"command-line":"info kvm"},"id":1}';
    client.socket.end(`${slow}{"execute":"stop","id":2}{"execute":"query-kvm","id":3}`);
    await client.reply(3);
    await client.ended();
  });

  it("has no machine to command here, and says so", async () => {
    const client = await QmpClient.ready(path);
    expect((await client.refused("cont")).desc).toMatch(/no machine \(-machine none\)/);
    expect(await client.execute("query-cpus-fast")).toEqual([]);
    expect(await client.execute("query-status")).toEqual({ status: "prelaunch", running: false });
  });
});

describe("the commands", () => {
  it("are those of query-commands, query-qmp-schema and their answers true to their types", async () => {
    const client = await QmpClient.ready(path);
    const commands = (await client.execute("query-commands")) as { name: string }[];
    const schema = (await client.execute("query-qmp-schema")) as Record<string, string>[];
    const described = schema.filter((entry) => entry["meta-type"] === "command");
    expect(commands.map(({ name }) => name).sort()).toEqual(
      described.map(({ name }) => name).sort(),
    );
    const empty = described.find(({ name }) => name === "stop")?.["arg-type"];
    const rows = new Map(server.host.commands().map((row) => [row.name, row]));
    const plain = described.filter(
      (entry) => entry["arg-type"] === empty && /^query-/.test(entry["name"] ?? ""),
    );
    expect(plain.length).toBeGreaterThan(20);
    for (const { name = "" } of plain) {
      const { return: value } = await client.call(name);
      if (value !== undefined) rows.get(name)?.returns.check(value, name);
    }
  });

  it("read and write ring buffers, which keep their last bytes", async () => {
    const client = await QmpClient.ready(path);
    await client.execute("ringbuf-write", { device: "r0", data: "0123456789abcdefXYZ" });
    expect(await client.execute("ringbuf-read", { device: "r0", size: 4 })).toBe("3456");
    await client.execute("ringbuf-write", { device: "r0", data: "AAE=", format: "base64" });
    const rest = await client.execute("ringbuf-read", { device: "r0", size: 99, format: "base64" });
    expect(Buffer.from(String(rest), "base64").toString("latin1")).toBe("789abcdefXYZ\u0000\u0001");
    expect(await client.refused("ringbuf-read", { device: "x", size: 1 })).toEqual({
      class: "GenericError",
      desc: "Device 'x' not found",
    });
  });

  it("list types by what they implement, and a model's properties with their defaults", async () => {
    const client = await QmpClient.ready(path);
    const pci = await client.execute("qom-list-types", { implements: "pci-device" });
    expect(pci).toContainEqual({ name: "nvme", parent: "pci-device" });
    expect(pci).not.toContainEqual(expect.objectContaining({ name: "zpci" }));
    const zpci = await client.execute("device-list-properties", { typename: "zpci" });
    expect(zpci).toContainEqual(
      expect.objectContaining({ name: "uid", type: "uint16", "default-value": 0 }),
    );
  });

  it("tell an abstract type and a class that is not there apart from a device", async () => {
    const client = await QmpClient.ready(path);
    expect(await client.refused("device-list-properties", { typename: "device" })).toEqual({
      class: "GenericError",
      desc: "Parameter 'typename' expects a non-abstract device type",
    });
    expect(await client.refused("qom-list-properties", { typename: "nope" })).toEqual({
      class: "DeviceNotFound",
      desc: "Class 'nope' not found",
    });
  });

  it("run the human monitor, where an unknown command is text", async () => {
    const client = await QmpClient.ready(path);
    const hmp = (line: string): Promise<unknown> =>
      client.execute("human-monitor-command", { "command-line": line });
    expect(await hmp("info status")).toBe("VM status: paused (prelaunch)\r\n");
    expect(await hmp("bogus 1")).toBe("unknown command: 'bogus'\r\n");
    expect(await hmp("info bogus")).toBe("unknown command: 'info bogus'\r\n");
    expect(await hmp("help cont")).toBe("cont|c  -- resume emulation\r\n");
    expect(await hmp("info kvm")).toBe("kvm support: not compiled\r\n");
  });
});

describe("events", () => {
  it("reach every client that has negotiated, with a wall-clock time, and no other", async () => {
    const [first, second, silent] = [
      await QmpClient.ready(path),
      await QmpClient.ready(path),
      await QmpClient.connect(path),
    ];
    server.host.emit("STOP");
    for (const client of [first, second]) {
      const event = await client.event("STOP");
      expect(event).toMatchObject({
        timestamp: { seconds: expect.any(Number), microseconds: expect.any(Number) },
      });
      expect(event).not.toHaveProperty("data");
    }
    await silent.execute("qmp_capabilities");
    expect(silent.events("STOP")).toEqual([]);
  });

  it("of a kind with a rate come at once, then the last of the burst late", async () => {
    const client = await QmpClient.ready(path);
    for (const action of ["reset", "pause", "poweroff"]) server.host.emit("WATCHDOG", { action });
    const at = client.messages.length;
    expect((await client.event("WATCHDOG")).data).toEqual({ action: "reset" });
    expect((await client.event("WATCHDOG", at + 1)).data).toEqual({ action: "poweroff" });
  });

  it("cost nothing while nobody listens", () => {
    const lonely = createQmpServer(undefined);
    // Not even the check of what they say, nor its making.
    expect(() => lonely.host.emit("RESET", { guest: "yes", reason: "none" })).not.toThrow();
    const made = vi.fn(() => ({ guest: true, reason: "guest-reset" }));
    lonely.host.emit("RESET", made);
    expect(made).not.toHaveBeenCalled();
    return lonely.close();
  });

  it("of one turn come in one piece, in their order and before what is answered later", async () => {
    const pieces: string[][] = [];
    const output = new Writable({
      write: (chunk, _, done) => {
        pieces.push([String(chunk)]);
        done();
      },
      writev: (chunks, done) => {
        pieces.push(chunks.map(({ chunk }) => String(chunk)));
        done();
      },
    });
    const input = new PassThrough();
    server.attach(input, output);
    input.write('{"execute":"qmp_capabilities"}');
    await vi.waitFor(() => expect(pieces).toHaveLength(2));
    for (const id of ["a", "b", "c"]) server.host.emit("DEVICE_UNPLUG_GUEST_ERROR", { path: id });
    input.write('{"execute":"query-name","id":7}');
    await vi.waitFor(() => expect(pieces.flat()).toHaveLength(6));
    const lines = pieces.flat().map((line) => JSON.parse(line));
    expect(lines.slice(2).map(({ data, id }) => data?.path ?? id)).toEqual(["a", "b", "c", 7]);
    expect(pieces[2]?.length).toBeGreaterThanOrEqual(3);
    server.host.emit("DEVICE_UNPLUG_GUEST_ERROR", { path: "d" });
    await vi.waitFor(() => expect(pieces.flat()).toHaveLength(7));
  });

  it("carry data that is made when it is told, with the function's name in the VM", async () => {
    const fake = new FakeControl({ ...fakeSpec("vm", 2), functionIds: ["disk0"] });
    const own = createQmpServer(fake.control);
    others.push(own);
    const at = join(folder, "machine.sock");
    await own.listen({ path: at });
    const client = await QmpClient.ready(at);
    for (const fid of [1, 2, 3]) {
      const detail = { pec: 0x3a, disposition: "stored" };
      const entry = { seq: fid, timeUs: 7, actor: "platform", kind: "error-raised", fid, detail };
      fake.emit({ type: "entry", entry: entry as LedgerEntry });
    }
    await client.until(() => client.events("X_ZMEND_ERROR").length === 3);
    expect(client.events("X_ZMEND_ERROR").map(({ data }) => data?.["id"])).toEqual([
      "disk0",
      "fn-00000002",
      "fn-00000003",
    ]);
  });

  it("must be true to their row", async () => {
    await QmpClient.ready(path);
    expect(() => server.host.emit("RESET", { guest: "yes", reason: "none" })).toThrow(/guest/);
  });

  it("tell of a shutdown once, until the machine is reset", async () => {
    const client = await QmpClient.ready(path);
    server.shutdown("host-signal");
    server.shutdown("guest-panic");
    server.host.emit("RESET", { guest: false, reason: "host-qmp-system-reset" });
    server.shutdown("guest-shutdown");
    await client.event("RESET");
    await client.until(({ data }) => data?.["reason"] === "guest-shutdown");
    expect(client.events("SHUTDOWN").map(({ data }) => data)).toEqual([
      { guest: false, reason: "host-signal" },
      { guest: true, reason: "guest-shutdown" },
    ]);
  });
});

describe("the socket", () => {
  const another = async (where: string): Promise<QmpServer> => {
    const one = createQmpServer(undefined);
    others.push(one);
    await one.listen({ path: where });
    return one;
  };

  it("is its owner's alone, and goes with the server", async () => {
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await server.close();
    expect(statSync(path, { throwIfNoEntry: false })).toBeUndefined();
  });

  it("is refused where somebody listens, where a file stands and where the path is too long", async () => {
    await expect(another(path)).rejects.toThrow(/Socket .* is in use by another process; /);
    const file = join(folder, "notes.txt");
    writeFileSync(file, "keep me");
    await expect(another(file)).rejects.toThrow(
      /notes\.txt is taken by something that is no socket; /,
    );
    await expect(another(join(folder, "x".repeat(120)))).rejects.toThrow(
      /a Unix socket's may have 107; /,
    );
    await expect(another(join(folder, "none", "s"))).rejects.toThrow(
      /Socket .* cannot be made \((EACCES|ENOENT)\); check the folder's existence/,
    );
  });
});

describe("under abuse", () => {
  /** Others are served as if nothing had happened. */
  async function alive(): Promise<void> {
    const client = await QmpClient.ready(path);
    expect(await client.execute("query-target")).toEqual({ arch: "s390x" });
    client.socket.destroy();
  }

  it("half a line and a closed connection hurt nobody", async () => {
    const client = await QmpClient.ready(path);
    client.send('{"execute":"query-st');
    client.socket.destroy();
    await alive();
  });

  it("a command of 1 MiB in one line is answered", async () => {
    const client = await QmpClient.ready(path);
    const id = "i".repeat(1024 * 1024);
    client.send(`{"execute":"query-target","id":"${id}"}`);
    expect((await client.until(({ id: back }) => back === id)).return).toEqual({ arch: "s390x" });
  });

  it("JSON a million deep and wrong UTF-8 cost one error each", async () => {
    const client = await QmpClient.ready(path);
    const at = client.messages.length;
    client.send(`${"[".repeat(1_000_000)}${"]".repeat(1_000_000)}`);
    client.send(
      Buffer.concat([Buffer.from('{"execute":"'), Buffer.from([0xff, 0xc0]), Buffer.from('"}')]),
    );
    client.send('{"execute":"query-target","id":1}');
    await client.reply(1);
    const errors = client.messages.slice(at).filter(({ error }) => error !== undefined);
    expect(errors[0]?.error?.desc).toMatch(/nesting depth limit exceeded$/);
    await alive();
  });

  it("200 connections at once are all greeted, and one more is served", async () => {
    const sockets = Array.from({ length: 200 }, () => QmpClient.connect(path));
    const clients = await Promise.all(sockets);
    await Promise.all(clients.map((client) => client.until(({ QMP }) => QMP !== undefined)));
    await alive();
    for (const client of clients) client.socket.destroy();
  });

  it("a client that asks and never reads is not answered without end, and others are served", async () => {
    const socket = connect({ path });
    await new Promise((resolve) => socket.once("connect", resolve));
    socket.pause();
    socket.write('{"execute":"qmp_capabilities"}');
    let written = 0;
    const line = '{"execute":"query-qmp-schema"}\n'.repeat(100);
    while (written < 200 && socket.write(line)) written += 1;
    await alive();
    // What it is owed would be some hundred megabytes; only what fits is made.
    expect(process.memoryUsage().rss).toBeLessThan(2 ** 31);
    socket.destroy();
  });

  it("a client that leaves events unread is cut off at the limit", async () => {
    const client = await QmpClient.ready(path);
    const reader = await QmpClient.ready(path);
    client.socket.pause();
    const data = {
      id: "x".repeat(64 * 1024),
      fid: 1,
      pec: 0x3a,
      disposition: "stored",
      "time-us": 0,
    };
    const count = Math.ceil((2 * OUTPUT_MAX_BYTES) / data.id.length);
    for (let n = 0; n < count; n++) {
      server.host.emit("X_ZMEND_ERROR", data);
      await reader.until(() => reader.events("X_ZMEND_ERROR").length > n);
    }
    client.socket.resume();
    await client.ended();
    expect(client.events("X_ZMEND_ERROR").length).toBeLessThan(count);
    expect(reader.events("X_ZMEND_ERROR")).toHaveLength(count);
  });

  it("random bytes between commands, cut anywhere: every command is answered once, by its id", async () => {
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc
        .constantFrom(
          "{",
          "}",
          "[",
          '"',
          "'",
          '{"a":',
          "nul",
          "\\",
          "\u0000",
          "-",
          '{"execute":"stop"',
        )
        .map((text) => new TextEncoder().encode(text)),
    );
    const commands = ["query-target", "query-kvm", "nope", "query-version", "query-yank", "stop"];
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ noise, name: fc.constantFrom(...commands) }), { maxLength: 12 }),
        fc.array(fc.nat({ max: 4096 }), { maxLength: 6 }),
        async (steps, cuts) => {
          const client = await QmpClient.ready(path);
          // 0x01 makes the reader start clean, whatever stood before it.
          const parts = steps.flatMap(({ noise: bytes, name }, index) => [
            bytes,
            new Uint8Array([1]),
            Buffer.from(`{"execute":"${name}","id":"c${index}"}`),
          ]);
          const all = Buffer.concat([
            ...parts,
            Buffer.from('\u0001{"execute":"query-name","id":"end"}'),
          ]);
          const places = [
            0,
            ...cuts.map((cut) => cut % all.length).sort((a, b) => a - b),
            all.length,
          ];
          for (let n = 1; n < places.length; n++) {
            client.send(all.subarray(places[n - 1], places[n]));
            await new Promise((resolve) => setImmediate(resolve));
          }
          await client.reply("end");
          const ids = client.messages.map(({ id }) => id).filter((id) => /^c\d+$/.test(String(id)));
          expect(ids).toEqual(steps.map((_, index) => `c${index}`));
          client.socket.destroy();
        },
      ),
      { numRuns: 60 },
    );
    await alive();
  });
});
