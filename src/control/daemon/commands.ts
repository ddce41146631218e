/** The commands of the control socket: what operators ask of VMs, functions and policies. Main thread. */
import { z } from "zod";
import { ZmendError } from "../../base/errors.ts";
import { hex } from "../../base/hex.ts";
import { suggestion } from "../../base/nearest.ts";
import { UNPLUG_DEADLINE_MS } from "../../machine/hot-plug.ts";
import type { FunctionStatus, OperatorCommand } from "../../machine/vm-control.ts";
import { loadPolicy, type Policy } from "../../recovery/index.ts";
import { type ControlCommands, controlCommand } from "./control-server.ts";
import { hasEnded, type ManagedVm } from "./managed-vm.ts";
import { policyList } from "./policies.ts";
import { type DaemonReport, functionReport, functionReports, vmReport } from "./status.ts";
import type { Operation, Supervisor } from "./supervisor.ts";

/** How long an operator waits to hear what a recovery worker made of a command. */
const SETTLE_MS = 1500;
const SETTLE_POLL_MS = 20;

export interface CommandsOptions {
  readonly supervisor: Supervisor;
  readonly report: () => DaemonReport;
  readonly qmpPath: (vm: string) => string;
  readonly stopTimeoutMs: () => number;
}

const vm = z.string();
/** A device's id or a FID. */
const fn = z.union([z.string(), z.number().int().min(0).max(0xffffffff)]);
const file = z.string().startsWith("/", "expected an absolute path");
const one = { vm, function: fn };

/** @throws ZmendError NOT_FOUND with the nearest id */
function findFunction(target: ManagedVm, wanted: string | number): FunctionStatus {
  const functions = target.control.functions();
  const found = functions.find((entry) =>
    typeof wanted === "number" ? entry.fid === wanted : entry.id === wanted,
  );
  if (found !== undefined) return found;
  const unplugged = target.plan.functions.find(({ id, fid }) => id === wanted || fid === wanted);
  if (unplugged !== undefined) {
    const of = `Function ${hex(unplugged.fid, 8)} (${unplugged.id}) of VM ${target.name}`;
    throw new ZmendError("NOT_FOUND", `${of} is unplugged; plug it first.`);
  }
  const shown = typeof wanted === "number" ? hex(wanted, 8) : `'${wanted}'`;
  const ids = functions.map((entry) => entry.id);
  const known = functions.map((entry) => `${hex(entry.fid, 8)} (${entry.id})`).join(", ");
  const hint = typeof wanted === "string" ? suggestion(wanted, ids) : "";
  throw new ZmendError(
    "NOT_FOUND",
    `VM ${target.name} has no function ${shown}${hint}; ${known === "" ? "it has none" : `it has ${known}`}.`,
  );
}

function requireLife(target: ManagedVm, what: string): void {
  const state = target.control.runState();
  if (state !== "prelaunch" && !hasEnded(state)) return;
  throw new ZmendError(
    "STATE_REFUSED",
    `VM ${target.name} is ${state} and cannot ${what}; start it first.`,
  );
}

/** What a recovery machine would ignore is refused with what to do instead (recovery/table.ts, operatorCommand). */
function requireUse(target: ManagedVm, { fid, id, state }: FunctionStatus, command: string): void {
  const refuse = (remedy: string): never => {
    const of = `Function ${hex(fid, 8)} (${id}) of VM ${target.name}`;
    throw new ZmendError("STATE_REFUSED", `${of} is ${state}; ${remedy}.`);
  };
  const out = state === "quarantined" || state === "failed" || state === "resetting";
  if (command === "release" && !out) refuse("release lets one back that was taken from its guest");
  if (command === "reset" && state === "quarantined") refuse("release resets it and lets it back");
}

