// An encoder and what keeps it going: stopping between batches, and a device that is lost in the middle.

import { FrostbertError, stopped } from "../errors.js";
import { removeModel } from "../models.js";
import type { Calls } from "../protocol.js";
import type { Check, DeviceInfo, MaskCandidate, ModelInfo } from "../types.js";
import { BlobReader } from "./blobs.js";
import type { Context } from "./main.js";
import { resolve, type Files } from "./model.js";
import { openStorage } from "./storage.js";
import { checkConfig, Stop, WebDigest, WebEncoder } from "./wasm.js";

type LoadArgs = Calls["load"][0];

/** A lost device is opened again so often within one call before the CPU takes over. */
const RECOVERIES = 3;

export class EncoderSession {
  private constructor(
    public wasm: WebEncoder,
    private readonly files: Files,
    private readonly options: LoadArgs["options"],
    private adapter: string | undefined,
    /** What became of a lost device. */
    private recovered: string | undefined = undefined,
  ) {}

  static async load({ source, options }: LoadArgs, { progress, signal }: Context<"load">): Promise<EncoderSession> {
    const storage = await openStorage();
    const tools = { storage, newDigest: () => new WebDigest(), checkConfig };
    try {
      const files = await resolve(source, options, tools, progress, signal);
      progress({ stage: "prepare" });
      const session = await EncoderSession.open(files, options);
      signal.throwIfAborted();
      const { record } = files;
      if (record && record.fingerprint === undefined) {
        // It takes a second a gigabyte, and the stored files stay what they are.
        record.fingerprint = JSON.parse(session.wasm.fingerprint());
        await storage.save(record);
      }
      return session;
    } catch (thrown) {
      const error = FrostbertError.from(thrown);
      // What cannot be used is not kept: the next load asks the server again.
      if (error.kind === "model" && "address" in source) await removeModel(source.address);
      throw error;
    }
  }

  private static async open(files: Files, options: LoadArgs["options"]): Promise<EncoderSession> {
    const adapter = options.device === "cpu" ? undefined : await adapterName();
    const known = files.record?.fingerprint;
    const wasm = await WebEncoder.load(new BlobReader(files.blobs, files.location), JSON.stringify({ ...options, fingerprint: known }));
    return new EncoderSession(wasm, files, options, adapter);
  }

  device(): DeviceInfo {
    const device = { ...(JSON.parse(this.wasm.device()) as DeviceInfo), ...(this.recovered && { note: this.recovered }) };
    if (device.backend === "cpu") return { ...device, name: "CPU (WebAssembly)" };
    // Browsers tell little of an adapter, and the library only what they call its description.
    return device.name || !this.adapter ? device : { ...device, name: this.adapter };
  }

  info(): { device: DeviceInfo; model: ModelInfo; warnings: string[] } {
    return { device: this.device(), model: JSON.parse(this.wasm.model()) as ModelInfo, warnings: this.files.warnings };
  }

  async embed(
    { texts, options }: Calls["embed"][0],
    { progress, signal }: Pick<Context<"embed">, "progress" | "signal">,
  ): Promise<Calls["embed"][1]> {
    const json = JSON.stringify(options);
    const started = performance.now();
    const dim = this.wasm.dim(json);
    const data = new Float32Array(texts.length * dim);
    const tokens = new Uint32Array(texts.length);
    const truncated = new Uint8Array(texts.length);
    let rows = 0;
    let tokensBefore = 0;
    const run = async () => {
      const from = rows;
      let tokensHere = 0;
      await this.passing(signal, (stop) =>
        this.wasm.embed(
          texts.slice(from),
          json,
          stop,
          (values: Float32Array, counts: Uint32Array, cut: Uint8Array) => {
            data.set(values, rows * dim);
            tokens.set(counts, rows);
            truncated.set(cut, rows);
            rows += counts.length;
          },
          (done: number, count: number) => {
            tokensHere = count;
            const milliseconds = performance.now() - started;
            progress({ texts: from + done, total: texts.length, tokens: tokensBefore + tokensHere, milliseconds });
          },
        ),
      ).finally(() => (tokensBefore += tokensHere));
    };
    await this.recovering(run);
    return { data, shape: [texts.length, dim], tokens, truncated, recipe: this.wasm.recipe(json), device: this.device() };
  }

  countTokens({ texts, maxTokens }: Calls["countTokens"][0]): Calls["countTokens"][1] {
    const most = maxTokens ?? (JSON.parse(this.wasm.model()) as ModelInfo).maxTokens;
    const tokens = this.wasm.countTokens(texts);
    return { tokens, truncated: Uint8Array.from(tokens, (count) => Number(count > most)), maxTokens: most };
  }

  async fillMask({ text, top }: Calls["fillMask"][0]): Promise<MaskCandidate[][]> {
    return JSON.parse(await this.recovering(() => this.wasm.fillMask(text, top))) as MaskCandidate[][];
  }

  async verify(): Promise<Check[]> {
    return JSON.parse(await this.recovering(() => this.wasm.verify())) as Check[];
  }

  /** Runs a pass that `signal` stops between two batches. */
  async passing<T>(signal: AbortSignal, work: (stop: Stop) => Promise<T>): Promise<T> {
    const stop = new Stop();
    const abort = () => stop.stop();
    signal.addEventListener("abort", abort);
    try {
      if (signal.aborted) throw stopped();
      return await work(stop);
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  /** Runs `work`; where the device is lost, opens it again and runs `work` once more: it goes on where it was. */
  async recovering<T>(work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work();
      } catch (thrown) {
        const error = FrostbertError.from(thrown);
        if (error.kind !== "device" || this.device().backend === "cpu") throw error;
        await this.reopen(attempt, error);
      }
    }
  }

  private async reopen(attempt: number, cause: FrostbertError): Promise<void> {
    // Browsers refuse adapters for a moment after a crash of the graphics process.
    await new Promise((done) => setTimeout(done, 200 * attempt));
    const device = attempt >= RECOVERIES ? "cpu" : (this.options.device ?? "auto");
    let next: EncoderSession;
    try {
      next = await EncoderSession.open(this.files, { ...this.options, device });
    } catch {
      next = await EncoderSession.open(this.files, { ...this.options, device: "cpu" });
    }
    this.wasm.free();
    this.wasm = next.wasm;
    this.adapter = next.adapter;
    const took = next.device().backend === "cpu" ? "the CPU" : "a new device";
    this.recovered = `The graphics device was lost (${cause.message}); ${took} went on with the work.`;
  }
}

/** What the browser tells of its adapter. */
async function adapterName(): Promise<string | undefined> {
  const gpu = (navigator as { gpu?: { requestAdapter(): Promise<{ info: Record<string, string> } | null> } }).gpu;
  const info = (await gpu?.requestAdapter().catch(() => null))?.info;
  if (!info) return undefined;
  const words = [info.vendor, info.architecture, info.device].filter((word) => word);
  return info.description || words.join(" ") || "WebGPU adapter";
}
