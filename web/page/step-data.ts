// Step 2: a table of texts with labels.

import { Table, type Encoder, type TablePreview } from "../src/index.js";
import { byId, count, el, number, percent, shorten, show } from "./dom.js";
import { dropZone, field, Notice, select } from "./parts.js";
import { state, type Dataset } from "./state.js";

/** Counting tokens of more texts than this would take long, and tell nothing more. */
const COUNTED = 5_000;

const notice = new Notice();
const chosen = el("div", { class: "chosen" });
let table: Table | undefined;
let fileName = "";

export function dataStep(): void {
  show(
    byId("step-data"),
    el("h2", { id: "title-data" }, el("span", { class: "n" }, "2"), " Give it examples"),
    dropZone({
      id: "table-file",
      label: "Drop a CSV, TSV or JSONL file here, or press to choose one",
      hint: "One row a text, one column with the label you want predicted",
      accept: ".csv,.tsv,.jsonl,.ndjson,text/csv,text/tab-separated-values",
      take: ([file]) => file && void open(file),
    }),
    el("p", {}, "No file at hand? ", el("button", { type: "button", class: "link", onclick: () => void sample() }, "Take 60 short film remarks"), "."),
    notice.element,
    chosen,
  );
}

async function sample(): Promise<void> {
  try {
    const response = await fetch("./sample.csv");
    if (!response.ok) throw new Error(`the sample could not be fetched (${response.status})`);
    await open(new File([await response.blob()], "sample.csv"));
  } catch (error) {
    notice.error(error);
  }
}

async function open(file: File): Promise<void> {
  notice.clear();
  show(chosen, el("p", { class: "quiet", role: "status" }, `Reading ${file.name} …`));
  state.set("dataset", undefined);
  table?.dispose();
  table = undefined;
  try {
    table = await Table.open(file);
    fileName = file.name;
    chooseColumns(table);
  } catch (error) {
    show(chosen);
    notice.error(error);
  }
}

function chooseColumns(opened: Table): void {
  const { preview } = opened;
  const names = preview.columns.map((name, at): [string, string] => [String(at), name || `column ${at + 1}`]);
  const guess = guessColumns(preview);
  const counts = el("div", { class: "counts" });
  const choose = () => void takeColumns(opened, Number(text.value), label.value === "" ? -1 : Number(label.value), counts);
  const text = select(names, String(guess.text), choose);
  const label = select([["", "(choose)"], ...names], guess.label < 0 ? "" : String(guess.label), choose);
  show(
    chosen,
    el("p", {}, el("strong", {}, fileName), `: ${count(preview.rows, "row")}, ${count(preview.columns.length, "column")}`),
    el("div", { class: "row" }, field("Text column", text), field("Label column", label)),
    previewTable(preview),
    counts,
  );
  choose();
}

/** The longest column is the text; the label has few distinct values, and often says so in its name. */
function guessColumns({ columns, meanChars, distinct, rows }: TablePreview): { text: number; label: number } {
  const text = meanChars.indexOf(Math.max(...meanChars));
  const usable = columns.map((_, at) => at).filter((at) => at !== text && distinct[at]! >= 2 && distinct[at]! <= Math.min(1000, rows / 2));
  const named = usable.find((at) => /^(label|class|category|target|sentiment|intent|y)$/i.test(columns[at]!.trim()));
  const fewest = usable.sort((a, b) => distinct[a]! - distinct[b]!)[0];
  return { text, label: named ?? fewest ?? -1 };
}

function previewTable({ columns, preview }: TablePreview): HTMLElement {
  return el(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "The first rows" },
    el(
      "table",
      { class: "preview" },
      el("thead", {}, el("tr", {}, ...columns.map((name, at) => el("th", { scope: "col" }, name || `column ${at + 1}`)))),
      el("tbody", {}, ...preview.slice(0, 5).map((row) => el("tr", {}, ...row.map((cell) => el("td", {}, shorten(cell, 140)))))),
    ),
  );
}

