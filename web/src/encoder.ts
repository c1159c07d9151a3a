import { WorkerClient } from "./client.js";
import { Crew } from "./crew.js";
import { FrostbertError } from "./errors.js";
import type { ModelSource } from "./protocol.js";
import type {
  Check, DeviceInfo, Embeddings, EmbedOptions, EmbedProgress, LoadOptions, MaskCandidate, ModelInfo, Task, TokenCounts,
} from "./types.js";

/** A frozen BERT on a device, in a worker of its own. */
export class Encoder {
  /** What was understood of the checkpoint. */
  readonly model: ModelInfo;
  /** Things worth knowing that do not stop the work: a tensor that is all zeros, say. */
  readonly warnings: readonly string[];
  /** @internal */
  readonly client: WorkerClient;
  #crew: Crew;
  #device: DeviceInfo;

  private constructor(client: WorkerClient, crew: Crew, loaded: { device: DeviceInfo; model: ModelInfo; warnings: string[] }) {
    this.client = client;
    this.#crew = crew;
    this.#device = loaded.device;
    this.model = loaded.model;
    this.warnings = loaded.warnings;
  }

  /**
   * Loads a model.
   *
   * @param source the address of a folder with config.json, a hub id such as
   *   `sentence-transformers/all-MiniLM-L6-v2[@revision]`, or the files themselves. What comes over the network is kept
   *   in the browser's storage and read from there the next time, with or without a network.
   */
  static async load(source: string | URL | Iterable<File>, options: LoadOptions = {}): Promise<Encoder> {
    const { onProgress, signal, ...plain } = options;
    const client = new WorkerClient();
    try {
      const args = { source: described(source), options: plain };
      const loaded = await client.call("load", args, { onProgress, signal });
      return new Encoder(client, new Crew(client, loaded, args), loaded);
    } catch (error) {
      client.end(FrostbertError.from(error));
      throw error;
    }
  }

  /** What computes. It changes when the device is lost and another takes over. */
  get device(): DeviceInfo {
    return this.#device;
  }

  /** Embeds texts. Rows come back in input order; a pass can be stopped between two batches. */
  async embed(texts: readonly string[], options: EmbedOptions & Task<EmbedProgress> = {}): Promise<Embeddings> {
    const { onProgress, signal, ...plain } = options;
    const { device, ...rows } = await this.#crew.embed(strings(texts), plain, { onProgress, signal });
    this.#device = device;
    return rows;
  }

  /** Counts tokens, so that truncation is known before anything is computed. */
  countTokens(texts: readonly string[], options: { maxTokens?: number } = {}): Promise<TokenCounts> {
    return this.client.call("countTokens", { texts: strings(texts), ...options });
  }

  /** The likeliest tokens for each `[MASK]` of a text, best first. Needs a checkpoint with a masked-language-model head. */
  fillMask(text: string, options: { top?: number } = {}): Promise<MaskCandidate[][]> {
    return this.client.call("fillMask", { text, top: options.top ?? 5 });
  }

  /** Runs this model's kernels on a small batch and compares every layer with the CPU engine. */
  verify(): Promise<Check[]> {
    return this.client.call("verify", {});
  }

  /** Frees the device's and the worker's memory. Calls still waiting fail. */
  dispose(): void {
    this.#crew.end(new FrostbertError("input", "this encoder was disposed of"));
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal The device that a call just reported. */
  notice(device: DeviceInfo): void {
    this.#device = device;
  }
}

function described(source: string | URL | Iterable<File>): ModelSource {
  // Addresses relative to the page would mean something else in the worker.
  if (typeof source === "string") return { address: /^\.{0,2}\//.test(source) ? new URL(source, document.baseURI).href : source.trim() };
  if (source instanceof URL) return { address: source.href };
  return { files: [...source].map((file) => ({ path: file.webkitRelativePath || file.name, file })) };
}

function strings(texts: readonly string[]): string[] {
  const wrong = texts.findIndex((text) => typeof text !== "string");
  if (wrong >= 0) throw new FrostbertError("input", `text ${wrong} is a ${typeof texts[wrong]}, not a string`);
  return [...texts];
}
