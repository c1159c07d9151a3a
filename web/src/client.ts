import { FrostbertError, stopped } from "./errors.js";
import type { Calls, Method, Reply, Request } from "./protocol.js";
import type { Task } from "./types.js";

interface Pending {
  resolve(result: unknown): void;
  reject(error: FrostbertError): void;
  progress: ((progress: never) => void) | undefined;
}

/** One worker and the calls that wait for it. */
export class WorkerClient {
  #worker: Worker | undefined;
  #pending = new Map<number, Pending>();
  #nextId = 0;
  #ended: FrostbertError | undefined;

  constructor() {
    // This form is what bundlers look for.
    this.#worker = new Worker(new URL("./worker/main.js", import.meta.url), { type: "module", name: "frostbert" });
    this.#worker.onmessage = ({ data }: MessageEvent<Reply>) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.end(new FrostbertError("internal", `the worker stopped: ${event.message || "its script could not be loaded"}`));
    };
  }

  /** Calls a method. `transfer`red buffers are gone on this side. */
  call<M extends Method>(
    method: M,
    args: Calls[M][0],
    task: Task<Calls[M][2]> = {},
    transfer: Transferable[] = [],
  ): Promise<Calls[M][1]> {
    const { signal, onProgress } = task;
    if (this.#ended) return Promise.reject(this.#ended);
    if (signal?.aborted) return Promise.reject(stopped());
    const id = this.#nextId++;
    const worker = this.#worker!;
    return new Promise<Calls[M][1]>((resolve, reject) => {
      const abort = () => worker.postMessage({ id, abort: true } satisfies Request);
      const settle = () => {
        signal?.removeEventListener("abort", abort);
        this.#pending.delete(id);
      };
      this.#pending.set(id, {
        resolve: (result) => (settle(), resolve(result as Calls[M][1])),
        reject: (error) => (settle(), reject(error)),
        progress: onProgress,
      });
      signal?.addEventListener("abort", abort);
      worker.postMessage({ id, method, args } as Request, transfer);
    });
  }

  /** Ends the worker: its memory, and its device's, are freed. Calls still waiting fail with `reason`. */
  end(reason: FrostbertError): void {
    if (this.#ended) return;
    this.#ended = reason;
    this.#worker?.terminate();
    this.#worker = undefined;
    for (const pending of [...this.#pending.values()]) pending.reject(reason);
  }

  #receive(reply: Reply): void {
    const pending = this.#pending.get(reply.id);
    if (!pending) return;
    if ("progress" in reply) {
      pending.progress?.(reply.progress as never);
    } else if ("result" in reply) {
      pending.resolve(reply.result);
    } else {
      const { kind, message, fatal } = reply.error;
      pending.reject(new FrostbertError(kind, message));
      if (fatal) this.end(new FrostbertError("internal", `this encoder stopped after a fault (${message}); load it again`));
    }
  }
}

/** Runs one call in a worker of its own, so that it blocks nothing and its memory is freed at the end. */
export async function callOnce<M extends Method>(
  method: M,
  args: Calls[M][0],
  task: Task<Calls[M][2]> = {},
  transfer: Transferable[] = [],
): Promise<Calls[M][1]> {
  if (task.signal?.aborted) throw stopped();
  const client = new WorkerClient();
  // Nothing has to be saved: the quickest way to stop is to end the worker.
  const abort = () => client.end(stopped());
  task.signal?.addEventListener("abort", abort);
  try {
    return await client.call(method, args, { onProgress: task.onProgress }, transfer);
  } finally {
    task.signal?.removeEventListener("abort", abort);
    client.end(new FrostbertError("internal", "the worker has ended"));
  }
}
