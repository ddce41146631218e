import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import {
  Cpu,
  LOCAL_EMERGENCY,
  LOCAL_EXTERNAL_CALL,
  LOCAL_RESTART,
  STOP_CHECK,
} from "../../../src/cpu/state.ts";
import { createMachine, MASK64, type Machine, RAM_BYTES } from "./machine.ts";

// Lowcore locations typed in from s390x-machine.md 5.7 and zpci-guest.md 7.7.
const OLD = {
  restart: 0x120,
  external: 0x130,
  svc: 0x140,
  program: 0x150,
  machine: 0x160,
  io: 0x170,
};
const NEW = {
  restart: 0x1a0,
  external: 0x1b0,
  svc: 0x1c0,
  program: 0x1d0,
  machine: 0x1e0,
  io: 0x1f0,
};
const PREFIX = 0x6000;

/** I/O, external and machine checks enabled. */
const ALL = 0x0304000000000000n | MASK64;
const OLD_ADDRESS = 0x0000000000012346n;

let m: Machine;

beforeEach(() => {
  m = createMachine();
  m.state.setI32(Cpu.prefix, PREFIX);
  // New PSWs: 64-bit, everything disabled, address 0x1000 times the class
  let handler = 0x1000n;
  for (const location of Object.values(NEW)) {
    m.setU64(PREFIX + location, MASK64);
    m.setU64(PREFIX + location + 8, handler);
    handler += 0x1000n;
  }
  m.setPsw(ALL, OLD_ADDRESS);
  m.state.setI32(Cpu.cc, 2);
});

/** The old PSW stored for a class: mask and address. */
function oldPsw(location: number): [bigint, bigint] {
  return [m.u64(PREFIX + location), m.u64(PREFIX + location + 8)];
}

function at(location: number): bigint {
  return m.u64(PREFIX + location);
}

describe("program interruption", () => {
  function deliver(code: number, ilc: number): void {
    m.state.setI32(Cpu.programCode, code);
    m.state.setI32(Cpu.ilc, ilc);
    m.interrupts.deliverProgram();
  }

  it("stores length, code, old PSW with the current condition code and the breaking event, and swaps", () => {
    m.state.setU64(Cpu.breakingEvent, 0x4455n);
    deliver(0x01, 4);
    expect(m.ram.u16(PREFIX + 0x8c)).toBe(4);
    expect(m.ram.u16(PREFIX + 0x8e)).toBe(0x01);
    expect(at(0x110)).toBe(0x4455n);
    expect(oldPsw(OLD.program)).toEqual([ALL | (2n << 44n), OLD_ADDRESS]);
    expect(m.pswMask()).toBe(MASK64);
    expect(m.state.u64(Cpu.pswAddress)).toBe(0x4000n);
    expect(m.state.i32(Cpu.cc)).toBe(0);
    expect(m.state.i32(Cpu.programCode)).toBe(0);
  });

  it.each([0x04, 0x10, 0x11, 0x38, 0x39, 0x3a, 0x3b])(
    "code %i stores the translation-exception id at 0xA8 and the access id at 0xA0",
    (code) => {
      m.state.setU64(Cpu.teid, 0x123456789abcd803n);
      m.state.setI32(Cpu.excAccessId, 7);
      deliver(code, 6);
      expect(at(0xa8)).toBe(0x123456789abcd803n);
      expect(m.ram.u8(PREFIX + 0xa0)).toBe(7);
    },
  );

  it("codes without a translation-exception id leave 0xA8 alone", () => {
    m.setU64(PREFIX + 0xa8, 0x77n);
    m.state.setU64(Cpu.teid, 0x123n);
    for (const code of [0x01, 0x02, 0x05, 0x06, 0x12, 0x13]) deliver(code, 2);
    expect(at(0xa8)).toBe(0x77n);
  });

  it("a data exception stores the DXC at 0x90 and, with AFP control, in the FPC", () => {
    m.state.setI32(Cpu.dxc, 0x08);
    m.state.setI32(Cpu.fpc, 0x00880001);
    deliver(0x07, 4);
    expect(m.ram.u32(PREFIX + 0x90)).toBe(8);
    expect(m.state.i32(Cpu.fpc)).toBe(0x00880001);
    m.state.setCr(0, 0x40000n); // bit 45
    deliver(0x07, 4);
    expect(m.state.i32(Cpu.fpc)).toBe(0x00880801);
  });

  it("a monitor event stores class at 0x94 and code at 0xB0", () => {
    m.state.setI32(Cpu.monitorClass, 9);
    m.state.setU64(Cpu.monitorCode, 0xfedcba9876543210n);
    deliver(0x40, 4);
    expect(m.ram.u16(PREFIX + 0x94)).toBe(9);
    expect(at(0xb0)).toBe(0xfedcba9876543210n);
  });

  it("an invalid program new PSW stops the CPU instead of being swapped for ever", () => {
    m.setU64(PREFIX + NEW.program, 0x8000000000000000n);
    deliver(0x01, 2);
    expect(m.state.i32(Cpu.running)).toBe(0);
    expect(m.state.i32(Cpu.stopReason)).toBe(STOP_CHECK);
    expect(m.counts.exit).toBe(1);
  });

  it("a handler whose first instruction fails again and again stops the CPU", () => {
    let rounds = 0;
    while (m.state.i32(Cpu.running) === 1 && rounds < 1000) {
      deliver(0x01, 2);
      // the handler's first instruction is as bad: PSW past it
      m.state.setU64(Cpu.pswAddress, 0x4002n);
      rounds++;
    }
    expect(m.state.i32(Cpu.stopReason)).toBe(STOP_CHECK);
    expect(rounds).toBeLessThan(100);
  });

  it("an interruption of another class ends the count", () => {
    for (let round = 0; round < 200; round++) {
      deliver(0x01, 2);
      m.state.setU64(Cpu.pswAddress, 0x4002n);
      if (round % 50 === 49) m.interrupts.deliverRestart();
      if (round % 50 === 49) m.setPsw(MASK64, 0x4002n);
    }
    expect(m.state.i32(Cpu.running)).toBe(1);
  });

  it("an exception that a handler resolves does not count as a loop", () => {
    for (let round = 0; round < 1000; round++) {
      deliver(0x11, 6);
      m.setPsw(ALL, OLD_ADDRESS);
    }
    expect(m.state.i32(Cpu.running)).toBe(1);
  });

  it("a prefix area outside storage stops the CPU", () => {
    m.state.setI32(Cpu.prefix, RAM_BYTES);
    deliver(0x01, 2);
    expect(m.state.i32(Cpu.stopReason)).toBe(STOP_CHECK);
  });
});

