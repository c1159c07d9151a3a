// Several workers for one encoder where the CPU computes: WebAssembly has one thread, a machine has more.

import { WorkerClient } from "./client.js";
import { FrostbertError } from "./errors.js";
import type { Calls } from "./protocol.js";
import type { DeviceInfo, Embeddings, EmbedOptions, EmbedProgress, ModelInfo, Task } from "./types.js";

type LoadArgs = Calls["load"][0];
type Loaded = Calls["load"][1];
type Rows = Calls["embed"][1];

/** Fewer characters than this are done before another worker has read its weights. */
const WORTH_A_WORKER = 3_000;
/** Of a longer text the model as a rule reads no more. */
const READ_CHARS = 1_200;
/**
 * Characters of one call to a worker at most and at least: whoever is done first takes the next, and the last are small, so
 * that all are done together.
 */
const SHARE_CHARS = 16_000;
const LEAST_SHARE_CHARS = 2_400;
/** Every worker holds the weights. More than this many bytes in all is not worth the speed. */
const MOST_BYTES = 1.5e9;

export class Crew {
  #leader: WorkerClient;
  #others: Promise<WorkerClient>[] = [];
  #args: LoadArgs;
  #size: number;
  #ended = false;

  constructor(leader: WorkerClient, loaded: Loaded, args: LoadArgs) {
    this.#leader = leader;
    this.#args = { ...args, options: { ...args.options, device: "cpu", refresh: false } };
    this.#size = loaded.device.backend === "cpu" ? crewSize(loaded.model, args.options.workers) : 1;
  }

  /** Embeds with as many workers as are worth it. */
  async embed(texts: string[], options: EmbedOptions, task: Task<EmbedProgress>): Promise<Rows> {
    const workers = await this.#wanted(texts);
    if (workers.length === 1) return this.#leader.call("embed", { texts, options }, task);
    const started = performance.now();
    const shares = cut(texts, workers.length);
    const done = shares.map(() => ({ texts: 0, tokens: 0 }));
    const results: Rows[] = [];
    // One failure stops the others.
    const controller = new AbortController();
    const signal = task.signal ? AbortSignal.any([task.signal, controller.signal]) : controller.signal;
    let next = 0;
    const work = async (worker: WorkerClient) => {
      for (let at = next++; at < shares.length; at = next++) {
        const onProgress = (progress: EmbedProgress) => {
          done[at] = { texts: progress.texts, tokens: progress.tokens };
          const sum = (key: "texts" | "tokens") => done.reduce((total, one) => total + one[key], 0);
          task.onProgress?.({ texts: sum("texts"), total: texts.length, tokens: sum("tokens"), milliseconds: performance.now() - started });
        };
        results[at] = await worker.call("embed", { texts: shares[at]!, options }, { onProgress, signal });
      }
    };
    try {
      await Promise.all(workers.map(work));
    } catch (error) {
      controller.abort();
      throw error;
    }
    return join(results);
  }

  end(reason: FrostbertError): void {
    this.#ended = true;
    this.#leader.end(reason);
    for (const other of this.#others) other.then((worker) => worker.end(reason)).catch(() => undefined);
  }

  async #wanted(texts: string[]): Promise<WorkerClient[]> {
    const chars = charsRead(texts);
    const wanted = Math.min(this.#size, texts.length, Math.floor(chars / WORTH_A_WORKER));
    while (this.#others.length + 1 < wanted) this.#others.push(this.#another());
    // A worker that cannot be had (no memory, say) is one fewer.
    const others = await Promise.allSettled(this.#others.slice(0, Math.max(0, wanted - 1)));
    return [this.#leader, ...others.flatMap((other) => (other.status === "fulfilled" ? [other.value] : []))];
  }

  async #another(): Promise<WorkerClient> {
    const worker = new WorkerClient();
    try {
      await worker.call("load", this.#args);
    } catch (error) {
      worker.end(FrostbertError.from(error));
      throw error;
    }
    if (this.#ended) worker.end(new FrostbertError("input", "this encoder was disposed of"));
    return worker;
  }
}

/** One for every two logical cores, which as a rule share one unit for arithmetic, unless the model is too large. */
function crewSize(model: ModelInfo, asked: number | undefined): number {
  if (asked !== undefined) return Math.max(1, Math.floor(asked));
  const cores = navigator.hardwareConcurrency;
  const weights = 4 * model.parameters;
  return Math.max(1, Math.min(cores <= 4 ? cores : cores / 2, 8, Math.floor(MOST_BYTES / weights)));
}

function charsRead(texts: string[]): number {
  return texts.reduce((sum, text) => sum + Math.min(text.length, READ_CHARS), 0);
}

/** Half of what is left for every worker, share after share. */
function cut(texts: string[], workers: number): string[][] {
  const shares: string[][] = [];
  let left = charsRead(texts);
  for (let at = 0; at < texts.length; ) {
    const most = Math.min(Math.max(left / (2 * workers), LEAST_SHARE_CHARS), SHARE_CHARS);
    const start = at;
    let chars = 0;
    do {
      chars += charsRead([texts[at]!]);
      at++;
    } while (at < texts.length && chars + charsRead([texts[at]!]) <= most);
    shares.push(texts.slice(start, at));
    left -= chars;
  }
  return shares;
}

function join(results: Rows[]): Rows {
  const rows = results.reduce((sum, { shape }) => sum + shape[0], 0);
  const [first] = results as [Rows];
  const dim = first.shape[1];
  const joined: Embeddings & { device: DeviceInfo } = {
    ...first,
    data: new Float32Array(rows * dim),
    shape: [rows, dim],
    tokens: new Uint32Array(rows),
    truncated: new Uint8Array(rows),
  };
  let at = 0;
  for (const { data, tokens, truncated } of results) {
    joined.data.set(data, at * dim);
    joined.tokens.set(tokens, at);
    joined.truncated.set(truncated, at);
    at += tokens.length;
  }
  return joined;
}
