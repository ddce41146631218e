/** The one pino instance: JSON lines on standard error, or lines for people; from the main thread only. */

import pino, { type Logger } from "pino";
import { timeOfDay } from "../base/clock.ts";

export function createLog(level: string, pretty = false): Logger {
  const target = pino.destination({ fd: 2, sync: true });
  const stream = pretty ? { write: (line: string) => void target.write(prettyLine(line)) } : target;
  return pino({ level, base: { name: "zmend" } }, stream);
}

const hidden: readonly string[] = ["level", "time", "name", "msg", "err"];

/** One JSON line of ours as one line for people: time, level, message, facts. */
function prettyLine(line: string): string {
  const record = JSON.parse(line) as Record<string, unknown>;
  const time = timeOfDay(Number(record["time"]));
  const level = (pino.levels.labels[Number(record["level"])] ?? "").toUpperCase().padEnd(5);
  const facts = Object.entries(record)
    .filter(([key]) => !hidden.includes(key))
    .map(([key, value]) => ` ${key}=${typeof value === "object" ? JSON.stringify(value) : value}`)
    .join("");
  const error = record["err"] as { readonly message?: string } | undefined;
  const cause = error?.message === undefined ? "" : `: ${error.message}`;
  return `${time} ${level} ${String(record["msg"] ?? "")}${cause}${facts}\n`;
}
