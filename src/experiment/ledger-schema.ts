/** JSON Schema of a ledger's trial lines, with units: config/ledger.schema.json, written by `npm run generate`. */
import { LEDGER_VERSION } from "./ledger.ts";
import { metrics, phases } from "./metrics.ts";

const histogram = {
  type: "array",
  items: {
    type: "array",
    prefixItems: [
      { type: "integer", minimum: 0, description: "bin: 64 per power of two of microseconds" },
      { type: "integer", minimum: 1, description: "how many" },
    ],
    minItems: 2,
    maxItems: 2,
  },
} as const;

const identity = {
  trial: { type: "integer", minimum: 0 },
  repetition: { type: "integer", minimum: 0 },
  point: { type: "string", description: "combination of the sweep's values" },
  scenario: { type: "string" },
  guest: { type: "string" },
  policy: { type: "string" },
} as const;

export function ledgerJsonSchema(): object {
  const unitText = (unit: string): string => (unit === "1" ? "count" : unit);
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "A line of ledger.jsonl after the first, which holds the plan",
    description: `Ledger version ${LEDGER_VERSION}. Keys stand in this order; the file's SHA-256 is the run's digest.`,
    oneOf: [
      {
        type: "object",
        properties: {
          ...identity,
          status: { const: "done" },
          metrics: {
            type: "object",
            properties: Object.fromEntries(
              metrics.map(({ name, unit, means }) => [
                name,
                { type: "number", unit: unitText(unit), description: means },
              ]),
            ),
            additionalProperties: false,
          },
          timeToRecover: {
            type: "object",
            properties: { recovered: histogram, censored: histogram },
            required: ["recovered", "censored"],
            additionalProperties: false,
          },
          phases: {
            type: "object",
            properties: Object.fromEntries(
              phases.map((name) => [
                name,
                { type: "number", unit: "s", description: "sum over the recovered failures" },
              ]),
            ),
            required: phases,
            additionalProperties: false,
          },
        },
        required: [...Object.keys(identity), "status", "metrics", "timeToRecover", "phases"],
        additionalProperties: false,
      },
      {
        type: "object",
        properties: {
          ...identity,
          status: { const: "failed" },
          reason: { type: "string" },
          withdraws: { const: true, description: "the policy's further trials are not run" },
        },
        required: [...Object.keys(identity), "status", "reason"],
        additionalProperties: false,
      },
    ],
  };
}
