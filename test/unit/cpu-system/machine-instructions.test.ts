import fc from "fast-check";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { CpuModel, type CpuModelName, cpuModels, isCpuModelName } from "../../../src/cpu/model.ts";
import {
  Cpu,
  LOCAL_EMERGENCY,
  LOCAL_EXTERNAL_CALL,
  LOCAL_RESTART,
  STOP_QUIT,
  STOP_RESET,
  STOP_SIGP,
} from "../../../src/cpu/state.ts";
import { systemInstructions, systemMnemonics } from "../../../src/cpu/system/index.ts";
import { Watchdog } from "../../../src/shm/watchdog.ts";
import { createMachine, half, MASK64, type Machine, PROBLEM, RAM_BYTES } from "./machine.ts";

const SPECIFICATION = 0x06;
const OPERAND = 0x3000;

let m: Machine;

beforeEach(() => {
  m = createMachine();
  m.setPsw(MASK64, 0n);
  m.state.setGr(5, BigInt(OPERAND));
});

describe("facilities", () => {
  const announced = (model: CpuModel): number[] =>
    Array.from({ length: 256 }, (_, facility) => facility).filter((facility) =>
      model.has(facility),
    );
  // design.md 5.1
  const DEFAULT = [0, 1, 2, 3, 7, 18, 21, 25, 27, 32, 33, 34, 35, 45, 69, 71, 72];
  const LEVEL_SET = [0, 1, 2, 3, 7, 18, 21, 25, 27, 32, 33, 34, 35];

  it("the default model announces exactly the facilities of the design", () => {
    expect(announced(new CpuModel())).toEqual(DEFAULT);
  });

  it("z10 has no PCI unless asked for, and vectors begin with z13", () => {
    const z10 = [...LEVEL_SET, 8, 10, 16, 22, 24, 26, 28, 30, 31, 40, 41].sort((a, b) => a - b);
    expect(announced(new CpuModel("z10"))).toEqual(z10);
    expect(announced(new CpuModel("z10", { zpci: true }))).toEqual([...z10, 69, 71, 72]);
    expect(announced(new CpuModel("zmend", { zpci: false }))).toEqual([...LEVEL_SET, 45]);
    for (const name of Object.keys(cpuModels).filter(isCpuModelName)) {
      expect([name, new CpuModel(name).has(129)]).toEqual([name, /^(z13|z14|max)$/.test(name)]);
    }
    expect(isCpuModelName("toString")).toBe(false);
  });

  it("later models announce what earlier ones do, and each what its machine brought", () => {
    const of = (name: CpuModelName): number[] => announced(new CpuModel(name, { zpci: true }));
    const order = ["z10", "z196", "z13", "z14", "max"] as const;
    const added = order.map((name, n) => {
      const before = order[n - 1];
      const known = before === undefined ? [] : of(before);
      expect(known.filter((facility) => !of(name).includes(facility))).toEqual([]);
      return of(name).filter((facility) => !known.includes(facility));
    });
    expect(added.slice(1)).toEqual([[37, 45, 66], [49, 53, 78, 129], [58, 130, 135], [61]]);
  });

  it("STFL stores the first word at real 200, STFLE as many doublewords as asked", () => {
    m.state.setI32(Cpu.prefix, 0x6000);
    expect(m.execute("b2b1 0000")).toBe(0);
    // bits 0-3, 7 | 18, 21 | 25, 27 in order of bytes: F1 00 24 50
    expect(m.ram.u32(0x60c8)).toBe(0xf1002450);
    m.state.setGr(0, 0xffffffffffffff00n);
    expect(m.execute("b2b0 5000")).toBe(0);
    expect(m.state.i32(Cpu.cc)).toBe(3);
    expect(m.state.gr(0)).toBe(0xffffffffffffff01n);
    // bits 32-35 and 45 of the first doubleword
    expect(m.u64(OPERAND)).toBe(0xf1002450f0040000n);
    expect(m.u64(OPERAND + 8)).toBe(0n);
    m.state.setGr(0, 1n); // exactly as many as there are
    expect(m.execute("b2b0 5000")).toBe(0);
    expect(m.state.i32(Cpu.cc)).toBe(0);
    m.state.setGr(0, 0x0fn);
    expect(m.execute("b2b0 5000")).toBe(0);
    expect(m.state.i32(Cpu.cc)).toBe(0);
    expect(m.state.gr(0)).toBe(1n);
    expect(m.u64(OPERAND + 8)).toBe(0x0580000000000000n); // bits 69, 71, 72
    expect(m.u64(OPERAND + 16)).toBe(0n);
  });

  it("STFLE works in the problem state and needs a doubleword", () => {
    m.setPsw(MASK64 | PROBLEM, 0n);
    expect(m.execute("b2b0 5000")).toBe(0);
    expect(m.execute("b2b0 5004")).toBe(SPECIFICATION);
  });
});

