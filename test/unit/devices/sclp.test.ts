import { describe, expect, test } from "vitest";
import { RequestKind } from "../../../src/abi/records.ts";
import { BLOCK, type DeviceMachine, deviceMachine } from "../../support/device-machine.ts";

function servc(machine: DeviceMachine, command: number): number {
  machine.execute("servc", BigInt(command), BigInt(BLOCK), 0n, 0n);
  return machine.ram.u16(BLOCK + 6);
}

/** Write event data with one event buffer; returns the response code. */
function writeEvent(machine: DeviceMachine, type: number, data: Uint8Array): number {
  machine.ram.fill(BLOCK, 4096, 0);
  machine.ram.setU16(BLOCK, 14 + data.length);
  machine.ram.setU16(BLOCK + 8, 6 + data.length);
  machine.ram.setU8(BLOCK + 10, type);
  machine.ram.write(BLOCK + 14, data);
  return servc(machine, 0x00760005);
}

function setMasks(machine: DeviceMachine, receive: number): void {
  machine.ram.fill(BLOCK, 64, 0);
  machine.ram.setU16(BLOCK, 28);
  machine.ram.setU16(BLOCK + 10, 4);
  machine.ram.setU32(BLOCK + 12, receive);
  servc(machine, 0x00780005);
}

function readEvent(machine: DeviceMachine): number {
  machine.ram.fill(BLOCK, 4096, 0);
  machine.ram.setU16(BLOCK, 4096);
  return servc(machine, 0x00770005);
}

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));

describe("read SCP information", () => {
  test("says storage, CPUs and facilities at the offsets Linux reads", () => {
    const machine = deviceMachine();
    machine.ram.setU16(BLOCK, 4096);
    expect(servc(machine, 0x00020001)).toBe(0x0010);
    // s390x-machine.md 6
    expect(machine.ram.u16(BLOCK + 8)).toBe(4); //     rnmax: 4 MiB
    expect(machine.ram.u8(BLOCK + 10)).toBe(1); //     rnsize: 1 MiB
    expect(machine.ram.u16(BLOCK + 16)).toBe(2); //    CPUs
    expect(machine.ram.u16(BLOCK + 18)).toBe(128); //  CPU offset
    expect(machine.ram.u8(BLOCK + 24)).toBe(0x40); //  load parameter: EBCDIC blanks
    expect(machine.ram.u32(BLOCK + 48)).toBe(0x08000000);
    expect(machine.ram.u32(BLOCK + 52)).toBe(0x40000000);
    expect(machine.ram.u16(BLOCK + 120)).toBe(1);
    expect(machine.ram.u8(BLOCK + 128 + 16)).toBe(1); // address of the second CPU
  });

  test("says LOADPARM in EBCDIC capitals, blanks behind it", () => {
    const machine = deviceMachine({ loadparm: "pr0 9.z" });
    machine.ram.setU16(BLOCK, 4096);
    expect(servc(machine, 0x00020001)).toBe(0x0010);
    // IBM code page 500: P R 0 blank 9 . Z blank
    const expected = [0xd7, 0xd9, 0xf0, 0x40, 0xf9, 0x4b, 0xe9, 0x40];
    expect(expected.map((_, n) => machine.ram.u8(BLOCK + 24 + n))).toEqual(expected);
  });

  test("CPU information has its entries from 0x18 on", () => {
    const machine = deviceMachine();
    machine.ram.fill(BLOCK, 4096, 0xff);
    machine.ram.setU16(BLOCK, 4096);
    expect(servc(machine, 0x00010001)).toBe(0x0010);
    expect(machine.ram.u16(BLOCK + 8)).toBe(2);
    expect(machine.ram.u16(BLOCK + 10)).toBe(0x18);
    expect(machine.ram.u8(BLOCK + 0x18)).toBe(0);
    expect(machine.ram.u8(BLOCK + 0x28)).toBe(1);
    expect(machine.ram.u8(BLOCK + 0x28 + 14)).toBe(0);
  });
});

