import { PassThrough } from "node:stream";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ConsoleKeys, keyHelp } from "../../../src/daemon/console-keys.ts";
import { GuestConsole } from "../../../src/daemon/guest-console.ts";

const CTRL_A = "\x01";

function feed(keys: ConsoleKeys, text: string): [string, readonly string[]] {
  const pieces = keys.feed(Buffer.from(text, "latin1"));
  const input = pieces.flatMap((piece) => ("input" in piece ? [...piece.input] : []));
  const actions = pieces.flatMap((piece) => ("action" in piece ? [piece.action] : []));
  return [Buffer.from(input).toString("latin1"), actions];
}

describe("Ctrl-A h", () => {
  it("promises what the keys do here: no monitor where there is none, no end of a guest that goes on", () => {
    const attached = keyHelp("leave; the guest goes on", false);
    expect(attached).toContain("Ctrl-A x    leave; the guest goes on\r\n");
    expect(attached).not.toContain("Ctrl-A c");
    expect(keyHelp("end", true)).toContain("Ctrl-A c    change between console and monitor\r\n");
  });
});

describe("Ctrl-A", () => {
  it.each([
    ["ls\n", "ls\n", []],
    [`a${CTRL_A}xb`, "ab", ["exit"]],
    [`${CTRL_A}h${CTRL_A}?`, "", ["help", "help"]],
    [`a${CTRL_A}cb`, "ab", ["switch"]],
    [`${CTRL_A}${CTRL_A}c`, `${CTRL_A}c`, []],
    [`${CTRL_A}qx`, "x", []],
  ])("%j sends %j to the guest and does %j", (typed, input, actions) => {
    expect(feed(new ConsoleKeys(), typed)).toEqual([input, actions]);
  });

  it("and its letter may come in two pieces", () => {
    const keys = new ConsoleKeys();
    expect(feed(keys, `a${CTRL_A}`)).toEqual(["a", []]);
    expect(feed(keys, "xy")).toEqual(["y", ["exit"]]);
  });
});

/** A standard input of the test's own: a pipe, or a terminal that records its mode. */
function input(terminal: boolean): { stream: NodeJS.ReadStream; modes: boolean[] } {
  const modes: boolean[] = [];
  const stream = Object.assign(new PassThrough(), {
    isTTY: terminal,
    setRawMode: (raw: boolean) => modes.push(raw),
  });
  return { stream: stream as unknown as NodeJS.ReadStream, modes };
}

const all = (bytes: Uint8Array): number => bytes.length;

async function type(stream: NodeJS.ReadStream, text: string): Promise<void> {
  (stream as unknown as PassThrough).write(text);
  await new Promise((resolve) => setImmediate(resolve));
}

describe("the guest's console", () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it("keeps what the guest has no room for, in order", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const { stream } = input(false);
    const got: string[] = [];
    const push = (bytes: Uint8Array): number => {
      const taken = bytes.subarray(0, 2);
      got.push(Buffer.from(taken).toString());
      return taken.length;
    };
    const guest = new GuestConsole(stream, { escapes: true, onExit: () => {}, push });
    await type(stream, "hello");
    expect(got).toEqual(["he"]);
    await vi.runAllTimersAsync();
    expect(got).toEqual(["he", "ll", "o"]);
    guest.close();
  });

  it("stops reading while too much waits, and goes on when the guest has taken it", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const { stream } = input(false);
    let room = 0;
    const push = (bytes: Uint8Array): number => Math.min(room, bytes.length);
    const guest = new GuestConsole(stream, { escapes: false, onExit: () => {}, push });
    await type(stream, "x".repeat(5000));
    expect(stream.isPaused()).toBe(true);
    room = 5000;
    await vi.runAllTimersAsync();
    expect(stream.isPaused()).toBe(false);
    guest.close();
  });

  it("goes to the monitor after Ctrl-A c, opened once, and back after the next", async () => {
    const { stream } = input(false);
    const guest: string[] = [];
    const monitor: string[] = [];
    let opened = 0;
    const push = (bytes: Uint8Array): number => {
      guest.push(Buffer.from(bytes).toString());
      return bytes.length;
    };
    const console_ = new GuestConsole(stream, {
      escapes: true,
      onExit: () => {},
      push,
      monitor: () => {
        opened += 1;
        return (bytes) => monitor.push(Buffer.from(bytes).toString());
      },
    });
    await type(stream, `ls${CTRL_A}cstop${CTRL_A}cdf${CTRL_A}ccont`);
    expect([guest, monitor, opened]).toEqual([["ls", "df"], ["stop", "cont"], 1]);
    console_.close();
  });

  it("puts a terminal into raw mode and back", () => {
    const { stream, modes } = input(true);
    new GuestConsole(stream, { escapes: true, onExit: () => {}, push: all }).close();
    expect(modes).toEqual([true, false]);
  });

  it.each([
    [true, true, "\x03", false],
    [false, true, "\x03", true],
    [false, false, "\x03", false],
    [true, false, "\x01x", true],
    [false, false, "\x01x", false],
  ])(
    "with escapes %j on a terminal %j, %j ends the guest: %j",
    async (escapes, terminal, typed, ends) => {
      const { stream } = input(terminal);
      let ended = false;
      const onExit = (): void => {
        ended = true;
      };
      const guest = new GuestConsole(stream, { escapes, onExit, push: all });
      await type(stream, typed);
      expect(ended).toBe(ends);
      guest.close();
    },
  );
});
