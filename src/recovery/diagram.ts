/**
 * The table as pictures: a Mermaid state diagram and a test matrix, both embedded in this folder's README,
 * which is generated here as a whole (`npx vitest run test/golden/recovery.test.ts -u` writes it).
 */
import { BUG, compiledTable, IGNORE, type Step, transition } from "./table.ts";
import {
  choicesOf,
  Event,
  type EventName,
  effects,
  eventNames,
  events,
  State,
  type StateName,
  states,
} from "./vocabulary.ts";

function choicesFor(event: EventName): readonly string[] {
  const list: readonly string[] = events[event];
  return list.length === 0 ? [""] : list;
}

function label(event: EventName, choice: string): string {
  return choice === "" ? event : `${event} ${choice}`;
}

function stepOf(state: StateName, event: EventName, choice: string): Step {
  const numbers: Readonly<Record<string, number>> = choicesOf(event);
  return transition(State[state], Event[event], numbers[choice] ?? 0, compiledTable);
}

/** Mermaid calls a state by an identifier without hyphens. */
const identifier = (state: StateName): string => state.replaceAll("-", "_");

/** Every change of state, one arrow per pair of states, its events listed on it. */
export function diagram(): string {
  const lines = ["stateDiagram-v2", "  direction TB"];
  for (const state of states) {
    if (state.includes("-")) lines.push(`  state "${state}" as ${identifier(state)}`);
  }
  lines.push("  [*] --> operational");
  for (const from of states) {
    const arrows = new Map<string, string[]>();
    for (const event of eventNames) {
      for (const choice of choicesFor(event)) {
        const step = stepOf(from, event, choice);
        const to = states[step.next];
        if (step.kind !== 0 || to === undefined || to === from) continue;
        arrows.set(to, [...(arrows.get(to) ?? []), label(event, choice)]);
      }
    }
    for (const [to, labels] of arrows) {
      lines.push(
        `  ${identifier(from)} --> ${identifier(to as StateName)}: ${labels.join("<br/>")}`,
      );
    }
  }
  lines.push("  detached --> [*]");
  return `${lines.join("\n")}\n`;
}

export interface MatrixRow {
  readonly state: StateName;
  readonly event: EventName;
  /** Empty for events without choices. */
  readonly choice: string;
  readonly outcome: "step" | "ignore" | "bug";
  readonly next: StateName;
  readonly effects: readonly string[];
}

/** Every cell, in the table's order. */
export function testMatrix(): MatrixRow[] {
  return states.flatMap((state) =>
    eventNames.flatMap((event) =>
      choicesFor(event).map((choice): MatrixRow => {
        const step = stepOf(state, event, choice);
        return {
          state,
          event,
          choice,
          outcome: step.kind === BUG ? "bug" : step.kind === IGNORE ? "ignore" : "step",
          next: states[step.next] ?? state,
          effects: step.effects.map((effect) => effects[effect] ?? ""),
        };
      }),
    ),
  );
}

/** The matrix as one Markdown table: events down, states across; `=` stays, `.` ignores, `!` is a bug. */
export function matrixMarkdown(): string {
  const rows = testMatrix();
  const cell = new Map(rows.map((row) => [`${row.state}/${label(row.event, row.choice)}`, row]));
  const lines = eventNames.flatMap((event) =>
    choicesFor(event).map((choice) => {
      const name = label(event, choice);
      const cells = states.map((state) => {
        const row = cell.get(`${state}/${name}`);
        if (row === undefined || row.outcome === "bug") return "!";
        if (row.outcome === "ignore") return ".";
        return row.next === state ? "=" : row.next;
      });
      return [name, ...cells];
    }),
  );
  return markdownTable([["event", ...states], ...lines]);
}

/** Columns padded to equal width, as the formatter wants them. */
function markdownTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(3, ...rows.map((row) => (row[column] ?? "").length)),
  );
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  const rule = widths.map((width) => "-".repeat(width));
  const [head = [], ...body] = rows;
  return `${[head, rule, ...body].map(line).join("\n")}\n`;
}

const files: readonly (readonly [string, string])[] = [
  ["file", "what it owns"],
  ["vocabulary.ts", "states, events with their choices, effects, policy steps: names and numbers"],
  [
    "table.ts",
    "the table: every state x event x choice is a step, 'ignore' or 'bug'; `transition`",
  ],
  [
    "judge.ts",
    "what a CCDF means before the table is asked: stale, FMB code, permanent, storm, one too many",
  ],
  ["guest-event.ts", "what a guest's request record means now"],
  ["effects.ts", "marking, publishing and counting, each exactly once"],
  [
    "announcements.ts",
    "what the machine itself has for the guest: repeats, availability events, those that are owed",
  ],
  [
    "host-driver.ts",
    "resets and clears on the host with back-off, and the phase words a vCPU waits for",
  ],
  ["effect-runner.ts", "carries out one effect of a step"],
  ["machine.ts", "feeds an event to the table, keeps the state and the effects still to do"],
  ["drain.ts", "reads the host's queue into the guest's ring"],
  ["host-calls.ts", "resets and clears under way, and what follows from their answers"],
  ["operator-commands.ts", "the command word: operators, and a host that has a function back"],
  ["escalation.ts", "deadlines that have passed, and the policy's next step"],
  ["unit.ts", "`RecoveryUnit.step()`: one bounded pass"],
  ["loop.ts, repair.ts", "a worker's life; what its supervisor does after its death"],
  ["policy.ts, policy-file.ts", "a policy as numbers; as YAML (config/policies)"],
  ["words.ts", "the machine's words in shared memory, the numbered drain steps"],
];

const introduction = `# The recovery machine

Generated from the code beside it; a test checks that it is current. One machine per passed-through function,
one worker per machine. It reads the host's error events, hands them to the guest as the guest's own, carries
out what the guest's driver asks the host for, and sees to it that every wait ends.

${markdownTable(files)}
A worker that dies leaves everything in shared memory: state, deadlines, budgets, the effects still to do, the
redo log of the drain step under way. The supervisor calls \`repairAfterDeath\`, starts another worker, and the
\`workerRestarted\` event repeats what the state stands on. \`test/property/recovery-explorer.test.ts\` walks every
reachable state with a small host and guest and lets the worker die everywhere.

_Recovered_ means: MPCIFC 7 accepted; or CLP enable, register IOAT and a first good PCI load; or the guest's own
success report.
`;

/** Text of this folder's README. */
export function readme(): string {
  return [
    introduction,
    "## States\n",
    `\`\`\`mermaid\n${diagram()}\`\`\`\n`,
    "## Every cell\n",
    "A state name: the step leads there. `=`: a step that stays. `.`: ignored. `!`: cannot happen.\n",
    matrixMarkdown(),
  ].join("\n");
}
