/**
 * JSON values from a stream of bytes: one value or one error per message, whatever a peer sends. A message ends
 * where its braces and brackets balance; after a mistake inside it the rest is skipped up to there, so that the
 * next message is read again. Size and depth are bounded; a message beyond them is refused at once, since it may never end. Source: qmp.md 1 and 3.
 */
import { JsonLexer, JsonNumber, JsonText, shorten, type TokenSink } from "./json-lexer.ts";

export type Json = null | boolean | number | JsonNumber | string | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json;
}

/** Depth of nested containers; QEMU's number. */
export const DEPTH_MAX = 1024;
/** Bytes of one message. QEMU takes 64 MiB; nothing that a VM is asked for needs a hundredth of it. */
const MESSAGE_MAX_BYTES = 8 * 1024 * 1024;

export interface JsonSink {
  value(value: Json): void;
  /** One sentence as QEMU words it, `LINE:COLUMN: JSON parse error, …`. */
  problem(text: string): void;
}

const LEFT_BRACE = 0x7b;
const RIGHT_BRACE = 0x7d;
const LEFT_BRACKET = 0x5b;
const RIGHT_BRACKET = 0x5d;
const COLON = 0x3a;

/** What may come next in a container. */
const FIRST = 0; //     a value (a key in an object) or the end
const MORE = 1; //      a value or key, after a comma
const COLON_NEXT = 2; // object only
const VALUE = 3; //     object only, after the colon
const SEPARATOR = 4; // a comma or the end

interface Frame {
  readonly container: Json[] | JsonObject;
  expects: number;
  key: string;
}

export class JsonStream implements TokenSink {
  readonly #lexer: JsonLexer;
  readonly #sink: JsonSink;
  readonly #messageMaxBytes: number;
  readonly #frames: Frame[] = [];
  #braces = 0;
  #brackets = 0;
  /** The first mistake of the message in hand. */
  #problem: string | undefined;
  /** It has been told before the message's end. */
  #told = false;
  #messageBytes = 0;
  #root: Json = null;

  constructor(sink: JsonSink, messageMaxBytes = MESSAGE_MAX_BYTES) {
    this.#sink = sink;
    this.#messageMaxBytes = messageMaxBytes;
    this.#lexer = new JsonLexer(this, messageMaxBytes);
  }

  feed(chunk: Uint8Array): void {
    this.#lexer.feed(chunk);
  }

  /** True in the middle of a message. */
  get open(): boolean {
    return this.#braces > 0 || this.#brackets > 0;
  }

