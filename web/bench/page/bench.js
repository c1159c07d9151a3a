// What run.mjs calls in the page: the same steps for both.

const state = {};

const frostbert = {
  async load({ model, device }) {
    const { Encoder } = await import("/package/index.js");
    state.encoder = await Encoder.load(model, { device });
    return `${state.encoder.device.name}`;
  },
  async embed(texts) {
    const { data, shape } = await state.encoder.embed(texts);
    return { data, dim: shape[1] };
  },
};

const transformers = {
  async load({ model, device, isolated }) {
    const { env, pipeline } = await import("/npm/@huggingface/transformers/dist/transformers.min.js");
    env.allowRemoteModels = false;
    env.allowLocalModels = true;
    env.localModelPath = model.slice(0, model.lastIndexOf("/") + 1);
    const ort = "/npm/onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify";
    env.backends.onnx.wasm.wasmPaths = { mjs: new URL(`${ort}.mjs`, location.href).href, wasm: new URL(`${ort}.wasm`, location.href).href };
    if (isolated) env.backends.onnx.wasm.numThreads = navigator.hardwareConcurrency;
    state.extract = await pipeline("feature-extraction", model.slice(model.lastIndexOf("/") + 1), { device: device === "cpu" ? "wasm" : device, dtype: "fp32" });
    return device;
  },
  async embed(texts) {
    const parts = [];
    let dim = 0;
    for (let at = 0; at < texts.length; at += 32) {
      const rows = await state.extract(texts.slice(at, at + 32), { pooling: "mean", normalize: true });
      dim = rows.dims[1];
      parts.push(rows.data);
    }
    const data = new Float32Array(texts.length * dim);
    let at = 0;
    for (const part of parts) {
      data.set(part, at);
      at += part.length;
    }
    return { data, dim };
  },
};

const libraries = { frostbert, transformers };

window.bench = {
  /** Import, load and one text, in milliseconds. */
  async load(library, options, text) {
    state.library = libraries[library];
    const start = performance.now();
    const device = await state.library.load({ ...options, isolated: crossOriginIsolated });
    const loaded = performance.now();
    const { data } = await state.library.embed([text]);
    return { device, load: loaded - start, first: performance.now() - loaded, row: [...data] };
  },

  /** One pass; also the longest time that a timer of the page had to wait. */
  async pass(texts) {
    let last = performance.now();
    let blocked = 0;
    const timer = setInterval(() => {
      const now = performance.now();
      blocked = Math.max(blocked, now - last);
      last = now;
    }, 5);
    const start = performance.now();
    await state.library.embed(texts);
    const milliseconds = performance.now() - start;
    blocked = Math.max(blocked, performance.now() - last);
    clearInterval(timer);
    return { milliseconds, blocked };
  },
};
