/** `zmend status`: the daemon, its VMs and their functions, once or again and again. */
import type { Command } from "commander";
import {
  type ClientOptions,
  clientCommand,
  DaemonClient,
  stateDirOf,
  wholeNumber,
} from "./client.ts";
import { plain, red, type StatusReport, statusText } from "./status-table.ts";

interface StatusOptions extends ClientOptions {
  readonly watch?: boolean;
  readonly interval: number;
}

const HOME = "\u001b[H";
const CLEAR_LINE = "\u001b[K";
const CLEAR_BELOW = "\u001b[J";
const CLEAR_ALL = "\u001b[2J";
// biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with ESC.
const COLOUR = /\u001b\[\d+m/g;

/** Adds the `status` command. */
export function registerStatus(program: Command): void {
  clientCommand(program.command("status").description("the daemon, its VMs and their functions"))
    .option("--watch", "again and again, until interrupted")
    .option("--interval <ms>", "pause between two of --watch", wholeNumber(50, 3_600_000), 1000)
    .action((options: StatusOptions) => status(options));
}

async function status(options: StatusOptions): Promise<void> {
  const client = await DaemonClient.connect(stateDirOf(options));
  const terminal = process.stdout.isTTY && options.json !== true;
  let interrupted = false;
  let wake = (): void => {};
  const interrupt = (): void => {
    interrupted = true;
    wake();
  };
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  try {
    for (let round = 0; ; round++) {
      const report = (await client.request("status")) as StatusReport;
      const text =
        options.json === true ? JSON.stringify(report) : statusText(report, terminal ? red : plain);
      if (terminal && options.watch === true) process.stdout.write(screen(text, round === 0));
      else process.stdout.write(`${round > 0 && options.json !== true ? "\n" : ""}${text}\n`);
      if (options.watch !== true || interrupted) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, options.interval);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      if (interrupted) return;
    }
  } finally {
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
    client.close();
  }
}

export interface ScreenSize {
  /** 0 or nothing where the terminal does not say. */
  readonly rows?: number | undefined;
  readonly columns?: number | undefined;
}

/** Over the last picture without a flicker: each line cleared to its end, the rest below. */
export function screen(text: string, first: boolean, size: ScreenSize = process.stdout): string {
  const lines = fitting(text.split("\n"), size);
  return `${first ? CLEAR_ALL : ""}${HOME}${lines.join(`${CLEAR_LINE}\n`)}${CLEAR_LINE}\n${CLEAR_BELOW}`;
}

/** The lines that the terminal has room for, long ones counted as often as they wrap; what is left out is said. */
function fitting(lines: readonly string[], { rows, columns }: ScreenSize): readonly string[] {
  // One row is the cursor's.
  const room = rows ? Math.max(2, rows - 1) : Number.POSITIVE_INFINITY;
  const width = columns || Number.POSITIVE_INFINITY;
  const heights = lines.map((line) =>
    Math.max(1, Math.ceil(line.replace(COLOUR, "").length / width)),
  );
  if (heights.reduce((sum, height) => sum + height, 0) <= room) return lines;
  let used = 1;
  let kept = 0;
  while (used + (heights[kept] ?? 0) <= room) used += heights[kept++] ?? 0;
  return [...lines.slice(0, kept), `… ${lines.length - kept} more lines: a larger window has them`];
}
