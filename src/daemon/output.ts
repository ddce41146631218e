/** Standard output that is read slower than a guest makes us write: who writes must be able to wait. */

/** What was written has not been read yet, to the limit of what the stream keeps. */
export function outputStalled(): boolean {
  return process.stdout.writableNeedDrain;
}

let drained: Promise<void> | undefined;

/** Undefined when standard output has room, else resolves when it has again. */
export function outputTaken(): Promise<void> | undefined {
  if (!outputStalled()) return undefined;
  drained ??= new Promise((resolve) => {
    process.stdout.once("drain", () => {
      drained = undefined;
      resolve();
    });
  });
  return drained;
}
