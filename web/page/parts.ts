// Pieces that several steps of the page share.

import { FrostbertError } from "../src/index.js";
import { el, seconds, show } from "./dom.js";

/** An element that tells what is being done, how far it is, and can stop it. */
export class Work {
  readonly element = el("div", { class: "work", hidden: true });
  #bar = el("progress", { max: 1, "aria-label": "progress" });
  #text = el("p", { class: "quiet" });
  #stop = el("button", { type: "button", onclick: () => this.#controller?.abort() }, "Stop");
  #controller: AbortController | undefined;
  #status = el("p", { class: "visually-hidden", role: "status" });
  #announced = "";

  constructor() {
    this.element.append(el("div", { class: "work-row" }, this.#bar, this.#stop), this.#text, this.#status);
  }

  get running(): boolean {
    return this.#controller !== undefined;
  }

  /** Runs `work`; says so while it lasts, and asks before the page is left. */
  async run<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.#controller?.abort();
    const controller = new AbortController();
    this.#controller = controller;
    this.element.hidden = false;
    this.tell("Starting …");
    working++;
    try {
      return await work(controller.signal);
    } finally {
      working--;
      if (this.#controller === controller) {
        this.#controller = undefined;
        this.element.hidden = true;
      }
    }
  }

  /** `part` from 0 to 1; without it the bar only moves. `stage` is read out when it changes, `text` is not. */
  tell(stage: string, part?: number, text = ""): void {
    if (part === undefined) this.#bar.removeAttribute("value");
    else this.#bar.value = part;
    this.#text.textContent = text ? `${stage}: ${text}` : stage;
    if (this.#announced !== stage) {
      this.#announced = stage;
      this.#status.textContent = stage;
    }
  }
}

let working = 0;

addEventListener("beforeunload", (event) => {
  if (working > 0) event.preventDefault();
});

/** Where a step says what went wrong. */
export class Notice {
  readonly element = el("div", { class: "notices" });

  clear(): void {
    show(this.element);
  }

  error(thrown: unknown): void {
    const error = FrostbertError.from(thrown);
    if (error.kind === "abort") return this.info("Stopped.");
    this.element.append(el("p", { class: "notice bad", role: "alert" }, el("strong", {}, TITLES[error.kind]), " ", sentence(error.message)));
  }

  warn(text: string): void {
    this.element.append(el("p", { class: "notice warn", role: "status" }, sentence(text)));
  }

  info(text: string): void {
    this.element.append(el("p", { class: "notice", role: "status" }, sentence(text)));
  }
}

const TITLES: Record<FrostbertError["kind"], string> = {
  input: "That does not fit.",
  model: "The file cannot be used.",
  device: "The graphics adapter failed.",
  limit: "Too large.",
  io: "Not reached.",
  abort: "Stopped.",
  internal: "A fault in this page.",
};

function sentence(text: string): string {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…)]$/.test(first) ? first : `${first}.`;
}

/** A place to drop or choose files. */
export function dropZone(options: {
  label: string;
  hint: string;
  id: string;
  accept?: string;
  folder?: boolean;
  take: (files: File[]) => void;
}): HTMLElement {
  const input = el("input", {
    type: "file",
    id: options.id,
    class: "visually-hidden",
    accept: options.accept,
    webkitdirectory: options.folder,
    onchange: () => {
      if (input.files?.length) options.take([...input.files]);
      input.value = "";
    },
  });
  const zone = el("label", { class: "drop", for: options.id }, input, el("strong", {}, options.label), el("span", { class: "quiet" }, options.hint));
  const over = (event: DragEvent) => {
    event.preventDefault();
    zone.classList.add("over");
  };
  zone.addEventListener("dragenter", over);
  zone.addEventListener("dragover", over);
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    const items = [...(event.dataTransfer?.items ?? [])];
    // Entries must be taken before the first await: the list is empty afterwards.
    const entries = items.map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
    void Promise.all(entries.map(filesOf)).then((lists) => {
      const files = lists.flat();
      if (files.length) options.take(files);
    });
  });
  return zone;
}

async function filesOf(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    // A dropped folder's files do not say where in it they lie.
    Object.defineProperty(file, "webkitRelativePath", { value: entry.fullPath.replace(/^\//, "") });
    return [file];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const files: File[] = [];
  for (;;) {
    // A reader gives at most a hundred entries a call.
    const batch = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (!batch.length) return files;
    files.push(...(await Promise.all(batch.map(filesOf))).flat());
  }
}

/** Texts a second, time left. */
export function pace(done: number, total: number, milliseconds: number, tokens: number): string {
  const rate = done / (milliseconds / 1000);
  const left = (total - done) / rate;
  const speed = rate >= 10 ? rate.toFixed(0) : rate.toFixed(1);
  const tokenRate = (tokens / (milliseconds / 1000)).toFixed(0);
  return `${done} of ${total}, ${speed} texts/s, ${tokenRate} tokens/s${done < total && done > 0 ? `, ${seconds(left)} left` : ""}`;
}

/** A labelled form field. */
export function field(label: string, control: HTMLElement, hint = ""): HTMLElement {
  control.id ||= `field-${label.toLowerCase().replace(/\W+/g, "-")}`;
  const described = hint ? el("small", { class: "quiet", id: `${control.id}-hint` }, hint) : null;
  if (described) control.setAttribute("aria-describedby", described.id);
  return el("div", { class: "field" }, el("label", { for: control.id }, label), control, described);
}

export function select(choices: [value: string, label: string][], chosen: string, change?: () => void): HTMLSelectElement {
  const control = el("select", { onchange: change });
  for (const [value, label] of choices) control.append(el("option", { value, selected: value === chosen }, label));
  return control;
}