describe("event masks", () => {
  test("the machine receives VT220 text and reports, and sends input and quiesce", () => {
    const machine = deviceMachine();
    machine.ram.fill(BLOCK, 64, 0);
    machine.ram.setU16(BLOCK, 44);
    machine.ram.setU16(BLOCK + 10, 8);
    expect(servc(machine, 0x00780005)).toBe(0x0020);
    // Bit T counted from 1 at the left: 0x18 -> 0x100, 0x1a -> 0x40, 0x1d -> 8
    expect(machine.ram.u32(BLOCK + 28)).toBe(0x140);
    expect(machine.ram.u32(BLOCK + 36)).toBe(0x48);
  });

  test("line mode is announced when the machine has it", () => {
    const machine = deviceMachine({ lineMode: true });
    setMasks(machine, 0);
    expect(machine.ram.u32(BLOCK + 20)).toBe(0x40000140);
  });
});

describe("write event data", () => {
  test("VT220 text goes to the console and the buffer is marked accepted", () => {
    const machine = deviceMachine();
    expect(writeEvent(machine, 0x1a, ascii("hello\r\n"))).toBe(0x0020);
    expect(machine.consoleText()).toBe("hello\r\n");
    expect(machine.ram.u8(BLOCK + 11)).toBe(0x80);
  });

  test("line-mode messages are EBCDIC, one line per text object", () => {
    const machine = deviceMachine();
    const general = [0x00, 0x04, 0x00, 0x01];
    // "Hello, A-1" and "[x]" in code page 500
    const first = [0xc8, 0x85, 0x93, 0x93, 0x96, 0x6b, 0x40, 0xc1, 0x60, 0xf1];
    const second = [0x4a, 0xa7, 0x5a];
    const text = (bytes: number[]): number[] => [
      0,
      10 + bytes.length,
      0,
      4,
      0x10,
      0,
      0,
      0,
      0,
      0,
      ...bytes,
    ];
    const objects = [...general, ...text(first), ...text(second)];
    const header = [0, 12 + objects.length, 0, 1, 0xd4, 0xc4, 0xc2, 0x40, 0, 0, 0, 1];
    expect(writeEvent(machine, 0x02, Uint8Array.from([...header, ...objects]))).toBe(0x0020);
    expect(machine.consoleText()).toBe("Hello, A-1\n[x]\n");
  });

  test("an unknown event type is refused with 0x40f0", () => {
    expect(writeEvent(deviceMachine(), 0x0c, ascii("x"))).toBe(0x40f0);
  });

  test("buffers that do not fill the SCCB are a syntax error, and nothing is printed", () => {
    const machine = deviceMachine();
    machine.ram.fill(BLOCK, 64, 0);
    machine.ram.setU16(BLOCK, 40);
    machine.ram.setU16(BLOCK + 8, 12);
    machine.ram.setU8(BLOCK + 10, 0x1a);
    expect(servc(machine, 0x00760005)).toBe(0x73f0);
    expect(machine.consoleText()).toBe("");
  });

  test.each([
    ["success", [{ kind: RequestKind.guestReport, b0: 1 }]],
    ["failed (driver can't recover)", [{ kind: RequestKind.guestReport, b0: 0 }]],
    ["in progress", []],
  ])("a recovery report with status %s reaches the worker as it is", (status, requests) => {
    const machine = deviceMachine();
    const text = ascii(`report: recovery\nstatus: ${status}\nstate: normal\n`);
    const event = new Uint8Array(26 + text.length);
    const view = new DataView(event.buffer);
    // zpci-guest.md 9.5, offsets minus 14: action 2, adapter type 2, FH, FID, timestamp, id
    view.setUint8(0, 2);
    view.setUint8(1, 2);
    view.setUint32(6 - 4, 0x81010001);
    view.setUint32(10 - 4, 0x22);
    view.setBigUint64(18, 0x4714n);
    event.set(text, 26);
    expect(writeEvent(machine, 0x18, event)).toBe(0x0020);
    expect(machine.requests(1)).toEqual(requests);
  });
});

