/**
 * Whatever a guest puts into registers and storage, every device instruction ends in one architected way:
 * a condition code or a program interruption, never an exception of ours, never a store outside.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { FunctionState } from "../../src/shm/blocks.ts";
import { mnemonics } from "../support/device-instructions.ts";
import {
  BLOCK,
  type DeviceMachine,
  DMA_START,
  deviceMachine,
  RAM_BYTES,
} from "../support/device-machine.ts";

const anyWord = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });
const handle = fc.constantFrom(0x81010000n, 0x81010001n, 0x01010002n, 0x80010000n, 0n);
const request = fc
  .tuple(handle, fc.nat(0xff), fc.nat(0xffff))
  .map(([fh, high, low]) => (fh << 32n) | BigInt(high << 16) | BigInt(low & 0x1fff));
const address = fc.oneof(
  fc.constantFrom(BigInt(BLOCK), BigInt(BLOCK + 8), BigInt(BLOCK + 4), 0n, BigInt(RAM_BYTES)),
  anyWord,
);
const register = fc.oneof(
  anyWord,
  request,
  address,
  fc.constant(DMA_START),
  fc.nat(64).map(BigInt),
);
const commands = fc.constantFrom(
  0x00020001n,
  0x00010001n,
  0x00780005n,
  0x00760005n,
  0x00770005n,
  0x001a0001n,
  0x001b0001n,
);

const step = fc.record({
  name: fc.constantFrom(...mnemonics),
  r1: fc.oneof(register, commands),
  r2: register,
  r3: register,
  address,
  block: fc.uint8Array({ minLength: 0, maxLength: 160 }),
  lengths: fc.constantFrom(undefined, 8, 16, 28, 32, 44, 4096),
  command: fc.constantFrom(undefined, 2, 3, 4, 5, 0x0e, 0x10),
  state: fc.option(fc.integer({ min: 0, max: 6 }), { nil: undefined }),
  problem: fc.nat(20).map((n) => n === 0),
});

function fill(machine: DeviceMachine, bytes: Uint8Array, length?: number, command?: number): void {
  machine.ram.write(BLOCK, bytes);
  if (length !== undefined) machine.ram.setU16(BLOCK, length);
  if (command !== undefined) machine.ram.setU16(BLOCK + 2, command);
}

test("random operands in random states end in a condition code or a program interruption", () => {
  const noCondition = new Set(["sic"]);
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 25 }), fc.boolean(), (steps, clear) => {
      const machine = deviceMachine({ clearError: clear });
      for (const index of [0, 1, 2]) machine.bringUp(index);
      machine.publish(0, 0x3a);
      for (const {
        name,
        r1,
        r2,
        r3,
        address: at,
        block,
        lengths,
        command,
        state,
        problem,
      } of steps) {
        if (state !== undefined) machine.setState(0, state as FunctionState);
        fill(machine, block, lengths, command);
        machine.cpu.problem = problem;
        machine.execute(name, r1, r2, r3, at);
        const { cc, programCode } = machine.cpu;
        expect([0, 2, 5, 6, 0x15]).toContain(programCode);
        if (programCode !== 0) expect(cc).toBe(-1);
        else if (!noCondition.has(name)) expect(cc).toBeGreaterThanOrEqual(0);
      }
      for (const index of [0, 1, 2]) {
        expect(machine.state(index)).toBeLessThanOrEqual(FunctionState.PERMANENT_ERROR);
        const enabled = machine.handle(index) >>> 31 === 1;
        expect(enabled).toBe(machine.state(index) >= FunctionState.ENABLED);
      }
    }),
    { numRuns: 150 },
  );
});
