/**
 * Reader of the instruction table for the hot set: bodies inside the dispatch function, with the
 * condition code, the entry pointer and the page address in locals.
 */

import { AssertionError } from "../../base/assert.ts";
import { Entry } from "../core-layout.ts";
import type { Format } from "../table/formats.ts";
import {
  type FunctionBuilder,
  type I32,
  type I64,
  i32,
  i64,
  type Label,
  type Local,
} from "../wasm/index.ts";
import type { Helpers } from "./helpers.ts";
import { InlineBody } from "./inline-body.ts";

/** Locals of the dispatch function that bodies use, and the places they leave to. */
export interface HotFrame {
  readonly area: Local<I32>;
  readonly entry: Local<I32>;
  readonly slot: Local<I32>;
  readonly page: Local<I64>;
  readonly cc: Local<I32>;
  readonly target: Local<I64>;
  /** Entry of the last taken branch in this page, 0 = none since it was written down. */
  readonly breaking: Local<I32>;
  readonly mask: Local<I64>;
  readonly tag: Local<I64>;
  readonly byteMask: Local<I64>;
  readonly halfMask: Local<I64>;
  readonly helpers: Helpers;
  readonly next: Label;
  readonly jump: Label;
  readonly relative: Label;
  readonly fault: Label;
}

export class HotBody extends InlineBody {
  readonly area: I32;
  readonly entry: I32;
  protected readonly byteMask: I64;
  protected readonly halfMask: I64;
  readonly addressMask: I64;
  protected readonly tag: I64;
  readonly #frame: HotFrame;
  readonly #length: number;

  constructor(fn: FunctionBuilder, format: Format, length: number, frame: HotFrame) {
    super(fn, format, frame.helpers);
    this.#frame = frame;
    this.tag = frame.tag.get;
    this.#length = length;
    this.area = frame.area.get;
    this.entry = frame.entry.get;
    this.byteMask = frame.byteMask.get;
    this.halfMask = frame.halfMask.get;
    this.addressMask = frame.mask.get;
  }

  /** Goes on behind the instruction. */
  end(): void {
    const bytes = this.#length * (Entry.size / 2);
    this.fn.set(this.#frame.entry, i32.add(this.entry, i32.const(bytes)));
    this.fn.br(this.#frame.next);
  }

  get startAddress(): I64 {
    return addressOfEntry(this.#frame);
  }

  get relativeBase(): I64 {
    return this.startAddress;
  }

  get nextAddress(): I64 {
    return i64.and(i64.add(this.startAddress, i64.const(this.#length)), this.addressMask);
  }

  cc(): I32 {
    return this.#frame.cc.get;
  }

  setCc(value: I32): void {
    this.fn.set(this.#frame.cc, value);
  }

  jump(target: I64): void {
    this.fn.set(this.#frame.target, target);
    this.fn.set(this.#frame.breaking, this.entry);
    this.fn.br(this.#frame.jump);
  }

  jumpRelative(): void {
    this.fn.br(this.#frame.relative);
  }

  jumpInNewMode(): void {
    notHot("a change of addressing mode");
  }

  continueInNewMode(): void {
    notHot("a change of addressing mode");
  }

  executedLength(halfwords: number): I32 {
    return i32.const(halfwords);
  }

  execute(): void {
    notHot("EXECUTE");
  }

  fault(): void {
    this.fn.br(this.#frame.fault);
  }

  protected faultIf(condition: I32): void {
    this.fn.brIf(this.#frame.fault, condition);
  }
}

/** Guest address of the entry pointer: 16 bytes of entry for each byte of code. */
export function addressOfEntry(
  frame: Pick<HotFrame, "entry" | "slot" | "page">,
  entry: I32 = frame.entry.get,
): I64 {
  const offset = i32.shrU(i32.sub(entry, frame.slot.get), i32.const(4));
  return i64.add(frame.page.get, i64.fromU(offset));
}

function notHot(what: string): never {
  throw new AssertionError(`${what} has no place in the dispatch function`);
}
