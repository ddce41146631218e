/**
 * What everybody's work hangs on: threads that may die, a server that may stay away. Not `Promise.race` with a promise
 * for the end: that one would keep every result that ever raced it (a ledger's worth of memory).
 */
export class Lifeline {
  readonly #waiting = new Set<(error: unknown) => void>();
  #cut: { readonly error: unknown } | undefined;

  /** Ends all that hangs on it, now and later. The first reason stands. */
  cut(error: unknown): void {
    this.#cut ??= { error };
    for (const reject of this.#waiting) reject(this.#cut.error);
    this.#waiting.clear();
  }

  /** Settles as `work` does, or rejects when the line is cut before that. */
  hold<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#cut !== undefined) {
        work.catch(() => {});
        reject(this.#cut.error);
        return;
      }
      this.#waiting.add(reject);
      work.then(resolve, reject).finally(() => this.#waiting.delete(reject));
    });
  }
}
