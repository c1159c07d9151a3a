// Where downloads are written: the origin private file system, or memory where the browser gives no storage.

import { FrostbertError } from "../errors.js";
import { folder, keyOf, lockName, readJson, writeJson, type ModelRecord } from "../models.js";

/** What must be the same for a download to go on where it stopped. */
export interface Validator {
  url: string;
  /** The server's own, or none: then only a known checksum makes a resumed file trustworthy. */
  etag?: string | undefined;
  total?: number | undefined;
}

/** A file that is being downloaded. */
export interface Sink {
  /** Bytes that are there already. */
  readonly size: number;
  readonly validator: Validator | undefined;
  /** Reads back what is there, in pieces. */
  pieces(): Iterable<Uint8Array>;
  /** Forgets what is there and begins anew. */
  restart(validator: Validator): Promise<void>;
  append(bytes: Uint8Array<ArrayBuffer>): void;
  /** Keeps what is there for a later attempt. */
  close(): void;
  /** Forgets it altogether. */
  discard(): Promise<void>;
  /** Puts the whole file in its place. */
  commit(sha256: string): Promise<Blob>;
}

export interface Storage {
  record(address: string): Promise<ModelRecord | undefined>;
  save(record: ModelRecord): Promise<void>;
  /** A stored file; undefined where it is not there or has another size. */
  blob(sha256: string, size: number): Promise<Blob | undefined>;
  sink(url: string): Promise<Sink>;
  /** Runs `work` while no other tab downloads the same model. */
  exclusive<T>(address: string, signal: AbortSignal, work: () => Promise<T>): Promise<T>;
}

/** The browser's storage where there is one. */
export async function openStorage(): Promise<Storage> {
  const [models, blobs, partial] = [await folder("models"), await folder("blobs"), await folder("partial")];
  return models && blobs && partial ? new DiskStorage(models, blobs, partial) : new MemoryStorage();
}

class DiskStorage implements Storage {
  constructor(
    private readonly models: FileSystemDirectoryHandle,
    private readonly blobs: FileSystemDirectoryHandle,
    private readonly partial: FileSystemDirectoryHandle,
  ) {}

  async record(address: string): Promise<ModelRecord | undefined> {
    const record = await readJson<ModelRecord>(this.models, `${await keyOf(address)}.json`);
    return record?.address === address ? record : undefined;
  }

  async save(record: ModelRecord): Promise<void> {
    await storing(async () => writeJson(this.models, `${await keyOf(record.address)}.json`, record));
  }

  async blob(sha256: string, size: number): Promise<Blob | undefined> {
    try {
      const file = await (await this.blobs.getFileHandle(sha256)).getFile();
      return file.size === size ? file : undefined;
    } catch {
      return undefined;
    }
  }

  async sink(url: string): Promise<Sink> {
    const key = await keyOf(url);
    const validator = await readJson<Validator>(this.partial, `${key}.json`);
    return storing(async () => {
      const file = await this.partial.getFileHandle(key, { create: true });
      return new DiskSink(this.partial, this.blobs, key, file, await openSync(file), validator?.url === url ? validator : undefined);
    });
  }

  async exclusive<T>(address: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    return navigator.locks.request(lockName(await keyOf(address)), { signal }, work);
  }
}

class DiskSink implements Sink {
  #size: number;
  #open = true;

  constructor(
    private readonly partial: FileSystemDirectoryHandle,
    private readonly blobs: FileSystemDirectoryHandle,
    private readonly key: string,
    private readonly file: FileSystemFileHandle,
    private readonly access: FileSystemSyncAccessHandle,
    public validator: Validator | undefined,
  ) {
    this.#size = validator ? access.getSize() : 0;
  }

  get size(): number {
    return this.#size;
  }

