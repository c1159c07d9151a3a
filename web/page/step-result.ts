// Step 4: how good the head is, and where it errs.

import { project, type Interval, type TrainReport } from "../src/index.js";
import { byId, count, download, el, number, percent, seconds, shorten, show } from "./dom.js";
import { Notice } from "./parts.js";
import { confusionMatrix, map, reliability, type MapPoint } from "./plots.js";
import { state, type Trained } from "./state.js";

/** More points than this hide each other. */
const MAP_POINTS = 2_000;

const notice = new Notice();

export function resultStep(): void {
  const section = byId("step-result");
  state.watch(["trained"], () => {
    const trained = state.get("trained");
    section.hidden = !trained;
    if (!trained) return;
    notice.clear();
    const place = el("div", { class: "map-place" }, el("p", { class: "quiet" }, "Drawing the map …"));
    show(
      section,
      el("h2", { id: "title-result", tabindex: -1 }, el("span", { class: "n" }, "4"), " How good it is"),
      summary(trained),
      notice.element,
      el("div", { class: "two" }, confusion(trained.report), reliabilityPart(trained.report)),
      perClass(trained.report),
      el("h3", {}, "Map of the texts"),
      el("p", { class: "quiet" }, "Texts that the model finds alike lie near each other (the two principal components of the embeddings)."),
      place,
      mistakes(trained),
    );
    byId("title-result").focus();
    drawMap(trained, place).catch((error: unknown) => notice.error(error));
  });
}

function summary({ dataset, head, report }: Trained): HTMLElement {
  const { accuracy, majority } = report;
  const name = `${dataset.name.replace(/\.[^.]*$/, "")}-head.safetensors`;
  const measure = (label: string, value: Interval) =>
    el("div", {}, el("dt", {}, label), el("dd", {}, `${value.mean.toFixed(3)} `, el("span", { class: "quiet" }, `(${value.low.toFixed(3)} to ${value.high.toFixed(3)})`)));
  return el(
    "div",
    { class: "summary" },
    el(
      "p",
      { class: "headline" },
      el("span", { class: "big", id: "accuracy" }, percent(accuracy.mean)),
      el("span", {}, ` of texts it had not seen got the right label (95% interval ${percent(accuracy.low)} to ${percent(accuracy.high)}). Always saying “${shorten(largest(report), 30)}” would get ${percent(majority)}.`),
    ),
    accuracy.low <= majority ? el("p", { class: "notice warn" }, "That is no better than guessing the commonest label. More examples, clearer labels or another model may help.") : null,
    el(
      "dl",
      { class: "facts" },
      measure("Balanced accuracy", report.balancedAccuracy),
      measure("Macro F1", report.macroF1),
      measure("Log loss", report.logLoss),
      el("div", {}, el("dt", {}, "Trained"), el("dd", {}, `${report.folds} folds, C = ${Number(report.c.toPrecision(3))}, ${seconds(report.milliseconds / 1000)}`)),
    ),
    el(
      "div",
      { class: "row" },
      el("button", { type: "button", class: "main", id: "download-head", onclick: () => download(head.toBytes(), name) }, "Download the head"),
      el("p", { class: "quiet" }, "A small file: the command line and other pages read it, with the same model."),
    ),
  );
}

function largest({ classes, counts }: TrainReport): string {
  return classes[counts.indexOf(Math.max(...counts))]!;
}

function confusion(report: TrainReport): HTMLElement {
  return el("figure", {}, el("h3", {}, "Right and wrong, by label"), confusionMatrix(report.classes, report.confusion));
}

function reliabilityPart({ reliability: parts }: TrainReport): HTMLElement {
  return el(
    "figure",
    {},
    el("h3", {}, "Can its probabilities be believed?"),
    reliability(parts.after),
    el("figcaption", { class: "quiet" }, `After calibration they are off by ${percent(parts.eceAfter)} on average (before: ${percent(parts.eceBefore)}). Larger dots stand for more texts.`),
  );
}

function perClass({ classes, perClass: rows }: TrainReport): HTMLElement {
  const line = (row: (typeof rows)[number], at: number) =>
    el("tr", {}, el("th", { scope: "row" }, classes[at]!), ...[row.precision, row.recall, row.f1].map((x) => el("td", {}, x.toFixed(3))), el("td", {}, number(row.support)));
  return el(
    "details",
    {},
    el("summary", {}, "Precision and recall of each label"),
    el(
      "div",
      { class: "scroll", tabindex: 0 },
      el(
        "table",
        { class: "numbers" },
        el("thead", {}, el("tr", {}, ...["Label", "Precision", "Recall", "F1", "Rows"].map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", {}, ...rows.map(line)),
      ),
    ),
  );
}

async function drawMap(trained: Trained, place: HTMLElement): Promise<void> {
  const { dataset, embeddings, report } = trained;
  const [rows, dim] = embeddings.shape;
  const step = Math.max(1, Math.ceil(rows / MAP_POINTS));
  const picked = Array.from({ length: Math.ceil(rows / step) }, (_, at) => at * step);
  const data = new Float32Array(picked.length * dim);
  picked.forEach((row, at) => data.set(embeddings.data.subarray(row * dim, (row + 1) * dim), at * dim));
  const flat = await project({ ...embeddings, data, shape: [picked.length, dim] });
  const points: MapPoint[] = picked.map((row, at) => ({
    x: flat[2 * at]!,
    y: flat[2 * at + 1]!,
    text: dataset.texts[row]!,
    label: report.classes.indexOf(dataset.labels[row]!),
    predicted: best(report, row).index,
  }));
  show(place, map(points, report.classes), step > 1 && el("p", { class: "quiet" }, `Every ${step}th of ${count(rows, "text")} is drawn.`));
}

function best({ classes, probabilities }: TrainReport, row: number): { index: number; probability: number } {
  const values = probabilities.subarray(row * classes.length, (row + 1) * classes.length);
  const probability = Math.max(...values);
  return { index: values.indexOf(probability), probability };
}

/** The wrong answers that the head was surest of: often they are wrong labels. */
function mistakes({ dataset, report }: Trained): HTMLElement {
  const wrong = dataset.texts
    .map((text, row) => ({ text, label: dataset.labels[row]!, ...best(report, row) }))
    .filter(({ label, index }) => label !== report.classes[index])
    .sort((a, b) => b.probability - a.probability)
    .slice(0, 10);
  if (!wrong.length) return el("p", {}, "It made no mistake on the texts it had not seen.");
  const line = (row: (typeof wrong)[number]) =>
    el("li", {}, el("p", {}, shorten(row.text, 240)), el("p", { class: "quiet" }, `labelled ${row.label}, taken for ${report.classes[row.index]} (${percent(row.probability)})`));
  return el(
    "div",
    {},
    el("h3", {}, "Its surest mistakes"),
    el("p", { class: "quiet" }, "Read these first: where the head is sure and the label says otherwise, the label may be wrong."),
    el("ol", { class: "mistakes" }, ...wrong.map(line)),
  );
}
