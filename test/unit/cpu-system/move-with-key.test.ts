/** MVCK, MVCSK, MVCDK: which operand is accessed under which key (SA22-7832 chapter 10). */
import { beforeEach, expect, it } from "vitest";
import { Cpu } from "../../../src/cpu/state.ts";
import { createMachine, MASK64, type Machine, PROBLEM } from "./machine.ts";

const TARGET = 0x51000;
const SOURCE = 0x61000;
const PROTECTION = 0x04;
const PRIVILEGED = 0x02;
/** PSW key 3 in bits 8-11. */
const KEY_3 = 0x3n << 52n;
const FETCH_PROTECTED = 0x08;

let m: Machine;

beforeEach(() => {
  m = createMachine();
  m.setPsw(MASK64 | KEY_3, 0n);
  m.state.setGr(5, BigInt(TARGET));
  m.state.setGr(6, BigInt(SOURCE));
  m.setU64(SOURCE, 0x1122334455667788n);
  m.keys.set(TARGET, 0x30);
  m.keys.set(SOURCE, 0x50 | FETCH_PROTECTED);
  // MVCK: length in register 1, key in register 2; MVCSK, MVCDK: length less one in 0, key in 1
  m.state.setGr(2, 0x50n);
});

it("MVCK fetches under the key of R3 and stores under the PSW key", () => {
  m.state.setGr(1, 8n);
  expect(m.execute("d912 5000 6000")).toBe(0);
  expect(m.state.i32(Cpu.cc)).toBe(0);
  expect(m.u64(TARGET)).toBe(0x1122334455667788n);
  m.state.setGr(2, 0x30n);
  expect(m.execute("d912 5000 6000")).toBe(PROTECTION);
  m.state.setGr(2, 0x50n);
  m.keys.set(TARGET, 0x50);
  expect(m.execute("d912 5000 6000")).toBe(PROTECTION);
});

it("MVCK moves 256 bytes at most, with condition code 3", () => {
  m.state.setGr(1, 257n);
  expect(m.execute("d912 5000 6000")).toBe(0);
  expect(m.state.i32(Cpu.cc)).toBe(3);
});

it("MVCSK has the key of the source, MVCDK that of the destination", () => {
  m.state.setGr(0, 7n);
  m.state.setGr(1, 0x50n);
  expect(m.execute("e50e 5000 6000")).toBe(0);
  expect(m.u64(TARGET)).toBe(0x1122334455667788n);
  expect(m.execute("e50f 5000 6000")).toBe(PROTECTION);
  m.keys.set(TARGET, 0x50);
  m.keys.set(SOURCE, 0x30 | FETCH_PROTECTED);
  m.setU64(TARGET, 0n);
  expect(m.execute("e50e 5000 6000")).toBe(PROTECTION);
  expect(m.execute("e50f 5000 6000")).toBe(0);
  expect(m.u64(TARGET)).toBe(0x1122334455667788n);
});

it.each(["d912 5000 6000", "e50e 5000 6000", "e50f 5000 6000"])(
  "%s in the problem state needs the key in the PSW-key mask",
  (code) => {
    m.setPsw(MASK64 | KEY_3 | PROBLEM, 0n);
    m.state.setGr(0, 0n);
    m.state.setGr(1, 0x30n);
    m.state.setGr(2, 0x30n);
    m.keys.set(SOURCE, 0x30);
    expect(m.execute(code)).toBe(PRIVILEGED);
    m.state.setCr(3, 0x10000000n); // key 3 permitted
    expect(m.execute(code)).toBe(0);
  },
);
