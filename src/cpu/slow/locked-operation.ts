/**
 * PERFORM LOCKED OPERATION: compares, swaps and stores of up to four operands while no other CPU is in a PERFORM LOCKED
 * OPERATION. The lock is one for all program-lock tokens, the one of the sixteen-byte instructions
 * (table/interlocked.ts), so a function of this instruction and CDSG exclude each other too. In access-register
 * mode the ALETs in the parameter list are not loaded. Source: SA22-7832 chapter 7.
 */
import { ProgramCode } from "../../abi/lowcore.ts";
import { compareExchange, store } from "../../shm/atomics.ts";
import { VmBlock } from "../../shm/blocks.ts";
import type { SlowContext } from "./context.ts";

const FUNCTIONS = 24;
const TEST_BIT = 0x100;
const RESERVED = 0xfffffe00;

/** Function code / 4. */
const COMPARE_AND_LOAD = 0;
const DOUBLE_COMPARE = 2;
const AND_STORE = 3;
const AND_DOUBLE_STORE = 4;

/** Function code % 4: 4 bytes in registers, 8 in the parameter list, 8 in registers, 16 in the list. */
const SIZES = [4, 8, 8, 16] as const;

/** Values stand at the right of fields of 16 bytes in the parameter list. */
const FIELD = 16;
const COMPARAND = 0;
const REPLACEMENT = 1;
const THIRD = 2;
const THIRD_OTHER = 3;
/** Fields of the values that are stored, and where the addresses of their targets are. */
const STORES = [
  [3, 72],
  [5, 104],
  [7, 136],
] as const;

/** Host addresses of an operand's bytes. */
type Place = readonly number[];

class Operation {
  readonly c: SlowContext;
  readonly group: number;
  readonly size: number;
  readonly inList: boolean;
  readonly r1: number;
  readonly r3: number;
  readonly list: bigint;

  constructor(c: SlowContext, code: number) {
    this.c = c;
    this.group = code >> 2;
    this.size = SIZES[code & 3] as number;
    this.inList = (code & 1) !== 0;
    this.r1 = c.field(8, 4);
    this.r3 = c.field(12, 4);
    this.list = c.baseDisplacement(32);
  }

  /** Whether the list is there at all. */
  get usesList(): boolean {
    return this.inList || this.group >= AND_DOUBLE_STORE;
  }

  refused(second: bigint): boolean {
    const odd = (register: number): boolean => (register & 1) !== 0;
    if (!this.inList) {
      if (this.group !== COMPARE_AND_LOAD && odd(this.r1)) return true;
      if (this.group === DOUBLE_COMPARE && odd(this.r3)) return true;
    }
    if (this.usesList && (this.list & 7n) !== 0n) return true;
    return second % BigInt(this.size) !== 0n;
  }

  fieldAddress(field: number): bigint {
    return (this.list + BigInt(field * FIELD + FIELD - this.size)) & this.c.addressMask;
  }

  /** A value of the list, or undefined with the access exception recorded. */
  listed(field: number): bigint | undefined {
    const bytes = this.c.read(this.fieldAddress(field), this.size);
    return bytes === undefined ? undefined : toValue(bytes);
  }

  register(n: number): bigint {
    return this.size === 4 ? BigInt(this.c.gr32(n)) : this.c.gr(n);
  }

  setRegister(n: number, value: bigint): void {
    if (this.size === 4) this.c.setGr32(n, Number(value));
    else this.c.setGr(n, value);
  }

  /** The address in the list at an offset, under the addressing mode. */
  addressAt(offset: number): bigint | undefined {
    const bytes = this.c.read((this.list + BigInt(offset)) & this.c.addressMask, 8);
    return bytes === undefined ? undefined : toValue(bytes) & this.c.addressMask;
  }

  /** A storage operand; undefined with an exception recorded. */
  place(address: bigint | undefined, stores: boolean): Place | undefined {
    if (address === undefined) return undefined;
    if (address % BigInt(this.size) !== 0n) {
      this.c.program(ProgramCode.specification);
      return undefined;
    }
    return this.resolve(address, stores);
  }

  resolve(address: bigint, stores: boolean): Place | undefined {
    const { c } = this;
    const hosts: number[] = [];
    for (let i = 0; i < this.size; i++) {
      const at = (address + BigInt(i)) & c.addressMask;
      const host = stores ? c.storeByte(at) : c.fetchByte(at);
      if (host < 0) return undefined;
      hosts.push(host);
    }
    return hosts;
  }

  load(place: Place): bigint {
    return toValue(Uint8Array.from(place, (host) => this.c.bytes[host] as number));
  }

