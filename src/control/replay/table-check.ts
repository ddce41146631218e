/** Whether a recorded transition is one that the recovery table has: from, event and its kind must lead where it led. */
import {
  cellIndex,
  compiledTable,
  Event,
  type EventName,
  events,
  State,
  type StateName,
  states,
} from "../../recovery/index.ts";
import type { JournalRecord } from "../journal/index.ts";

/** What is wrong with a `state` record; undefined when nothing is. */
export function illegalTransition({ detail, choice }: JournalRecord): string | undefined {
  const from = State[detail["from"] as StateName];
  const event = camel(String(detail["event"])) as EventName;
  if (from === undefined || !Object.hasOwn(Event, event))
    return "this zmend has no such state or event";
  const number = choice === undefined ? 0 : (events[event] as readonly string[]).indexOf(choice);
  if (number < 0) return `this zmend has no kind '${choice}' of this event`;
  const step = compiledTable[cellIndex(from, Event[event], number)];
  if (step === undefined) return "the table has no cell for it";
  const next = states[step.next];
  return next === detail["to"] ? undefined : `the table leads to ${next}`;
}

function camel(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
