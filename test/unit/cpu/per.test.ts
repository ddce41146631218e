/** Program-event recording. Source of codes, fields and rules: SA22-7832 chapter 4, "Program-Event Recording". */
import { describe, expect, it } from "vitest";
import { VcpuExit } from "../../../src/cpu/index.ts";
import { cpuRig } from "../../support/cpu-rig.ts";

const CODE = 0x10000;
const DATA = 0x20000n;
const PER_64 = 0x40000001;
const BRANCH = 0x80000000n;
const FETCH = 0x40000000n;
const STORE = 0x20000000n;
const STORE_REAL = 0x08000000n;
const NULLIFY = 0x01000000n;
const BRANCH_ADDRESS = 0x00800000n;
const EVERYWHERE = (1n << 64n) - 1n;
const SVC_HANDLER = 0x30000n;

interface Event {
  /** Program-interruption code, lowcore 0x8e. */
  readonly code: number;
  /** PER code and ATMID, lowcore 0x96. */
  readonly per: string;
  readonly address: number;
  /** Address of the old PSW. */
  readonly old: number;
  readonly ilc: number;
}

/** Runs up to `budget` instructions until a program interruption, which ends in a disabled wait. */
function watch(events: bigint, range: readonly [bigint, bigint], code: string, budget = 20) {
  const rig = cpuRig();
  rig.put(0x1d0, "0002000180000000 0000000000000000");
  rig.put(0x1c0, `0000000180000000 ${SVC_HANDLER.toString(16).padStart(16, "0")}`);
  rig.put(CODE, code);
  rig.state.setCr(0, 0x40000n);
  rig.state.setCr(9, events);
  rig.state.setCr(10, range[0]);
  rig.state.setCr(11, range[1]);
  rig.state.setGr(1, DATA);
  rig.start(CODE, PER_64);
  const exit = rig.vcpu.run(budget);
  const event: Event | undefined =
    exit === VcpuExit.disabledWait
      ? {
          code: Number(`0x${rig.hex(0x8e, 2)}`),
          per: rig.hex(0x96, 2),
          address: Number(`0x${rig.hex(0x98, 8)}`),
          old: Number(`0x${rig.hex(0x158, 8)}`),
          ilc: Number(`0x${rig.hex(0x8c, 2)}`),
        }
      : undefined;
  return { rig, event };
}

const all: readonly [bigint, bigint] = [0n, EVERYWHERE];

describe("PER", () => {
  it("an instruction that is fetched from the range is executed, then there is the event", () => {
    const { rig, event } = watch(FETCH, all, "a7190007 a7290008");
    expect(event).toEqual({ code: 0x80, per: "40e0", address: CODE, old: CODE + 4, ilc: 4 });
    expect(rig.state.gr(1)).toBe(7n);
  });

  it("nothing happens outside of the range, which may wrap around", () => {
    const second = BigInt(CODE + 4);
    expect(watch(FETCH, [second, second], "a7190007 a7290008").event?.address).toBe(CODE + 4);
    const wrapped: readonly [bigint, bigint] = [second, BigInt(CODE) - 2n];
    expect(watch(FETCH, wrapped, "a7190007 a7290008").event?.address).toBe(CODE + 4);
    expect(watch(FETCH, [0n, 0xffn], "a7190007", 1).event).toBeUndefined();
  });

  it("with nullification it comes before the instruction", () => {
    const { rig, event } = watch(FETCH | NULLIFY, all, "a7190007");
    expect(event).toEqual({ code: 0x80, per: "41e0", address: CODE, old: CODE, ilc: 4 });
    expect(rig.state.gr(1)).toBe(DATA);
  });

  it("a branch that is taken is an event with the target in the old PSW", () => {
    const { event } = watch(BRANCH, all, "a7190007 a7f40010");
    expect(event).toEqual({ code: 0x80, per: "80e0", address: CODE + 4, old: CODE + 0x24, ilc: 4 });
    expect(watch(BRANCH, all, "a7040010", 1).event).toBeUndefined();
  });

  it("branch-address control asks where the branch goes to", () => {
    const target = BigInt(CODE + 0x20);
    const control = BRANCH | BRANCH_ADDRESS;
    expect(watch(control, [target, target], "a7f40010").event?.per).toBe("80e0");
    expect(watch(control, [0n, 0xffn], "a7f40010", 1).event).toBeUndefined();
  });

  it("an event at SVC follows the supervisor-call interruption", () => {
    const { rig, event } = watch(FETCH, all, "0a2a");
    expect(event).toEqual({
      code: 0x80,
      per: "40e0",
      address: CODE,
      old: Number(SVC_HANDLER),
      ilc: 2,
    });
    expect(rig.hex(0x8a, 2)).toBe("002a");
    expect(rig.hex(0x148, 8)).toBe((CODE + 2).toString(16).padStart(16, "0"));
  });

  it("EXECUTE and its target are one event at EXECUTE", () => {
    const { rig, event } = watch(FETCH, all, "c6000000000 8".replace(" ", ""));
    expect(event?.address).toBe(CODE);
    // EXRL of zeros is an operation exception of the target, with the event beside it.
    expect(event?.code).toBe(0x81);
    expect(rig.hex(0x8c, 2)).toBe("0006");
  });

  it.each([
    ["ST into it", "50001000", 4],
    ["STG that ends in it", "e3001ffcff24", 6],
    ["MVC into it", "d20f10001100", 6],
    ["MVI into it", "92ff1000", 4],
    ["AGSI of it", "eb011000007a", 6],
    ["STMG across it", "eb021ff8ff24", 6],
  ] as const)("storage alteration: %s", (_, code, length) => {
    const { event } = watch(STORE, [DATA, DATA + 3n], `${code}a7190007`);
    expect(event).toEqual({
      code: 0x80,
      per: "20e0",
      address: CODE,
      old: CODE + length,
      ilc: length,
    });
  });

  it("a store beside the range, and a fetch from it, are no alteration", () => {
    expect(watch(STORE, [DATA, DATA + 3n], "50001004 58001000 a7190007", 3).event).toBeUndefined();
  });

  it("STURA is an event of its own", () => {
    const { event } = watch(STORE | STORE_REAL, [1n, 1n], "b2460011");
    expect(event?.per).toBe("08e0");
  });

  it("an exception that suppresses the instruction comes with the event, one that nullifies alone", () => {
    expect(watch(FETCH, all, "00000000").event?.code).toBe(0x81);
    const { rig } = watch(FETCH, all, "a7190007");
    rig.start(CODE + 1, PER_64);
    rig.vcpu.run(1);
    expect(rig.hex(0x8e, 2)).toBe("0006");
  });

  it("is off without the PSW's bit, and code that was watched runs on unwatched", () => {
    const { rig } = watch(FETCH, all, "a7190007 a7290008");
    rig.put(0x8e, "0000");
    rig.start(CODE);
    expect(rig.vcpu.run(2)).toBe(VcpuExit.budget);
    expect(rig.hex(0x8e, 2)).toBe("0000");
    expect(rig.state.gr(2)).toBe(8n);
  });
});
