// Step 5: type a sentence, or bring a head that was trained elsewhere.

import { Classifier, Head, type Prediction } from "../src/index.js";
import { byId, debounced, el, percent, show } from "./dom.js";
import { Notice } from "./parts.js";
import { state } from "./state.js";

const notice = new Notice();
const answer = el("div", { class: "answer", "aria-live": "polite" });
const text = el("textarea", { rows: 3, id: "try-text", placeholder: "Type or paste a text …", oninput: debounced(250, () => void predict()) });
const about = el("p", { class: "quiet" });

/** One prediction at a time; typing meanwhile asks for one more. */
let busy = false;
let again = false;
/** The label whose shares are shown; the likeliest until one is chosen. */
let chosen: string | undefined;

export function tryStep(): void {
  const file = el("input", {
    type: "file",
    id: "head-file",
    class: "visually-hidden",
    accept: ".safetensors",
    onchange: () => {
      const [picked] = file.files ?? [];
      if (picked) void loadHead(picked);
      file.value = "";
    },
  });
  show(
    byId("step-try"),
    el("h2", { id: "title-try" }, el("span", { class: "n" }, "5"), " Try it"),
    el("div", { class: "field" }, el("label", { for: "try-text" }, "Text"), text),
    answer,
    el("div", { class: "row" }, el("label", { class: "button", for: "head-file" }, file, "Open a head file"), about),
    notice.element,
  );
  state.watch(["encoder", "head"], () => {
    chosen = undefined;
    update();
    void predict();
  });
  update();
}

function update(): void {
  const head = state.get("head");
  const encoder = state.get("encoder");
  text.disabled = !head || !encoder;
  about.textContent = head
    ? `This head knows ${head.info.labels.length} labels: ${head.info.labels.slice(0, 6).join(", ")}${head.info.labels.length > 6 ? " …" : ""}.${encoder ? "" : ` Load its model${head.info.model ? ` (${head.info.model})` : ""} first.`}`
    : "Train a head above, or open one that was trained here or in the command line.";
}

async function loadHead(file: File): Promise<void> {
  notice.clear();
  try {
    state.set("head", await Head.fromBytes(await file.arrayBuffer()));
  } catch (error) {
    notice.error(error);
  }
}

async function predict(): Promise<void> {
  const encoder = state.get("encoder");
  const head = state.get("head");
  const asked = text.value;
  if (!encoder || !head || !asked.trim()) return show(answer);
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  try {
    const [prediction] = await new Classifier(encoder, head).predict([asked], { explain: true });
    notice.clear();
    if (prediction) tell(asked, prediction, head.info.labels);
  } catch (error) {
    notice.clear();
    show(answer);
    notice.error(error);
  }
  busy = false;
  if (again) {
    again = false;
    void predict();
  }
}

/** Texts that are as strange as this share of the training texts are told of. */
const UNUSUAL = 0.01;

function tell(asked: string, prediction: Prediction, labels: string[]): void {
  const order = labels.map((label, at) => ({ label, at, probability: prediction.probabilities[at]! })).sort((a, b) => b.probability - a.probability);
  const about = chosen !== undefined && labels.includes(chosen) ? chosen : prediction.label;
  const bar = ({ label, probability }: (typeof order)[number]) =>
    el(
      "li",
      {},
      el(
        "button",
        {
          type: "button",
          class: "name link",
          "aria-pressed": label === about,
          title: `Show what speaks for ${label}`,
          onclick: () => {
            chosen = label;
            tell(asked, prediction, labels);
          },
        },
        label,
      ),
      el("span", { class: "track", "aria-hidden": "true" }, el("span", { class: "fill", style: `width:${100 * probability}%` })),
      el("span", { class: "value" }, percent(probability)),
    );
  show(
    answer,
    el("ul", { class: "bars" }, ...order.slice(0, 8).map(bar)),
    prediction.undecided && el("p", { class: "notice warn" }, "The head leaves this undecided: it is less sure than it was trained to be."),
    prediction.set && prediction.set.length > 1 && el("p", { class: "notice" }, `It may be any of: ${prediction.set.join(", ")}.`),
    prediction.novelty && prediction.novelty.share <= UNUSUAL && el("p", { class: "notice warn" }, "The text is unlike those that the head learnt from: no more than one in a hundred of them was as strange."),
    prediction.truncated && el("p", { class: "notice warn" }, `The text has ${prediction.tokens} tokens, more than the model reads: only its beginning counts.`),
    prediction.shares && sharesOf(asked, prediction.shares, labels.indexOf(about), about),
  );
}

/** The text with every token tinted by what it adds to one label. */
function sharesOf(asked: string, shares: NonNullable<Prediction["shares"]>, at: number, label: string): HTMLElement {
  const largest = Math.max(...shares.map((share) => Math.abs(share.logits[at]!)), 1e-9);
  const pieces: (Node | string)[] = [];
  let end = 0;
  for (const share of [...shares].sort((a, b) => a.start - b.start)) {
    if (share.start < end) continue;
    pieces.push(asked.slice(end, share.start));
    const value = share.logits[at]!;
    const strength = Math.abs(value) / largest;
    pieces.push(
      el(
        "span",
        { class: `share ${value >= 0 ? "for" : "against"}`, style: `--strength:${strength.toFixed(3)}`, title: `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(3)} for ${label}` },
        asked.slice(share.start, share.end),
      ),
    );
    end = share.end;
  }
  pieces.push(asked.slice(end));
  const sorted = [...shares].sort((a, b) => b.logits[at]! - a.logits[at]!);
  const words = (list: typeof shares) => list.map((share) => `“${asked.slice(share.start, share.end)}”`).join(", ");
  const speaks = words(sorted.slice(0, 3).filter((share) => share.logits[at]! > 0));
  const against = words(sorted.slice(-3).reverse().filter((share) => share.logits[at]! < 0));
  return el(
    "div",
    {},
    el("p", { class: "shares" }, ...pieces),
    el(
      "p",
      { class: "quiet" },
      `What speaks for ${label}: ${speaks || "nothing"}; against it: ${against || "nothing"}.`,
    ),
  );
}
