/** A function's states as a coloured line, newest at the right. */
import htm from "htm";
import { h } from "preact";

const html = htm.bind(h);

const WIDTH = 400;
const HEIGHT = 18;
/** A recovery may take a millisecond of a line that shows minutes: nothing that happened is narrower than this. */
const NARROWEST = 3;

/** The stretches of one state each within the last `spanMs`, in order. */
function stretches(changes, nowMs, spanMs) {
  const from = nowMs - spanMs;
  return changes.flatMap(({ ms, state }, index) => {
    const end = changes[index + 1]?.ms ?? nowMs;
    return end < from ? [] : [{ state, start: Math.max(ms, from), end }];
  });
}

/** What the line says, for those who do not see it. */
function inWords(name, list, spanMs) {
  const minutes = spanMs / 60_000;
  const current = list.at(-1)?.state ?? "unknown";
  const others = new Map();
  for (const { state } of list.slice(0, -1)) others.set(state, (others.get(state) ?? 0) + 1);
  const past = [...others].map(([state, times]) => `${state} ${times} times`).join(", ");
  return `${name}: ${current}; last ${minutes} min: ${past === "" ? "no change" : past}`;
}

export function Timeline({ name, changes, nowMs, spanMs }) {
  const list = stretches(changes, nowMs, spanMs);
  const x = (ms) => WIDTH * (1 - (nowMs - ms) / spanMs);
  const bars = list.map(({ state, start, end }) => {
    const calm = state === "operational";
    const width = Math.max(x(end) - x(start), calm ? 0 : NARROWEST);
    return { state, calm, width, left: Math.min(x(start), WIDTH - width) };
  });
  // Trouble is drawn over calm, so that widening it hides nothing but calm.
  bars.sort((a, b) => Number(b.calm) - Number(a.calm));
  return html`<svg role="img" aria-label=${inWords(name, list, spanMs)} viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none">
    ${bars.map(
      ({ state, width, left }) =>
        html`<rect class="s-${state}" x=${left.toFixed(2)} y="0" width=${width.toFixed(2)} height=${HEIGHT}><title>${state}</title></rect>`,
    )}
  </svg>`;
}

export function Legend({ states }) {
  return html`<section aria-labelledby="legend">
    <h2 id="legend">States</h2>
    <ul class="legend">
      ${states.map(
        (state) =>
          html`<li><span class="swatch s-${state}" aria-hidden="true"></span>${state}</li>`,
      )}
    </ul>
  </section>`;
}
