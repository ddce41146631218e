/**
 * Runs families of sequences on two emulators, batch by batch, and explains what differs: every prefix
 * of a differing sequence runs again on both, so that the report names the one instruction whose
 * execution made the difference, with the state before it.
 */
import {
  compareSlots,
  type Difference,
  describeState,
  differingRounds,
  roundEnds,
  type Shape,
  slotAfter,
} from "./compare.ts";
import { type Family, generateSequence } from "./families.ts";
import { cutSequence, emptySequence, type Sequence } from "./generator.ts";
import { buildImage, ENDING_SAVES, type Image } from "./harness.ts";
import { LOG_BYTES, LOG_ENTRIES, LogEntry, MAX_SLOTS, Slot } from "./layout.ts";
import { tolerated } from "./qemu-faults.ts";

export interface Dump {
  /** Absolute storage from 0, as long as the image. */
  readonly memory: Uint8Array;
  /** Processor time of all threads of the emulator's process until the guest stopped, where it is known. */
  readonly cpuSeconds?: number;
  /** Instructions that the image took, where the emulator counts them. */
  readonly executed?: number;
}

export interface Failure {
  /** Why there is no dump: a wait where none belongs, no wait in time, an emulator that died. */
  readonly failure: string;
}

export interface Peer {
  readonly name: string;
  run(image: Image): Promise<Dump | Failure>;
}

export interface Finding {
  readonly seed: number;
  readonly rounds: number;
  readonly family: string;
  readonly index: number;
  /** The instruction that differs, or what went wrong. */
  readonly culprit: string;
  readonly text: string;
  readonly bytes: string;
  readonly address: string;
  /** Program-interruption codes that the sequence met before and at the culprit under QEMU. */
  readonly codes: readonly string[];
  readonly before: string;
  readonly differences: readonly Difference[];
  readonly listing: readonly string[];
}

export interface Counts {
  sequences: number;
  /** Executed in sequences, all rounds; the harness does not count. */
  instructions: number;
  differing: number;
}

export interface Options {
  readonly seed: number;
  readonly sequences: number;
  /** How often each sequence runs, every time from other registers. */
  readonly rounds: number;
  /** First sequence index: another part of the same seed. */
  readonly first: number;
  readonly expected: Peer;
  readonly subject: Peer;
  /** Most differing sequences per family that are explained. */
  readonly explain: number;
}

export const BATCH = 1000;

export async function runFamily(
  family: Family,
  options: Options,
  counts: Counts,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const end = options.first + options.sequences;
  for (let first = options.first; first < end; first += BATCH) {
    const indexes = Array.from({ length: Math.min(BATCH, end - first) }, (_, n) => first + n);
    const differing = await runBatch(family, indexes, options, findings, counts);
    counts.differing += differing.length;
    const room = options.explain - findings.length;
    if (differing.length > 0 && room > 0) {
      findings.push(...(await explain(family, differing.slice(0, room), options)));
    }
  }
  return findings;
}

/** Runs sequences, sequence n in slot n, on both at the same time. */
async function runBoth(
  family: Family,
  sequences: readonly Sequence[],
  options: Options,
): Promise<readonly [Dump | Failure, Dump | Failure]> {
  const { external } = family;
  const image = buildImage(
    sequences.map((sequence) => sequence.input),
    { rounds: options.rounds, ...(external === undefined ? {} : { external }) },
  );
  const pending = options.expected.run(image);
  const got = await options.subject.run(image);
  return [await pending, got];
}

/** @returns the sequences whose slots differ; a batch that does not finish is halved until one is left */
async function runBatch(
  family: Family,
  indexes: readonly number[],
  options: Options,
  findings: Finding[],
  counts: Counts,
): Promise<readonly number[]> {
  const sequences = indexes.map((index, n) =>
    generateSequence(options.seed, family, index, n, options.rounds),
  );
  const [expected, got] = await runBoth(family, sequences, options);
  if ("failure" in expected || "failure" in got) {
    const middle = indexes.length >> 1;
    const [only] = sequences;
    if (middle === 0 && only !== undefined) {
      counts.sequences += 1;
      counts.differing += 1;
      findings.push(await unfinished(family, only, options));
      return [];
    }
    return [
      ...(await runBatch(family, indexes.slice(0, middle), options, findings, counts)),
      ...(await runBatch(family, indexes.slice(middle), options, findings, counts)),
    ];
  }
  counts.sequences += sequences.length;
  const shape = { slots: sequences.length, rounds: options.rounds };
  const judge = options.expected.name;
  counts.instructions += await inSequences(got, shape, options.subject);
  return indexes.filter(
    (_, n) => firstDiffering(expected.memory, got.memory, shape, n, judge) >= 0,
  );
}

