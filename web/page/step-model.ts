// Step 1: which model, on which device.

import { Encoder, listModels, removeModel, type Device, type LoadProgress } from "../src/index.js";
import { byId, bytes, el, number, show } from "./dom.js";
import { dropZone, field, Notice, select, Work } from "./parts.js";
import { state } from "./state.js";

const HUB_DEFAULT = "sentence-transformers/all-MiniLM-L6-v2";

const work = new Work();
const notice = new Notice();
const facts = el("div", { class: "facts", hidden: true });
const stored = el("div", { class: "stored" });
const suggestions = el("datalist", { id: "known-models" });
const address = el("input", {
  type: "text",
  name: "model",
  list: "known-models",
  autocomplete: "off",
  autocapitalize: "off",
  spellcheck: "false",
  value: new URLSearchParams(location.search).get("model") ?? HUB_DEFAULT,
});
const device = select(
  [
    ["auto", "Automatic"],
    ["webgpu", "WebGPU"],
    ["cpu", "CPU (WebAssembly)"],
  ],
  new URLSearchParams(location.search).get("device") ?? "auto",
);
export function modelStep(): void {
  const load = el("button", { type: "submit", class: "main" }, "Load");
  const form = el(
    "form",
    {
      class: "row",
      onsubmit: (event: SubmitEvent) => {
        event.preventDefault();
        void loadModel(address.value);
      },
    },
    field("Model", address, "A hub id, or the address of a folder with config.json"),
    field("Device", device),
    load,
  );
  show(
    byId("step-model"),
    el("h2", { id: "title-model" }, el("span", { class: "n" }, "1"), " Choose a model"),
    form,
    suggestions,
    el("details", {}, el("summary", {}, "Use a folder on this machine"), folderZone()),
    stored,
    work.element,
    notice.element,
    facts,
  );
  void refreshStored();
}

function folderZone(): HTMLElement {
  return dropZone({
    id: "model-folder",
    label: "Drop a model folder here, or press to choose one",
    hint: "config.json, tokenizer.json and model.safetensors, as downloaded from the hub",
    folder: true,
    take: (files) => void loadModel(files),
  });
}

async function loadModel(source: string | File[]): Promise<void> {
  notice.clear();
  facts.hidden = true;
  const before = state.get("encoder");
  state.set("encoder", undefined);
  before?.dispose();
  try {
    const encoder = await work.run((signal) =>
      Encoder.load(source, { device: device.value as Device, signal, onProgress: tell }),
    );
    for (const warning of encoder.warnings) notice.warn(warning);
    showFacts(encoder);
    state.set("encoder", encoder);
    // Without this the browser may drop the model when the disk fills up. Asking needs no answer.
    void navigator.storage?.persist?.();
  } catch (error) {
    notice.error(error);
  }
  void refreshStored();
}

function tell(progress: LoadProgress): void {
  if (progress.stage === "prepare") return work.tell("Putting the weights on the device");
  const { file, loaded, total, cached } = progress;
  if (cached) return work.tell("Reading the stored model", undefined, file);
  work.tell("Downloading", total ? loaded / total : undefined, `${file}, ${bytes(loaded)}${total ? ` of ${bytes(total)}` : ""}`);
}

function showFacts(encoder: Encoder): void {
  const { model } = encoder;
  const checks = el("div");
  const verify = el("button", { type: "button", onclick: () => void runChecks(encoder, verify, checks) }, "Verify this device");
  const fact = (name: string, value: string) => el("div", {}, el("dt", {}, name), el("dd", {}, value));
  show(
    facts,
    el(
      "dl",
      {},
      fact("Runs on", encoder.device.backend === "cpu" ? encoder.device.name : `WebGPU: ${encoder.device.name}`),
      fact("Model", `${model.family}, ${model.layers} layers, ${number(model.hidden)} wide`),
      fact("Each text becomes", `${number(model.dim)} numbers (${model.pooling.join(" + ")}${model.normalize ? ", unit length" : ""})`),
      fact("Longest text", `${number(model.maxTokens)} tokens`),
    ),
    el("div", { class: "row" }, verify),
    checks,
  );
  if (encoder.device.note) notice.info(encoder.device.note);
  facts.hidden = false;
}

async function runChecks(encoder: Encoder, button: HTMLButtonElement, place: HTMLElement): Promise<void> {
  button.disabled = true;
  show(place, el("p", { class: "quiet", role: "status" }, "Running the model's kernels here and on the CPU engine …"));
  try {
    const checks = await encoder.verify();
    const good = checks.every((check) => check.pass);
    const row = (name: string, error: string, limit: string, verdict: string) =>
      el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, error), el("td", {}, limit), el("td", {}, verdict));
    show(
      place,
      el(
        "p",
        { class: `notice ${good ? "good" : "bad"}`, role: "status" },
        good ? "This device computes what it should." : "This device computes something else. Use the CPU, and please report it with these numbers.",
      ),
      el(
        "div",
        { class: "scroll", tabindex: 0 },
        el(
          "table",
          { class: "numbers" },
          el("thead", {}, el("tr", {}, ...["Output", "Largest error", "Allowed", ""].map((head) => el("th", { scope: "col" }, head)))),
          el("tbody", {}, ...checks.map((c) => row(c.name, c.error.toExponential(1), c.limit.toExponential(1), c.pass ? "right" : "wrong"))),
        ),
      ),
    );
  } catch (error) {
    show(place);
    notice.error(error);
  }
  button.disabled = false;
}

async function refreshStored(): Promise<void> {
  const models = await listModels();
  show(suggestions, ...[...new Set([...models.map((model) => model.address), HUB_DEFAULT])].map((value) => el("option", { value })));
  const line = (model: (typeof models)[number]) =>
    el(
      "li",
      {},
      el("button", { type: "button", class: "link", onclick: () => ((address.value = model.address), void loadModel(model.address)) }, model.address),
      el("span", { class: "quiet" }, ` ${bytes(model.bytes)}, works offline `),
      el(
        "button",
        {
          type: "button",
          class: "link",
          "aria-label": `Remove ${model.address} from this browser`,
          onclick: () => void removeModel(model.address).then(refreshStored),
        },
        "remove",
      ),
    );
  show(stored, models.length > 0 && el("h3", {}, "In this browser"), models.length > 0 && el("ul", {}, ...models.map(line)));
}
