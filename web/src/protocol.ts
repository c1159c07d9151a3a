// What the page and the worker say to each other.

import type {
  Check, DeviceInfo, Embeddings, EmbedOptions, EmbedProgress, HeadInfo, LoadOptions, LoadProgress, MaskCandidate, ModelInfo,
  Prediction, TablePreview, TokenCounts, TrainOptions, TrainProgress, TrainReport,
} from "./types.js";
import type { ErrorKind } from "./errors.js";

/** Options without what cannot be posted. */
type Plain<T> = Omit<T, "onProgress" | "signal">;

/** Where a model's files come from. */
export type ModelSource =
  /** Files chosen or dropped by a person, by their path inside the folder. */
  | { files: { path: string; file: File }[] }
  /** An address of a folder, or a hub id such as `org/name`. */
  | { address: string };

/** A head's bytes and whose embeddings it wants. */
export interface HeadFile {
  bytes: Uint8Array<ArrayBuffer>;
  info: HeadInfo;
}

/** Method name: arguments, result, progress. */
export interface Calls {
  load: [{ source: ModelSource; options: Plain<LoadOptions> }, { device: DeviceInfo; model: ModelInfo; warnings: string[] }, LoadProgress];
  embed: [{ texts: string[]; options: EmbedOptions }, Embeddings & { device: DeviceInfo }, EmbedProgress];
  countTokens: [{ texts: string[]; maxTokens?: number }, TokenCounts, never];
  predict: [{ head: Uint8Array; texts: string[]; explain: boolean }, { predictions: Prediction[]; device: DeviceInfo }, EmbedProgress];
  fillMask: [{ text: string; top: number }, MaskCandidate[][], never];
  verify: [Record<string, never>, Check[], never];
  train: [{ data: Float32Array; dim: number; labels: string[]; recipe: string; model: string; options: Plain<TrainOptions> },
    { head: HeadFile; report: TrainReport }, TrainProgress];
  readHead: [{ bytes: Uint8Array }, HeadInfo, never];
  openTable: [{ file: File }, TablePreview, never];
  readColumns: [{ columns: number[] }, { columns: string[][]; rows: Uint32Array }, never];
  project: [{ data: Float32Array; dim: number }, Float32Array, never];
}

export type Method = keyof Calls;

/** Page to worker. */
export type Request =
  | { [M in Method]: { id: number; method: M; args: Calls[M][0] } }[Method]
  | { id: number; abort: true };

/** Worker to page. */
export type Reply =
  | { id: number; progress: unknown }
  | { id: number; result: unknown }
  | { id: number; error: { kind: ErrorKind; message: string; /** The worker's memory can no longer be trusted. */ fatal: boolean } };
