import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { CcdfFlag, CcdfKind, RequestKind, TraceKind } from "../../../src/abi/records.ts";
import { REQUEST_RING_SLOTS, TRACE_RING_SLOTS } from "../../../src/base/limits.ts";
import { FunctionBlock, FunctionState, VmBlock, WORK_CREDIT } from "../../../src/shm/blocks.ts";
import { vcpuTraceRing } from "../../../src/shm/memory-map.ts";
import { RingConsumer, recordTimeUs } from "../../../src/shm/ring.ts";
import { BLOCK, type DeviceMachine, deviceMachine } from "../../support/device-machine.ts";

function threeFunctions(): DeviceMachine {
  const machine = deviceMachine();
  for (const index of [0, 1, 2]) machine.bringUp(index);
  return machine;
}

function raise(machine: DeviceMachine, index: number, pec: number): void {
  machine.setState(index, FunctionState.ERROR);
  machine.publish(index, pec);
}

interface Answer {
  code: number;
  more: boolean;
  fid: number;
  fh: number;
  pec: number;
}

function storeEvent(machine: DeviceMachine, address = BLOCK): Answer {
  machine.ram.fill(BLOCK, 4096, 0x55);
  machine.ram.setU32(BLOCK, 0x0010000e);
  machine.ram.setU32(BLOCK + 8, 0xa0000000);
  machine.execute("chsc", BigInt(address), 0n, 0n, 0n);
  return {
    code: machine.ram.u16(BLOCK + 18),
    more: (machine.ram.u8(BLOCK + 24) & 0x80) !== 0,
    fid: machine.ram.u32(BLOCK + 88),
    fh: machine.ram.u32(BLOCK + 84),
    pec: machine.ram.u16(BLOCK + 110),
  };
}

function storeCrw(machine: DeviceMachine): string {
  machine.execute("stcrw", 0n, 0n, 0n, BigInt(BLOCK));
  return `cc${machine.cpu.cc} ${machine.ram.u32(BLOCK).toString(16).padStart(8, "0")}`;
}

describe("STCRW", () => {
  test("gives the CRW of PCI events once, then zeros with cc 1 and the machine check re-armed", () => {
    const machine = threeFunctions();
    raise(machine, 0, 0x3a);
    expect(machine.floating.claimMachineCheck()).toBe(true);
    raise(machine, 1, 0x3a);
    expect(machine.pendingMachineCheck()).toBe(false);
    expect(storeCrw(machine)).toBe("cc0 0b000000");
    expect(storeCrw(machine)).toBe("cc1 00000000");
    expect(machine.pendingMachineCheck()).toBe(false);
  });

  test("finds the CRW of an event that came after the last fetch, and then arms the machine check", () => {
    const machine = threeFunctions();
    raise(machine, 0, 0x3a);
    machine.floating.claimMachineCheck();
    storeCrw(machine);
    storeEvent(machine);
    raise(machine, 1, 0x3a);
    expect(machine.pendingMachineCheck()).toBe(false);
    expect(storeCrw(machine)).toBe("cc0 0b000000");
    expect(storeEvent(machine).fid).toBe(0x22);
    expect(storeCrw(machine)).toBe("cc1 00000000");
    raise(machine, 2, 0x3a);
    expect(machine.pendingMachineCheck()).toBe(true);
  });

  test("keeps the CRW when its operand cannot be stored", () => {
    const machine = threeFunctions();
    raise(machine, 0, 0x3a);
    machine.execute("stcrw", 0n, 0n, 0n, 0x40_0000n);
    expect(machine.cpu.programCode).toBe(5);
    expect(storeCrw(machine)).toBe("cc0 0b000000");
  });

  test("checks privilege and alignment", () => {
    const machine = threeFunctions();
    machine.execute("stcrw", 0n, 0n, 0n, 0x8002n);
    expect(machine.cpu.programCode).toBe(6);
    machine.cpu.problem = true;
    machine.execute("stcrw", 0n, 0n, 0n, 0x8002n);
    expect(machine.cpu.programCode).toBe(2);
  });
});

