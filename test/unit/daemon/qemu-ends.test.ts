import { describe, expect, it } from "vitest";
import { type EndOptions, parseEnds } from "../../../src/daemon/qemu-ends.ts";

function ends(options: Partial<EndOptions>) {
  return parseEnds({
    chardev: [],
    serial: [],
    monitor: [],
    qmp: [],
    mon: [],
    addFd: [],
    nodefaults: false,
    nographic: false,
    ...options,
  });
}

/** Console and monitors in short: `LABEL BACKEND console monitor`. */
function short(options: Partial<EndOptions>): string[] {
  return ends(options).map(({ label, backend, console: isConsole, monitor }) => {
    const kind = backend.kind === "stdio" && backend.mux ? "stdio-mux" : backend.kind;
    return [
      label,
      kind,
      ...(isConsole ? ["console"] : []),
      ...(monitor === undefined ? [] : [monitor]),
    ].join(" ");
  });
}

describe("the ends of console and monitors", () => {
  it.each([
    [{}, ["serial0 stdio-mux console readline"]],
    [{ nographic: true }, ["serial0 stdio-mux console readline"]],
    [{ monitor: ["none"] }, ["serial0 stdio-mux console"]],
    [{ nodefaults: true }, []],
    [{ serial: ["mon:stdio"], nodefaults: true }, ["serial0 stdio-mux console readline"]],
    [{ serial: ["stdio"] }, ["serial0 stdio console"]],
    [{ serial: ["none"] }, []],
    [{ serial: ["null"] }, ["serial0 null console"]],
    [{ serial: ["file:boot.log"] }, ["serial0 file console"]],
    [{ chardev: ["stdio,id=c0"], device: "c0" }, ["c0 stdio console"]],
    [{ chardev: ["stdio,id=c0,mux=on,signal=off"], device: "c0" }, ["c0 stdio-mux console"]],
    [{ chardev: ["null,id=c0"], device: "c0", serial: ["none"] }, ["c0 null console"]],
    [{ chardev: ["stdio,id=c0,mux=on"], serial: ["chardev:c0"] }, ["c0 stdio-mux console"]],
    [{ device: "" }, []],
    [{ qmp: ["stdio"] }, ["compat_monitor0 stdio control"]],
    [{ monitor: ["stdio"] }, ["compat_monitor0 stdio readline"]],
    [
      { chardev: ["stdio,id=c,mux=on"], device: "c", mon: ["chardev=c,mode=readline"] },
      ["c stdio-mux console readline"],
    ],
    [
      { qmp: ["unix:/q,server=on,wait=off"], monitor: ["unix:/m,server,nowait"], nodefaults: true },
      ["compat_monitor0 socket readline", "compat_monitor1 socket control"],
    ],
    [
      // As libvirt 11.3 gives them (qmp.md 7).
      {
        chardev: [
          "socket,id=charmonitor,fd=29,server=on,wait=off",
          "file,id=charconsole0,path=/dev/fdset/0,append=on",
        ],
        mon: ["chardev=charmonitor,id=monitor,mode=control"],
        addFd: ["set=0,fd=31,opaque=charconsole0-source"],
        device: "charconsole0",
        nodefaults: true,
      },
      ["charmonitor socket control", "charconsole0 fd console"],
    ],
    [{ chardev: ["ringbuf,id=r,size=4096"], serial: ["chardev:r"] }, ["r ringbuf console"]],
  ])("with %j are %j", (options, expected) => {
    expect(short(options)).toEqual(expected);
  });

  it("keep what a socket says of itself", () => {
    expect(ends({ qmp: ["unix:a,,b,server=on,wait=off"], nodefaults: true })[0]?.backend).toEqual({
      kind: "socket",
      address: { path: "a,b" },
      server: true,
      wait: false,
    });
    expect(ends({ qmp: ["tcp:localhost:4444,server=on"], nodefaults: true })[0]?.backend).toEqual({
      kind: "socket",
      address: { host: "127.0.0.1", port: 4444 },
      server: true,
      wait: true,
    });
  });

  it.each([
    [{ serial: ["pty"] }, "-serial pty: not supported; known: mon:stdio, stdio, "],
    [{ chardev: ["sock,id=c"] }, "backend=sock: not supported"],
    [{ chardev: ["socket,id=c"] }, "-chardev socket,id=c: path=, fd= or port= is missing"],
    [{ chardev: ["stdio"] }, "-chardev stdio: id= is missing"],
    [
      { chardev: ["stdio,id=a", "stdio,id=b"] },
      "-chardev stdio,id=b: cannot use stdio by multiple character devices",
    ],
    [{ nographic: true, qmp: ["stdio"] }, "cannot use stdio by multiple character devices"],
    [
      { chardev: ["null,id=a", "null,id=a"] },
      "-chardev null,id=a: the id 'a' is already taken by another chardev",
    ],
    [
      { chardev: ["stdio,id=con"], device: "com" },
      "-device sclpconsole,chardev=com: no chardev has the id 'com' (did you mean 'con'?); known: con",
    ],
    [
      { serial: ["stdio"], device: "a" },
      "-serial stdio: -device sclpconsole is the console already",
    ],
    [{ serial: ["stdio", "file:x"] }, "-serial file:x: there is one console; give one -serial"],
    [{ chardev: ["null,id=a,mux=on"] }, "chardev 'null' has no property 'mux'"],
    [
      { chardev: ["stdio,id=c"], device: "c", mon: ["c"] },
      "-mon c: the chardev 'c' is already in use",
    ],
    [{ mon: ["chardev=x"] }, "-mon chardev=x: no chardev has the id 'x'; no -chardev is given"],
    [
      { qmp: ["tcp:0.0.0.0:1,server=on"] },
      "host '0.0.0.0' is not this machine; use 127.0.0.1, ::1 or ",
    ],
    [{ chardev: ["file,id=f,path=/dev/fdset/3"] }, "no -add-fd has set=3"],
    [{ chardev: ["ringbuf,id=r,size=3"] }, "size=3: expected a power of two"],
    [{ chardev: ["socket,id=s,path=x,wait=on"] }, "wait=on needs server=on"],
  ])("with %j are refused", (options, message) => {
    expect(() => ends(options)).toThrow(message);
  });
});