  punctuator(code: number): void {
    if (code === LEFT_BRACE) this.#braces += 1;
    else if (code === RIGHT_BRACE) this.#braces -= 1;
    else if (code === LEFT_BRACKET) this.#brackets += 1;
    else if (code === RIGHT_BRACKET) this.#brackets -= 1;
    if (this.#grow(1)) this.#structure(code);
    this.#endIfBalanced();
  }

  string(value: string): void {
    if (this.#grow(value.length)) {
      const frame = this.#frames.at(-1);
      if (frame !== undefined && wantsKey(frame)) {
        frame.key = value;
        frame.expects = COLON_NEXT;
      } else this.#value(value);
    }
    this.#endIfBalanced();
  }

  number(value: number | JsonNumber): void {
    if (this.#grow(1)) this.#value(value);
    this.#endIfBalanced();
  }

  keyword(word: string): void {
    if (this.#grow(1)) {
      if (word === "true") this.#value(true);
      else if (word === "false") this.#value(false);
      else if (word === "null") this.#value(null);
      else this.#fail(`invalid keyword '${shorten(word)}'`);
    }
    this.#endIfBalanced();
  }

  invalid(problem: string): void {
    this.#fail(problem);
    this.#endIfBalanced();
  }

  stray(text: string): void {
    this.#fail(`stray '${text}'`);
    this.#end();
  }

  /** Counts bytes of the message; false once it is spoilt, when nothing of it is kept any more. */
  #grow(bytes: number): boolean {
    this.#messageBytes += bytes + 1;
    if (this.#messageBytes > this.#messageMaxBytes) this.#refuse("message size limit exceeded");
    else if (this.#braces + this.#brackets > DEPTH_MAX)
      this.#refuse("nesting depth limit exceeded");
    return this.#problem === undefined;
  }

  #structure(code: number): void {
    if (code === LEFT_BRACE) return this.#value(Object.create(null) as JsonObject);
    if (code === LEFT_BRACKET) return this.#value([]);
    const frame = this.#frames.at(-1);
    if (frame === undefined) return this.#fail("expecting value");
    const list = Array.isArray(frame.container);
    if (code === (list ? RIGHT_BRACKET : RIGHT_BRACE)) {
      if (frame.expects === FIRST || frame.expects === SEPARATOR) this.#frames.pop();
      else this.#misplaced(frame);
      return;
    }
    if (code === COLON && frame.expects === COLON_NEXT) frame.expects = VALUE;
    else if (code === 0x2c && frame.expects === SEPARATOR) frame.expects = MORE;
    else this.#misplaced(frame);
  }

  #misplaced(frame: Frame): void {
    const list = Array.isArray(frame.container);
    if (frame.expects === COLON_NEXT) this.#fail("missing : in object pair");
    else if (frame.expects === SEPARATOR)
      this.#fail(`expected separator in ${list ? "list" : "dict"}`);
    else this.#fail("expecting value");
  }

  #value(value: Json): void {
    const frame = this.#frames.at(-1);
    if (frame === undefined) {
      this.#root = value;
    } else if (Array.isArray(frame.container)) {
      if (frame.expects === SEPARATOR) return this.#misplaced(frame);
      frame.container.push(value);
    } else {
      if (wantsKey(frame)) return this.#fail("key is not a string in object");
      if (frame.expects !== VALUE) return this.#misplaced(frame);
      frame.container[frame.key] = value;
    }
    if (frame !== undefined) frame.expects = SEPARATOR;
    if (isContainer(value)) this.#push(value);
  }

  #push(container: Json[] | JsonObject): void {
    this.#frames.push({ container, expects: FIRST, key: "" });
  }

  #fail(text: string): void {
    this.#problem ??= `${this.#lexer.line}:${this.#lexer.column}: JSON parse error, ${text}`;
    this.#frames.length = 0;
    this.#root = null;
  }

  #refuse(text: string): void {
    this.#fail(text);
    if (!this.#told && this.#problem !== undefined) this.#sink.problem(this.#problem);
    this.#told = true;
  }

  #endIfBalanced(): void {
    const inside = this.#braces > 0 || this.#brackets > 0;
    if (inside && this.#braces >= 0 && this.#brackets >= 0) return;
    this.#end();
  }

  #end(): void {
    const problem = this.#problem;
    const root = this.#root;
    const told = this.#told;
    this.#problem = undefined;
    this.#told = false;
    this.#frames.length = 0;
    this.#root = null;
    this.#braces = 0;
    this.#brackets = 0;
    this.#messageBytes = 0;
    if (problem === undefined) this.#sink.value(root);
    else if (!told) this.#sink.problem(problem);
  }
}

function wantsKey(frame: Frame): boolean {
  return !Array.isArray(frame.container) && (frame.expects === FIRST || frame.expects === MORE);
}

function isContainer(value: Json): value is Json[] | JsonObject {
  return typeof value === "object" && value !== null && !(value instanceof JsonNumber);
}

export function isObject(value: Json | undefined): value is JsonObject {
  return value !== undefined && isContainer(value) && !Array.isArray(value);
}

const NON_ASCII = /[\u007f-\uffff]/g;

/** One line of ASCII, spaced as QEMU spaces it; numbers appear as they were written. */
export function jsonText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(jsonText).join(", ")}]`;
  if (value instanceof JsonText) return value.text;
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .map(([key, member]) => `${scalarText(key)}: ${jsonText(member)}`);
    return `{${members.join(", ")}}`;
  }
  return scalarText(value);
}

function scalarText(value: unknown): string {
  return JSON.stringify(value).replace(
    NON_ASCII,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
