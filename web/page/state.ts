// What the steps of the page hand to each other.

import type { Embeddings, Encoder, Head, TrainReport } from "../src/index.js";

/** Texts with labels, as chosen from a table. */
export interface Dataset {
  name: string;
  texts: string[];
  labels: string[];
}

export interface Trained {
  dataset: Dataset;
  embeddings: Embeddings;
  head: Head;
  report: TrainReport;
}

interface Values {
  encoder: Encoder | undefined;
  dataset: Dataset | undefined;
  trained: Trained | undefined;
  head: Head | undefined;
}

type Key = keyof Values;

/** Values by name; who watches one is called when it changes. */
class State {
  #values: Values = { encoder: undefined, dataset: undefined, trained: undefined, head: undefined };
  #watchers: { keys: Key[]; run: () => void }[] = [];

  get<K extends Key>(key: K): Values[K] {
    return this.#values[key];
  }

  set<K extends Key>(key: K, value: Values[K]): void {
    if (this.#values[key] === value) return;
    this.#values[key] = value;
    for (const watcher of this.#watchers) if (watcher.keys.includes(key)) watcher.run();
  }

  watch(keys: Key[], run: () => void): void {
    this.#watchers.push({ keys, run });
  }
}

export const state = new State();