describe("events from outside", () => {
  test("a quiesce request signals a guest that listens and is read once", () => {
    const machine = deviceMachine();
    setMasks(machine, 0x48);
    machine.floating.claimService();
    machine.devices.sclp.requestQuiesce();
    expect(machine.floating.claimService()).toBe(1);
    expect(readEvent(machine)).toBe(0x0020);
    expect(machine.ram.u16(BLOCK + 8)).toBe(9);
    expect(machine.ram.u8(BLOCK + 10)).toBe(0x1d);
    expect(readEvent(machine)).toBe(0x60f0);
  });

  test("a request made before the guest listens is told when it sets its mask", () => {
    const machine = deviceMachine();
    machine.devices.sclp.requestQuiesce();
    expect(machine.floating.servicePending()).toBe(false);
    setMasks(machine, 0x48);
    expect(machine.floating.claimService()).toBe(BLOCK | 1);
    expect(readEvent(machine)).toBe(0x0020);
  });

  test("console input arrives as VT220 session data in order", () => {
    const machine = deviceMachine();
    setMasks(machine, 0x48);
    expect(machine.devices.sclp.pushInput(ascii("ls\n"))).toBe(3);
    expect(readEvent(machine)).toBe(0x0020);
    expect(machine.ram.u16(BLOCK + 8)).toBe(10);
    expect(machine.ram.u8(BLOCK + 10)).toBe(0x1a);
    expect([...machine.bytes(BLOCK + 14, 4)]).toEqual([0, 0x6c, 0x73, 0x0a]);
    expect(readEvent(machine)).toBe(0x60f0);
  });

  test("a variable-length answer says in the SCCB's length what was stored", () => {
    const machine = deviceMachine();
    setMasks(machine, 0x48);
    machine.devices.sclp.requestQuiesce();
    machine.ram.fill(BLOCK, 4096, 0);
    machine.ram.setU16(BLOCK, 4096);
    machine.ram.setU8(BLOCK + 5, 0x80);
    expect(servc(machine, 0x00770005)).toBe(0x0020);
    expect(machine.ram.u16(BLOCK)).toBe(8 + 9);
    expect(machine.ram.u8(BLOCK + 5)).toBe(0);
  });

  test("input beyond the queue is refused to its sender, and the queue wraps", () => {
    const machine = deviceMachine();
    setMasks(machine, 0x48);
    const { sclp } = machine.devices;
    expect(sclp.pushInput(new Uint8Array(300).fill(65))).toBe(256);
    readEvent(machine);
    expect(machine.ram.u16(BLOCK + 8)).toBe(6 + 1 + 256);
    expect(sclp.pushInput(ascii("bcd"))).toBe(3);
    readEvent(machine);
    expect([...machine.bytes(BLOCK + 15, 3)]).toEqual([0x62, 0x63, 0x64]);
  });

  test("an SCCB too short for an event keeps the event", () => {
    const machine = deviceMachine();
    setMasks(machine, 0x48);
    machine.devices.sclp.requestQuiesce();
    machine.ram.fill(BLOCK, 64, 0);
    machine.ram.setU16(BLOCK, 16);
    expect(servc(machine, 0x00770005)).toBe(0x0300);
    expect(readEvent(machine)).toBe(0x0020);
  });

  test("a selective read asks only for events that are active", () => {
    const machine = deviceMachine();
    setMasks(machine, 0x40);
    machine.ram.fill(BLOCK, 4096, 0);
    machine.ram.setU16(BLOCK, 4096);
    machine.ram.setU8(BLOCK + 2, 1);
    machine.ram.setU32(BLOCK + 8, 0x08);
    expect(servc(machine, 0x00770005)).toBe(0x70f0);
    machine.ram.setU32(BLOCK + 8, 0x40);
    expect(servc(machine, 0x00770005)).toBe(0x60f0);
  });
});

describe("the service signal", () => {
  test("of a second call replaces the address of a first that nobody took", () => {
    const machine = deviceMachine();
    machine.ram.setU16(BLOCK, 4096);
    servc(machine, 0x00020001);
    machine.ram.setU16(0x7000, 4096);
    machine.execute("servc", 0x00020001n, 0x7000n, 0n, 0n);
    expect(machine.floating.claimService()).toBe(0x7000);
  });
});
