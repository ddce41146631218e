/**
 * The command table of `zmend`: subcommands live in files of their own, each adds itself. What builds machines is
 * loaded by the commands that need it. Help, shell completion and the man page are made from this one program.
 */
import { Command, InvalidArgumentError, Option } from "commander";
import { zmendVersion } from "../base/version.ts";
import { logLevels } from "../config/log-levels.ts";
import { registerAbi } from "./abi.ts";
import { registerCompletion } from "./completion.ts";
import { registerDaemon } from "./daemon.ts";
import type { DemoOptions } from "./demo.ts";
import { registerExperiment } from "./experiment.ts";
import { registerFunction } from "./function.ts";
import { registerJournal } from "./journal.ts";
import { registerPolicy } from "./policy.ts";
import { registerReplay } from "./replay.ts";
import { registerStatus } from "./status.ts";
import { registerVm } from "./vm.ts";

export function createProgram(): Command {
  const program = new Command("zmend")
    .description(
      "Headless s390x VMM whose guests survive the failure of a passed-through PCI function",
    )
    .version(zmendVersion(), "-V, --version", "print the version and exit")
    .helpOption("-h, --help", "print help and exit")
    .showSuggestionAfterError()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "zmend: ")) })
    .exitOverride();

  registerDemo(program);
  registerDaemon(program);
  registerVm(program);
  registerFunction(program);
  registerPolicy(program);
  registerStatus(program);
  registerExperiment(program);
  registerJournal(program);
  registerReplay(program);
  registerAbi(program);
  registerCompletion(program);
  return program;
}

function registerDemo(program: Command): void {
  program
    .command("demo")
    .description("run a guest whose functions break, and show how it survives")
    .option("--config <file>", "the VM, its functions and what happens to them (YAML)")
    .option("--guest <name>", "Debian's kernel, as 'npm run fixtures' fetched it: linux-6.1, ...")
    .option("--policy <name>", "recovery policy, instead of the config's: a name or a YAML file")
    .option("--dialect <name>", "how every host tells of errors: zpci, eeh or aer")
    .option("--abi <version>", "shape of the error interface, as 'zmend abi list' names them")
    .option("--json", "print one JSON object instead of the timeline")
    .option("--trace <file>", "write every ledger entry to FILE (MessagePack)")
    .option("--journal <dir>", "keep a journal of the run in DIR, for 'journal show' and 'replay'")
    .option("--deterministic", "one thread, virtual time: the same ledger on every run", false)
    .option("--seed <n>", "seed of a deterministic run", seed, 0)
    .addOption(
      new Option("--log-level <level>", "logs on standard error")
        .choices([...logLevels])
        .default("warn"),
    )
    .addHelpText(
      "after",
      "\nExit status: 0 every function ended as the config expects, 1 it did not, 2 bad usage or config,\n" +
        "3 this machine lacks something, 130 interrupted.",
    )
    .exitOverride()
    .action(async (options: DemoOptions) => {
      const { demo } = await import("./demo.ts");
      process.exitCode = await demo(options);
    });
}

function seed(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new InvalidArgumentError("a seed is a whole number from 0 to 2^53 - 1.");
  }
  return value;
}