/** What the harness executes: once, for each slot, round and program interruption. */
interface HarnessCost {
  readonly fixed: number;
  readonly slot: number;
  readonly round: number;
  readonly interruption: number;
}

/** A peer is let go with its family: it holds a machine, and maybe thousands of generated modules. */
const harnessCosts = new WeakMap<Peer, HarnessCost>();

/** Measured with sequences that are empty but for the closing SVC, or for one unassigned instruction. */
async function harnessCost(peer: Peer): Promise<HarnessCost> {
  const known = harnessCosts.get(peer);
  if (known !== undefined) return known;
  const executed = async (slots: number, rounds: number, opcode: number[]): Promise<number> => {
    const empty = emptySequence(opcode, rounds);
    const result = await peer.run(buildImage(new Array(slots).fill(empty), { rounds }));
    return "failure" in result ? 0 : (result.executed ?? 0);
  };
  const one = await executed(1, 1, []);
  const round = (await executed(1, 11, [])) / 10 - one / 10;
  const slot = (await executed(11, 1, [])) / 10 - one / 10 - round;
  const cost = {
    fixed: one - round - slot,
    slot,
    round: round - 1, // the closing SVC belongs to the sequence
    interruption: (await executed(1, 1, [0, 0])) - one - 1, // and so does what fails
  };
  harnessCosts.set(peer, cost);
  return cost;
}

async function inSequences(dump: Dump, shape: Shape, peer: Peer): Promise<number> {
  if (dump.executed === undefined) return 0;
  const cost = await harnessCost(peer);
  let sum = dump.executed - cost.fixed - shape.slots * cost.slot;
  for (let slot = 0; slot < shape.slots; slot++) {
    for (const { interruptions, ended } of roundEnds(dump.memory, shape, slot)) {
      sum -= cost.round + interruptions * cost.interruption;
      if (!ended) continue;
      sum += interruptions === LOG_ENTRIES ? ENDING_SAVES.byCount : ENDING_SAVES.byCode;
    }
  }
  return Math.max(0, Math.round(sum));
}

/** The first round whose end differs beyond what is tolerated, or -1. */
function firstDiffering(
  expected: Uint8Array,
  got: Uint8Array,
  shape: Shape,
  slot: number,
  judge: string,
): number {
  const rounds = differingRounds(expected, got, shape, slot);
  return (
    rounds.find((round) => differences(expected, got, shape, slot, round, judge).length > 0) ?? -1
  );
}

function differences(
  expected: Uint8Array,
  got: Uint8Array,
  shape: Shape,
  slot: number,
  round: number,
  judge: string,
): readonly Difference[] {
  const a = slotAfter(expected, shape, slot, round);
  return tolerated(a, compareSlots(a, slotAfter(got, shape, slot, round)), judge);
}

/** One sequence after which an emulator does not come to its end: finds the shortest such prefix. */
async function unfinished(family: Family, sequence: Sequence, options: Options): Promise<Finding> {
  for (let count = 0; count < sequence.insns.length; count++) {
    const results = await runBoth(family, [cutSequence(sequence, count)], options);
    const at = results.findIndex((result) => "failure" in result);
    const result = results[at];
    if (result === undefined || !("failure" in result)) continue;
    const culprit = sequence.insns[count - 1];
    const peer = at === 0 ? options.expected : options.subject;
    return {
      seed: options.seed,
      rounds: options.rounds,
      family: sequence.family,
      index: sequence.index,
      culprit: culprit?.name ?? "(entry)",
      text: `${culprit?.text ?? ""} (${peer.name}: ${result.failure})`,
      bytes: Buffer.from(culprit?.bytes ?? []).toString("hex"),
      address: `slot+0x${(culprit?.offset ?? 0).toString(16)}`,
      codes: [],
      before: "",
      differences: [],
      listing: listing(sequence).slice(0, count),
    };
  }
  return {
    seed: options.seed,
    rounds: options.rounds,
    family: sequence.family,
    index: sequence.index,
    culprit: "(not reproduced)",
    text: "an emulator did not finish this sequence, then it did",
    bytes: "",
    address: "",
    codes: [],
    before: "",
    differences: [],
    listing: [],
  };
}