describe("CHSC store event information", () => {
  test("hands out the oldest record of all functions first, with the guest's FH and FID", () => {
    const machine = threeFunctions();
    const order = [2, 0, 1, 0];
    order.forEach((index, n) => {
      machine.clock.advanceTo(100 * (n + 1));
      raise(machine, index, 0x10 + n);
    });
    const seen = order.map(() => storeEvent(machine));
    expect(seen.map(({ pec }) => pec)).toEqual([0x10, 0x11, 0x12, 0x13]);
    expect(seen.map(({ fid }) => fid)).toEqual([0x33, 0x11, 0x22, 0x11]);
    expect(seen.map(({ fh }) => fh)).toEqual(order.map((index) => machine.handle(index)));
    expect(seen.map(({ more }) => more)).toEqual([true, true, true, false]);
    expect(storeEvent(machine).code).toBe(5);
  });

  test("gives the slot back and tells the worker which event was fetched", () => {
    const machine = threeFunctions();
    raise(machine, 1, 0x3a);
    expect(machine.ringFree(1)).toBe(63);
    storeEvent(machine);
    expect(machine.ringFree(1)).toBe(64);
    expect(machine.requests(1)).toEqual([{ kind: RequestKind.guestFetched, b0: 0x3a }]);
    expect(machine.word(1, FunctionBlock.workerSummary) & WORK_CREDIT).toBe(WORK_CREDIT);
    expect(machine.word(1, FunctionBlock.fetchedByGuest)).toBe(1);
    const trace = machine.traced().find(({ kind }) => kind === TraceKind.guestFetched);
    expect(trace).toMatchObject({ functionIndex: 1, b0: 0x3a, b1: machine.handle(1) | 0 });
  });

  test("writes the fetch down before the worker can answer it", () => {
    const machine = threeFunctions();
    raise(machine, 1, 0x3a);
    let timeUs = 0;
    vi.spyOn(machine.clock, "nowUs").mockImplementation(() => ++timeUs);
    storeEvent(machine);
    const { words, map } = machine.vm;
    const requests = new RingConsumer(words, map.requestRings[1] as number, REQUEST_RING_SLOTS);
    const traces = new RingConsumer(words, vcpuTraceRing(map, 0), TRACE_RING_SLOTS);
    expect(recordTimeUs(words, traces.front())).toBeLessThan(recordTimeUs(words, requests.front()));
    expect(machine.traced().map(({ kind }) => kind)).toEqual([TraceKind.guestFetched]);
    expect(machine.requests(1).map(({ kind }) => kind)).toEqual([RequestKind.guestFetched]);
  });

  test("drops records of an ended generation and counts them superseded", () => {
    const machine = threeFunctions();
    raise(machine, 0, 0x3a);
    raise(machine, 0, 0x3a);
    const old = machine.generation(0);
    machine.setState(0, FunctionState.ENABLED);
    machine.clpSet(0, 1);
    machine.clpSet(0, 0);
    machine.publish(0, 0x02, { generation: old });
    raise(machine, 0, 0x05);
    const answer = storeEvent(machine);
    expect(answer).toMatchObject({ code: 1, pec: 0x05, more: false, fh: machine.handle(0) });
    expect(machine.word(0, FunctionBlock.superseded)).toBe(3);
    expect(machine.word(0, FunctionBlock.fetchedByGuest)).toBe(1);
    expect(machine.ringFree(0)).toBe(64);
  });

  test("that finds only superseded records says that nothing is pending", () => {
    const machine = threeFunctions();
    raise(machine, 0, 0x3a);
    machine.setState(0, FunctionState.ENABLED);
    machine.clpSet(0, 1);
    expect(storeEvent(machine).code).toBe(5);
    expect(machine.vmWord(VmBlock.ccdfSummary)).toBe(0);
    expect(machine.vmWord(VmBlock.seiPending)).toBe(0);
  });

  test("hands availability events out whatever the generation, and in no book of errors", () => {
    const machine = threeFunctions();
    machine.publish(0, 0x0303, { generation: 77, kind: CcdfKind.availability });
    const answer = storeEvent(machine);
    expect(answer).toMatchObject({ code: 1, pec: 0x0303 });
    expect(machine.ram.u8(BLOCK + 27)).toBe(2);
    expect(machine.word(0, FunctionBlock.fetchedByGuest)).toBe(0);
  });

  test("hands a repeat out as an error that counts neither as fetched nor as superseded", () => {
    const machine = threeFunctions();
    const kind = CcdfKind.error | (CcdfFlag.repeat << 8);
    machine.publish(0, 0x3b, { kind });
    expect(storeEvent(machine)).toMatchObject({ code: 1, pec: 0x3b });
    expect(machine.ram.u8(BLOCK + 27)).toBe(1);
    machine.publish(0, 0x3b, { kind, generation: 77 });
    expect(storeEvent(machine).code).toBe(5);
    expect(machine.word(0, FunctionBlock.fetchedByGuest)).toBe(0);
    expect(machine.word(0, FunctionBlock.superseded)).toBe(0);
  });

  test("still hands events out when the request ring is full, and counts the record it could not send", () => {
    const machine = threeFunctions();
    for (let n = 0; n < 64; n++) machine.clpSet(0, n % 2 === 0 ? 1 : 0);
    raise(machine, 0, 0x3a);
    expect(storeEvent(machine)).toMatchObject({ code: 1, pec: 0x3a });
    expect(machine.word(0, FunctionBlock.requestsLost)).toBe(1);
    expect(machine.word(0, FunctionBlock.fetchedByGuest)).toBe(1);
  });

  test("keeps the event when the response cannot be stored", () => {
    const machine = threeFunctions();
    raise(machine, 0, 0x3a);
    machine.ram.setU32(BLOCK, 0x0010000e);
    machine.ram.setU32(BLOCK + 8, 0xa0000000);
    const store = machine.cpu.store.bind(machine.cpu);
    machine.cpu.store = () => false;
    machine.execute("chsc", BigInt(BLOCK), 0n, 0n, 0n);
    machine.cpu.store = store;
    expect(machine.cpu.cc).toBe(-1);
    expect(machine.word(0, FunctionBlock.fetchedByGuest)).toBe(0);
    expect(storeEvent(machine)).toMatchObject({ code: 1, pec: 0x3a, more: false });
  });

  test("loses, doubles and reorders nothing within a function, for any interleaving", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.nat(2), fc.constant("sei"), fc.constant("crw")), { maxLength: 60 }),
        (steps) => {
          const machine = threeFunctions();
          const sent: number[][] = [[], [], []];
          const got: number[][] = [[], [], []];
          let pec = 0x100;
          const fetch = (): void => {
            const answer = storeEvent(machine);
            if (answer.code === 1) got[[0x11, 0x22, 0x33].indexOf(answer.fid)]?.push(answer.pec);
          };
          for (const step of steps) {
            if (step === "sei") fetch();
            else if (step === "crw") storeCrw(machine);
            else {
              pec += 1;
              raise(machine, step as number, pec);
              sent[step as number]?.push(pec);
            }
          }
          // What a guest does: answer the machine check until STCRW says cc 1.
          for (let n = 0; n < 200 && storeCrw(machine).startsWith("cc0"); n++) {
            do fetch();
            while ((machine.ram.u8(BLOCK + 24) & 0x80) !== 0 && machine.ram.u16(BLOCK + 18) === 1);
          }
          for (let n = 0; n < 60; n++) fetch();
          expect(got).toEqual(sent);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe("TPI", () => {
  test("takes the most important enabled subclass and stores the short form", () => {
    const machine = deviceMachine();
    machine.floating.adapterInterruption(5);
    machine.floating.adapterInterruption(2);
    machine.cpu.controlLow[6] = 0x24000000; // subclasses 2 and 5
    machine.ram.fill(BLOCK, 16, 0x55);
    machine.execute("tpi", 0n, 0n, 0n, BigInt(BLOCK));
    expect(machine.cpu.cc).toBe(1);
    expect([...machine.bytes(BLOCK, 9)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0x55]);
    expect(machine.floating.ioPending()).toBe(1 << 5);
  });

  test("with operand address zero stores the interruption code in the lowcore", () => {
    const machine = deviceMachine();
    machine.floating.adapterInterruption(2);
    machine.cpu.controlLow[6] = 0x20000000;
    machine.execute("tpi", 0n, 0n, 0n, 0n);
    expect(machine.cpu.cc).toBe(1);
    // zpci-guest.md 6: ISC 2 -> 0x90000000 at 0xC0; prefix of the double 0x100000
    expect(machine.ram.u32(0x100000 + 0xb8)).toBe(0);
    expect(machine.ram.u32(0x100000 + 0xc0)).toBe(0x90000000);
  });

  test("gives cc 0 for what CR6 does not enable, and puts back what it cannot store", () => {
    const machine = deviceMachine();
    machine.floating.adapterInterruption(2);
    machine.execute("tpi", 0n, 0n, 0n, BigInt(BLOCK));
    expect(machine.cpu.cc).toBe(0);
    machine.cpu.controlLow[6] = 0x20000000;
    machine.execute("tpi", 0n, 0n, 0n, 0x40_0000n);
    expect(machine.cpu.programCode).toBe(5);
    expect(machine.floating.ioPending()).toBe(1 << 2);
  });
});

describe("subchannels", () => {
  test("none is operational: STSCH gives cc 3", () => {
    const machine = deviceMachine();
    machine.cpu.setRegister(1, 0x00010000n);
    machine.execute("stsch", 0n, 0n, 0n, BigInt(BLOCK));
    expect(machine.cpu.cc).toBe(3);
  });

  test("an invalid subsystem-identification word is an operand exception", () => {
    const machine = deviceMachine();
    for (const id of [0n, 0x01010000n]) {
      machine.cpu.setRegister(1, id);
      machine.execute("stsch", 0n, 0n, 0n, BigInt(BLOCK));
      expect(machine.cpu.programCode).toBe(0x15);
    }
  });
});

describe("machine reset", () => {
  test("disables functions, forgets pending events and interruptions, and counts the events", () => {
    const machine = threeFunctions();
    raise(machine, 0, 0x3a);
    raise(machine, 1, 0x3a);
    machine.floating.adapterInterruption(2);
    machine.floating.serviceSignal(0x8000);
    machine.devices.reset();
    for (const index of [0, 1, 2]) {
      expect(machine.state(index)).toBe(FunctionState.DISABLED);
      expect(machine.handle(index) >>> 31).toBe(0);
    }
    expect(machine.word(0, FunctionBlock.superseded)).toBe(1);
    expect(machine.word(1, FunctionBlock.superseded)).toBe(1);
    expect(machine.pendingMachineCheck()).toBe(false);
    expect(machine.floating.ioPending()).toBe(0);
    expect(machine.floating.servicePending()).toBe(false);
    expect(storeEvent(machine).code).toBe(5);
    machine.bringUp(0);
    raise(machine, 0, 0x3a);
    expect(machine.pendingMachineCheck()).toBe(true);
  });

  test("leaves functions in standby there", () => {
    const machine = deviceMachine();
    machine.setState(0, FunctionState.STANDBY);
    machine.devices.reset();
    expect(machine.state(0)).toBe(FunctionState.STANDBY);
  });
});

describe("several vCPUs", () => {
  test("share the rings: each takes over where the other stopped", () => {
    const machine = deviceMachine({ vcpuCount: 2 });
    machine.bringUp(0);
    raise(machine, 0, 0x3a);
    expect(storeEvent(machine).pec).toBe(0x3a);
    expect(machine.requests(0).map(({ kind }) => kind)).toContain(RequestKind.guestFetched);
    expect(machine.vmWord(VmBlock.deviceLock)).toBe(0);
  });
});
