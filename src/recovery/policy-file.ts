/**
 * Policies as data: YAML files (config/policies or a path), checked against one schema and compiled to
 * numbers. Cold path. Every refusal names file, line and key.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { ZmendError } from "../base/errors.ts";
import { suggestion } from "../base/nearest.ts";
import { parseYaml } from "../base/yaml-file.ts";
import { onErrorChoices, type Policy, QUARANTINE_ERRORS_MAX } from "./policy.ts";
import { PolicyStep, policySteps, State, states } from "./vocabulary.ts";

const milliseconds = z.number().min(1).max(3_600_000);

/** Reset failures have no next reset or injection to fall back on. */
const resetFailureSteps = ["quarantine", "unplug", "stop-vm", "fail"] as const;

export const policySchema = z.strictObject({
  version: z.literal(1),
  name: z.string().regex(/^[a-z0-9][a-z0-9-]*$/, "expected lower-case letters, digits and hyphens"),
  summary: z.string().min(1),
  onError: z.enum(onErrorChoices),
  onResetFailure: z.enum(resetFailureSteps).default("fail"),
  /** Every state that waits for somebody has a deadline. */
  deadlineMs: z.strictObject({
    "awaiting-guest": milliseconds,
    "guest-recovering": milliseconds,
    unblocked: milliseconds,
    verifying: milliseconds,
    unplugging: milliseconds,
  }),
  reset: z.strictObject({
    budgetMs: milliseconds,
    backoffMs: z.array(z.number().min(0.1).max(10_000)).min(1).max(32),
    pollMs: z.number().min(0.05).max(1000).default(0.25),
  }),
  escalation: z
    .array(
      z.strictObject({
        step: z.enum(policySteps),
        times: z.number().int().min(1).max(1000).default(1),
      }),
    )
    .max(16),
  verifyResetError: z.boolean().default(false),
  storm: z
    .strictObject({
      tokens: z.number().int().min(1).max(1000),
      perSecond: z.number().min(0).max(1_000_000),
    })
    .optional(),
  quarantine: z
    .strictObject({
      errors: z.number().int().min(1).max(QUARANTINE_ERRORS_MAX),
      withinMs: milliseconds,
    })
    .optional(),
  slowDrainMs: milliseconds.default(1000),
});
export type PolicyFile = z.output<typeof policySchema>;

export function compilePolicy(file: PolicyFile): Policy {
  const deadlineUs = states.map((state) => {
    if (state === "resetting") return file.reset.budgetMs * 1000;
    const key = state as keyof PolicyFile["deadlineMs"];
    return (file.deadlineMs[key] ?? 0) * 1000;
  });
  return {
    name: file.name,
    onError: onErrorChoices.indexOf(file.onError),
    onResetFailure: PolicyStep[file.onResetFailure],
    deadlineUs,
    resetBudgetUs: deadlineUs[State.resetting] ?? 0,
    resetBackoffUs: file.reset.backoffMs.map((ms) => ms * 1000),
    hostPollUs: file.reset.pollMs * 1000,
    escalationStep: file.escalation.map((rung) => PolicyStep[rung.step]),
    escalationTimes: file.escalation.map((rung) => rung.times),
    verifyResetError: file.verifyResetError,
    stormTokens: file.storm?.tokens ?? 0,
    stormPerSecond: file.storm?.perSecond ?? 0,
    quarantineErrors: file.quarantine?.errors ?? 0,
    quarantineWithinMs: file.quarantine?.withinMs ?? 0,
    slowDrainUs: file.slowDrainMs * 1000,
  };
}

/** @throws ZmendError POLICY_INVALID: every problem with file, line and key */
export function parsePolicy(text: string, file: string): Policy {
  return compilePolicy(parseYaml(text, file, policySchema, "POLICY_INVALID"));
}

/** config/policies, seen from the sources and from the compiled package. */
function policyFolder(): string {
  const relative = import.meta.url.endsWith(".ts")
    ? "../../config/policies/"
    : "../../../config/policies/";
  return fileURLToPath(new URL(relative, import.meta.url));
}

/** Names of the shipped policies, sorted. */
export function policyNames(): string[] {
  return readdirSync(policyFolder())
    .filter((file) => file.endsWith(".yaml"))
    .map((file) => basename(file, ".yaml"))
    .sort();
}

/** The text of a policy and the name to show for it in messages. */
export interface PolicyText {
  readonly text: string;
  readonly file: string;
}

/**
 * A shipped policy by name, or a YAML file by its path (anything with a slash or a YAML ending).
 * @throws ZmendError POLICY_INVALID in one sentence per problem
 */
export function loadPolicy(nameOrFile: string): Policy {
  const { text, file } = readPolicy(nameOrFile);
  return parsePolicy(text, file);
}

/** As `loadPolicy`, without looking at what the text says. */
export function readPolicy(nameOrFile: string): PolicyText {
  const isPath = nameOrFile.includes("/") || /\.ya?ml$/.test(nameOrFile);
  if (!isPath) {
    const names = policyNames();
    if (!names.includes(nameOrFile)) {
      throw new ZmendError(
        "POLICY_INVALID",
        `Policy '${nameOrFile}' is unknown${suggestion(nameOrFile, names)}; ` +
          `name one of ${names.join(", ")} or a YAML file.`,
        { policy: nameOrFile },
      );
    }
  }
  const file = isPath ? nameOrFile : `${policyFolder()}${nameOrFile}.yaml`;
  const shown = isPath ? nameOrFile : `config/policies/${nameOrFile}.yaml`;
  if (!existsSync(file)) {
    throw new ZmendError(
      "POLICY_INVALID",
      `Policy file ${shown} does not exist; name an existing YAML file or one of ${policyNames().join(", ")}.`,
      { file: shown },
    );
  }
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new ZmendError(
      "POLICY_INVALID",
      `Policy file ${shown} cannot be read; check that it is a readable YAML file.`,
      { file: shown },
      { cause: error },
    );
  }
  return { text, file: shown };
}
