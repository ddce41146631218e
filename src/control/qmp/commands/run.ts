/** Running, stopping, resetting and ending the machine. Source: qmp.md 4 and 6. */
import type { runStates } from "../../../machine/vm-control.ts";
import { watchdogActions } from "../../../shm/watchdog.ts";
import { command, machineOf } from "../command.ts";
import { QmpError } from "../errors.ts";
import { runStateName, runStateNames } from "../run-state.ts";
import { arrayOf, bool, enumeration, optional, struct } from "../schema.ts";

const capability = enumeration(["oob"]);

export const runCommands = [
  command({
    name: "qmp_capabilities",
    summary: "ends the negotiation",
    arguments: struct({ enable: optional(arrayOf(capability)) }),
    // A session answers it itself: what it changes is the session's.
    run: () => undefined,
  }),
  command({
    name: "query-status",
    summary: "run state of the VM",
    returns: struct({ status: enumeration(runStateNames), running: bool }),
    run: (_, { host }) => {
      const state = host.control?.runState() ?? "prelaunch";
      return { status: runStateName(state), running: state === "running" };
    },
  }),
  command({
    name: "stop",
    summary: "stop the CPUs",
    exclusive: true,
    operates: true,
    run: async (_, { host }) => {
      const control = machineOf(host);
      if (control.runState() === "running") await control.pause();
    },
  }),
  command({
    name: "cont",
    summary: "let the CPUs go on",
    exclusive: true,
    operates: true,
    run: async (_, { host }) => {
      const control = machineOf(host);
      const state = control.runState();
      if (state === "running") return;
      if (state === "prelaunch" || state === "paused" || state === "watchdog") {
        return control.resume();
      }
      if (needsReset.has(state)) {
        throw new QmpError("Resetting the Virtual Machine is required");
      }
      throw new QmpError(`The VM cannot go on while it is in state ${runStateName(state)}`);
    },
  }),
  command({
    name: "system_reset",
    summary: "system reset and IPL",
    exclusive: true,
    operates: true,
    run: (_, { host }) => machineOf(host).reset(),
  }),
  command({
    name: "system_powerdown",
    summary: "ask the guest to shut down",
    operates: true,
    run: (_, { host }) => machineOf(host).powerdown(),
  }),
  command({
    name: "quit",
    summary: "end the VM",
    operates: true,
    run: (_, { host, afterReply }) => {
      afterReply(() => {
        host.shutdown("host-qmp-quit");
        host.quit();
      });
    },
  }),
  command({
    name: "inject-nmi",
    summary: "restart interruption on the first CPU",
    operates: true,
    run: (_, { host }) => machineOf(host).nmi(),
  }),
  command({
    name: "watchdog-set-action",
    summary: "what happens when the guest's watchdog fires",
    arguments: struct({ action: enumeration(watchdogActions) }),
    operates: true,
    run: ({ action }, { host }) => machineOf(host).setWatchdogAction(action),
  }),
];

/** States out of which only a reset leads. */
const needsReset: ReadonlySet<(typeof runStates)[number]> = new Set([
  "io-error",
  "internal-error",
  "guest-panicked",
  "shutdown",
]);
