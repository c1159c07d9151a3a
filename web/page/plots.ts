// The pictures of the result, drawn as SVG.

import type { ReliabilityBin } from "../src/index.js";
import { el, number, percent, shorten, svg } from "./dom.js";

/** Colours that the colour-blind tell apart (Okabe and Ito); more classes than these share the last, a grey. */
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#b59f00", "#7a7a7a"];

export function colour(index: number): string {
  return COLOURS[Math.min(index, COLOURS.length - 1)]!;
}

/** Rows are what was true, columns what was predicted. More classes than fit are listed by their commonest mistakes. */
export function confusionMatrix(classes: string[], counts: number[][]): HTMLElement {
  if (classes.length > 12) return commonMistakes(classes, counts);
  const head = el("tr", {}, el("th", { scope: "col" }, "true ↓ predicted →"), ...classes.map((name) => el("th", { scope: "col" }, shorten(name, 18))));
  const rows = counts.map((row, at) => {
    const total = row.reduce((sum, n) => sum + n, 0);
    const cell = (n: number, to: number) => {
      const share = total ? n / total : 0;
      const kind = at === to ? "hit" : "miss";
      return el("td", { class: `cell ${kind}`, style: `--share:${share.toFixed(3)}`, title: `${percent(share)} of ${classes[at]}` }, number(n));
    };
    return el("tr", {}, el("th", { scope: "row" }, shorten(classes[at]!, 24)), ...row.map(cell));
  });
  return el("div", { class: "scroll", tabindex: 0 }, el("table", { class: "confusion" }, el("thead", {}, head), el("tbody", {}, ...rows)));
}

