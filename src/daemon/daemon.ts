/** The `daemon` command's options; what it does is loaded when it is called. */
import { type Command, Option } from "commander";
import { logLevels } from "../config/log-levels.ts";
import type { DaemonOptions } from "./daemon-start.ts";

/** Adds the `daemon` command. */
export function registerDaemon(program: Command): void {
  program
    .command("daemon")
    .description("run the VMs of a config file until told to stop")
    .requiredOption("--config <file>", "VMs, functions, rules and limits (zmend.yaml(5))")
    .option("--state-dir <dir>", "sockets, pid file, lock and journal (ZMEND_STATE_DIR)")
    .option("--check-config", "say what is wrong with the config, and end")
    .option("--json", "with --check-config: print one JSON object; the ready line is JSON anyway")
    .option("--pretty", "logs for people instead of JSON lines")
    .addOption(
      new Option("--log-level <level>", "instead of the config's logLevel").choices([...logLevels]),
    )
    .addHelpText(
      "after",
      "\nWhen everything is up, one JSON line on standard output says so: ready, pid, control, vms, metrics, page.\n" +
        "SIGTERM and SIGINT ask the guests to switch off and end the daemon; SIGHUP reads policies and logLevel again.\n" +
        "\nExit status: 0 stopped, 1 a fault of its own, 2 bad usage or config, 3 this machine lacks something or\n" +
        "the state directory is in use, 130 interrupted (SIGINT).",
    )
    .action(async (options: DaemonOptions) => {
      const { daemon } = await import("./daemon-start.ts");
      process.exitCode = await daemon(options);
    });
}
