/**
 * Draws vega-lite specifications as SVG text, without DOM or canvas. Vega is 25 MB and takes a second to load, so it is
 * imported here, when a report is wanted, and nowhere else. What would differ between two runs or two pictures on
 * a page is taken out: vega numbers its clip paths through the life of the process.
 */
import type { Chart } from "./charts/index.ts";

/** @returns an `<svg>` element for use inside HTML: no namespace (HTML knows it), ids prefixed with the chart's */
export async function drawSvg(chart: Chart): Promise<string> {
  const [vega, vegaLite] = await Promise.all([import("vega"), import("vega-lite")]);
  const compiled = vegaLite.compile(
    chart.spec as unknown as Parameters<typeof vegaLite.compile>[0],
    {
      logger: vega.logger(vega.Error),
    },
  );
  const view = new vega.View(vega.parse(compiled.spec), {
    renderer: "none",
    logger: vega.logger(vega.Error),
  });
  try {
    return embedded(await view.toSVG(), chart);
  } finally {
    view.finalize();
  }
}

function embedded(svg: string, chart: Chart): string {
  const ids = new Map<string, string>();
  const named = svg.replace(/\bid="([^"]+)"/g, (_, id: string) => {
    const name = `${chart.id}-${ids.size}`;
    ids.set(id, name);
    return `id="${name}"`;
  });
  const linked = named
    .replace(/url\(#([^)]+)\)/g, (whole, id: string) => `url(#${ids.get(id) ?? whole})`)
    .replace(/href="#([^"]+)"/g, (whole, id: string) => `href="#${ids.get(id) ?? whole}"`);
  return linked
    .replace(/ xmlns(:xlink)?="[^"]*"/g, "")
    .replace(/ (aria-\w+|role)="[^"]*"/g, "")
    .replace(/^<svg class="marks" width="\d+" height="\d+"/, "<svg")
    .replace(
      /^<svg/,
      `<svg role="img" aria-labelledby="${chart.id}-title ${chart.id}-description"`,
    );
}
