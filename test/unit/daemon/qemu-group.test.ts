import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ZmendError } from "../../../src/base/errors.ts";
import { GroupReader, parseGroup } from "../../../src/daemon/qemu-group.ts";

describe("a group of QEMU's options", () => {
  it.each([
    ["nvme,serial=a,drive=d0", { driver: "nvme", serial: "a", drive: "d0" }],
    ["driver=nvme,serial=a=b", { driver: "nvme", serial: "a=b" }],
    ["stdio,mux,id=c", { driver: "stdio", mux: "on", id: "c" }],
    ["file,filename=a,,b,read-only=on", { driver: "file", filename: "a,b", "read-only": "on" }],
    [
      '{"driver":"nvme","serial":"a","x":{"y":1,"z":true}}',
      { driver: "nvme", serial: "a", "x.y": "1", "x.z": "on" },
    ],
  ])("%s is read as QEMU reads it", (text, expected) => {
    expect(Object.fromEntries(parseGroup("device", text, "driver"))).toEqual(expected);
  });

  it.each([
    ["nvme,serial=a,serial=b", "-device nvme,serial=a,serial=b: 'serial' is given twice"],
    ["nvme,=3", "-device nvme,=3: a key is missing"],
    ['{"driver":', '-device {"driver":: begins like JSON and is none'],
    [
      '{"driver":["a"]}',
      '-device {"driver":["a"]}: \'driver\' is neither text, number, true, false nor an object',
    ],
  ])("%s is refused", (text, message) => {
    expect(() => parseGroup("device", text, "driver")).toThrow(message);
  });

  it("of any text is a map or one refusal in one line", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        try {
          parseGroup("device", text, "driver");
        } catch (error) {
          expect(error).toBeInstanceOf(ZmendError);
          expect((error as Error).message).not.toContain("\n");
        }
      }),
    );
  });

  it("gives whatever text stands between doubled commas", () => {
    fc.assert(
      fc.property(fc.string(), (value) => {
        const text = `x,file=${value.replaceAll(",", ",,")},readonly=on`;
        expect(parseGroup("drive", text, "driver").get("file")).toBe(value);
      }),
    );
  });
});

describe("the values of a group", () => {
  const reader = (text: string): GroupReader => new GroupReader("device", text, "driver");

  it("have types, and what is out of range is named", () => {
    expect(reader("x,n=0x42").number("n", 0, 0xffffffff)).toBe(0x42);
    expect(reader("x,n=66").number("n", 0, 100)).toBe(66);
    expect(reader("x").number("n", 0, 1)).toBeUndefined();
    expect(() => reader("x,n=70000").number("n", 1, 0xffff)).toThrow(
      "-device x,n=70000: n=70000: expected a number from 1 to 65535",
    );
    expect(() => reader("x,n=1e3").number("n", 0, 5000)).toThrow("expected a number");
    expect(reader("x,s=off").switch("s")).toBe(false);
    expect(() => reader("x,s=maybe").switch("s")).toThrow("s=maybe: expected on or off");
    expect(() => reader("x,id=0a").id("id")).toThrow("id=0a: expected an identifier");
    expect(() => reader("x,w=rwa").word("w", ["raw", "file"])).toThrow("did you mean 'raw'?");
    expect(() => reader("x").required("file")).toThrow("-device x: file= is missing");
  });

  it("that nobody takes are unknown keys, with the nearest known one", () => {
    const left = reader("x,serail=a");
    left.required("driver");
    expect(() => left.end(["id", "serial"], "device 'x'")).toThrow(
      "-device x,serail=a: device 'x' has no property 'serail' (did you mean 'serial'?); it has id, serial",
    );
  });
});