describe("STORE SYSTEM INFORMATION", () => {
  function stsi(level: number, selector1: number, selector2: number): number {
    m.state.setGr(0, BigInt(level) * 0x10000000n + BigInt(selector1));
    m.state.setGr(1, BigInt(selector2));
    return m.execute("b27d 5000");
  }
  const ebcdic = (bytes: readonly number[]): string =>
    bytes
      .map((byte) => {
        if (byte === 0x40) return " ";
        if (byte === 0x61) return "/";
        if (byte >= 0xf0) return String.fromCharCode(byte - 0xf0 + 0x30);
        const upper = (byte & 0x40) !== 0 ? 0 : 0x20;
        const zone = byte & 0xb0;
        const start = zone === 0x80 ? 0x41 : zone === 0x90 ? 0x4a : 0x53 - 1;
        return String.fromCharCode(start + (byte & 15) - 1 + upper);
      })
      .join("");
  const text = (offset: number, length: number): string =>
    ebcdic(Array.from({ length }, (_, i) => m.ram.u8(OPERAND + offset + i)));

  it("level 0 answers that this is level 3 and stores nothing", () => {
    expect(stsi(0, 0, 0)).toBe(0);
    expect(m.state.gr(0)).toBe(0x30000000n);
    expect(m.state.i32(Cpu.cc)).toBe(0);
  });

  it("1.1.1 names the machine type of the model", () => {
    expect(stsi(1, 1, 1)).toBe(0);
    expect(m.state.i32(Cpu.cc)).toBe(0);
    expect(text(32, 16)).toBe("ZMEND           ");
    expect(text(48, 4)).toBe("8561");
  });

  it("3.2.2 presents one KVM/Linux guest, so Linux takes the VT220 console", () => {
    expect(stsi(3, 2, 2)).toBe(0);
    expect(m.ram.u8(OPERAND + 31)).toBe(1);
    expect(m.ram.u16(OPERAND + 36)).toBe(1);
    expect(text(44, 8)).toBe("zmend   ");
    expect(m.ram.u32(OPERAND + 52)).toBe(1000);
    expect(text(56, 16)).toBe("KVM/Linux       ");
    expect(m.ram.u8(OPERAND + 75)).toBe(2);
    expect(m.ram.u8(OPERAND + 2048)).toBe(0x7a);
  });

  it.each([
    [1, 2, 1],
    [1, 2, 2],
    [2, 2, 1],
    [2, 2, 2],
  ])("%i.%i.%i is answered with cc 0", (level, selector1, selector2) => {
    expect(stsi(level, selector1, selector2)).toBe(0);
    expect(m.state.i32(Cpu.cc)).toBe(0);
  });

  it("unknown blocks and levels are cc 3; reserved bits and a wrong boundary are refused", () => {
    expect(stsi(1, 1, 2)).toBe(0);
    expect(m.state.i32(Cpu.cc)).toBe(3);
    expect(stsi(15, 1, 2)).toBe(0);
    expect(m.state.i32(Cpu.cc)).toBe(3);
    expect(stsi(1, 0x101, 1)).toBe(SPECIFICATION);
    expect(stsi(1, 1, 0x10001)).toBe(SPECIFICATION);
    m.state.setGr(5, BigInt(OPERAND + 8));
    expect(stsi(1, 1, 1)).toBe(SPECIFICATION);
  });
});

