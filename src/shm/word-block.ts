/**
 * A block of 32-bit words in shared memory, declared as a list of names. The value of each entry is the
 * word's index inside the block; `base / 4 + Block.name` is the index into the memory's Int32Array.
 */
export type WordBlock<N extends string> = { readonly [K in N]: number } & {
  readonly sizeBytes: number;
};

/**
 * @param names word names; `name:8` reserves 8 words; a leading `!` puts the word on a 128-byte boundary
 * of its own, away from its neighbours' cache lines (performance.md 1.4)
 */
export function wordBlock<const T extends readonly string[]>(
  names: T,
): WordBlock<BareName<T[number]>> {
  const block: Record<string, number> = {};
  let next = 0;
  let alone = false;
  for (const spec of names) {
    const [name = "", count = "1"] = spec.replace("!", "").split(":");
    if (spec.startsWith("!") || alone) next = Math.ceil(next / 32) * 32;
    alone = spec.startsWith("!");
    block[name] = next;
    next += Number(count);
  }
  block["sizeBytes"] = Math.ceil(next / 32) * 128;
  return Object.freeze(block) as WordBlock<BareName<T[number]>>;
}

type BareName<S extends string> = S extends `!${infer R}`
  ? BareName<R>
  : S extends `${infer R}:${string}`
    ? R
    : S;
