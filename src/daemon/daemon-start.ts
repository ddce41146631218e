/** `zmend daemon`: reads the config, says everything that is wrong with it on this machine, and runs it. */
import { countOf } from "../base/wording.ts";
import { checkCapacity } from "../control/daemon/capacity.ts";
import { show, stateDirOf } from "./client.ts";
import { loadDaemonConfig } from "./daemon-plan.ts";
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
  const loaded = loadDaemonConfig(options.config);
  // Not when a config is read again: what its VMs hold by then is no longer there to be had.
  checkCapacity(loaded.demand);
  if (options.checkConfig === true) {
    const { vms } = loaded.config;
    const functions = vms.reduce((sum, vm) => sum + vm.functions.length, 0);
    const report = { file: options.config, vms: vms.length, functions };
    const what = `${countOf(vms.length, "VM")}, ${countOf(functions, "function")}`;
    show(report, options, ({ file }) => `${file}: good; ${what}`);
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
