/**
 * JSON tokens from a stream of bytes that may be cut anywhere, with QEMU's extension: strings in single quotes.
 * A character that begins no token is reported once; the lexer then skips to the next structural or control
 * character, where a new message may begin. Bytes of one token are kept up to a limit. Source: qmp.md 1.
 */

/** JSON that is already text. */
export class JsonText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** A number as it was written, where a double would not give the same text back. */
export class JsonNumber extends JsonText {}

export interface TokenSink {
  /** One of `{}[]:,` as its character code. */
  punctuator(code: number): void;
  string(value: string): void;
  number(value: number | JsonNumber): void;
  keyword(word: string): void;
  /** A well-formed token with bad content; the message goes on. */
  invalid(problem: string): void;
  /** No token at all: what the message held so far is lost. */
  stray(text: string): void;
}

const START = 0;
const STRING = 1;
const ESCAPE = 2;
const NUMBER = 3;
const KEYWORD = 4;
const RECOVERY = 5;

const TAB = 0x09;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
const SPACE = 0x20;
const BACKSLASH = 0x5c;
const PUNCTUATORS: ReadonlySet<number> = new Set(Buffer.from("{}[]:,"));
const NUMBER_START = /[-0-9]/;
const NUMBER_PATTERN = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  "'": "'",
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class JsonLexer {
  readonly #sink: TokenSink;
  readonly #tokenMaxBytes: number;
  #state = START;
  #quote = 0;
  #escaped = false;
  #token = Buffer.allocUnsafe(256);
  #length = 0;
  #overlong = false;
  /** Where the byte in hand stands, both from 1. */
  line = 1;
  column = 0;

  constructor(sink: TokenSink, tokenMaxBytes: number) {
    this.#sink = sink;
    this.#tokenMaxBytes = tokenMaxBytes;
  }

  feed(chunk: Uint8Array): void {
    for (let index = 0; index < chunk.length; index++) {
      const byte = chunk[index] as number;
      if (byte === NEWLINE) {
        this.line += 1;
        this.column = 0;
      } else this.column += 1;
      this.#byte(byte);
    }
  }

  #byte(byte: number): void {
    switch (this.#state) {
      case START:
        return this.#start(byte);
      case STRING:
        if (byte === this.#quote) return this.#endString();
        if (byte < SPACE || byte >= 0xfe) return this.#stray(byte);
        if (byte === BACKSLASH) {
          this.#escaped = true;
          this.#state = ESCAPE;
        }
        return this.#keep(byte);
      case ESCAPE:
        if (byte < SPACE || byte >= 0xfe) return this.#stray(byte);
        this.#state = STRING;
        return this.#keep(byte);
      case NUMBER:
        if (isNumberByte(byte)) return this.#keep(byte);
        return this.#endNumber(byte);
      case KEYWORD:
        if (byte >= 0x61 && byte <= 0x7a) return this.#keep(byte);
        return this.#endKeyword(byte);
      default:
        // Line ends and structure are promising places to begin again; other control characters force it.
        if (byte === TAB || (byte >= SPACE && byte < 0xfe && !PUNCTUATORS.has(byte))) return;
        this.#state = START;
        this.#start(byte);
    }
  }

  #start(byte: number): void {
    if (byte === SPACE || byte === TAB || byte === NEWLINE || byte === RETURN) return;
    if (PUNCTUATORS.has(byte)) return this.#sink.punctuator(byte);
    this.#length = 0;
    this.#overlong = false;
    if (byte === 0x22 || byte === 0x27) {
      this.#quote = byte;
      this.#escaped = false;
      this.#state = STRING;
      return;
    }
    if (NUMBER_START.test(String.fromCharCode(byte))) this.#state = NUMBER;
    else if (byte >= 0x61 && byte <= 0x7a) this.#state = KEYWORD;
    else return this.#stray(byte);
    this.#keep(byte);
  }

  #keep(byte: number): void {
    if (this.#length >= this.#tokenMaxBytes) {
      this.#overlong = true;
      return;
    }
    if (this.#length === this.#token.length) {
      const larger = Buffer.allocUnsafe(this.#token.length * 2);
      this.#token.copy(larger);
      this.#token = larger;
    }
    this.#token[this.#length++] = byte;
  }

  /** A control character also ends the recovery that it causes: that is how clients ask for a clean start. */
  #stray(byte: number): void {
    const control = (byte < SPACE && byte !== TAB) || byte >= 0xfe;
    this.#state = control ? START : RECOVERY;
    const shown =
      byte > SPACE && byte < 0x7f
        ? String.fromCharCode(byte)
        : `\\x${byte.toString(16).padStart(2, "0")}`;
    this.#release();
    this.#sink.stray(shown);
  }

  #endString(): void {
    this.#state = START;
    if (this.#overlong) return this.#tooLong();
    let text: string;
    try {
      text = utf8.decode(this.#token.subarray(0, this.#length));
    } catch {
      this.#release();
      return this.#sink.invalid("invalid UTF-8 sequence in string");
    }
    this.#release();
    if (!this.#escaped) return this.#sink.string(text);
    const plain = withoutEscapes(text);
    if (plain.problem !== undefined) this.#sink.invalid(plain.problem);
    else this.#sink.string(plain.text);
  }

  #endNumber(next: number): void {
    const text = this.#take();
    if (this.#overlong) this.#tooLong();
    else if (!NUMBER_PATTERN.test(text)) this.#sink.invalid(`invalid number '${shorten(text)}'`);
    else {
      const value = Number(text);
      this.#sink.number(String(value) === text ? value : new JsonNumber(text));
    }
    this.#start(next);
  }

  #endKeyword(next: number): void {
    const word = this.#take();
    if (this.#overlong) this.#tooLong();
    else this.#sink.keyword(word);
    this.#start(next);
  }

  #take(): string {
    const text = this.#token.toString("latin1", 0, this.#length);
    this.#state = START;
    this.#release();
    return text;
  }

  #tooLong(): void {
    this.#release();
    this.#sink.invalid("token size limit exceeded");
  }

  /** A connection that once sent something long does not keep the memory for it. */
  #release(): void {
    if (this.#token.length > 65536) this.#token = Buffer.allocUnsafe(256);
    this.#length = 0;
  }
}

function isNumberByte(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    byte === 0x2d ||
    byte === 0x2b ||
    byte === 0x2e ||
    (byte | 0x20) === 0x65
  );
}

export function shorten(text: string): string {
  return text.length > 64 ? `${text.slice(0, 64)}...` : text;
}

/** A problem is an unknown escape, half a surrogate pair, or a NUL, which QEMU's strings cannot hold. */
function withoutEscapes(text: string): { readonly text: string; readonly problem?: string } {
  let problem: string | undefined;
  const plain = text.replace(/\\(u[0-9a-fA-F]{4}|[\s\S])/g, (whole, code: string) => {
    if (code.length === 5) {
      if (code === "u0000") problem ??= `${whole} is not a valid Unicode character`;
      return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    }
    const character = ESCAPES[code];
    if (character === undefined) problem ??= "invalid escape sequence in string";
    return character ?? "";
  });
  const half = /\p{Surrogate}/u.exec(plain)?.[0];
  if (half !== undefined) {
    problem ??= `\\u${half.charCodeAt(0).toString(16)} is not a valid Unicode character`;
  }
  return problem === undefined ? { text: plain } : { text: "", problem };
}
