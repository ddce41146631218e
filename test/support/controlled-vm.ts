/** A VM under a controller, with everything it told, and ways to wait for what it tells. */
import { parseDemoConfig } from "../../src/config/demo-config.ts";
import { planDemo } from "../../src/daemon/demo-plan.ts";
import { ConsoleLines } from "../../src/machine/console-lines.ts";
import { readFixture } from "../../src/machine/fixtures.ts";
import type { LedgerEntry } from "../../src/machine/ledger-entry.ts";
import type { FunctionStatus, VmEvent } from "../../src/machine/vm-control.ts";
import { VmController, type VmControllerOptions } from "../../src/machine/vm-controller.ts";
import type { VmSpec } from "../../src/machine/vm-spec.ts";
import { DETERMINISTIC_EPOCH_MS } from "../../src/machine/vm-spec.ts";
import { type ConfigInput, configText } from "./demo-run.ts";

export function specOf(input: ConfigInput): VmSpec {
  const config = parseDemoConfig(configText(input), "test.yaml");
  return planDemo(config, { policy: config.policy, epochMs: DETERMINISTIC_EPOCH_MS });
}

export class ControlledVm {
  readonly vm: VmController;
  readonly events: VmEvent[] = [];
  readonly lines: string[] = [];

  constructor(input: ConfigInput, options: Partial<VmControllerOptions> = {}) {
    const { image, file } = readFixture("zrecover");
    this.vm = new VmController({ spec: specOf(input), boot: { image, file }, ...options });
    const lines = new ConsoleLines((line) => this.lines.push(line));
    this.vm.on((event) => {
      this.events.push(event);
      if (event.type === "console") lines.push(event.bytes, event.timeUs);
    });
  }

  /** Resolves when `condition` holds; the test's own time limit is the only one. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      const failure = this.vm.failure();
      if (failure !== undefined) throw failure;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  /** The guest's driver works with every function. */
  async working(): Promise<void> {
    await this.until(() => this.lines.some((line) => line.includes("working on")));
  }

  function(index = 0): FunctionStatus {
    const status = this.vm.functions()[index];
    if (status === undefined) throw new RangeError(`no function has index ${index}`);
    return status;
  }

  entries(kind: string): LedgerEntry[] {
    return this.events.flatMap((event) =>
      event.type === "entry" && event.entry.kind === kind ? [event.entry] : [],
    );
  }

  runStates(): string[] {
    return this.events.flatMap((event) =>
      event.type === "run-state" ? [`${event.to}: ${event.reason}`] : [],
    );
  }
}
