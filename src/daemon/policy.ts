/** `zmend policy`: recovery policies, as a running daemon sees them. */
import { resolve } from "node:path";
import type { Command } from "commander";
import type { PolicyReport } from "../control/daemon/policies.ts";
import { ask, type ClientOptions, clientCommand, show } from "./client.ts";
import { type Column, textTable } from "./text-table.ts";

const columns: readonly Column<PolicyReport>[] = [
  ["policy", (row) => row.name],
  ["on error", (row) => row.onError],
  ["escalation", (row) => row.escalation.join(", ") || "-"],
  ["used by", (row) => row.usedBy.join(" ") || "-"],
];

/** Adds the `policy` command and its subcommands. */
export function registerPolicy(program: Command): void {
  const policy = program.command("policy").description("recovery policies of a running daemon");
  clientCommand(
    policy.command("list").description("policies, and which functions have them"),
  ).action(async (options: ClientOptions) => {
    const answer = await ask<PolicyReport[]>(options, "policy-list");
    show(answer, options, (rows) => textTable(columns, rows));
  });
  clientCommand(policy.command("show <policy>").description("the text of a policy")).action(
    async (name: string, options: ClientOptions) => {
      const answer = await ask<{ readonly text: string }>(options, "policy-show", {
        policy: isFile(name) ? resolve(name) : name,
      });
      show(answer, options, (value) => value.text.trimEnd());
    },
  );
  clientCommand(
    policy.command("check <file>").description("whether a file is a policy the daemon can use"),
  ).action(async (file: string, options: ClientOptions) => {
    const answer = await ask<PolicyReport>(options, "policy-check", { file: resolve(file) });
    show(answer, options, (value) => `${file}: policy ${value.name}, on error ${value.onError}`);
  });
}

function isFile(name: string): boolean {
  return name.includes("/") || /\.ya?ml$/.test(name);
}