describe("clock instructions", () => {
  it("STCK stores 8 bytes, STCKE 16 with the programmable field, both with cc 0", () => {
    m = createMachine({ epoch: { high: 0x11223344, low: 0x55667788 } });
    m.setPsw(MASK64 | PROBLEM, 0n);
    m.state.setGr(5, BigInt(OPERAND + 3)); // no boundary is required
    m.state.setI32(Cpu.cc, 3);
    m.state.setI32(Cpu.todProgrammable, 0xabcd);
    expect(m.execute("b205 5000")).toBe(0);
    expect(m.u64(OPERAND + 3)).toBe(0x1122334455667788n);
    expect(m.state.i32(Cpu.cc)).toBe(0);
    expect(m.execute("b278 5000")).toBe(0);
    expect(m.u64(OPERAND + 3)).toBe(0x0011223344556677n);
    expect(m.u64(OPERAND + 11)).toBe(0x890000000001abcdn);
    expect(m.execute("b27c 5000")).toBe(0);
    expect(m.u64(OPERAND + 3)).toBe(0x1122334455667788n);
  });

  it("SCK, SCKC and SPT load their clocks, STCKC and STPT give them back", () => {
    m.setU64(OPERAND, 0x0102030405060708n);
    expect(m.execute("b204 5000")).toBe(0);
    expect(m.execute("b27c 5008")).toBe(0);
    expect(m.u64(OPERAND + 8)).toBe(0x0102030405060708n);
    expect(m.execute("b206 5000")).toBe(0);
    expect(m.execute("b207 5008")).toBe(0);
    expect(m.u64(OPERAND + 8)).toBe(0x0102030405060708n);
    expect(m.execute("b208 5000")).toBe(0);
    m.clock.advanceTo(2);
    expect(m.execute("b209 5008")).toBe(0);
    expect(m.u64(OPERAND + 8)).toBe(0x0102030405060708n - 8192n);
    for (const hex of ["b204 5004", "b206 5004", "b207 5004", "b208 5004", "b209 5004"]) {
      expect(m.execute(hex)).toBe(SPECIFICATION);
    }
  });

  it("SCKPF takes 16 bits of GR0 and refuses more", () => {
    m.state.setGr(0, 0xffffffff00001234n);
    expect(m.execute("0107")).toBe(0);
    expect(m.state.i32(Cpu.todProgrammable)).toBe(0x1234);
    m.state.setGr(0, 0x10000n);
    expect(m.execute("0107")).toBe(SPECIFICATION);
  });

  it("a clock reading that cannot be stored is not used up", () => {
    m.state.setGr(6, BigInt(RAM_BYTES));
    m.execute("b205 5000");
    const first = m.u64(OPERAND);
    expect(m.execute("b205 6000")).toBe(0x05);
    m.execute("b205 5000");
    expect(m.u64(OPERAND)).toBe(first + 1n);
  });
});