export function daemonCommands(options: CommandsOptions): ControlCommands {
  const { supervisor } = options;
  const report = (target: ManagedVm) => vmReport(target, options.qmpPath(target.name));
  const done = (
    target: ManagedVm,
    command: string,
    detail: Operation["detail"] = {},
    fid?: number,
  ): void =>
    supervisor.operated({
      vm: target.name,
      command,
      ...(fid === undefined ? {} : { fid }),
      detail,
    });

  const commanded = (command: OperatorCommand) =>
    controlCommand(z.strictObject(one), async (args) => {
      const target = supervisor.find(args.vm);
      requireLife(target, command);
      const before = findFunction(target, args.function);
      requireUse(target, before, command);
      target.control.command(before.fid, command);
      done(target, `function-${command}`, {}, before.fid);
      const after = await settled(target, before);
      return { ...functionReport(target.name, after), before: before.state };
    });

  return {
    status: controlCommand(z.strictObject({}), () => ({
      daemon: options.report(),
      vms: supervisor.vms.map(report),
      functions: supervisor.vms.flatMap(functionReports),
    })),
    "vm-list": controlCommand(z.strictObject({}), () => supervisor.vms.map(report)),
    "vm-start": controlCommand(
      z.strictObject({ vm, paused: z.boolean().default(false) }),
      async (args) => {
        const target = supervisor.find(args.vm);
        await target.start({ paused: args.paused });
        done(target, "vm-start", { paused: args.paused });
        return report(target);
      },
    ),
    "vm-stop": controlCommand(
      z.strictObject({ vm, timeoutMs: z.number().min(0).max(600_000).optional() }),
      async (args) => {
        const target = supervisor.find(args.vm);
        const byGuest = await target.stop(args.timeoutMs ?? options.stopTimeoutMs());
        done(target, "vm-stop", { byGuest });
        return { ...report(target), byGuest };
      },
    ),
    "vm-reset": controlCommand(z.strictObject({ vm }), async (args) => {
      const target = supervisor.find(args.vm);
      await target.reset();
      done(target, "vm-reset");
      return report(target);
    }),
    "vm-console": controlCommand(
      z.strictObject({ vm, follow: z.boolean().default(true) }),
      (args, call) => {
        const target = supervisor.find(args.vm);
        const send = (bytes: Uint8Array): void => {
          call.stream({ text: Buffer.from(bytes).toString("base64") });
        };
        send(target.consoleTail());
        if (!args.follow) return {};
        return new Promise((resolve) => {
          const off = target.on((event) => {
            if (event.type === "console") send(event.bytes);
          });
          call.signal.addEventListener("abort", () => {
            off();
            resolve({});
          });
        });
      },
    ),
    "vm-type": controlCommand(z.strictObject({ vm, text: z.base64().max(8192) }), (args) => {
      const target = supervisor.find(args.vm);
      return { taken: target.control.pushInput(Buffer.from(args.text, "base64")) };
    }),
    "vm-save": controlCommand(z.strictObject({ vm, file }), async (args) => {
      const target = supervisor.find(args.vm);
      requireLife(target, "be saved");
      await target.save(args.file);
      done(target, "vm-save", { file: args.file });
      return { ...report(target), file: args.file };
    }),
    "vm-restore": controlCommand(z.strictObject({ vm, file }), async (args) => {
      const target = supervisor.find(args.vm);
      await target.restore(args.file);
      done(target, "vm-restore", { file: args.file });
      return { ...report(target), file: args.file };
    }),
    "vm-inject": controlCommand(
      z.strictObject({
        ...one,
        pec: z.number().int().min(1).max(0xffff),
        faddr: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
        count: z.number().int().min(1).max(1024).default(1),
        everyMs: z.number().min(0.001).max(3_600_000).optional(),
        stale: z.boolean().default(false),
      }),
      (args) => {
        const target = supervisor.find(args.vm);
        requireLife(target, "take an error");
        const { fid, id } = findFunction(target, args.function);
        const { pec, faddr, count, everyMs, stale } = args;
        const pace = everyMs === undefined ? {} : { everyMs };
        const address = faddr === undefined ? {} : { faddr };
        target.control.inject(fid, { pec, count, stale, ...pace, ...address });
        done(target, "inject", { pec, count, stale, ...pace }, fid);
        return { vm: target.name, id, fid: hex(fid, 8), pec: hex(pec, 4), count, stale, ...pace };
      },
    ),
    "vm-policy": controlCommand(
      z.strictObject({ vm, policy: z.string(), function: fn.optional() }),
      async (args) => {
        const target = supervisor.find(args.vm);
        const policy = operatorPolicy(args.policy);
        const fid =
          args.function === undefined ? undefined : findFunction(target, args.function).fid;
        await target.setPolicy(policy, fid);
        done(target, "vm-policy", { policy: policy.name }, fid);
        return functionReports(target);
      },
    ),
    "function-list": controlCommand(z.strictObject({ vm: vm.optional() }), (args) => {
      const of = args.vm === undefined ? supervisor.vms : [supervisor.find(args.vm)];
      return of.flatMap(functionReports);
    }),
    "function-show": controlCommand(z.strictObject(one), async (args) => {
      const target = supervisor.find(args.vm);
      const status = findFunction(target, args.function);
      const living =
        !hasEnded(target.control.runState()) && target.control.runState() !== "prelaunch";
      const faults = living ? await target.control.faults(status.fid) : [];
      return { ...functionReport(target.name, status), faults };
    }),
    "function-reset": commanded("reset"),
    "function-release": commanded("release"),
    "function-quarantine": commanded("quarantine"),
    "function-unplug": controlCommand(
      z.strictObject({
        ...one,
        timeoutMs: z.number().min(1).max(600_000).default(UNPLUG_DEADLINE_MS),
        force: z.boolean().default(false),
      }),
      async (args) => {
        const target = supervisor.find(args.vm);
        requireLife(target, "give a function up");
        const status = findFunction(target, args.function);
        target.control.unplug(status.fid, { deadlineMs: args.timeoutMs, force: args.force });
        done(target, "function-unplug", { force: args.force }, status.fid);
        const refusal = await unplugged(target, status.fid, args.timeoutMs);
        if (refusal !== undefined) {
          throw new ZmendError(
            "STATE_REFUSED",
            `Function ${hex(status.fid, 8)} of VM ${target.name} stays: ${refusal}; --force takes it.`,
          );
        }
        return { vm: target.name, id: status.id, fid: hex(status.fid, 8), unplugged: true };
      },
    ),
    "function-plug": controlCommand(z.strictObject(one), async (args) => {
      const target = supervisor.find(args.vm);
      requireLife(target, "take a function");
      const { id, fid, config } = plannedFunction(target, args.function);
      if (target.control.functions().some((entry) => entry.fid === fid)) {
        const of = `Function ${hex(fid, 8)} (${id}) of VM ${target.name}`;
        throw new ZmendError("STATE_REFUSED", `${of} is plugged already.`);
      }
      await target.control.plug(id, { ...config, present: true });
      done(target, "function-plug", {}, fid);
      return { vm: target.name, id, fid: hex(fid, 8), plugged: true };
    }),
    "policy-list": controlCommand(z.strictObject({}), () => policyList(supervisor.vms)),
  };
}

