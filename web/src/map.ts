import { callOnce } from "./client.js";
import type { Embeddings } from "./types.js";

/** The two principal components of embeddings, `[texts, 2]`, for drawing a map. */
export function project(embeddings: Embeddings): Promise<Float32Array> {
  return callOnce("project", { data: embeddings.data, dim: embeddings.shape[1] });
}