describe("SIGP to this CPU", () => {
  /** Order with the parameter in GR3, status in GR2, CPU address in GR4. */
  function sigp(order: number, parameter = 0n, cpu = 0n): number {
    m.state.setGr(2, 0x7777777700000000n);
    m.state.setGr(3, parameter);
    m.state.setGr(4, cpu);
    expect(m.execute(`ae24 0${order.toString(16).padStart(3, "0")}`)).toBe(0);
    return m.state.i32(Cpu.cc);
  }
  const status = (): bigint => m.state.gr(2) & 0xffffffffn;

  it("external call is accepted once and then reported pending", () => {
    expect(sigp(2)).toBe(0);
    expect(m.state.i32(Cpu.localPending)).toBe(LOCAL_EXTERNAL_CALL);
    expect(sigp(2)).toBe(1);
    expect(status()).toBe(0x80n);
    expect(sigp(1)).toBe(1);
    expect(status()).toBe(0x80n);
    expect(m.state.gr(2) >> 32n).toBe(0x77777777n);
  });

  it("emergency signal and restart become pending, sense and start are accepted", () => {
    expect(sigp(1)).toBe(0);
    expect(sigp(4)).toBe(0);
    expect(sigp(3)).toBe(0);
    expect(sigp(6)).toBe(0);
    expect(m.state.i32(Cpu.localPending)).toBe(LOCAL_EMERGENCY | LOCAL_RESTART);
    expect(m.state.i32(Cpu.emergencyCpus)).toBe(1);
  });

  it("stop ends the CPU; stop and store status leaves its registers in the lowcore", () => {
    m.state.setGr(15, 0xfeedn);
    expect(sigp(9)).toBe(0);
    expect(m.state.i32(Cpu.stopReason)).toBe(STOP_SIGP);
    expect(m.state.i32(Cpu.running)).toBe(0);
    expect(m.u64(0x1280 + 15 * 8)).toBe(0xfeedn);
    expect(m.u64(0x1300)).toBe(MASK64);
    expect(m.u64(0x1308)).toBe(0x10004n);
    expect(m.ram.u8(0xa3)).toBe(1);
  });

  it.each([
    ["set architecture: always z/Architecture", 0x12, 2n, 0x100n],
    ["set prefix: not while operating", 0x0d, 0x8000n, 0x200n],
    ["set prefix: not outside storage", 0x0d, 0x40000000n, 0x100n],
    ["store status at address: not while operating", 0x0e, 0x8000n, 0x200n],
    ["sense running status: without facility 9", 0x15, 0n, 0x02n],
    ["an unknown order", 0x7f, 0n, 0x02n],
  ])("%s", (_, order, parameter, expected) => {
    expect(sigp(order, parameter)).toBe(1);
    expect(status()).toBe(expected);
  });

  it("no other CPU is there: cc 3", () => {
    expect(sigp(1, 0n, 1n)).toBe(3);
    expect(sigp(5, 0n, 0xffffn)).toBe(3);
    expect(m.state.i32(Cpu.running)).toBe(1);
  });

  it("initial CPU reset leaves CR0 = E0, CR14 = C2000000 and a stopped CPU", () => {
    m.state.setCr(7, 5n);
    expect(sigp(0x0b)).toBe(0);
    expect(m.state.cr(0)).toBe(0xe0n);
    expect(m.state.cr(7)).toBe(0n);
    expect(m.state.cr(14)).toBe(0xc2000000n);
    expect(m.state.i32(Cpu.running)).toBe(0);
  });
});

