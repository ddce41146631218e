/**
 * A genuine driver's recovery, instruction by instruction (recorded, zpci/nvme-6.1-recovery.txt): our
 * machine answers every recorded operand alike. Deliberate differences, zpci-guest.md 4.3 and design.md
 * 5.1: handles count instances (replaced on the way in), a CLP disable in error is busy until the host reset.
 * Data read from the function is the device's own and not compared.
 */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { FunctionBlock, FunctionState, PHASE_DONE } from "../../src/shm/blocks.ts";
import { BLOCK, type DeviceMachine, deviceMachine, TABLES } from "../support/device-machine.ts";

const lines = readFileSync(new URL("zpci/nvme-6.1-recovery.txt", import.meta.url), "utf8")
  .split("\n")
  .filter((line) => line !== "" && !line.startsWith("#"));

function field(line: string, name: string): bigint {
  const found = new RegExp(`\\b${name}=([0-9a-f]+)`).exec(line)?.[1];
  return found === undefined ? 0n : BigInt(`0x${found}`);
}

/** The recorded request register with the handle of our machine. */
function request(machine: DeviceMachine, line: string, name: string): bigint {
  return (BigInt(machine.handle(0)) << 32n) | (field(line, name) & 0xffffffffn);
}

/** The FIB of the next MPCIFC; addresses of the recorded guest's storage become ours. */
function fib(machine: DeviceMachine, line: string): void {
  machine.fillFib();
  const view = machine.fibView();
  view.setBigUint64(16, field(line, "pba"));
  view.setBigUint64(24, field(line, "pal"));
  view.setBigUint64(32, field(line, "iota") === 0n ? 0n : BigInt(TABLES) | 0x804n);
  view.setUint32(40, Number(field(line, "data")));
  view.setBigUint64(64, field(line, "fmb"));
}

/** Executes one recorded line; returns our answer in the recording's words. */
function replay(machine: DeviceMachine, line: string): string {
  const { cpu, ram } = machine;
  const end = (register: number): string =>
    `cc${cpu.cc} st=${cpu.cc === 1 ? cpu.status(register) : 0}`;
  const kind = line.split(" ")[0];
  switch (kind) {
    case "INJECT":
      machine.setState(0, Number(/newstate=(\d)/.exec(line)?.[1]) as FunctionState);
      machine.publish(0, Number(field(line, "pec")));
      expect(machine.pendingMachineCheck()).toBe(true);
      machine.floating.claimMachineCheck();
      return "";
    case "STCRW":
      machine.execute("stcrw", 0n, 0n, 0n, BigInt(BLOCK));
      return `cc${cpu.cc}`;
    case "CHSC":
      ram.fill(BLOCK, 4096, 0);
      ram.setU32(BLOCK, 0x0010000e);
      ram.setU32(BLOCK + 8, 0xa0000000);
      machine.execute("chsc", BigInt(BLOCK), 0n, 0n, 0n);
      return `event=${ram.u16(BLOCK + 18)}`;
    case "CLP":
      return clp(machine, line);
    case "FIB":
      fib(machine, line);
      return "";
    case "MPCIFC":
      machine.execute("mpcifc", request(machine, line, "req"), 0n, 0n, BigInt(BLOCK));
      return end(2);
    case "PCILG":
    case "PCISTG": {
      const name = kind === "PCILG" ? "pcilg" : "pcistg";
      const data = kind === "PCILG" ? 0n : field(line, "data");
      machine.execute(name, data, request(machine, line, "req"), field(line, "off"), 0n);
      return end(4);
    }
    case "RPCIT": {
      const fh = BigInt(machine.handle(0)) << 32n;
      machine.execute("rpcit", fh, field(line, "start"), field(line, "len"), 0n);
      return end(2);
    }
    case "SIC":
      machine.execute("sic", field(line, "mode"), field(line, "isc") << 27n, 0n, 0n);
      return "r=0";
    default:
      throw new Error(`unknown line in the recording: ${line}`);
  }
}

function clp(machine: DeviceMachine, line: string): string {
  const { cpu, ram } = machine;
  const command = Number(field(line, "cmd"));
  ram.fill(BLOCK, 8192, 0);
  ram.setU16(BLOCK, 32);
  ram.setU16(BLOCK + 2, command);
  const byHandle = command === 3 || command === 5;
  ram.setU32(BLOCK + 16, byHandle ? machine.handle(0) : Number(field(line, "w16")));
  if (command === 5) {
    ram.setU8(BLOCK + 22, Number(field(line, "oc")));
    ram.setU8(BLOCK + 23, Number(field(line, "ndas")));
  }
  ram.setU16(BLOCK + 32, Number(/rsplen_in=(\d+)/.exec(line)?.[1]));
  machine.execute("clp", 0n, BigInt(BLOCK), 0n, 0n);
  const code = ram.u16(BLOCK + 34);
  if (code === 0x0108) {
    machine.setWord(0, FunctionBlock.resetPhase, PHASE_DONE);
    return clp(machine, line);
  }
  return `rsp=${code.toString(16).padStart(4, "0")} cc=${cpu.cc}`;
}

function recorded(line: string): string {
  const answer = line.split(" -> ")[1] ?? "";
  if (line.startsWith("CLP")) return answer.replace(/rfh=\w+ /, "");
  if (line.startsWith("CHSC")) return "event=1";
  if (line.startsWith("SIC")) return "r=0";
  return answer.replace(/ data=\w+$/, "");
}

test("every recorded operand of the driver's recovery gets the recorded answer", () => {
  const machine = deviceMachine();
  machine.buildTables();
  const ours = lines.map((line) => `${line.split(" -> ")[0]} -> ${replay(machine, line)}`);
  const theirs = lines.map((line) => `${line.split(" -> ")[0]} -> ${recorded(line)}`);
  expect(ours).toEqual(theirs);
  expect(machine.state(0)).toBe(FunctionState.PERMANENT_ERROR);
  expect(machine.word(0, FunctionBlock.fetchedByGuest)).toBe(2);
  expect(machine.raised).toEqual([]);
});
