// The compiled library.

import init, { project as projectWasm } from "../wasm/frostbert_web.js";

/** Resolves when WebAssembly is there. The address is written so that bundlers take the file along. */
export const ready = init({ module_or_path: new URL("../wasm/frostbert_web_bg.wasm", import.meta.url) });

export { checkConfig, Stop, trainHead, WebDigest, WebEncoder, WebHead, WebTable } from "../wasm/frostbert_web.js";

export function project(data: Float32Array, dim: number): Float32Array {
  return projectWasm(data, dim);
}
