/** The table as pictures: a Mermaid state diagram and a test matrix, both embedded in this folder's README. */
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
  const header = `| event | ${states.join(" | ")} |`;
  const rule = `| --- |${states.map(() => " --- |").join("")}`;
  const lines = eventNames.flatMap((event) =>
    choicesFor(event).map((choice) => {
      const name = label(event, choice);
      const cells = states.map((state) => {
        const row = cell.get(`${state}/${name}`);
        if (row === undefined || row.outcome === "bug") return "!";
        if (row.outcome === "ignore") return ".";
        return row.next === state ? "=" : row.next;
      });
      return `| ${name} | ${cells.join(" | ")} |`;
    }),
  );
  return `${[header, rule, ...lines].join("\n")}\n`;
}