  put(place: Place, value: bigint): void {
    let rest = value;
    for (const host of [...place].reverse()) {
      this.c.bytes[host] = Number(rest & 0xffn);
      rest >>= 8n;
    }
  }
}

function toValue(bytes: Uint8Array): bigint {
  return bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

export function plo(c: SlowContext): void {
  const control = c.gr32(0);
  const code = control & 0xff;
  if ((control & RESERVED) !== 0 || (code >= FUNCTIONS && (control & TEST_BIT) === 0)) {
    c.program(ProgramCode.specification);
    return;
  }
  if ((control & TEST_BIT) !== 0) {
    c.cc = code < FUNCTIONS ? 0 : 3;
    return;
  }
  const operation = new Operation(c, code);
  const address = c.baseDisplacement(16);
  if (operation.refused(address)) {
    c.program(ProgramCode.specification);
    return;
  }
  const { group } = operation;
  const second = operation.place(address, group !== COMPARE_AND_LOAD);
  if (second === undefined) return;
  if (group === COMPARE_AND_LOAD) compareAndLoad(operation, second);
  else if (group === DOUBLE_COMPARE) doubleCompareAndSwap(operation, second);
  else compareSwapAndStore(operation, second);
}

/** Where a value comes from and where what was found instead goes to: a register or the list. */
interface Value {
  readonly value: bigint;
  readonly set: (found: bigint) => void;
}

function operandValue(operation: Operation, register: number, field: number): Value | undefined {
  if (!operation.inList) {
    return {
      value: operation.register(register),
      set: (found) => operation.setRegister(register, found),
    };
  }
  const value = operation.listed(field);
  // A field of the list is aligned to doublewords only.
  const place =
    value === undefined ? undefined : operation.resolve(operation.fieldAddress(field), true);
  if (value === undefined || place === undefined) return undefined;
  return { value, set: (found) => operation.put(place, found) };
}

function fourthOperand(operation: Operation, stores: boolean): Place | undefined {
  const address = operation.usesList ? operation.addressAt(72) : operation.list;
  return operation.place(address, stores);
}

function compareAndLoad(operation: Operation, second: Place): void {
  const first = operandValue(operation, operation.r1, COMPARAND);
  const third = first && operandValue(operation, operation.r3, THIRD);
  const fourth = third && fourthOperand(operation, false);
  if (!first || !third || !fourth) return;
  locked(operation.c, () => {
    const found = operation.load(second);
    if (found === first.value) third.set(operation.load(fourth));
    else first.set(found);
    return found === first.value ? 0 : 1;
  });
}

function doubleCompareAndSwap(operation: Operation, second: Place): void {
  const { r1, r3 } = operation;
  const first = operandValue(operation, r1, COMPARAND);
  const next = first && operandValue(operation, r1 + 1, REPLACEMENT);
  const third = next && operandValue(operation, r3, THIRD);
  const other = third && operandValue(operation, r3 + 1, THIRD_OTHER);
  const fourth = other && fourthOperand(operation, true);
  if (!first || !next || !third || !other || !fourth) return;
  locked(operation.c, () => {
    const found = operation.load(second);
    if (found !== first.value) {
      first.set(found);
      return 1;
    }
    const foundFourth = operation.load(fourth);
    if (foundFourth !== third.value) {
      third.set(foundFourth);
      return 2;
    }
    operation.put(fourth, other.value);
    operation.put(second, next.value);
    return 0;
  });
}

/** COMPARE AND SWAP, alone or with one, two or three stores. */
function compareSwapAndStore(operation: Operation, second: Place): void {
  const { r1, r3, group } = operation;
  const first = operandValue(operation, r1, COMPARAND);
  const next = first && operandValue(operation, r1 + 1, REPLACEMENT);
  if (!first || !next) return;
  const stores: { readonly place: Place; readonly value: bigint }[] = [];
  for (const [field, offset] of STORES.slice(0, Math.max(0, group - DOUBLE_COMPARE))) {
    const inRegister = group === AND_STORE && !operation.inList;
    const value = inRegister ? operation.register(r3) : operation.listed(field);
    if (value === undefined) return;
    const address = inRegister ? operation.list : operation.addressAt(offset);
    const place = operation.place(address, true);
    if (place === undefined) return;
    stores.push({ place, value });
  }
  locked(operation.c, () => {
    const found = operation.load(second);
    if (found !== first.value) {
      first.set(found);
      return 1;
    }
    for (const { place, value } of stores) operation.put(place, value);
    operation.put(second, next.value);
    return 0;
  });
}

function locked(c: SlowContext, action: () => number): void {
  const words = new Int32Array(c.bytes.buffer);
  while (compareExchange(words, VmBlock.pairLock, 0, 1) !== 0);
  c.cc = action();
  store(words, VmBlock.pairLock, 0);
}