describe("SIGP to a stopped CPU", () => {
  const PSW_ENABLED = 0x0300000180000000n;

  function twoCpus() {
    const machine = createMachine({ cpus: 2 });
    const { state } = machine.sys.remote(1);
    state.setI32(Cpu.running, 0);
    const sigp = (order: number, parameter: bigint): bigint => {
      machine.state.setGr(2, 0n);
      machine.state.setGr(3, parameter);
      machine.state.setGr(4, 1n);
      machine.execute(`ae24 0${order.toString(16).padStart(3, "0")}`);
      return machine.state.i32(Cpu.cc) === 0 ? 0n : machine.state.gr(2);
    };
    return { machine, state, sigp };
  }

  // SA22-7832, "Conditional Emergency Signal": what QEMU's does, target/s390x/sigp.c.
  it.each([
    ["disabled for interruptions", 0x180000000n, 0n, 7n, 0n],
    ["disabled for external interruptions", 0x0200000180000000n, 0n, 7n, 0n],
    ["in a wait with an address", 0x0302000180000000n, 0x1000n, 7n, 0n],
    ["in a wait at address 0", 0x0302000180000000n, 0n, 5n, 0x200n],
    ["in the primary address space of the parameter", PSW_ENABLED, 0x1000n, 5n, 0n],
    ["in the secondary one", PSW_ENABLED, 0x1000n, 6n, 0n],
    ["in another", PSW_ENABLED, 0x1000n, 7n, 0x200n],
  ])("conditional emergency signal, %s", (_, mask, address, asn, status) => {
    const { state, sigp } = twoCpus();
    state.setU64(Cpu.pswMask, mask);
    state.setU64(Cpu.pswAddress, address);
    state.setCr(4, 5n);
    state.setCr(3, 6n);
    expect(sigp(0x13, asn)).toBe(status);
    expect(state.i32(Cpu.emergencyCpus)).toBe(status === 0n ? 1 : 0);
  });

  it("conditional emergency signal reaches a CPU that operates, this one too", () => {
    const { machine, state, sigp } = twoCpus();
    state.setI32(Cpu.running, 1);
    expect(sigp(0x13, 7n)).toBe(0n);
    expect(state.i32(Cpu.localPending)).toBe(LOCAL_EMERGENCY);
    machine.state.setGr(4, 0n);
    machine.execute("ae24 0013");
    expect(machine.state.i32(Cpu.localPending)).toBe(LOCAL_EMERGENCY);
  });

  it("store additional status at address stores the vector registers, where there are any", () => {
    const { machine, state, sigp } = twoCpus();
    expect(sigp(0x17, 0x8000n)).toBe(0x02n);
    vi.spyOn(machine.model, "has").mockImplementation((facility) => facility === 129);
    for (let n = 0; n < 64; n++) state.setU64(Cpu.vr + n * 8, BigInt(n) << 40n);
    machine.setU64(0x8200, 0x1234n);
    expect(sigp(0x17, 0x8000n)).toBe(0n);
    expect(machine.u64(0x8000 + 63 * 8)).toBe(63n << 40n);
    expect(machine.u64(0x8200)).toBe(0x1234n);
    expect(sigp(0x17, 0x8200n)).toBe(0x100n); // not on a 1 KiB boundary
    expect(sigp(0x17, 0x800an)).toBe(0x100n); // a length code needs guarded storage
    expect(sigp(0x17, 0x100008000n)).toBe(0x100n); // outside storage
    state.setI32(Cpu.running, 1);
    expect(sigp(0x17, 0x8000n)).toBe(0x200n);
  });
});

