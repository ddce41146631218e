/** The one table of commands: validation, query-commands, query-qmp-schema and dispatch all read it. */
import type { Command } from "../command.ts";
import { deviceCommands } from "./devices.ts";
import { miscCommands } from "./misc.ts";
import { qomCommands } from "./qom.ts";
import { queryCommands } from "./query.ts";
import { recoveryCommands } from "./recovery.ts";
import { runCommands } from "./run.ts";

export const commandTable: readonly Command[] = [
  ...runCommands,
  ...queryCommands,
  ...deviceCommands,
  ...qomCommands,
  ...miscCommands,
  ...recoveryCommands,
];
