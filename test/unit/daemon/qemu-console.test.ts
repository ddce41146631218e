import { describe, expect, it } from "vitest";
import { type ConsoleOptions, consolePlace } from "../../../src/daemon/qemu-console.ts";

function place(options: Partial<ConsoleOptions>): string {
  return consolePlace({ chardev: [], nodefaults: false, ...options });
}

describe("the console", () => {
  it.each([
    [{}, "escapes"],
    [{ nodefaults: true }, "none"],
    [{ serial: "mon:stdio", nodefaults: true }, "escapes"],
    [{ serial: "stdio" }, "plain"],
    [{ serial: "none" }, "none"],
    [{ serial: "null" }, "none"],
    [{ chardev: ["stdio,id=c0"], device: "c0" }, "plain"],
    [{ chardev: ["stdio,id=c0,mux=on,signal=off"], device: "c0" }, "escapes"],
    [{ chardev: ["null,id=c0"], device: "c0", serial: "none" }, "none"],
    [{ chardev: ["stdio,id=c0,mux=on"], serial: "chardev:c0" }, "escapes"],
    [{ device: "" }, "none"],
  ])("with %j is %s", (options, expected) => {
    expect(place(options)).toBe(expected);
  });

  it.each([
    [
      { serial: "tcp::4444" },
      "-serial tcp::4444: not supported; known: mon:stdio, stdio, none, null, chardev:ID",
    ],
    [
      { chardev: ["socket,id=c"] },
      "-chardev socket,id=c: backend=socket: not supported; known: stdio, null",
    ],
    [{ chardev: ["stdio"] }, "-chardev stdio: id= is missing"],
    [
      { chardev: ["stdio,id=a", "stdio,id=b"] },
      "-chardev stdio,id=b: cannot use stdio by multiple character devices",
    ],
    [
      { chardev: ["null,id=a", "null,id=a"] },
      "-chardev null,id=a: the id 'a' is already taken by another chardev",
    ],
    [
      { chardev: ["stdio,id=con"], device: "com" },
      "-device sclpconsole,chardev=com: no chardev has the id 'com' (did you mean 'con'?); known: con",
    ],
    [{ serial: "stdio", device: "a" }, "-serial stdio: -device sclpconsole is the console already"],
    [
      { chardev: ["null,id=a,mux=on"] },
      "-chardev null,id=a,mux=on: chardev 'null' has no property 'mux'; it has id",
    ],
  ])("with %j is refused", (options, message) => {
    expect(() => place(options)).toThrow(message);
  });
});
