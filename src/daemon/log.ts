/**
 * The one pino instance: JSON lines on standard error, or lines for people; from the main thread only. Where standard error
 * is systemd's journal, each line has its priority in front, so that `journalctl -p warning` finds it (sd-daemon(3)).
 */
import { fstatSync } from "node:fs";
import pino, { type Logger } from "pino";
import { timeOfDay } from "../base/clock.ts";

const STDERR = 2;

export function createLog(level: string, pretty = false): Logger {
  const target = pino.destination({ fd: STDERR, sync: true });
  const inJournal = isJournal();
  const write = (line: string): void => {
    const shown = pretty ? prettyLine(line) : line;
    target.write(inJournal ? `<${priorityOf(line)}>${shown}` : shown);
  };
  return pino({ level, base: { name: "zmend" } }, pretty || inJournal ? { write } : target);
}

/** Whether standard error is what systemd connected to its journal (JOURNAL_STREAM, systemd.exec(5)): nobody redirected it. */
function isJournal(): boolean {
  const stream = process.env["JOURNAL_STREAM"];
  if (stream === undefined) return false;
  try {
    const { dev, ino } = fstatSync(STDERR);
    return stream === `${dev}:${ino}`;
  } catch {
    return false; // closed
  }
}

/** syslog(3)'s priority of one JSON line of ours, which starts with its level. */
function priorityOf(line: string): number {
  const level = Number(/^\{"level":(\d+)/.exec(line)?.[1] ?? pino.levels.values["info"]);
  if (level >= 60) return 2;
  if (level >= 50) return 3;
  if (level >= 40) return 4;
  return level >= 30 ? 6 : 7;
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
