/**
 * Faults of a function at PCI level as plain data, and the check that refuses a malformed plan whole. A rule says when
 * (exactly one way), what, and how often. Source of what can go wrong: vfio-uapi.md 3.14, zpci-guest.md 5.3, 7.2.
 */
import type { CcdfSpec } from "./config.ts";
import {
  actionProblems,
  boolean,
  type Check,
  type Fields,
  fieldProblems,
  integer,
  isObject,
  text,
  timesProblems,
} from "./plan-checks.ts";

export const unplugForms = ["request", "surprise"] as const;
export type UnplugForm = (typeof unplugForms)[number];
/** What the guest finds the function to be. */
export const plugForms = ["configured", "standby"] as const;
export type PlugForm = (typeof plugForms)[number];

const US_MAX = 1e12;
const STORM_MAX = 10_000;
/** Below this a rule would hardly ever fire, and finding out when costs as many draws. */
const PROBABILITY_MIN = 1e-5;
const LOST_MAX = 1_000_000;

const within: Check = (value) =>
  isObject(value) &&
  fieldProblems(value, range, "").length === 0 &&
  (value["to"] === undefined || (value["to"] as number) >= (value["from"] as number));
const address = integer(0, Number.MAX_SAFE_INTEGER);
const range: Fields = {
  from: [address, "an address"],
  "to?": [address, "an address"],
};
const probability: Check = (value) =>
  typeof value === "number" && value >= PROBABILITY_MIN && value <= 1;

const triggers: Fields = {
  atUs: [
    (value) => typeof value === "number" && Number.isFinite(value) && value >= 0,
    "microseconds, 0 or more",
  ],
  afterAccesses: [integer(1, 0x7fff_ffff), "a number of BAR accesses, 1 or more"],
  afterTransfers: [integer(1, Number.MAX_SAFE_INTEGER), "a number of DMA transfers, 1 or more"],
  command: [text, "a name"],
  bar: [within, "{ from, to? } with offsets in BAR 0, to not below from"],
  dma: [within, "{ from, to? } with DMA addresses, to not below from"],
  perAccess: [probability, `a probability from ${PROBABILITY_MIN} to 1`],
  perTransfer: [probability, `a probability from ${PROBABILITY_MIN} to 1`],
};
const triggerNames: readonly string[] = Object.keys(triggers);

const spec: Fields = {
  "ccdf?": [text, "64 hex digits"],
  "pec?": [integer(1, 0xffff), "a PEC from 1 to 0xffff"],
  "faddr?": [address, "an address"],
  "rw?": [boolean, "true or false"],
  "stale?": [boolean, "true or false"],
  "literal?": [boolean, "true or false"],
};
const forUs = [integer(1, US_MAX), "1 or more microseconds"] as const;
const lost: Fields = { "count?": [integer(1, LOST_MAX), `1 to ${LOST_MAX}`] };

const actions: Readonly<Record<string, Fields>> = {
  ccdf: spec,
  burst: { ccdfs: [(value) => Array.isArray(value) && value.every(isSpec), "a list of events"] },
  dma: { kind: [(value) => value === "translation", '"translation"'] },
  storm: {
    pec: [integer(1, 0xffff), "a PEC from 1 to 0xffff"],
    "faddr?": [address, "an address"],
    "stale?": [boolean, "true or false"],
    count: [integer(1, STORM_MAX), `1 to ${STORM_MAX}`],
    everyUs: [integer(1, US_MAX), "1 or more microseconds"],
  },
  allOnes: { "forUs?": forUs },
  blockedDma: { "forUs?": forUs },
  linkDown: { "forUs?": forUs },
  lostStores: lost,
  lostInterrupts: lost,
  lostSignals: lost,
  unplug: {
    how: [(value) => unplugForms.some((form) => form === value), unplugForms.join(" or ")],
  },
  plug: { as: [(value) => plugForms.some((form) => form === value), plugForms.join(" or ")] },
};

function isSpec(value: unknown): value is CcdfSpec {
  return isObject(value) && fieldProblems(value, { ...spec, "type?": [text, ""] }, "").length === 0;
}

/** Every problem of any JSON value as a list of rules, each with its path; empty when all of them can be armed. */
export function pciFaultProblems(rules: unknown, path = "faults"): string[] {
  if (!Array.isArray(rules)) return [`${path}: expected a list of fault rules`];
  return rules.flatMap((rule, index) => ruleProblems(rule, `${path}[${index}]`));
}

function ruleProblems(rule: unknown, path: string): string[] {
  if (!isObject(rule)) return [`${path}: expected an object`];
  const { when, action, times, ...others } = rule;
  const problems = Object.keys(others).map((key) => `${path}.${key}: unknown key`);
  problems.push(...timesProblems(times, path));
  if (!isObject(when)) problems.push(`${path}.when: expected an object`);
  else {
    const named = Object.keys(when).filter((key) => key in triggers);
    const only = Object.fromEntries(named.map((key) => [key, triggers[key]])) as Fields;
    problems.push(...fieldProblems(when, only, `${path}.when`));
    if (named.length !== 1) {
      problems.push(`${path}.when: needs exactly one of ${triggerNames.join(", ")}`);
    }
  }
  if (!isObject(action)) problems.push(`${path}.action: expected an object`);
  else problems.push(...actionProblems(action, actions, `${path}.action`));
  return problems;
}
