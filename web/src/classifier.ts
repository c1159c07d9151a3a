import type { Encoder } from "./encoder.js";
import type { Head } from "./head.js";
import type { EmbedProgress, Prediction, Task } from "./types.js";

/** An encoder and a head that was trained on its embeddings. */
export class Classifier {
  constructor(
    readonly encoder: Encoder,
    readonly head: Head,
  ) {}

  /**
   * Labels with probabilities. With `explain`, also what every token adds to the logit of every class.
   *
   * The head is refused where it was trained on another model, layer or pooling.
   */
  async predict(
    texts: readonly string[],
    options: { explain?: boolean } & Task<EmbedProgress> = {},
  ): Promise<Prediction[]> {
    const { explain = false, ...task } = options;
    const { predictions, device } = await this.encoder.client.call(
      "predict",
      { head: this.head.toBytes(), texts: [...texts], explain },
      task,
    );
    this.encoder.notice(device);
    return predictions;
  }
}
