// What is kept in the browser's storage (the origin private file system), and how the page lists and removes it.
//
//   frostbert/models/KEY.json   one model: where it came from, and per file its SHA-256
//   frostbert/blobs/SHA256      the files, by content
//   frostbert/partial/KEY       a download that is not finished, with KEY.json beside it
//
// A blob is moved to its place only when it is whole and its checksum is right, and a model's record names it only
// then. So whatever stops the page in the middle, nothing half is ever read.

/** One file of a stored model. */
export interface StoredFile {
  sha256: string;
  size: number;
  /** Longest run of zero bytes: damage that a server's checksum does not show. */
  zeros: number;
  /** Whether a checksum from outside vouches for it. */
  checked: boolean;
}

/** What a model's record says. */
export interface ModelRecord {
  address: string;
  /** The commit, of a hub model. */
  revision?: string | undefined;
  /** By name; `null` where the server has no such file. */
  files: Record<string, StoredFile | null>;
  /** Of the encoder in these files, once it was computed. */
  fingerprint?: unknown;
  /** Whether nothing is left to fetch. */
  complete: boolean;
  /** When it was last fetched, ISO 8601. */
  stored: string;
}

/** A model in the browser's storage. */
export interface StoredModel {
  address: string;
  bytes: number;
  files: number;
  stored: string;
}

export type Folder = "models" | "blobs" | "partial";

/** The folder of that name, or undefined where the browser has no storage to give (a private window, say). */
export async function folder(name: Folder): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("frostbert", { create: true });
    return await root.getDirectoryHandle(name, { create: true });
  } catch {
    return undefined;
  }
}

/** Models that can be loaded without a network. */
export async function listModels(): Promise<StoredModel[]> {
  const records = await readRecords();
  return records
    .filter(({ record }) => record.complete)
    .map(({ record }) => {
      const files = Object.values(record.files).filter((file) => file !== null);
      const bytes = files.reduce((sum, file) => sum + file.size, 0);
      return { address: record.address, bytes, files: files.length, stored: record.stored };
    })
    .sort((a, b) => b.stored.localeCompare(a.stored));
}

/** Removes a model, and every file that no other model shares. */
export async function removeModel(address: string): Promise<void> {
  const models = await folder("models");
  const blobs = await folder("blobs");
  if (!models || !blobs) return;
  const key = await keyOf(address);
  await navigator.locks.request(lockName(key), async () => {
    await models.removeEntry(`${key}.json`).catch(() => undefined);
  });
  const used = new Set<string>();
  for (const { record } of await readRecords()) {
    for (const file of Object.values(record.files)) if (file) used.add(file.sha256);
  }
  for await (const name of names(blobs)) {
    if (!used.has(name)) await blobs.removeEntry(name).catch(() => undefined);
  }
}

/** The record's name: a hash, since an address may be longer than a file's name. */
export async function keyOf(address: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(address));
  return [...new Uint8Array(digest, 0, 16)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function lockName(key: string): string {
  return `frostbert:${key}`;
}

async function readRecords(): Promise<{ record: ModelRecord }[]> {
  const models = await folder("models");
  const records: { record: ModelRecord }[] = [];
  if (!models) return records;
  for await (const name of names(models)) {
    const record = await readJson<ModelRecord>(models, name);
    if (record) records.push({ record });
  }
  return records;
}

/** Parses a JSON file; undefined where there is none or it is no JSON. */
export async function readJson<T>(directory: FileSystemDirectoryHandle, name: string): Promise<T | undefined> {
  try {
    return JSON.parse(await (await (await directory.getFileHandle(name)).getFile()).text()) as T;
  } catch {
    return undefined;
  }
}

/** Writes a JSON file; `close` puts it in place at once, so that a reader sees the old one or the new one. */
export async function writeJson(directory: FileSystemDirectoryHandle, name: string, value: unknown): Promise<void> {
  const writable = await (await directory.getFileHandle(name, { create: true })).createWritable();
  await writable.write(JSON.stringify(value));
  await writable.close();
}

async function* names(directory: FileSystemDirectoryHandle): AsyncGenerator<string> {
  // TypeScript's libraries lack the iterator in some of their versions.
  const entries = (directory as unknown as { keys(): AsyncIterable<string> }).keys();
  for await (const name of entries) yield name;
}
