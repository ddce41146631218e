/** Sends events to every client: stamps them, checks them against their row, keeps the rate of those that have one. */
import { wallClockMs } from "../../base/clock.ts";
import { type EventName, eventRow } from "./event-table.ts";
import { jsonText } from "./json-stream.ts";

interface Limited {
  readonly timer: NodeJS.Timeout;
  held: string | undefined;
}

export class Events {
  readonly #send: (line: string) => void;
  readonly #heard: () => boolean;
  readonly #limited = new Map<EventName, Limited>();

  /** @param heard whether anybody would get a line now */
  constructor(send: (line: string) => void, heard: () => boolean) {
    this.#send = send;
    this.#heard = heard;
  }

  /** @param source the event's data, or what makes it: called only when somebody listens */
  emit(name: EventName, source?: object | (() => object)): void {
    if (!this.#heard()) return;
    const data = typeof source === "function" ? source() : source;
    const row = eventRow(name);
    const checked = row.data.check(data ?? {}, "");
    const nowMs = wallClockMs();
    const message = {
      timestamp: { seconds: Math.floor(nowMs / 1000), microseconds: (nowMs % 1000) * 1000 },
      event: name,
      ...(data === undefined ? {} : { data: checked }),
    };
    const line = `${jsonText(message)}\r\n`;
    if (row.rateMs === undefined) this.#send(line);
    else this.#limit(name, row.rateMs, line);
  }

  close(): void {
    for (const { timer } of this.#limited.values()) clearTimeout(timer);
    this.#limited.clear();
  }

  #limit(name: EventName, rateMs: number, line: string): void {
    const running = this.#limited.get(name);
    if (running !== undefined) {
      running.held = line;
      return;
    }
    this.#send(line);
    const timer = setTimeout(() => {
      const held = this.#limited.get(name)?.held;
      this.#limited.delete(name);
      if (held !== undefined) this.#limit(name, rateMs, held);
    }, rateMs).unref();
    this.#limited.set(name, { timer, held: undefined });
  }
}
