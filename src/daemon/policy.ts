/**
 * `zmend policy`: recovery policies, shipped ones and files. Needs no daemon; where one runs, the list says which of its
 * functions have which policy.
 */
import type { Command } from "commander";
import { ZmendError } from "../base/errors.ts";
import type { PolicyReport } from "../control/daemon/policies.ts";
import { ask, type ClientOptions, clientCommand, show } from "./client.ts";
import { type Column, textTable } from "./text-table.ts";

const columns: readonly Column<PolicyReport>[] = [
  ["policy", (row) => row.name],
  ["on error", (row) => row.onError],
  ["escalation", (row) => row.escalation.join(", ") || "-"],
  ["used by", (row) => row.usedBy.join(" ") || "-"],
];

const LOCAL_STATUS = "Exit status: 0 done, 2 bad usage.";

/** Adds the `policy` command and its subcommands. */
export function registerPolicy(program: Command): void {
  const policy = program.command("policy").description("recovery policies");
  clientCommand(
    policy
      .command("list")
      .description("policies, and which functions of a running daemon have them"),
    LOCAL_STATUS,
  ).action(async (options: ClientOptions) => {
    show(await listed(options), options, (rows) => textTable(columns, rows));
  });
  clientCommand(
    policy.command("show <policy>").description("the text of a policy: a name, or a YAML file"),
    LOCAL_STATUS,
  ).action(async (name: string, options: ClientOptions) => {
    const { policyShow } = await import("../control/daemon/policies.ts");
    show(policyShow(name), options, (value) => value.text.trimEnd());
  });
  clientCommand(
    policy.command("check <file>").description("whether a file is a policy; every mistake named"),
    LOCAL_STATUS,
  ).action(async (file: string, options: ClientOptions) => {
    const { policyCheck } = await import("../control/daemon/policies.ts");
    // A name without a slash is a file here all the same.
    const answer = policyCheck(file.includes("/") ? file : `./${file}`);
    show(answer, options, (value) => `${file}: policy ${value.name}, on error ${value.onError}`);
  });
}

async function listed(options: ClientOptions): Promise<PolicyReport[]> {
  try {
    return await ask<PolicyReport[]>(options, "policy-list");
  } catch (error) {
    if (!(error instanceof ZmendError) || error.code !== "ENVIRONMENT") throw error;
    const { policyList } = await import("../control/daemon/policies.ts");
    return policyList([]);
  }
}