  *pieces(): Iterable<Uint8Array> {
    const piece = new Uint8Array(1 << 20);
    for (let at = 0; at < this.#size; at += piece.length) {
      const length = this.access.read(piece, { at });
      yield piece.subarray(0, Math.min(length, this.#size - at));
    }
  }

  async restart(validator: Validator): Promise<void> {
    this.access.truncate(0);
    this.#size = 0;
    this.validator = validator;
    await storing(() => writeJson(this.partial, `${this.key}.json`, validator));
  }

  append(bytes: Uint8Array<ArrayBuffer>): void {
    try {
      this.access.write(bytes, { at: this.#size });
    } catch (error) {
      throw storageError(error);
    }
    this.#size += bytes.length;
  }

  close(): void {
    if (this.#open) {
      this.#open = false;
      // Also cuts what an earlier attempt may have left behind the end.
      this.access.truncate(this.#size);
      this.access.flush();
      this.access.close();
    }
  }

  async discard(): Promise<void> {
    this.close();
    await this.partial.removeEntry(this.key).catch(() => undefined);
    await this.partial.removeEntry(`${this.key}.json`).catch(() => undefined);
  }

  async commit(sha256: string): Promise<Blob> {
    this.close();
    await storing(async () => {
      // The same content may be there from another address, or damaged by whatever means.
      await this.blobs.removeEntry(sha256).catch(() => undefined);
      await (this.file as Movable).move(this.blobs, sha256);
    });
    await this.partial.removeEntry(`${this.key}.json`).catch(() => undefined);
    return (await this.blobs.getFileHandle(sha256)).getFile();
  }
}

/** `move` is in every browser that has this file system, and not yet in TypeScript's libraries. */
interface Movable extends FileSystemFileHandle {
  move(directory: FileSystemDirectoryHandle, name: string): Promise<void>;
}

/** The worker of a tab that was just closed or stopped may hold the file for a moment longer. */
async function openSync(file: FileSystemFileHandle): Promise<FileSystemSyncAccessHandle> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await file.createSyncAccessHandle();
    } catch (error) {
      if (attempt === 20 || (error as DOMException).name !== "NoModificationAllowedError") throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

class MemoryStorage implements Storage {
  #records = new Map<string, ModelRecord>();
  #blobs = new Map<string, Blob>();
  #partial = new Map<string, { parts: Uint8Array<ArrayBuffer>[]; validator: Validator | undefined }>();

  async record(address: string): Promise<ModelRecord | undefined> {
    return this.#records.get(address);
  }

  async save(record: ModelRecord): Promise<void> {
    this.#records.set(record.address, record);
  }

  async blob(sha256: string): Promise<Blob | undefined> {
    return this.#blobs.get(sha256);
  }

  async sink(url: string): Promise<Sink> {
    const partials = this.#partial;
    const blobs = this.#blobs;
    const kept = partials.get(url) ?? { parts: [], validator: undefined };
    partials.set(url, kept);
    return {
      get size() {
        return kept.parts.reduce((sum, part) => sum + part.length, 0);
      },
      get validator() {
        return kept.validator;
      },
      pieces: () => kept.parts,
      async restart(validator) {
        kept.parts = [];
        kept.validator = validator;
      },
      append: (bytes) => void kept.parts.push(bytes.slice()),
      close: () => undefined,
      async discard() {
        partials.delete(url);
      },
      async commit(sha256) {
        const blob = new Blob(kept.parts);
        blobs.set(sha256, blob);
        partials.delete(url);
        return blob;
      },
    };
  }

  exclusive<T>(_address: string, _signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    return work();
  }
}

async function storing<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw storageError(error);
  }
}

function storageError(error: unknown): FrostbertError {
  if (error instanceof FrostbertError) return error;
  const { name, message } = error as DOMException;
  if (name === "QuotaExceededError") {
    return new FrostbertError(
      "limit",
      "the browser's storage for this page is full: remove a stored model, or free space on the disk",
      { cause: error },
    );
  }
  return new FrostbertError("io", `the browser's storage failed: ${message}`, { cause: error });
}
