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
  const words: [string, number][] = [];
  let next = 0;
  let alone = false;
  for (const spec of names) {
    const [name = "", count = "1"] = spec.replace("!", "").split(":");
    if (spec.startsWith("!") || alone) next = Math.ceil(next / 32) * 32;
    alone = spec.startsWith("!");
    words.push([name, next]);
    next += Number(count);
  }
  words.push(["sizeBytes", Math.ceil(next / 32) * 128]);
  // Not word by word: V8 turns an object that grows by computed names into a hash table, and each use of a word
  // becomes a search instead of a constant (a model recovery takes a third longer).
  return Object.freeze(Object.fromEntries(words)) as WordBlock<BareName<T[number]>>;
}

type BareName<S extends string> = S extends `!${infer R}`
  ? BareName<R>
  : S extends `${infer R}:${string}`
    ? R
    : S;
