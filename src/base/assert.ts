/**
 * States what must hold inside zmend. A failure is our mistake, never a guest's, a backend's or a
 * user's: their input is answered, not asserted on.
 * @throws AssertionError with `message`
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/** Marks a branch that the type system knows to be unreachable. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable value ${String(value)}`);
}