function commonMistakes(classes: string[], counts: number[][]): HTMLElement {
  const mistakes = counts
    .flatMap((row, from) => row.map((n, to) => ({ from, to, n })))
    .filter(({ from, to, n }) => from !== to && n > 0)
    .sort((a, b) => b.n - a.n)
    .slice(0, 15);
  const line = ({ from, to, n }: (typeof mistakes)[number]) =>
    el("tr", {}, el("td", {}, classes[from]!), el("td", {}, classes[to]!), el("td", {}, number(n)));
  return el(
    "table",
    { class: "numbers" },
    el("thead", {}, el("tr", {}, ...["True", "Predicted", "Times"].map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, ...mistakes.map(line)),
  );
}

/** How often the chosen class was right, by how sure the head was: on the diagonal, its probabilities can be believed. */
export function reliability(bins: ReliabilityBin[]): Element {
  const [size, left, bottom] = [260, 56, 34];
  const x = (value: number) => left + value * size;
  const y = (value: number) => 8 + (1 - value) * size;
  const used = bins.filter((bin) => bin.count > 0);
  const most = Math.max(...used.map((bin) => bin.count), 1);
  const tick = (value: number) => [
    svg("text", { x: x(value), y: y(0) + 16, "text-anchor": "middle" }, percent(value, 0)),
    svg("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, percent(value, 0)),
    svg("line", { x1: x(0), x2: x(1), y1: y(value), y2: y(value), class: "grid" }),
  ];
  const line = used.map((bin, at) => `${at ? "L" : "M"}${x(bin.confidence).toFixed(1)} ${y(bin.accuracy).toFixed(1)}`).join("");
  const words = used.map((bin) => `sure to ${percent(bin.confidence, 0)}: right in ${percent(bin.accuracy, 0)} of ${bin.count}`).join("; ");
  return svg(
    "svg",
    { viewBox: `0 0 ${left + size + 22} ${size + bottom + 10}`, class: "plot", role: "img", "aria-label": `Reliability diagram. ${words}.` },
    ...[0, 0.25, 0.5, 0.75, 1].flatMap(tick),
    svg("line", { x1: x(0), y1: y(0), x2: x(1), y2: y(1), class: "diagonal" }),
    svg("path", { d: line, class: "curve" }),
    ...used.map((bin) =>
      svg(
        "circle",
        { cx: x(bin.confidence), cy: y(bin.accuracy), r: 3 + 5 * Math.sqrt(bin.count / most), class: "dot" },
        svg("title", {}, `${bin.count} texts, sure to ${percent(bin.confidence)}, right in ${percent(bin.accuracy)}`),
      ),
    ),
    svg("text", { x: x(0.5), y: y(0) + 32, "text-anchor": "middle" }, "how sure the head is"),
    svg("text", { transform: `translate(10 ${y(0.5)}) rotate(-90)`, "text-anchor": "middle" }, "how often it is right"),
  );
}

export interface MapPoint {
  x: number;
  y: number;
  text: string;
  label: number;
  predicted: number;
}

/** Texts as points, near where the model finds them alike; the text shows under the pointer, or by the arrow keys. */
export function map(points: MapPoint[], classes: string[]): HTMLElement {
  const [width, height, margin] = [640, 420, 14];
  const range = (values: number[]) => [Math.min(...values), Math.max(...values)] as const;
  const [x0, x1] = range(points.map((p) => p.x));
  const [y0, y1] = range(points.map((p) => p.y));
  const px = (p: MapPoint) => margin + ((p.x - x0) / (x1 - x0 || 1)) * (width - 2 * margin);
  const py = (p: MapPoint) => height - margin - ((p.y - y0) / (y1 - y0 || 1)) * (height - 2 * margin);
  const tip = el("p", { class: "tip", "aria-live": "polite" }, "Point at a dot to read its text, or press the arrow keys.");
  const ring = svg("circle", { r: 9, class: "ring", visibility: "hidden" });
  const radius = points.length > 800 ? 2.6 : 4;
  const dots = points.map((p) =>
    svg("circle", {
      cx: px(p).toFixed(1),
      cy: py(p).toFixed(1),
      r: radius,
      fill: p.label === p.predicted ? colour(p.label) : "none",
      stroke: colour(p.label),
      "stroke-width": 1.6,
    }),
  );
  const picture = svg(
    "svg",
    {
      viewBox: `0 0 ${width} ${height}`,
      class: "plot map",
      role: "application",
      tabindex: 0,
      "aria-label": `Map of ${points.length} texts. Arrow keys go from text to text.`,
    },
    ...dots,
    ring,
  );
  let at = -1;
  const tell = (index: number) => {
    at = index;
    const p = points[index]!;
    ring.setAttribute("cx", String(px(p)));
    ring.setAttribute("cy", String(py(p)));
    ring.setAttribute("visibility", "visible");
    const verdict = p.label === p.predicted ? classes[p.label]! : `${classes[p.label]}, taken for ${classes[p.predicted]}`;
    tip.replaceChildren(el("strong", {}, verdict), ` ${shorten(p.text, 300)}`);
  };
  picture.addEventListener("pointermove", ((event: PointerEvent) => {
    const box = picture.getBoundingClientRect();
    const scale = width / box.width;
    const [mx, my] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    let best = -1;
    let distance = 18 ** 2;
    points.forEach((p, index) => {
      const d = (px(p) - mx) ** 2 + (py(p) - my) ** 2;
      if (d < distance) [best, distance] = [index, d];
    });
    if (best >= 0 && best !== at) tell(best);
  }) as EventListener);
  // Left and right go through the points in the order of their x: neighbours in the picture, nearly.
  const order = points.map((_, index) => index).sort((a, b) => points[a]!.x - points[b]!.x);
  picture.addEventListener("keydown", ((event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step || !order.length) return;
    event.preventDefault();
    const place = at < 0 ? -1 : order.indexOf(at);
    tell(order[(place + step + order.length) % order.length]!);
  }) as EventListener);
  const legend = classes
    .slice(0, 8)
    .map((name, index) => el("li", {}, el("span", { class: "swatch", style: `background:${colour(index)}`, "aria-hidden": "true" }), shorten(name, 30)));
  return el(
    "div",
    {},
    picture,
    tip,
    el("ul", { class: "legend" }, ...legend, el("li", {}, el("span", { class: "swatch hollow", "aria-hidden": "true" }), "predicted wrongly")),
  );
}