async function takeColumns(opened: Table, text: number, label: number, place: HTMLElement): Promise<void> {
  notice.clear();
  state.set("dataset", undefined);
  show(place);
  if (label < 0) {
    return notice.warn(
      opened.preview.columns.length < 2
        ? "This file has no column for labels. Add one that says, for each row, what you want predicted: a few dozen rows are enough to begin"
        : "No column looks like labels. Choose the one you want predicted",
    );
  }
  if (text === label) return notice.warn("The text and the label are the same column: choose another one for the label");
  let dataset: Dataset;
  try {
    const { columns } = await opened.columns(text, label);
    dataset = { name: fileName, texts: columns[0]!, labels: columns[1]!.map((value) => value.trim()) };
  } catch (error) {
    return notice.error(error);
  }
  const classes = tally(dataset.labels);
  show(place, classBars(classes, dataset.labels.length), el("div", { id: "token-counts" }));
  const dropped = opened.preview.rows - dataset.texts.length;
  if (dropped > 0) notice.info(`${count(dropped, "row")} without text or label left out`);
  const few = classes.filter(([, n]) => n < 2).map(([name]) => name);
  if (classes.length < 2) {
    return notice.warn(`Every row has the label ${classes[0]?.[0] ?? ""}: a classifier needs at least two`);
  }
  if (classes.length > dataset.labels.length / 2) {
    return notice.warn(`${classes.length} different labels in ${dataset.labels.length} rows: is this the right column? A label must come up more than once`);
  }
  if (few.length) return notice.warn(`Each label needs at least two rows; only one has: ${few.slice(0, 5).join(", ")}`);
  if (opened !== table) return;
  state.set("dataset", dataset);
}

function tally(labels: string[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}

function classBars(classes: [string, number][], total: number): HTMLElement {
  const shown = classes.slice(0, 8);
  const bar = ([name, n]: [string, number]) =>
    el(
      "li",
      {},
      el("span", { class: "name" }, shorten(name, 40)),
      el("span", { class: "track", "aria-hidden": "true" }, el("span", { class: "fill", style: `width:${(100 * n) / classes[0]![1]}%` })),
      el("span", { class: "value" }, `${number(n)} (${percent(n / total, 0)})`),
    );
  return el(
    "div",
    {},
    el("h3", {}, `${count(classes.length, "label")} in ${count(total, "row")}`),
    el("ul", { class: "bars" }, ...shown.map(bar)),
    classes.length > shown.length && el("p", { class: "quiet" }, `and ${count(classes.length - shown.length, "more label", "more labels")}`),
  );
}

/** Tells what the model will make of the texts, before anything is computed. */
export async function tellTokens(encoder: Encoder, dataset: Dataset): Promise<void> {
  const place = document.getElementById("token-counts");
  if (!place) return;
  const some = dataset.texts.slice(0, COUNTED);
  try {
    const { tokens, truncated, maxTokens } = await encoder.countTokens(some);
    if (state.get("dataset") !== dataset) return;
    const sorted = [...tokens].sort((a, b) => a - b);
    const cut = truncated.reduce((sum, flag) => sum + flag, 0);
    const among = some.length < dataset.texts.length ? ` of the first ${number(some.length)}` : "";
    show(
      place,
      el(
        "p",
        {},
        `A text${among} has ${number(sorted[sorted.length >> 1] ?? 0)} tokens in the middle, the longest ${number(sorted.at(-1) ?? 0)}. `,
        cut === 0
          ? `None is longer than the ${number(maxTokens)} that the model reads.`
          : el("strong", {}, `${count(cut, "text is", "texts are")} longer than the ${number(maxTokens)} that the model reads (${percent(cut / some.length)}): only their beginning counts.`),
      ),
    );
  } catch (error) {
    notice.error(error);
  }
}
