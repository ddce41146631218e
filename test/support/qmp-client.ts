/** A QMP client for tests: sends raw bytes or commands, keeps everything that comes back in order. */
import { connect, type Socket } from "node:net";

export interface QmpMessage {
  readonly [key: string]: unknown;
  readonly QMP?: unknown;
  readonly return?: unknown;
  readonly error?: { readonly class: string; readonly desc: string };
  readonly id?: unknown;
  readonly event?: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

const REFUSED_MAX = 200;

export class QmpClient {
  readonly socket: Socket;
  /** Every message so far, greeting first. */
  readonly messages: QmpMessage[] = [];
  /** The same as text, without line ends. */
  readonly lines: string[] = [];
  closed = false;
  #rest = "";
  #id = 0;
  #changed: (() => void)[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => {
      const lines = (this.#rest + text).split("\r\n");
      this.#rest = lines.pop() ?? "";
      for (const line of lines) {
        this.lines.push(line);
        this.messages.push(JSON.parse(line) as QmpMessage);
      }
      this.#wake();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.closed = true;
      this.#wake();
    });
  }

  /** A path is there from bind(2) on, and takes connections from listen(2) on. */
  static async connect(path: string): Promise<QmpClient> {
    for (let left = REFUSED_MAX; ; left--) {
      const socket = connect({ path });
      const client = new QmpClient(socket);
      const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
        socket.once("connect", () => resolve(undefined));
        socket.once("error", resolve);
      });
      if (error === undefined) return client;
      if (error.code !== "ECONNREFUSED" || left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Connected and past the negotiation. */
  static async ready(path: string): Promise<QmpClient> {
    const client = await QmpClient.connect(path);
    await client.execute("qmp_capabilities");
    return client;
  }

  send(data: string | Uint8Array): void {
    this.socket.write(data);
  }

  #wake(): void {
    const waiting = this.#changed;
    this.#changed = [];
    for (const wake of waiting) wake();
  }

  /** The first message that fits, among those that came and those that will. */
  async until(fits: (message: QmpMessage) => boolean, from = 0): Promise<QmpMessage> {
    let looked = from;
    for (;;) {
      for (; looked < this.messages.length; looked++) {
        const message = this.messages[looked];
        if (message !== undefined && fits(message)) return message;
      }
      if (this.closed) throw new Error(`closed after: ${this.lines.slice(-5).join(" ")}`);
      await new Promise<void>((resolve) => this.#changed.push(resolve));
    }
  }

  async ended(): Promise<void> {
    while (!this.closed) await new Promise<void>((resolve) => this.#changed.push(resolve));
  }

  async reply(id: unknown): Promise<QmpMessage> {
    const text = JSON.stringify(id);
    return this.until((message) => JSON.stringify(message.id) === text);
  }

  async call(name: string, args?: object): Promise<QmpMessage> {
    const id = `t-${this.#id++}`;
    this.send(
      `${JSON.stringify({ execute: name, ...(args === undefined ? {} : { arguments: args }), id })}\n`,
    );
    return this.reply(id);
  }
  /** The result of a command that succeeds. */
  async execute(name: string, args?: object): Promise<unknown> {
    const { return: value, error } = await this.call(name, args);
    if (error !== undefined) throw new Error(`${name}: ${error.class}: ${error.desc}`);
    return value;
  }

  /** The error of a command that fails. */
  async refused(name: string, args?: object): Promise<{ class: string; desc: string }> {
    const { error } = await this.call(name, args);
    if (error === undefined) throw new Error(`${name} succeeded`);
    return error;
  }

  events(name: string): QmpMessage[] {
    return this.messages.filter(({ event }) => event === name);
  }

  event(name: string, from = 0): Promise<QmpMessage> {
    return this.until(({ event }) => event === name, from);
  }
}