describe("DIAGNOSE and ECAG", () => {
  it("0x308 subcode 6 has no parameter block to give, 5 accepts none", () => {
    m.state.setGr(2, 0x4000n);
    m.state.setGr(4, 6n);
    expect(m.execute("8324 0308")).toBe(0);
    expect(m.state.gr(3)).toBe(0x102n);
    m.state.setGr(4, 5n);
    expect(m.execute("8324 0308")).toBe(0);
    expect(m.state.gr(3)).toBe(0x402n);
    m.state.setGr(2, 0x4008n);
    expect(m.execute("8324 0308")).toBe(SPECIFICATION);
    m.state.setGr(2, BigInt(RAM_BYTES));
    expect(m.execute("8324 0308")).toBe(0x05);
    m.state.setGr(4, 0x100000006n);
    expect(m.execute("8324 0308")).toBe(SPECIFICATION);
  });

  it.each([0n, 1n, 3n, 4n])("0x308 subcode %i asks for a reset", (subcode) => {
    m.state.setGr(4, subcode);
    expect(m.execute("8324 0308")).toBe(0);
    expect(m.state.i32(Cpu.stopReason)).toBe(STOP_RESET);
  });

  it("0x500 with the quit code ends the VM, with any other it is refused", () => {
    m.state.setGr(1, 4n);
    expect(m.execute("8324 0500")).toBe(SPECIFICATION);
    m.state.setGr(1, 0x5a4dn);
    expect(m.execute("8324 0500")).toBe(0);
    expect(m.state.i32(Cpu.stopReason)).toBe(STOP_QUIT);
  });

  it("0x44 and 0x9c yield; 0x288 without a watchdog, 0x258, 0x204, 0x260 are specification exceptions", () => {
    expect(m.execute("8324 0044")).toBe(0);
    expect(m.execute("8324 009c")).toBe(0);
    for (const code of ["0288", "0258", "0204", "0260"]) {
      expect(m.execute(`8324 ${code}`)).toBe(SPECIFICATION);
    }
  });

  it("0x288 arms, renews and cancels the guest's watchdog; QEMU's checks (target/s390x/diag.c)", () => {
    Watchdog.install(m.vm);
    const watchdog = new Watchdog(m.vm, m.clock);
    const call = (operation: bigint, seconds: bigint, action = 0n): number => {
      m.state.setGr(2, operation);
      m.state.setGr(3, seconds);
      m.state.setGr(4, action);
      return m.execute("8324 0288");
    };
    expect(call(1n, 15n)).toBe(SPECIFICATION); //          change: not running
    expect(call(2n, 0n)).toBe(SPECIFICATION); //           cancel: not running
    expect(call(0n, 14n)).toBe(SPECIFICATION); //          at least 15 s
    expect(call(0n, 15n, 1n)).toBe(SPECIFICATION); //      action 0 only
    expect(call(3n, 15n)).toBe(SPECIFICATION);
    expect(call(0x1_0000_0000n, 15n)).toBe(SPECIFICATION);
    expect(watchdog.running).toBe(false);
    expect(call(0n, 15n)).toBe(0);
    m.clock.advanceTo(14_000_000);
    expect(watchdog.takeExpiry()).toBe(false);
    expect(call(1n, 15n)).toBe(0);
    m.clock.advanceTo(28_900_000);
    expect(watchdog.takeExpiry()).toBe(false);
    expect(call(2n, 0n)).toBe(0);
    m.clock.advanceTo(60_000_000);
    expect(watchdog.takeExpiry()).toBe(false);
    expect(call(0n, 0xffff_ffff_ffff_ffffn)).toBe(0); //   some time after the end of the world
    expect([watchdog.running, watchdog.takeExpiry()]).toEqual([true, false]);
    expect(m.execute("8334 0288")).toBe(SPECIFICATION); // R1 odd
  });

  it("ECAG describes no cache", () => {
    expect(m.execute("eb10 0000 004c")).toBe(0);
    expect(m.state.gr(1)).toBe(0n);
    expect(m.execute("eb10 0010 004c")).toBe(0);
    expect(m.state.gr(1)).toBe(0xffffffffffffffffn);
  });
});

describe("the whole table", () => {
  it("has a mnemonic for every key", () => {
    expect([...systemMnemonics.keys()]).toEqual([...systemInstructions.keys()]);
    expect(new Set(systemMnemonics.values()).size).toBe(systemInstructions.size);
  });

  it("no instruction throws or touches the host, whatever registers and operands say", () => {
    const u64 = fc.oneof(
      fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }),
      fc.bigInt({ min: 0n, max: BigInt(RAM_BYTES) }),
    );
    const keys = [...systemInstructions.keys()];
    fc.assert(
      fc.property(
        fc.constantFrom(...keys),
        fc.integer(),
        fc.integer(),
        u64,
        fc.array(u64, { minLength: 16, maxLength: 16 }),
        fc.array(u64, { minLength: 4, maxLength: 4 }),
        (key, high, low, mask, registers, controls) => {
          const hostile = createMachine();
          hostile.setPsw(mask, 0x2000n);
          registers.forEach((value, n) => {
            hostile.state.setGr(n, value);
            hostile.state.setI32(Cpu.ar + n * 4, half(value));
          });
          [0, 1, 7, 13].forEach((n, i) => {
            hostile.state.setCr(n, controls[i] ?? 0n);
          });
          hostile.state.setI32(Cpu.instructionHigh, high);
          hostile.state.setI32(Cpu.instructionLow, low);
          hostile.state.setI32(Cpu.ilc, 4);
          systemInstructions.get(key)?.(hostile.sys);
          const code = hostile.state.i32(Cpu.programCode);
          expect(code).toBeGreaterThanOrEqual(0);
          expect(code).toBeLessThan(0x100);
          if (code !== 0) hostile.interrupts.deliverProgram();
          expect(hostile.ram.contains(hostile.state.i32(Cpu.prefix), 8192)).toBe(true);
        },
      ),
      { numRuns: 600 },
    );
  });
});
