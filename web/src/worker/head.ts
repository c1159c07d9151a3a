// Heads: trained, read, and put to use.

import { FrostbertError } from "../errors.js";
import type { Calls } from "../protocol.js";
import type { HeadInfo, Prediction, TrainReport } from "../types.js";
import type { EncoderSession } from "./encoder.js";
import type { Context } from "./main.js";
import { trainHead, WebHead } from "./wasm.js";

export function train(
  { data, dim, labels, recipe, model, options }: Calls["train"][0],
  { progress }: Pick<Context<"train">, "progress">,
): Calls["train"][1] {
  const started = performance.now();
  const trained = trainHead(data, dim, labels, JSON.stringify({ ...options, recipe, model }), (stage: string, done: number, total: number) =>
    progress({ stage, done, total }),
  );
  const bytes = trained.bytes() as Uint8Array<ArrayBuffer>;
  const report = JSON.parse(trained.report()) as TrainReport;
  report.probabilities = trained.probabilities();
  report.milliseconds = performance.now() - started;
  return { head: { bytes, info: readHead(bytes) }, report };
}

export function readHead(bytes: Uint8Array): HeadInfo {
  const head = new WebHead(bytes);
  try {
    return JSON.parse(head.info()) as HeadInfo;
  } finally {
    head.free();
  }
}

export async function predict(
  session: EncoderSession,
  { head: bytes, texts, explain }: Calls["predict"][0],
  { signal }: Pick<Context<"predict">, "signal">,
): Promise<Calls["predict"][1]> {
  const head = new WebHead(bytes);
  try {
    const json = await session.recovering(() => session.passing(signal, (stop) => session.wasm.predict(head, texts, explain, stop)));
    return { predictions: JSON.parse(json) as Prediction[], device: session.device() };
  } catch (thrown) {
    throw FrostbertError.from(thrown);
  } finally {
    head.free();
  }
}