/** A name, or an absolute path: the daemon's own folder means nothing to whoever asks. */
function operatorPolicy(nameOrFile: string): Policy {
  if (!nameOrFile.startsWith("/") && (nameOrFile.includes("/") || /\.ya?ml$/.test(nameOrFile))) {
    throw new ZmendError("USAGE", `Policy file ${nameOrFile} is no absolute path; name one.`);
  }
  return loadPolicy(nameOrFile);
}

/** A function of the config, by id or FID. */
function plannedFunction(target: ManagedVm, wanted: string | number) {
  const planned = target.plan.functions;
  const found = planned.find((entry) =>
    typeof wanted === "number" ? entry.fid === wanted : entry.id === wanted,
  );
  if (found !== undefined) return found;
  const shown = typeof wanted === "number" ? hex(wanted, 8) : `'${wanted}'`;
  const known = planned.map((entry) => `${hex(entry.fid, 8)} (${entry.id})`).join(", ");
  throw new ZmendError(
    "NOT_FOUND",
    `The config of VM ${target.name} has no function ${shown}; ${known === "" ? "it has none" : `it has ${known}`}.`,
  );
}

/** The function's state once it differs from before, or after a while as it is. */
async function settled(target: ManagedVm, before: FunctionStatus): Promise<FunctionStatus> {
  for (let waitedMs = 0; waitedMs < SETTLE_MS; waitedMs += SETTLE_POLL_MS) {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_POLL_MS));
    const now = target.control.functions().find((entry) => entry.fid === before.fid);
    if (now !== undefined && now.state !== before.state && now.state !== "resetting") return now;
  }
  return target.control.functions().find((entry) => entry.fid === before.fid) ?? before;
}

/** Resolves with why the function stays, or undefined when it has gone. */
function unplugged(target: ManagedVm, fid: number, timeoutMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const end = (refusal: string | undefined): void => {
      clearTimeout(timer);
      off();
      resolve(refusal);
    };
    // The machine's own deadline comes first; this one is for a machine that says nothing.
    const timer = setTimeout(end, timeoutMs + 2000, `no answer within ${timeoutMs} ms`);
    const off = target.on((event) => {
      if (event.type === "device-deleted" && event.fid === fid) end(undefined);
      if (event.type === "unplug-failed" && event.fid === fid) end(event.reason);
      if (event.type === "run-state" && hasEnded(event.to)) end(`the VM is ${event.to}`);
    });
  });
}
