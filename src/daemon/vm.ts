/** `zmend vm`: VMs of a running daemon, through its control socket. */
import { resolve } from "node:path";
import type { Command } from "commander";
import { ZmendError } from "../base/errors.ts";
import type { FunctionReport, VmReport } from "../control/daemon/status.ts";
import { attachConsole } from "./attach-console.ts";
import {
  ask,
  type ClientOptions,
  clientCommand,
  functionName,
  show,
  wholeNumber,
} from "./client.ts";
import { functionText } from "./function.ts";
import type { ScenarioOptions } from "./inject-scenario.ts";
import { vmColumns } from "./status-table.ts";
import { textTable } from "./text-table.ts";

interface StartOptions extends ClientOptions {
  readonly paused?: boolean;
}

interface StopOptions extends ClientOptions {
  readonly timeout?: number;
}

interface ConsoleOptions extends ClientOptions {
  readonly follow: boolean;
}

interface InjectOptions extends ClientOptions, Partial<ScenarioOptions> {
  readonly pec?: number;
  readonly faddr?: number;
  readonly count?: number;
  readonly every?: number;
  readonly stale?: boolean;
}

interface PolicyOptions extends ClientOptions {
  readonly function?: string | number;
}

interface Injected {
  readonly vm: string;
  readonly id: string;
  readonly fid: string;
  readonly pec: string;
  readonly count: number;
  readonly everyMs?: number;
  readonly stale: boolean;
}

const stateText = (vm: VmReport): string => `${vm.name}: ${vm.state}`;

/** Adds the `vm` command and its subcommands. */
export function registerVm(program: Command): void {
  const vm = program.command("vm").description("virtual machines of a running daemon");
  registerLife(vm);
  clientCommand(vm.command("console <vm>").description("the guest's console; Ctrl-A x leaves it"))
    .option("--no-follow", "print what the daemon has kept of it, and end")
    .action((name: string, options: ConsoleOptions) => attachConsole(name, options));
  clientCommand(
    vm.command("save <vm> <file>").description("write a snapshot of the machine"),
  ).action(async (name: string, file: string, options: ClientOptions) => {
    const answer = await ask<VmReport>(options, "vm-save", { vm: name, file: resolve(file) });
    show(answer, options, () => `${name}: saved to ${file}`);
  });
  clientCommand(vm.command("restore <vm> <file>").description("go on from a snapshot")).action(
    async (name: string, file: string, options: ClientOptions) => {
      const answer = await ask<VmReport>(options, "vm-restore", { vm: name, file: resolve(file) });
      show(answer, options, stateText);
    },
  );
  registerInject(vm);
  clientCommand(
    vm
      .command("policy <vm> <policy>")
      .description("choose a recovery policy: a name or a YAML file"),
  )
    .option("--function <fid>", "of this function only: its FID or id", functionName)
    .action(async (name: string, policy: string, options: PolicyOptions) => {
      const isFile = policy.includes("/") || /\.ya?ml$/.test(policy);
      const answer = await ask<FunctionReport[]>(options, "vm-policy", {
        vm: name,
        policy: isFile ? resolve(policy) : policy,
        ...(options.function === undefined ? {} : { function: options.function }),
      });
      show(answer, options, functionText);
    });
}

function registerLife(vm: Command): void {
  clientCommand(vm.command("list").description("all VMs and how they are")).action(
    async (options: ClientOptions) => {
      show(await ask<VmReport[]>(options, "vm-list"), options, (rows) =>
        textTable(vmColumns, rows),
      );
    },
  );
  clientCommand(
    vm.command("start <vm>").description("start a VM that is down, or let a paused one go on"),
  )
    .option("--paused", "its CPU stands until it is started again")
    .action(async (name: string, options: StartOptions) => {
      const values = { vm: name, paused: options.paused === true };
      show(await ask<VmReport>(options, "vm-start", values), options, stateText);
    });
  clientCommand(vm.command("stop <vm>").description("ask the guest to switch off, then end it"))
    .option("--timeout <ms>", "how long the guest may take; 0: not at all", wholeNumber(0, 600_000))
    .action(async (name: string, options: StopOptions) => {
      const timeout = options.timeout === undefined ? {} : { timeoutMs: options.timeout };
      const answer = await ask<VmReport & { readonly byGuest: boolean }>(options, "vm-stop", {
        vm: name,
        ...timeout,
      });
      show(answer, options, (value) =>
        value.byGuest ? `${stateText(value)}, by the guest` : stateText(value),
      );
    });
  clientCommand(vm.command("reset <vm>").description("system reset and IPL again")).action(
    async (name: string, options: ClientOptions) => {
      show(await ask<VmReport>(options, "vm-reset", { vm: name }), options, stateText);
    },
  );
}

function registerInject(vm: Command): void {
  clientCommand(
    vm
      .command("inject <vm> [fid]")
      .description(
        "raise a PCI error on a function (FID or id), or an experiment's on all of them",
      ),
  )
    .option("--pec <code>", "PCI event code, for example 0x3a", wholeNumber(1, 0xffff))
    .option("--faddr <address>", "failing address", wholeNumber(0, Number.MAX_SAFE_INTEGER))
    .option("--count <n>", "so many, one after the other", wholeNumber(1, 1024))
    .option("--every <ms>", "so many milliseconds between two of them", wholeNumber(1, 3_600_000))
    .option("--stale", "with a handle that is no longer current")
    .option(
      "--scenario <file>",
      "instead: the faults of an experiment (name or YAML), in real time",
    )
    .option("--of <name>", "this one of its scenarios, not the first")
    .option("--repetition <n>", "as in this repetition of it", wholeNumber(0, 1_000_000_000))
    .option("--seed <n>", "instead of its own", wholeNumber(0, Number.MAX_SAFE_INTEGER))
    .option("--speed <n>", "so many times as fast", wholeNumber(1, 1_000_000))
    .action(async (name: string, fid: string | undefined, options: InjectOptions) => {
      const { pec, faddr, count, every, stale, scenario } = options;
      if (scenario !== undefined && fid === undefined && pec === undefined) {
        const { injectScenario } = await import("./inject-scenario.ts");
        return injectScenario(name, { ...options, scenario });
      }
      if (scenario !== undefined || fid === undefined || pec === undefined) {
        throw new ZmendError(
          "USAGE",
          "vm inject wants a function and --pec CODE, or --scenario FILE without them.",
        );
      }
      const answer = await ask<Injected>(options, "vm-inject", {
        vm: name,
        function: functionName(fid),
        pec,
        ...(faddr === undefined ? {} : { faddr }),
        ...(count === undefined ? {} : { count }),
        ...(every === undefined ? {} : { everyMs: every }),
        ...(stale === true ? { stale } : {}),
      });
      show(answer, options, (value) => {
        const { vm, pec, count, everyMs, fid, id } = value;
        // The answer comes when the first of them is on its way.
        if (everyMs !== undefined && count > 1) {
          return `${vm}: PEC ${pec} is being raised ${count} times, ${everyMs} ms apart, on ${fid} (${id})`;
        }
        return `${vm}: PEC ${pec} raised ${count === 1 ? "" : `${count} times `}on ${fid} (${id})`;
      });
    });
}
