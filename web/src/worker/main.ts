// The worker: one encoder, or one head being trained, or one table.

import { FrostbertError } from "../errors.js";
import type { Calls, Method, Reply, Request } from "../protocol.js";
import { EncoderSession } from "./encoder.js";
import { openWithSubgroups } from "./webgpu.js";
import { predict, readHead, train } from "./head.js";
import { TableSession } from "./table.js";
import { project, ready } from "./wasm.js";

declare const self: DedicatedWorkerGlobalScope;

openWithSubgroups();

/** What a call is given besides its arguments. */
export interface Context<M extends Method> {
  progress(progress: Calls[M][2]): void;
  signal: AbortSignal;
}

type Handlers = { [M in Method]: (args: Calls[M][0], context: Context<M>) => Promise<Calls[M][1]> | Calls[M][1] };

let encoder: EncoderSession | undefined;
let table: TableSession | undefined;

function loaded(): EncoderSession {
  if (!encoder) throw new FrostbertError("internal", "no encoder was loaded here");
  return encoder;
}

const handlers: Handlers = {
  async load(args, context) {
    encoder = await EncoderSession.load(args, context);
    return encoder.info();
  },
  embed: (args, context) => loaded().embed(args, context),
  countTokens: (args) => loaded().countTokens(args),
  predict: (args, context) => predict(loaded(), args, context),
  fillMask: (args) => loaded().fillMask(args),
  verify: () => loaded().verify(),
  train: (args, context) => train(args, context),
  readHead: ({ bytes }) => readHead(bytes),
  async openTable({ file }) {
    table = await TableSession.open(file);
    return table.preview();
  },
  readColumns({ columns }) {
    if (!table) throw new FrostbertError("internal", "no table was opened here");
    return table.read(columns);
  },
  project: ({ data, dim }) => project(data, dim),
};

const running = new Map<number, AbortController>();
/** Calls run one after another: they share one device. */
let queue: Promise<unknown> = ready;

self.onmessage = ({ data: request }: MessageEvent<Request>) => {
  if ("abort" in request) return running.get(request.id)?.abort();
  const controller = new AbortController();
  running.set(request.id, controller);
  queue = queue.then(
    () => answer(request, controller.signal),
    () => answer(request, controller.signal),
  );
};

async function answer(request: Exclude<Request, { abort: true }>, signal: AbortSignal): Promise<void> {
  const { id, method, args } = request;
  const progress = (value: unknown) => self.postMessage({ id, progress: value } satisfies Reply);
  try {
    await ready;
    signal.throwIfAborted();
    const handler = handlers[method] as (args: unknown, context: Context<Method>) => unknown;
    const result = await handler(args, { progress, signal } as Context<Method>);
    self.postMessage({ id, result } satisfies Reply, buffersOf(result));
  } catch (thrown) {
    const error = FrostbertError.from(thrown);
    // WebAssembly that ran into a trap may have left anything half done.
    const fatal = thrown instanceof WebAssembly.RuntimeError;
    const message = fatal ? `the computation failed unexpectedly (${error.message})` : error.message;
    self.postMessage({ id, error: { kind: error.kind, message, fatal } } satisfies Reply);
  }
  running.delete(id);
}

/** Typed arrays at the top of a result go over without a copy. */
function buffersOf(result: unknown): Transferable[] {
  if (ArrayBuffer.isView(result)) return [result.buffer as ArrayBuffer];
  if (typeof result !== "object" || result === null) return [];
  return Object.values(result).flatMap((value) => (ArrayBuffer.isView(value) ? [value.buffer as ArrayBuffer] : []));
}
