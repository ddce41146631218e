/** Phases of the last recoveries over time, on a logarithmic scale: a uPlot in preact's care. */
import htm from "htm";
import { h } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import UPlot from "uplot";

const html = htm.bind(h);
const HEIGHT = 240;

const phases = [
  ["detected_to_injected", "Detected to injected", "--phase-1", "circle"],
  ["injected_to_fetched", "Injected to fetched", "--phase-2", "square"],
  ["fetched_to_recovered", "Fetched to recovered", "--phase-3", "diamond"],
];

function shapeOf(kind, size) {
  const path = new Path2D();
  return (x, y) => {
    if (kind === "square") path.rect(x - size, y - size, 2 * size, 2 * size);
    else if (kind === "diamond") {
      path.moveTo(x, y - size * 1.3);
      path.lineTo(x + size * 1.3, y);
      path.lineTo(x, y + size * 1.3);
      path.lineTo(x - size * 1.3, y);
      path.closePath();
    } else {
      path.moveTo(x + size, y);
      path.arc(x, y, size, 0, 2 * Math.PI);
    }
    return path;
  };
}

/** Points only, a shape for each phase: colour is not the only difference. */
function points(kind) {
  return (plot, seriesIndex, first, last) => {
    const add = shapeOf(kind, 4 * devicePixelRatio);
    let path = new Path2D();
    UPlot.orient(
      plot,
      seriesIndex,
      (_series, dataX, dataY, scaleX, scaleY, toX, toY, left, top, width, height) => {
        for (let n = first; n <= last; n++) {
          if (dataY[n] == null) continue;
          path = add(toX(dataX[n], scaleX, width, left), toY(dataY[n], scaleY, height, top));
        }
      },
    );
    return { fill: path, stroke: path };
  };
}

/** Seconds: some room at both ends, and no less than a minute in all. */
function withMargin(plot) {
  // Of the data: for a single point uPlot would suggest years.
  const times = plot.data[0];
  const first = times[0] ?? Date.now() / 1000;
  const last = times[times.length - 1] ?? first;
  const margin = Math.max((last - first) * 0.02, (60 - (last - first)) / 2);
  return [first - margin, last + margin];
}

/** Milliseconds: no point lies on the edge. */
function wholeDecades(_plot, smallest, largest) {
  const least = smallest ?? 0.01;
  return [
    10 ** Math.floor(Math.log10(least * 0.8)),
    10 ** Math.ceil(Math.log10((largest ?? least) * 1.25)),
  ];
}

function optionsOf(width, style) {
  const color = (name) => style.getPropertyValue(name).trim();
  const axis = {
    stroke: color("--text"),
    grid: { stroke: color("--grid") },
    ticks: { stroke: color("--grid") },
  };
  const duration = (ms) => (ms == null ? "–" : `${ms.toPrecision(3)} ms`);
  return {
    width,
    height: HEIGHT,
    scales: { x: { range: withMargin }, y: { distr: 3, range: wholeDecades } },
    axes: [
      axis,
      {
        ...axis,
        size: 80,
        values: (_, marks) => marks.map((ms) => (ms == null ? "" : `${ms} ms`)),
      },
    ],
    series: [
      {},
      ...phases.map(([, label, variable, kind]) => ({
        label,
        stroke: color(variable),
        fill: color(variable),
        width: 0,
        paths: points(kind),
        points: { show: false },
        value: (_, ms) => duration(ms),
      })),
    ],
  };
}

/** A logarithmic scale has no 0, and a clock of whole microseconds has: half of one stands for it. */
function dataOf(recoveries) {
  const inOrder = [...recoveries].sort((a, b) => a.endedMs - b.endedMs);
  const ofPhase = (phase) =>
    inOrder.map(({ phases: found }) =>
      found[phase] === undefined ? null : Math.max(found[phase], 0.5) / 1000,
    );
  return [inOrder.map(({ endedMs }) => endedMs / 1000), ...phases.map(([phase]) => ofPhase(phase))];
}

export function RecoveryChart({ recoveries }) {
  const place = useRef(null);
  const plot = useRef(undefined);
  const [scheme, setScheme] = useState(0);
  useEffect(() => {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const changed = () => setScheme((before) => before + 1);
    dark.addEventListener("change", changed);
    return () => dark.removeEventListener("change", changed);
  }, []);
  useEffect(() => {
    const width = () => place.current.clientWidth;
    plot.current = new UPlot(
      optionsOf(width(), getComputedStyle(document.documentElement)),
      dataOf(recoveries),
      place.current,
    );
    const observer = new ResizeObserver(() =>
      plot.current.setSize({ width: width(), height: HEIGHT }),
    );
    observer.observe(place.current);
    return () => {
      observer.disconnect();
      plot.current.destroy();
    };
  }, [scheme]);
  useEffect(() => plot.current?.setData(dataOf(recoveries)), [recoveries]);
  return html`<div ref=${place} class="chart" role="img" aria-label="Durations of the phases of the last recoveries over time; the table below has the last ten in numbers"></div>`;
}
