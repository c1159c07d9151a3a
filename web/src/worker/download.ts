// One file over the network: streamed to storage, resumed where it stopped, checked, and only then kept.

import { FrostbertError, stopped } from "../errors.js";
import type { StoredFile } from "../models.js";
import type { Sink, Storage, Validator } from "./storage.js";

/** A running SHA-256 that also looks for long runs of zeros. */
export interface Digest {
  update(bytes: Uint8Array): void;
  hex(): string;
  longestZeroRun(): number;
  free(): void;
}

export interface Wanted {
  url: string;
  name: string;
  /** In hexadecimal, where it is known. */
  sha256?: string | undefined;
  size?: number | undefined;
}

export interface Fetched {
  file: StoredFile;
  blob: Blob;
}

const ATTEMPTS = 3;

/**
 * Downloads a file; undefined where the server says that there is none (404 or 410).
 *
 * A connection that breaks is taken up again where it broke. What has arrived when the last attempt fails, or the signal
 * stops it, is kept for the next call, and used only if the server still has the same file.
 */
export async function download(
  wanted: Wanted,
  storage: Storage,
  newDigest: () => Digest,
  progress: (loaded: number, total: number | undefined) => void,
  signal: AbortSignal,
): Promise<Fetched | undefined> {
  const sink = await storage.sink(wanted.url);
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        const response = await request(wanted, sink, signal);
        if (!response) {
          await sink.discard();
          return undefined;
        }
        return await receive(wanted, sink, response, newDigest, progress, signal);
      } catch (error) {
        if (signal.aborted) throw stopped();
        // What is no answer of the server is the network: a TypeError, by the standard of `fetch`.
        if (!(error instanceof TypeError)) throw error;
        if (attempt === ATTEMPTS) throw interrupted(wanted, sink, error);
        await new Promise((resolve) => setTimeout(resolve, 250 * 2 ** attempt));
      }
    }
  } finally {
    sink.close();
  }
}

async function request(wanted: Wanted, sink: Sink, signal: AbortSignal): Promise<Response | undefined> {
  const known = sink.size > 0 && (sink.validator?.etag !== undefined || wanted.sha256 !== undefined);
  // `no-store`: the browser's own cache would hold a second copy.
  const options: RequestInit = { signal, cache: "no-store", ...(known && { headers: { Range: `bytes=${sink.size}-` } }) };
  const response = await fetch(wanted.url, options);
  if (response.status === 404 || response.status === 410) return undefined;
  if (response.status === 206) {
    const [, start, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get("content-range") ?? "") ?? [];
    const same = sink.validator?.etag === etag(response) && (!sink.validator?.total || sink.validator.total === Number(total));
    // Without a readable Content-Range (not every server exposes it to other origins) the checksum decides.
    if (start === undefined ? wanted.sha256 !== undefined : Number(start) === sink.size && same) return response;
  } else if (response.ok) {
    await sink.restart(validatorOf(wanted, response));
    return response;
  } else if (response.status !== 416) {
    await response.body?.cancel();
    throw new FrostbertError("io", `cannot fetch ${wanted.url}: the server answered ${response.status} ${response.statusText}`.trimEnd());
  }
  // The server has another file than the one that was begun: from the start.
  await response.body?.cancel();
  await sink.restart({ url: wanted.url });
  return request(wanted, sink, signal);
}

function validatorOf(wanted: Wanted, response: Response): Validator {
  // A compressed body's length says nothing about the file's.
  const length = response.headers.has("content-encoding") ? null : response.headers.get("content-length");
  return { url: wanted.url, etag: etag(response), total: wanted.size ?? (length === null ? undefined : Number(length)) };
}

/** A weak validator does not promise the same bytes. */
function etag(response: Response): string | undefined {
  const value = response.headers.get("etag") ?? undefined;
  return value?.startsWith("W/") ? undefined : value;
}

async function receive(
  wanted: Wanted,
  sink: Sink,
  response: Response,
  newDigest: () => Digest,
  progress: (loaded: number, total: number | undefined) => void,
  signal: AbortSignal,
): Promise<Fetched> {
  const digest = newDigest();
  try {
    for (const piece of sink.pieces()) digest.update(piece);
    const total = sink.validator?.total;
    let told = 0;
    const reader = response.body!.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (signal.aborted) throw stopped();
      sink.append(value as Uint8Array<ArrayBuffer>);
      digest.update(value);
      const now = performance.now();
      if (now - told > 100) {
        told = now;
        progress(sink.size, total);
      }
    }
    progress(sink.size, total);
    if (total !== undefined && sink.size < total) throw new TypeError(`the connection ended after ${sink.size} of ${total} bytes`);
    const sha256 = digest.hex();
    const expected = wanted.sha256 ?? reprDigest(response);
    if ((expected !== undefined && sha256 !== expected) || (total !== undefined && sink.size !== total)) {
      await sink.discard();
      throw new FrostbertError(
        "model",
        expected !== undefined && sha256 !== expected
          ? `${wanted.url} arrived damaged: expected SHA-256 ${expected}, found ${sha256}; nothing of it was kept, load again`
          : `${wanted.url} arrived damaged: expected ${total} bytes, found ${sink.size}; nothing of it was kept, load again`,
      );
    }
    const file = { sha256, size: sink.size, zeros: digest.longestZeroRun(), checked: expected !== undefined };
    return { file, blob: await sink.commit(sha256) };
  } finally {
    digest.free();
  }
}

/** The whole file's SHA-256 as the server states it (RFC 9530), in hexadecimal. */
function reprDigest(response: Response): string | undefined {
  const [, base64] = /\bsha-256=:([A-Za-z0-9+/=]+):/.exec(response.headers.get("repr-digest") ?? "") ?? [];
  if (base64 === undefined) return undefined;
  return [...atob(base64)].map((char) => char.charCodeAt(0).toString(16).padStart(2, "0")).join("");
}

function interrupted(wanted: Wanted, sink: Sink, cause: TypeError): FrostbertError {
  if (sink.size === 0) {
    return new FrostbertError("io", `cannot reach ${wanted.url}: ${navigator.onLine ? cause.message : "this machine is offline"}`, { cause });
  }
  const kept = `${sink.size} bytes are kept`;
  return new FrostbertError("io", `the connection to ${wanted.url} broke (${cause.message}); ${kept}, loading again goes on from there`, { cause });
}
