/** One line on standard error that says how far a run is and how long it will take. Only for people: a terminal. */
import { monotonicNowUs } from "../base/clock.ts";
import type { Progress } from "../experiment/runner/run.ts";

const EVERY_US = 250_000;

export function duration(seconds: number): string {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

function progressText({ done, trials, failed, leftSeconds }: Progress): string {
  const share = Math.floor((100 * done) / Math.max(1, trials));
  const trouble = failed > 0 ? `, ${failed} failed` : "";
  const left = leftSeconds === undefined ? "" : `, ${duration(leftSeconds)} left`;
  return `${done}/${trials} trials (${share} %)${trouble}${left}`;
}

export class ProgressLine {
  readonly #stream: NodeJS.WriteStream;
  #lastUs = 0;
  #shown = false;

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream;
  }

  show(progress: Progress): void {
    if (!this.#stream.isTTY) return;
    const nowUs = monotonicNowUs();
    if (nowUs - this.#lastUs < EVERY_US) return;
    this.#lastUs = nowUs;
    this.#shown = true;
    this.#stream.write(`\r${progressText(progress)}\x1b[K`);
  }

  /** Clears the line. */
  end(): void {
    if (this.#shown) this.#stream.write("\r\x1b[K");
  }
}
