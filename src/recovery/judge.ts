/**
 * Hot file. What a CCDF means before the table is asked: stale, measurement code, permanent, part of a storm,
 * one too many, or an error to deliver. Source: vfio-uapi.md 2.5, 3.3, 4.5.
 */
import { isFmbCode, isPermanentCode } from "../abi/ccdf.ts";
import type { Clock } from "../ports/clock.ts";
import { FunctionBlock, FunctionState } from "../shm/blocks.ts";
import type { FunctionEffects } from "./effects.ts";
import type { Policy } from "./policy.ts";
import { choicesOf } from "./vocabulary.ts";
import { type FunctionWords, Scratch } from "./words.ts";

const Verdict = choicesOf("ccdfRead");

/** @returns a choice of the event `ccdfRead` for the CCDF at `slot` */
export function judge(
  effects: FunctionEffects,
  slot: number,
  hostHandle: number,
  policy: Policy,
  clock: Clock,
): number {
  const words = effects.words;
  const pec = effects.pecAt(slot);
  const handle = effects.handleAt(slot);
  if (handle === 0 || pec === 0) return Verdict.unverifiable;
  if (isFmbCode(pec)) return Verdict.fmb;
  if (handle !== hostHandle >>> 0) return Verdict.stale;
  words.set(Scratch.hostErrorStands, 1);
  words.set(Scratch.errorDuringClear, 1);
  if (isPermanentCode(pec)) return Verdict.permanent;
  // A successor that judges the same CCDF again must not count it again.
  const ordinal = (words.load(FunctionBlock.readByWorker) + 1) | 0;
  if (words.get(Scratch.judgedOrdinal) === ordinal) return words.get(Scratch.judgedVerdict);
  const verdict = budgets(effects, policy, clock);
  words.set(Scratch.judgedVerdict, verdict);
  words.set(Scratch.judgedOrdinal, ordinal);
  return verdict;
}

function budgets(effects: FunctionEffects, policy: Policy, clock: Clock): number {
  const words = effects.words;
  const nowMs = Math.floor(clock.nowUs() / 1000);
  const state = effects.guestState();
  // The state alone does not say so: an instruction of the guest's own may have met the error first.
  const known =
    (state === FunctionState.ERROR || state === FunctionState.PERMANENT_ERROR) &&
    words.get(Scratch.told) === effects.generation() + 1;
  // Further events of a function that is in error already belong to the same failure.
  if (policy.quarantineErrors > 0 && !known && oneTooMany(words, policy, nowMs)) {
    return Verdict.quarantine;
  }
  if (policy.stormTokens > 0 && !takeToken(words, policy, nowMs) && known) return Verdict.coalesce;
  return Verdict.deliver;
}

/** Remembers this failure and says whether it is the Nth within T. */
function oneTooMany(words: FunctionWords, policy: Policy, nowMs: number): boolean {
  const count = policy.quarantineErrors;
  const next = words.get(Scratch.errorTimesNext) % count;
  words.setTime(Scratch.errorTimes + 2 * next, nowMs + 1);
  words.set(Scratch.errorTimesNext, (next + 1) % count);
  const oldest = words.time(Scratch.errorTimes + 2 * ((next + 1) % count));
  return oldest !== 0 && nowMs + 1 - oldest <= policy.quarantineWithinMs;
}

/** Token bucket in thousandths of a token. */
function takeToken(words: FunctionWords, policy: Policy, nowMs: number): boolean {
  const full = policy.stormTokens * 1000;
  const since = words.time(Scratch.tokensAtMs);
  const earned = since === 0 ? full : (nowMs + 1 - since) * policy.stormPerSecond;
  const tokens = Math.min(full, words.get(Scratch.tokensMilli) + earned);
  words.setTime(Scratch.tokensAtMs, nowMs + 1);
  if (tokens < 1000) {
    words.set(Scratch.tokensMilli, Math.floor(tokens));
    return false;
  }
  words.set(Scratch.tokensMilli, Math.floor(tokens) - 1000);
  return true;
}
