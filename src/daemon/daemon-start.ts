/** `zmend daemon`: reads the config, says everything that is wrong with it on this machine, and runs it. */
import { ZmendError } from "../base/errors.ts";
import { countOf } from "../base/wording.ts";
import { checkCapacity } from "../control/daemon/capacity.ts";
import { stateDirOf } from "./client.ts";
import { type LoadedConfig, loadDaemonConfig } from "./daemon-plan.ts";
import { DaemonRun } from "./daemon-run.ts";
import { EXIT_DONE } from "./failure.ts";
import { createLog } from "./log.ts";

export interface DaemonOptions {
  readonly config: string;
  readonly stateDir?: string;
  readonly checkConfig?: boolean;
  readonly json?: boolean;
  readonly pretty?: boolean;
  readonly logLevel?: string;
}

/** @returns the exit status */
export async function daemon(options: DaemonOptions): Promise<number> {
  // Whatever is created from here on is for this user alone.
  process.umask(0o077);
  if (options.checkConfig === true && options.json === true) return checkForPrograms(options);
  const loaded = loadDaemonConfig(options.config);
  // Not when a config is read again: what its VMs hold by then is no longer there to be had.
  checkCapacity(loaded.demand);
  if (options.checkConfig === true) {
    const { vms, functions } = sizeOf(loaded);
    const what = `${countOf(vms, "VM")}, ${countOf(functions, "function")}`;
    process.stdout.write(`${options.config}: good; ${what}\n`);
    return EXIT_DONE;
  }
  const log = createLog(options.logLevel ?? loaded.config.logLevel, options.pretty === true);
  return new DaemonRun({
    loaded,
    file: options.config,
    stateDir: stateDirOf(options),
    log,
    ...(options.logLevel === undefined ? {} : { logLevel: options.logLevel }),
  }).run();
}

function sizeOf({ config: { vms } }: LoadedConfig): {
  readonly vms: number;
  readonly functions: number;
} {
  return { vms: vms.length, functions: vms.reduce((sum, vm) => sum + vm.functions.length, 0) };
}

/** One JSON object, also about a config that is refused. @returns the exit status */
function checkForPrograms({ config: file }: DaemonOptions): number {
  const say = (report: object): void => void process.stdout.write(`${JSON.stringify(report)}\n`);
  try {
    const loaded = loadDaemonConfig(file);
    checkCapacity(loaded.demand);
    say({ file, valid: true, ...sizeOf(loaded), problems: [] });
    return EXIT_DONE;
  } catch (error) {
    if (!(error instanceof ZmendError)) throw error;
    say({
      file,
      valid: false,
      problems: error.message.split("\n").map((text) => problemOf(file, text)),
    });
    return error.exitStatus;
  }
}

/** `FILE:LINE: text`, or a text about the whole file. */
function problemOf(
  file: string,
  text: string,
): { readonly line?: number; readonly message: string } {
  const found = text.startsWith(`${file}:`) ? /^:(\d+): (.*)$/.exec(text.slice(file.length)) : null;
  return found === null ? { message: text } : { line: Number(found[1]), message: found[2] ?? "" };
}
