/** Levels of the log, for config and command line: pino's own. */
export const logLevels = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;