it("a supervisor call stores its number at 0x8A and the length at 0x88", () => {
  m.state.setI32(Cpu.ilc, 2);
  m.interrupts.deliverSupervisorCall(0x5a);
  expect(m.ram.u16(PREFIX + 0x88)).toBe(2);
  expect(m.ram.u16(PREFIX + 0x8a)).toBe(0x5a);
  expect(oldPsw(OLD.svc)).toEqual([ALL | (2n << 44n), OLD_ADDRESS]);
  expect(m.state.u64(Cpu.pswAddress)).toBe(0x3000n);
});

describe("external interruption", () => {
  // s390x-machine.md 5.3: code, CR0 bit
  const SUBCLASS = { emergency: 49n, call: 50n, comparator: 52n, timer: 53n, service: 54n };
  const bit = (n: bigint): bigint => 1n << (63n - n);

  it("a service signal needs CR0 bit 54 and stores its parameter at 0x80", () => {
    m.floating.serviceSignal(0x00123451);
    expect(m.interrupts.takePending()).toBe(false);
    m.state.setCr(0, bit(SUBCLASS.service));
    expect(m.interrupts.pendingNow()).toBe(true);
    expect(m.interrupts.takePending()).toBe(true);
    expect(m.ram.u32(PREFIX + 0x80)).toBe(0x00123451);
    expect(m.ram.u16(PREFIX + 0x84)).toBe(0);
    expect(m.ram.u16(PREFIX + 0x86)).toBe(0x2401);
    expect(oldPsw(OLD.external)).toEqual([ALL | (2n << 44n), OLD_ADDRESS]);
    expect(m.state.u64(Cpu.pswAddress)).toBe(0x2000n);
    expect(m.floating.servicePending()).toBe(false);
  });

  it("the PSW's external mask holds back every subclass", () => {
    m.floating.serviceSignal(8);
    m.state.setCr(0, 0xffffffffn);
    m.setPsw(ALL & ~0x0100000000000000n, OLD_ADDRESS);
    m.clock.advanceTo(1000);
    expect(m.interrupts.pendingNow()).toBe(false);
    expect(m.interrupts.takePending()).toBe(false);
  });

  it("an external call is 0x1202 with the sender at 0x84 and is taken once", () => {
    m.state.setI32(Cpu.localPending, LOCAL_EXTERNAL_CALL);
    m.state.setI32(Cpu.externalCallCpu, 3 + 1);
    m.state.setCr(0, bit(SUBCLASS.call));
    expect(m.interrupts.takePending()).toBe(true);
    expect(m.ram.u16(PREFIX + 0x86)).toBe(0x1202);
    expect(m.ram.u16(PREFIX + 0x84)).toBe(3);
    m.setPsw(ALL, OLD_ADDRESS);
    expect(m.interrupts.takePending()).toBe(false);
  });

  it("emergency signals of several CPUs are 0x1201 each, lowest sender first", () => {
    m.state.setI32(Cpu.localPending, LOCAL_EMERGENCY);
    m.state.setI32(Cpu.emergencyCpus, 0b100010);
    m.state.setCr(0, bit(SUBCLASS.emergency));
    const senders: number[] = [];
    while (m.interrupts.takePending()) {
      expect(m.ram.u16(PREFIX + 0x86)).toBe(0x1201);
      senders.push(m.ram.u16(PREFIX + 0x84));
      m.setPsw(ALL, OLD_ADDRESS);
    }
    expect(senders).toEqual([1, 5]);
  });

  it("the clock comparator is 0x1004 and stays pending until it is set anew", () => {
    m.state.setCr(0, bit(SUBCLASS.comparator));
    m.timing.setClockComparator(0, 100 * 4096);
    m.clock.advanceTo(100);
    expect(m.interrupts.takePending()).toBe(false);
    m.clock.advanceTo(101);
    expect(m.interrupts.takePending()).toBe(true);
    expect(m.ram.u16(PREFIX + 0x86)).toBe(0x1004);
    m.setPsw(ALL, OLD_ADDRESS);
    expect(m.interrupts.takePending()).toBe(true);
    m.setPsw(ALL, OLD_ADDRESS);
    m.timing.setClockComparator(-1, -1);
    expect(m.interrupts.takePending()).toBe(false);
  });

  it("the CPU timer is 0x1005 while it is negative", () => {
    m.state.setCr(0, bit(SUBCLASS.timer));
    m.timing.setCpuTimer(0, 50 * 4096);
    m.clock.advanceTo(50);
    expect(m.interrupts.takePending()).toBe(false);
    m.clock.advanceTo(51);
    expect(m.interrupts.takePending()).toBe(true);
    expect(m.ram.u16(PREFIX + 0x86)).toBe(0x1005);
  });

  it("within the class: emergency, external call, comparator, CPU timer, service signal", () => {
    m.state.setCr(0, 0xffffffffn);
    m.state.setI32(Cpu.localPending, LOCAL_EMERGENCY | LOCAL_EXTERNAL_CALL);
    m.state.setI32(Cpu.emergencyCpus, 1);
    m.state.setI32(Cpu.externalCallCpu, 0 + 1);
    m.timing.setClockComparator(0, 0);
    m.timing.setCpuTimer(0, 0);
    m.floating.serviceSignal(0x10);
    m.clock.advanceTo(10);
    const codes: number[] = [];
    while (m.interrupts.takePending() && codes.length < 10) {
      const code = m.ram.u16(PREFIX + 0x86);
      codes.push(code);
      if (code === 0x1004) m.timing.setClockComparator(-1, -1);
      if (code === 0x1005) m.timing.setCpuTimer(0x7fffffff, -1);
      m.setPsw(ALL, OLD_ADDRESS);
    }
    expect(codes).toEqual([0x1201, 0x1202, 0x1004, 0x1005, 0x2401]);
  });

  it("the wait deadline is the first enabled timer, and none without the external mask", () => {
    m.timing.setClockComparator(0, 300 * 4096 - 1);
    m.timing.setCpuTimer(0, 200 * 4096 - 1);
    m.state.setCr(0, bit(SUBCLASS.comparator));
    expect(m.interrupts.waitDeadlineUs()).toBe(300);
    m.state.setCr(0, bit(SUBCLASS.comparator) | bit(SUBCLASS.timer));
    expect(m.interrupts.waitDeadlineUs()).toBe(200);
    m.state.setCr(0, 0n);
    expect(m.interrupts.waitDeadlineUs()).toBe(Number.POSITIVE_INFINITY);
    m.state.setCr(0, 0xffffffffn);
    m.setPsw(MASK64, 0n);
    expect(m.interrupts.waitDeadlineUs()).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("I/O interruption", () => {
  it("an adapter interruption on ISC 2 stores 0, 0 and 0x90000000 at 0xB8, 0xBC and 0xC0", () => {
    m.ram.setU32(PREFIX + 0xb8, 0xffffffff);
    m.ram.setU32(PREFIX + 0xbc, 0xffffffff);
    m.floating.adapterInterruption(2);
    m.state.setCr(6, 0x20000000n); // zpci-guest.md 6: 0x80000000 >> ISC
    expect(m.interrupts.pendingNow()).toBe(true);
    expect(m.interrupts.takePending()).toBe(true);
    expect(m.ram.u32(PREFIX + 0xb8)).toBe(0);
    expect(m.ram.u32(PREFIX + 0xbc)).toBe(0);
    expect(m.ram.u32(PREFIX + 0xc0)).toBe(0x90000000);
    expect(oldPsw(OLD.io)).toEqual([ALL | (2n << 44n), OLD_ADDRESS]);
    expect(m.state.u64(Cpu.pswAddress)).toBe(0x6000n);
    expect(m.floating.ioPending()).toBe(0);
  });

  it("CR6 masks by subclass, and the lowest enabled subclass goes first", () => {
    for (const isc of [1, 3, 7]) m.floating.adapterInterruption(isc);
    m.state.setCr(6, 0x11000000n); // ISC 3 and 7
    const words: number[] = [];
    while (m.interrupts.takePending()) {
      words.push(m.ram.u32(PREFIX + 0xc0));
      m.setPsw(ALL, OLD_ADDRESS);
    }
    expect(words).toEqual([0x98000000, 0xb8000000]);
    expect(m.floating.ioPending()).toBe(1 << 1);
  });

  it("PSW bit 6 holds it back", () => {
    m.floating.adapterInterruption(0);
    m.state.setCr(6, 0xff000000n);
    m.setPsw(ALL & ~0x0200000000000000n, OLD_ADDRESS);
    expect(m.interrupts.takePending()).toBe(false);
    expect(m.floating.ioPending()).toBe(1);
  });
});

describe("channel-report machine check", () => {
  beforeEach(() => {
    for (let n = 0; n < 16; n++) {
      m.state.setGr(n, 0x1111111100000000n + BigInt(n));
      m.state.setCr(n, 0x2222222200000000n + BigInt(n));
      m.state.setFpr(n, 0x3333333300000000n + BigInt(n));
      m.state.setI32(Cpu.ar + n * 4, 0x44440000 + n);
    }
    m.state.setCr(14, 0x10000000n); // bit 35
    m.state.setI32(Cpu.fpc, 0x00f80000);
    m.state.setI32(Cpu.todProgrammable, 0xabcd);
    m.timing.setClockComparator(0xf2345678 | 0, 0x9abcdef0 | 0);
    m.timing.setCpuTimer(0, 5000 * 4096);
    m.floating.channelReport();
  });

  it("needs PSW bit 13 and CR14 bit 35", () => {
    m.setPsw(ALL & ~0x0004000000000000n, OLD_ADDRESS);
    expect(m.interrupts.takePending()).toBe(false);
    m.setPsw(ALL, OLD_ADDRESS);
    m.state.setCr(14, ~0x10000000n);
    expect(m.interrupts.takePending()).toBe(false);
    m.state.setCr(14, 0x10000000n);
    expect(m.interrupts.takePending()).toBe(true);
    expect(m.floating.machineCheckPending()).toBe(false);
    expect(m.counts.machineChecks).toBe(1);
  });

  it("stores the full MCIC and every register save area of zpci-guest.md 7.7", () => {
    m.clock.advanceTo(1000);
    m.ram.setU32(PREFIX + 0xf4, 0xffffffff);
    m.setU64(PREFIX + 0xf8, 0xffffffffffffffffn);
    expect(m.interrupts.takePending()).toBe(true);
    expect(at(0xe8)).toBe(0x00400f5d40330000n);
    expect(m.ram.u8(PREFIX + 0xa3)).toBe(1);
    expect(m.ram.u32(PREFIX + 0xf4)).toBe(0);
    expect(at(0xf8)).toBe(0n);
    expect(oldPsw(OLD.machine)).toEqual([ALL | (2n << 44n), OLD_ADDRESS]);
    expect(m.state.u64(Cpu.pswAddress)).toBe(0x5000n);
    for (let n = 0; n < 16; n++) {
      expect(at(0x1200 + n * 8)).toBe(0x3333333300000000n + BigInt(n));
      expect(at(0x1280 + n * 8)).toBe(0x1111111100000000n + BigInt(n));
      expect(m.ram.u32(PREFIX + 0x1340 + n * 4)).toBe(0x44440000 + n);
      const control = n === 14 ? 0x10000000n : 0x2222222200000000n + BigInt(n);
      expect(at(0x1380 + n * 8)).toBe(control);
    }
    expect(m.ram.u32(PREFIX + 0x1318)).toBe(PREFIX);
    expect(m.ram.u32(PREFIX + 0x131c)).toBe(0x00f80000);
    expect(m.ram.u32(PREFIX + 0x1324)).toBe(0xabcd);
    expect(at(0x1328)).toBe(4000n * 4096n); // 5000 us less the 1000 that passed
    expect(at(0x1330)).toBe(0x00f23456789abcden); // comparator >> 8
  });

  it("claims guarded-storage validity when CR2 enables it", () => {
    m.state.setCr(2, 0x10n);
    m.interrupts.takePending();
    expect(at(0xe8)).toBe(0x00400f5d48330000n);
  });

  it("leaves the extended save area alone without the vector facility, VR valid all the same", () => {
    m.setU64(PREFIX + 0x11b0, 0x80000n);
    m.setU64(0x80000, 0x55n);
    m.interrupts.takePending();
    expect(m.u64(0x80000)).toBe(0x55n);
    expect(at(0xe8) & 0x4000000000n).toBe(0x4000000000n);
  });

  it("is taken before external and I/O interruptions; restart comes last", () => {
    m.state.setCr(0, 0xffffffffn);
    m.state.setCr(6, 0xff000000n);
    m.floating.adapterInterruption(4);
    m.floating.serviceSignal(8);
    m.timing.setClockComparator(-1, -1);
    m.timing.setCpuTimer(0x7fffffff, 0);
    m.state.setI32(Cpu.localPending, LOCAL_RESTART);
    const handlers: bigint[] = [];
    while (m.interrupts.takePending()) {
      handlers.push(m.state.u64(Cpu.pswAddress));
      m.setPsw(ALL, OLD_ADDRESS);
    }
    // machine check, external, I/O, restart
    expect(handlers).toEqual([0x5000n, 0x2000n, 0x6000n, 0x1000n]);
  });
});

describe("invalid new PSWs", () => {
  it("another class's invalid new PSW becomes a specification exception with length 0", () => {
    m.setU64(PREFIX + NEW.external, 0x0000000100000000n); // EA without BA
    m.setU64(PREFIX + NEW.external + 8, 0x77777n);
    m.state.setCr(0, 0x200n);
    m.floating.serviceSignal(8);
    expect(m.interrupts.takePending()).toBe(true);
    expect(m.ram.u16(PREFIX + 0x8c)).toBe(0);
    expect(m.ram.u16(PREFIX + 0x8e)).toBe(0x06);
    expect(oldPsw(OLD.program)).toEqual([0x0000000100000000n, 0x77777n]);
    expect(oldPsw(OLD.external)).toEqual([ALL | (2n << 44n), OLD_ADDRESS]);
    expect(m.state.u64(Cpu.pswAddress)).toBe(0x4000n);
    expect(m.state.i32(Cpu.running)).toBe(1);
  });

  it("no lowcore contents and no pending set make delivery throw or run without end", () => {
    const u64 = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });
    fc.assert(
      fc.property(
        fc.array(u64, { minLength: 12, maxLength: 12 }),
        u64,
        u64,
        fc.integer({ min: 0, max: 0xffff }),
        fc.integer({ min: 0, max: 31 }),
        (newPsws, mask, masks, code, pending) => {
          const hostile = createMachine();
          newPsws.forEach((value, index) => {
            hostile.setU64(0x1a0 + index * 8, value);
          });
          hostile.setPsw(mask, masks);
          hostile.state.setCr(0, masks);
          hostile.state.setCr(6, masks);
          hostile.state.setCr(14, masks);
          if (pending & 1) hostile.floating.channelReport();
          if (pending & 2) hostile.floating.serviceSignal(code);
          if (pending & 4) hostile.floating.adapterInterruption(code & 7);
          hostile.state.setI32(Cpu.localPending, pending >>> 3);
          hostile.state.setI32(Cpu.programCode, code);
          hostile.interrupts.deliverProgram();
          let taken = 0;
          while (hostile.state.i32(Cpu.running) === 1 && taken < 20) {
            const promised = hostile.interrupts.pendingNow();
            const swapped = hostile.interrupts.takePending();
            if (!swapped) break;
            expect(promised).toBe(true);
            taken++;
          }
          expect(hostile.state.i32(Cpu.programCode)).toBe(0);
        },
      ),
      { numRuns: 300 },
    );
  });
});

it("a wait is disabled exactly when the PSW enables neither I/O, external nor machine checks", () => {
  m.setPsw(0x0002000000000000n | MASK64, 0n);
  expect(m.interrupts.anyEnabled()).toBe(false);
  for (const enabling of [0x0200000000000000n, 0x0100000000000000n, 0x0004000000000000n]) {
    m.setPsw(0x0002000000000000n | MASK64 | enabling, 0n);
    expect(m.interrupts.anyEnabled()).toBe(true);
  }
});
