/** Which engine computes. */
export type Device =
  /** WebGPU on a real GPU; where there is none, the CPU engine, said in {@link DeviceInfo.note}. */
  | "auto"
  /** WebGPU; an error where there is no adapter. A software adapter counts. */
  | "webgpu"
  /** The CPU engine: WebAssembly with SIMD. */
  | "cpu";

/** How weights are stored on the device. */
export type Dtype = "f32" | "f16";

/** `"auto"`: f16 where the checkpoint stores every matrix so, else f32. `"f16"`: half the memory on graphics adapters, a cosine of 0.9999 kept. */
export type DtypeChoice = "auto" | Dtype;

/** How the tokens of a text become one vector. */
export type Pooling = "cls" | "mean" | "max" | "mean_sqrt_len_tokens" | "weightedmean" | "lasttoken" | "pooler";

/** Something that can be asked to stop, and tells how far it is. */
export interface Task<Progress> {
  onProgress?: ((progress: Progress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** How far a model's loading is. */
export type LoadProgress =
  /** Bytes of one file. `total` is missing where the server does not say; `cached` files cost no network. */
  | { stage: "download"; file: string; loaded: number; total?: number; cached: boolean }
  /** The files are here; weights go to the device. */
  | { stage: "prepare" };

export interface LoadOptions extends Task<LoadProgress> {
  device?: Device;
  /** `"auto"` unless said. */
  dtype?: DtypeChoice;
  /** Asks the server again although the model is in the browser's storage. */
  refresh?: boolean;
  /** SHA-256 in hexadecimal by file name, for servers that give none. A file that differs is refused and not kept. */
  checksums?: Record<string, string>;
  /** Where hub ids are looked up; another address for a mirror. */
  hub?: string;
  /** Most tokens in one batch on the device. */
  batchTokens?: number;
  /** Workers that share large passes where the CPU computes; by the machine's cores and the model's size. */
  workers?: number;
}

/** What computes, in words. */
export interface DeviceInfo {
  name: string;
  backend: string;
  /** `half`, `browser`, `software` or `cpu`. */
  class: string;
  /** Why this device, where that is not what was asked for. */
  note?: string | undefined;
}

/** What was understood of a model. */
export interface ModelInfo {
  /** Where it came from. */
  location: string;
  family: string;
  hidden: number;
  layers: number;
  heads: number;
  vocab: number;
  parameters: number;
  /** Longest sequence in tokens, special tokens included. */
  maxTokens: number;
  /** Columns of an embedding with default options. */
  dim: number;
  pooling: Pooling[];
  normalize: boolean;
  dtype: Dtype;
  /** Whether {@link Encoder.fillMask} works. */
  masked: boolean;
}

export interface EmbedOptions {
  /** As the checkpoint says, the mean where it says nothing. */
  pooling?: Pooling | Pooling[];
  /** `"last"` (default), `"all"`, or layer numbers: 0 is the embeddings' output. */
  layers?: "last" | "all" | number[];
  /** Scale to unit length; as the checkpoint says. */
  normalize?: boolean;
  /** Keep only the first so many columns (Matryoshka models). */
  dimensions?: number;
  /** Longest sequence in tokens; lower than the model's own. */
  maxTokens?: number;
  /** What happens to longer texts: cut (default), refused, or split into windows whose vectors are pooled. */
  truncate?: "cut" | "error" | "window";
  /** Text put before every input. */
  prompt?: string;
}

export interface EmbedProgress {
  /** Texts done, of `total`. */
  texts: number;
  total: number;
  /** Tokens done. */
  tokens: number;
  milliseconds: number;
}

/** Rows in input order. */
export interface Embeddings {
  /** Row-major `[texts, dim]`. */
  data: Float32Array;
  /** `[texts, dim]`. */
  shape: [number, number];
  /** Tokens of each text before truncation, special tokens included. */
  tokens: Uint32Array;
  /** 1 where a text was cut. */
  truncated: Uint8Array;
  /** What makes these comparable with others: a head trained on one recipe is refused with another. */
  recipe: string;
}

/** Tokens of texts, counted without computing anything. */
export interface TokenCounts {
  tokens: Uint32Array;
  truncated: Uint8Array;
  maxTokens: number;
}

export interface MaskCandidate {
  token: string;
  id: number;
  /** Its probability among the whole vocabulary. */
  score: number;
}

/** How far a training run is. */
export interface TrainProgress {
  /** What is being done, in words. */
  stage: string;
  done: number;
  total: number;
}

export interface TrainOptions extends Task<TrainProgress> {
  /** Inverse strength of the penalty; `"auto"` (default) chooses it by cross-validation. */
  c?: number | "auto";
  classWeight?: "none" | "balanced";
  /** Scale every column to mean 0 and deviation 1 first. */
  standardize?: boolean;
  folds?: number;
  seed?: number;
}

/** A number with its 95% interval over folds. */
export interface Interval {
  mean: number;
  low: number;
  high: number;
}

/** What cross-validation measured; every prediction is out of fold. */
export interface TrainReport {
  classes: string[];
  counts: number[];
  folds: number;
  c: number;
  /** Every C that was tried, with its mean log loss over the folds. */
  path: { c: number; score: number }[];
  accuracy: Interval;
  balancedAccuracy: Interval;
  macroF1: Interval;
  logLoss: Interval;
  /** Always answering the largest class. */
  majority: number;
  /** `confusion[true][predicted]`, counts. */
  confusion: number[][];
  perClass: { precision: number; recall: number; f1: number; support: number }[];
  /** Confidence of the chosen class against how often it was right, before and after calibration. */
  reliability: { before: ReliabilityBin[]; after: ReliabilityBin[]; eceBefore: number; eceAfter: number };
  temperature: number;
  /** Out-of-fold probabilities, row-major `[texts, classes]`, calibrated. */
  probabilities: Float32Array;
  milliseconds: number;
}

export interface ReliabilityBin {
  low: number;
  high: number;
  count: number;
  confidence: number;
  accuracy: number;
}

/** What a head file says about itself. */
export interface HeadInfo {
  kind: string;
  problem: string;
  labels: string[];
  dim: number;
  /** The embedding recipe it was trained on. */
  recipe: string;
  /** Where its encoder was. */
  model?: string | undefined;
}

export interface Prediction {
  label: string;
  /** By label, in the head's order; they sum to 1. */
  probabilities: number[];
  tokens: number;
  /** Present and true where the head was trained to leave this undecided; `label` is then the likeliest one. */
  undecided?: true;
  /** Names of which one is right at the rate that the head was trained for (`train --conformal`). */
  set?: string[];
  /** How far the text is from those that the head learnt from, where it keeps some (`train --keep-sample`). */
  novelty?: Novelty;
  truncated: boolean;
  /** With `explain`: each token's share in the logit of the predicted class, special tokens left out. */
  shares?: TokenShare[];
}

/** How strange a text is to a head. Shares are of the training texts: 0.01 is as strange as one in a hundred. */
export interface Novelty {
  /** Cosine with the nearest kept text. */
  similarity: number;
  /** Share of the training texts that are no nearer to theirs. */
  share: number;
  /** Distance from the nearest class's centre, in deviations. */
  mahalanobis?: Strangeness;
  /** How little any class speaks for itself. */
  energy?: Strangeness;
}

/** A score, the higher the stranger, and the share of training texts that are as strange. */
export interface Strangeness {
  value: number;
  share: number;
}

/** A piece of the text and what it adds to a class's logit. */
export interface TokenShare {
  /** UTF-16 range in the text. */
  start: number;
  end: number;
  /** One per label. */
  logits: number[];
}

/** One line of the self-check: what WGSL computed here against the CPU engine. */
export interface Check {
  name: string;
  /** Largest absolute difference. */
  error: number;
  /** The most that is accepted. */
  limit: number;
  pass: boolean;
}

/** Where a table's text comes from. */
export interface TablePreview {
  columns: string[];
  rows: number;
  /** First rows, every cell cut to 300 characters. */
  preview: string[][];
  /** Distinct values of each column, counted up to 1,001: a label column has few. */
  distinct: number[];
  /** Mean length of each column in characters. */
  meanChars: number[];
}