interface Prefix {
  readonly sequence: Sequence;
  readonly cut: Sequence;
}

/** Runs every prefix of the differing sequences, as many sequences per image as fit. */
async function explain(
  family: Family,
  differing: readonly number[],
  options: Options,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const waiting = [...differing];
  while (waiting.length > 0) {
    const prefixes: Prefix[] = [];
    const now: number[] = [];
    while (waiting[0] !== undefined && prefixes.length + 200 <= MAX_SLOTS) {
      const index = waiting[0];
      waiting.shift();
      now.push(index);
      const length = generateSequence(options.seed, family, index, 0).insns.length;
      for (let count = 0; count < length; count++) {
        const sequence = generateSequence(
          options.seed,
          family,
          index,
          prefixes.length,
          options.rounds,
        );
        prefixes.push({ sequence, cut: cutSequence(sequence, count) });
      }
    }
    const cuts = prefixes.map((prefix) => prefix.cut);
    const [expected, got] = await runBoth(family, cuts, options);
    if ("failure" in expected || "failure" in got) {
      for (const index of now) {
        const sequence = generateSequence(options.seed, family, index, 0, options.rounds);
        findings.push(await unfinished(family, sequence, options));
      }
      continue;
    }
    const shape = { slots: cuts.length, rounds: options.rounds };
    for (const index of now) {
      findings.push(blame(index, prefixes, expected.memory, got.memory, shape, options));
    }
  }
  return findings;
}

function blame(
  index: number,
  prefixes: readonly Prefix[],
  expected: Uint8Array,
  got: Uint8Array,
  shape: Shape,
  { seed, expected: { name: judge } }: Options,
): Finding {
  const first = prefixes.findIndex((prefix) => prefix.sequence.index === index);
  const common = {
    seed,
    rounds: shape.rounds,
    family: prefixes[first]?.sequence.family ?? "",
    index,
  };
  for (let slot = first; prefixes[slot]?.sequence.index === index; slot++) {
    const round = firstDiffering(expected, got, shape, slot, judge);
    if (round < 0) continue;
    const count = slot - first;
    const moved = prefixes[slot]?.sequence;
    if (moved === undefined) break;
    const culprit = moved.insns[count - 1];
    const a = slotAfter(expected, shape, slot, round);
    return {
      ...common,
      culprit: culprit?.name ?? "(entry)",
      text: culprit?.text ?? "",
      bytes: Buffer.from(culprit?.bytes ?? []).toString("hex"),
      address: `slot+0x${(culprit?.offset ?? 0).toString(16)}`,
      codes: programCodes(a),
      before: count > 0 ? describeState(slotAfter(expected, shape, slot - 1, round)) : "",
      differences: differences(expected, got, shape, slot, round, judge),
      listing: listing(moved).slice(0, count),
    };
  }
  return {
    ...common,
    culprit: "(not reproduced alone)",
    text: "the difference came from another sequence of the batch",
    bytes: "",
    address: "",
    codes: [],
    before: "",
    differences: [],
    listing: [],
  };
}

function programCodes(slot: Uint8Array): string[] {
  const view = new DataView(slot.buffer, slot.byteOffset, slot.length);
  const count = Math.min(4, view.getUint32(Slot.outPrograms));
  return Array.from({ length: count }, (_, n) =>
    view
      .getUint32(Slot.outLog + n * LOG_BYTES + LogEntry.ilcAndCode)
      .toString(16)
      .padStart(8, "0"),
  );
}

function listing(sequence: Sequence): string[] {
  return sequence.insns.map((one) => {
    const bytes = Buffer.from(one.bytes).toString("hex").padEnd(12);
    return `${one.offset.toString(16)}: ${bytes} ${one.text}`;
  });
}
