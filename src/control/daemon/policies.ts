/** Policies as operators see them: which there are, who uses which, what one says, whether a file is one. */
import {
  loadPolicy,
  onErrorChoices,
  parsePolicy,
  policyNames,
  policySteps,
  readPolicy,
} from "../../recovery/index.ts";
import type { ManagedVm } from "./managed-vm.ts";

export interface PolicyReport {
  readonly name: string;
  readonly onError: string;
  readonly escalation: readonly string[];
  /** "VM/function" of those it is in force for. */
  readonly usedBy: readonly string[];
}

/** The shipped policies and those that are in force. */
export function policyList(vms: readonly ManagedVm[]): PolicyReport[] {
  const uses = vms.flatMap((vm) =>
    vm.control.functions().map((entry) => ({ policy: entry.policy, by: `${vm.name}/${entry.id}` })),
  );
  return policyNames().map((name) => ({
    ...summary(name),
    usedBy: uses.filter((use) => use.policy === name).map((use) => use.by),
  }));
}

function summary(nameOrFile: string): Omit<PolicyReport, "usedBy"> {
  const policy = loadPolicy(nameOrFile);
  return {
    name: policy.name,
    onError: onErrorChoices[policy.onError] ?? "",
    escalation: policy.escalationStep.map(
      (step, rung) => `${policySteps[step] ?? step} x${policy.escalationTimes[rung] ?? 1}`,
    ),
  };
}

/** A shipped policy by name, or a file. @throws ZmendError POLICY_INVALID with the nearest name */
export function policyShow(nameOrFile: string): { readonly name: string; readonly text: string } {
  const { text, file } = readPolicy(nameOrFile);
  return { name: parsePolicy(text, file).name, text };
}

/** @throws ZmendError POLICY_INVALID: every problem with file, line and key */
export function policyCheck(
  file: string,
): Omit<PolicyReport, "usedBy"> & { readonly file: string } {
  return { file, ...summary(file) };
}
