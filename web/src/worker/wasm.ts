// The compiled library.

import { relaxedSimd } from "../relaxed.js";
import init, { project as projectWasm } from "../wasm/frostbert_web.js";

/** Resolves when WebAssembly is there. The addresses are written so that bundlers take the files along; one of them is loaded. */
export const ready = init({
  module_or_path: relaxedSimd()
    ? new URL("../wasm/frostbert_web_relaxed.wasm", import.meta.url)
    : new URL("../wasm/frostbert_web_bg.wasm", import.meta.url),
});

export { checkConfig, Stop, trainHead, WebDigest, WebEncoder, WebHead, WebTable } from "../wasm/frostbert_web.js";

export function project(data: Float32Array, dim: number): Float32Array {
  return projectWasm(data, dim);
}
