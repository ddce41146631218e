/** `zmend function`: passed-through functions of a running daemon's VMs. */
import type { Command } from "commander";
import type { FunctionReport } from "../control/daemon/status.ts";
import {
  ask,
  type ClientOptions,
  clientCommand,
  functionName,
  show,
  wholeNumber,
} from "./client.ts";
import { functionColumns } from "./status-table.ts";
import { textTable } from "./text-table.ts";

export function functionText(rows: readonly FunctionReport[]): string {
  return rows.length === 0 ? "no functions" : textTable(functionColumns, rows);
}

const commands = [
  ["reset", "reset the function on the host, as its policy would"],
  ["quarantine", "keep the function away from its guest"],
  ["release", "let a quarantined function back to its guest"],
] as const;

interface UnplugClientOptions extends ClientOptions {
  readonly timeout?: number;
  readonly force?: boolean;
}

interface Moved {
  readonly vm: string;
  readonly id: string;
  readonly fid: string;
}

/** Adds the `function` command and its subcommands. */
export function registerFunction(program: Command): void {
  const fn = program.command("function").description("passed-through functions of a daemon's VMs");
  clientCommand(fn.command("list [vm]").description("functions of one VM, or of all")).action(
    async (vm: string | undefined, options: ClientOptions) => {
      const values = vm === undefined ? {} : { vm };
      show(await ask<FunctionReport[]>(options, "function-list", values), options, functionText);
    },
  );
  clientCommand(
    fn.command("show <vm> <fid>").description("state, books and armed faults of one (FID or id)"),
  ).action(async (vm: string, fid: string, options: ClientOptions) => {
    const values = { vm, function: functionName(fid) };
    const answer = await ask<Record<string, unknown>>(options, "function-show", values);
    show(answer, options, (value) =>
      Object.entries(value)
        .map(([key, fact]) => `${key.padEnd(16)}${shown(fact)}`)
        .join("\n"),
    );
  });
  for (const [name, description] of commands) {
    clientCommand(fn.command(`${name} <vm> <fid>`).description(description)).action(
      async (vm: string, fid: string, options: ClientOptions) => {
        const values = { vm, function: functionName(fid) };
        const answer = await ask<FunctionReport & { readonly before: string }>(
          options,
          `function-${name}`,
          values,
        );
        show(answer, options, (value) => `${vm} ${value.fid}: ${value.before} -> ${value.state}`);
      },
    );
  }
  const moved = (answer: Moved, options: ClientOptions, past: string): void =>
    show(answer, options, ({ vm, fid, id }) => `${vm} ${fid} (${id}): ${past}`);
  clientCommand(
    fn.command("unplug <vm> <fid>").description("ask the guest to give the function up"),
  )
    .option("--timeout <ms>", "how long the guest may take", wholeNumber(1, 600_000))
    .option("--force", "take the function from the guest")
    .action(async (vm: string, fid: string, options: UnplugClientOptions) => {
      const timeout = options.timeout === undefined ? {} : { timeoutMs: options.timeout };
      const answer = await ask<Moved>(options, "function-unplug", {
        vm,
        function: functionName(fid),
        ...timeout,
        force: options.force === true,
      });
      moved(answer, options, "unplugged");
    });
  clientCommand(
    fn.command("plug <vm> <fid>").description("bring a function of the config back into its VM"),
  ).action(async (vm: string, fid: string, options: ClientOptions) => {
    const values = { vm, function: functionName(fid) };
    moved(await ask<Moved>(options, "function-plug", values), options, "plugged");
  });
}

function shown(fact: unknown): string {
  if (typeof fact !== "object" || fact === null) return String(fact);
  if (Array.isArray(fact))
    return fact.length === 0 ? "none" : fact.map((row) => JSON.stringify(row)).join(" ");
  const counted = Object.entries(fact).filter(([, count]) => count !== 0);
  return counted.length === 0 ? "-" : counted.map(([key, count]) => `${count} ${key}`).join(", ");
}
