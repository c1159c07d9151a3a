// Step 3: embed every text once, then train the head on the numbers.

import { Head, type Embeddings, type Encoder } from "../src/index.js";
import { byId, count, el, show } from "./dom.js";
import { field, Notice, pace, select, Work } from "./parts.js";
import { state, type Dataset } from "./state.js";
import { tellTokens } from "./step-data.js";

const work = new Work();
const notice = new Notice();
const ready = el("p", { class: "quiet" });
const start = el("button", { type: "submit", class: "main" }, "Embed and train");
const strength = select(
  [
    ["auto", "Choose by cross-validation"],
    ["0.01", "0.01 (strong)"],
    ["0.1", "0.1"],
    ["1", "1"],
    ["10", "10"],
    ["100", "100 (weak)"],
  ],
  "auto",
);
const weights = select(
  [
    ["none", "Every row counts the same"],
    ["balanced", "Every label counts the same"],
  ],
  "none",
);
const standardize = el("input", { type: "checkbox" });
const folds = el("input", { type: "number", min: 2, max: 20, value: 5 });
const seed = el("input", { type: "number", min: 0, max: 4294967295, value: 0 });

/** The last pass, so that another training costs no second one. */
let last: { encoder: Encoder; dataset: Dataset; embeddings: Embeddings } | undefined;

export function trainStep(): void {
  show(
    byId("step-train"),
    el("h2", { id: "title-train" }, el("span", { class: "n" }, "3"), " Train"),
    el(
      "form",
      { onsubmit: (event: SubmitEvent) => (event.preventDefault(), void train()) },
      el(
        "details",
        {},
        el("summary", {}, "Settings"),
        el(
          "div",
          { class: "row" },
          field("Penalty (C)", strength),
          field("Weights of the labels", weights),
          field("Folds", folds),
          field("Seed", seed),
          el("label", { class: "check" }, standardize, " Standardise the columns"),
        ),
      ),
      el("div", { class: "row" }, start, ready),
    ),
    work.element,
    notice.element,
  );
  state.watch(["encoder", "dataset"], update);
  update();
}

function update(): void {
  const encoder = state.get("encoder");
  const dataset = state.get("dataset");
  start.disabled = !encoder || !dataset;
  ready.textContent = !encoder ? "Load a model first." : !dataset ? "Give it examples first." : `${count(dataset.texts.length, "text")}, ${encoder.device.name}`;
  if (encoder && dataset) void tellTokens(encoder, dataset);
}

async function train(): Promise<void> {
  const encoder = state.get("encoder");
  const dataset = state.get("dataset");
  if (!encoder || !dataset || work.running) return;
  notice.clear();
  start.disabled = true;
  try {
    await work.run(async (signal) => {
      const embeddings = await embed(encoder, dataset, signal);
      const { head, report } = await Head.train(embeddings, dataset.labels, {
        c: strength.value === "auto" ? "auto" : Number(strength.value),
        classWeight: weights.value as "none" | "balanced",
        standardize: standardize.checked,
        folds: Number(folds.value),
        seed: Number(seed.value),
        model: encoder.model.location,
        signal,
        onProgress: ({ stage, done, total }) => work.tell(stage, total ? done / total : undefined),
      });
      state.set("head", head);
      state.set("trained", { dataset, embeddings, head, report });
    });
  } catch (error) {
    notice.error(error);
  }
  update();
}

async function embed(encoder: Encoder, dataset: Dataset, signal: AbortSignal): Promise<Embeddings> {
  if (last?.encoder === encoder && last.dataset === dataset) return last.embeddings;
  const before = encoder.device;
  const embeddings = await encoder.embed(dataset.texts, {
    signal,
    onProgress: ({ texts, total, tokens, milliseconds }) =>
      work.tell(`Embedding on ${encoder.device.name}`, texts / total, pace(texts, total, milliseconds, tokens)),
  });
  if (encoder.device.note && encoder.device.note !== before.note) notice.warn(encoder.device.note);
  const cut = embeddings.truncated.reduce((sum, flag) => sum + flag, 0);
  if (cut) notice.info(`${count(cut, "text was", "texts were")} longer than the model reads: only the beginning counted`);
  last = { encoder, dataset, embeddings };
  return embeddings;
}
