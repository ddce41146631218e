#!/usr/bin/env node
/** The `zmend` command: runs the program of `program.ts`, turns errors into sentences and exit statuses. */
import { CommanderError } from "commander";
import { tuneEngine } from "../base/engine.ts";
import { EXIT_USAGE, guardStandardOutput, reportFailure } from "./failure.ts";
import { createProgram } from "./program.ts";

tuneEngine();
guardStandardOutput("zmend");
try {
  await createProgram().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE;
  } else {
    process.exitCode = reportFailure("zmend", error);
  }
}
