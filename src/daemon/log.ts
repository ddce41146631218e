/** The one pino instance: JSON lines on standard error, from the main thread only. */
import pino, { type Logger } from "pino";

export const logLevels = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;

export function createLog(level: string): Logger {
  return pino({ level, base: { name: "zmend" } }, pino.destination({ fd: 2, sync: true }));
}
