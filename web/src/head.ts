import { callOnce } from "./client.js";
import { FrostbertError } from "./errors.js";
import type { Embeddings, HeadInfo, TrainOptions, TrainReport } from "./types.js";

/** A small classifier over embeddings: trained here or by the command line, the same file in both. */
export class Head {
  readonly info: HeadInfo;
  #bytes: Uint8Array<ArrayBuffer>;

  private constructor(bytes: Uint8Array<ArrayBuffer>, info: HeadInfo) {
    this.#bytes = bytes;
    this.info = info;
  }

  /**
   * Trains a linear head to its optimum, in a worker of its own. The same data, options and seed give the same weights
   * as `frostbert train` on the command line.
   *
   * @param labels one per row.
   * @param model where the encoder was, for the head to remember.
   */
  static async train(
    embeddings: Embeddings,
    labels: readonly string[],
    options: TrainOptions & { model?: string } = {},
  ): Promise<{ head: Head; report: TrainReport }> {
    const { onProgress, signal, model = "", ...plain } = options;
    const [rows, dim] = embeddings.shape;
    if (labels.length !== rows) {
      throw new FrostbertError("input", `there are ${rows} embeddings but ${labels.length} labels`);
    }
    const { head, report } = await callOnce(
      "train",
      { data: embeddings.data, dim, labels: [...labels], recipe: embeddings.recipe, model, options: plain },
      { onProgress, signal },
    );
    return { head: new Head(head.bytes, head.info), report };
  }

  /** Reads a head file, wherever it was trained. */
  static async fromBytes(bytes: Uint8Array | ArrayBuffer): Promise<Head> {
    const copy = new Uint8Array(bytes instanceof ArrayBuffer ? bytes : bytes.slice());
    return new Head(copy as Uint8Array<ArrayBuffer>, await callOnce("readHead", { bytes: copy }));
  }

  /** The head file: `frostbert predict --head FILE` reads it. */
  toBytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice();
  }
}
