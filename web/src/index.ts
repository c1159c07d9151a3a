// BERT embeddings on WebGPU, and a classifier of your own on top. Nothing leaves the machine.

export { Classifier } from "./classifier.js";
export { Encoder } from "./encoder.js";
export { FrostbertError, type ErrorKind } from "./errors.js";
export { Head } from "./head.js";
export { project } from "./map.js";
export { listModels, removeModel, type StoredModel } from "./models.js";
export { Table } from "./table.js";
export type * from "./types.js";
