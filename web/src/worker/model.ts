// From an address, a hub id or dropped files to the files of one checkpoint.

import { FrostbertError } from "../errors.js";
import type { ModelRecord } from "../models.js";
import type { ModelSource } from "../protocol.js";
import type { LoadOptions, LoadProgress } from "../types.js";
import { download, type Digest } from "./download.js";
import type { Storage } from "./storage.js";

/** The files of a checkpoint, by their path inside its folder. */
export interface Files {
  location: string;
  blobs: Map<string, Blob>;
  warnings: string[];
  /** The stored model behind them; none where a person gave the files. */
  record: ModelRecord | undefined;
}

interface Tools {
  storage: Storage;
  newDigest(): Digest;
  /** Says whether this config.json can be computed with, before anything large is fetched. */
  checkConfig(config: Uint8Array): void;
}

/** Tells one file of a checkpoint; undefined where it has no such file. */
type Fetch = (name: string) => Promise<Blob | undefined>;

/** A run of zeros this long is no trained tensor: a bias or a padding row is shorter. */
const SUSPICIOUS_ZEROS = 4096;

export async function resolve(
  source: ModelSource,
  options: Omit<LoadOptions, "onProgress" | "signal">,
  tools: Tools,
  progress: (progress: LoadProgress) => void,
  signal: AbortSignal,
): Promise<Files> {
  if ("files" in source) return dropped(source.files, tools);
  const address = source.address;
  if (address === "") throw new FrostbertError("input", "no model was named: give the address of a folder, or a hub id such as org/name");
  return tools.storage.exclusive(address, signal, async () => {
    const stored = options.refresh ? undefined : await tools.storage.record(address);
    if (stored?.complete) {
      const files = await fromStorage(stored, tools.storage, progress);
      if (files) return files;
    }
    return fetched(address, stored, options, tools, progress, signal);
  });
}

/** The whole model from storage; undefined where a file is gone. */
async function fromStorage(
  record: ModelRecord,
  storage: Storage,
  progress: (progress: LoadProgress) => void,
): Promise<Files | undefined> {
  const blobs = new Map<string, Blob>();
  for (const [name, file] of Object.entries(record.files)) {
    if (!file) continue;
    const blob = await storage.blob(file.sha256, file.size);
    if (!blob) return undefined;
    blobs.set(name, blob);
    progress({ stage: "download", file: name, loaded: file.size, total: file.size, cached: true });
  }
  return { location: record.address, blobs, warnings: warnings(record), record };
}

async function fetched(
  address: string,
  stored: ModelRecord | undefined,
  options: Omit<LoadOptions, "onProgress" | "signal">,
  tools: Tools,
  progress: (progress: LoadProgress) => void,
  signal: AbortSignal,
): Promise<Files> {
  const place = await placeOf(address, options, signal);
  // Files of an earlier, unfinished load count where they are of the same revision.
  const files = stored && stored.revision === place.revision ? { ...stored.files } : {};
  const record: ModelRecord = { address, revision: place.revision, files, complete: false, stored: new Date().toISOString() };
  const blobs = new Map<string, Blob>();
  const get: Fetch = async (name) => {
    const had = blobs.get(name);
    if (had) return had;
    if (place.listing && !place.listing.has(name)) return undefined;
    const known = record.files[name];
    if (known === null) return undefined;
    const kept = known && (await tools.storage.blob(known.sha256, known.size));
    if (kept) {
      blobs.set(name, kept);
      progress({ stage: "download", file: name, loaded: kept.size, total: kept.size, cached: true });
      return kept;
    }
    const listed = place.listing?.get(name);
    const wanted = { url: place.url(name), name, sha256: options.checksums?.[name] ?? listed?.sha256, size: listed?.size };
    const tell = (loaded: number, total: number | undefined) =>
      progress({ stage: "download", file: name, loaded, cached: false, ...(total !== undefined && { total }) });
    const result = await download(wanted, tools.storage, tools.newDigest, tell, signal);
    // A single-page application's server answers every address with its page.
    const page = result && name.endsWith(".json") && (await result.blob.slice(0, 64).text()).trimStart().startsWith("<");
    if (result && !page) {
      record.files[name] = result.file;
      blobs.set(name, result.blob);
    } else {
      record.files[name] = null;
    }
    await tools.storage.save(record);
    return blobs.get(name);
  };
  await collect(get, `${address}`, tools.checkConfig);
  record.complete = true;
  await tools.storage.save(record);
  return { location: address, blobs, warnings: warnings(record), record };
}

interface ModuleEntry {
  path?: string;
  type?: string;
}

/** Modules of sentence-transformers that are read from tensors of their own. */
const WITH_TENSORS = ["Dense", "LayerNorm", "WeightedLayerPooling"];

/** Asks for the files that a checkpoint consists of, the small ones first. */
async function collect(get: Fetch, location: string, checkConfig: (config: Uint8Array) => void): Promise<void> {
  const list = await get("modules.json");
  const modules = list ? await json<ModuleEntry[]>(list, `${location}/modules.json`) : [];
  const class_ = ({ type }: ModuleEntry) => type?.split(".").pop() ?? "";
  const folder = ({ path }: ModuleEntry) => (path && path !== "." ? `${path.replace(/\/$/, "")}/` : "");
  const first = modules[0];
  const root = first ? folder(first) : "";
  // A table of token vectors has a tokenizer.json and nothing else to say.
  const table = first !== undefined && class_(first) === "StaticEmbedding";
  if (!table) {
    const config = await get(`${root}config.json`);
    if (!config) {
      throw new FrostbertError("model", `${location} has no ${root}config.json: give the address of a checkpoint's folder, as it is on the hub`);
    }
    checkConfig(await bytes(config));
  }
  if (!(await get(`${root}tokenizer.json`)) && (table || !(await get(`${root}vocab.txt`)))) {
    const lacks = table ? "no tokenizer.json" : "neither tokenizer.json nor vocab.txt";
    throw new FrostbertError("model", `${location} has ${lacks}: texts cannot be made into tokens`);
  }
  if (!table) {
    for (const name of ["tokenizer_config", "special_tokens_map", "added_tokens"]) await get(`${root}${name}.json`);
    if (list) await get(`${root}sentence_bert_config.json`);
  }
  if (list) {
    await get("config_sentence_transformers.json");
    for (const module of modules.slice(1)) {
      const path = folder(module);
      if (!path) continue;
      if (class_(module) !== "Normalize") await get(`${path}config.json`);
      if (WITH_TENSORS.includes(class_(module))) await get(`${path}model.safetensors`);
    }
  }
  if (await get(`${root}model.safetensors`)) return;
  const index = await get(`${root}model.safetensors.index.json`);
  if (!index) {
    throw new FrostbertError(
      "model",
      `${location} has no ${root}model.safetensors: a checkpoint that has only pytorch_model.bin must be saved again with safe_serialization=True`,
    );
  }
  const { weight_map } = await json<{ weight_map?: Record<string, string> }>(index, `${location}/${root}model.safetensors.index.json`);
  for (const shard of new Set(Object.values(weight_map ?? {}))) {
    if (!(await get(`${root}${shard}`))) throw new FrostbertError("model", `${location} has no ${root}${shard}, which its index names`);
  }
}

interface Place {
  url(name: string): string;
  revision?: string | undefined;
  /** What is there, where the server tells. */
  listing?: Map<string, { size?: number; sha256?: string }> | undefined;
}

const HUB = "https://huggingface.co";
const HUB_ID = /^[\w.-]+\/[\w.-]+(?:@[\w./-]+)?$/;

async function placeOf(address: string, options: { hub?: string }, signal: AbortSignal): Promise<Place> {
  // An address that begins so is one on this page's own server, however much it looks like an id.
  const relative = /^\.{0,2}\//.test(address);
  if (relative || !HUB_ID.test(address)) {
    let base: URL;
    try {
      base = new URL(address.replace(/\/*$/, "/"), self.location.origin + "/");
    } catch (cause) {
      throw new FrostbertError("input", `${address} is neither an address nor a hub id such as org/name`, { cause });
    }
    return { url: (name) => new URL(name.split("/").map(encodeURIComponent).join("/"), base).href };
  }
  const [id, revision = "main"] = address.split("@") as [string, string?];
  const hub = (options.hub ?? HUB).replace(/\/*$/, "");
  const listingUrl = `${hub}/api/models/${id}/revision/${encodeURIComponent(revision)}?blobs=true`;
  let response: Response;
  try {
    response = await fetch(listingUrl, { signal });
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw new FrostbertError("io", `cannot reach the hub for ${id}: load it once with a network; afterwards it is kept here`, { cause });
  }
  if (!response.ok) {
    const hint = response.status === 401 || response.status === 404 ? "there is no such public model" : `the hub answered ${response.status}`;
    throw new FrostbertError("io", `cannot load ${address}: ${hint} (${listingUrl})`);
  }
  const { sha, siblings } = (await response.json()) as {
    sha: string;
    siblings: { rfilename: string; size?: number; lfs?: { sha256?: string; size?: number } }[];
  };
  const listing = new Map<string, { size?: number; sha256?: string }>();
  for (const { rfilename, size, lfs } of siblings) {
    listing.set(rfilename, { ...(size !== undefined && { size }), ...(lfs?.sha256 !== undefined && { sha256: lfs.sha256 }) });
  }
  return { url: (name) => `${hub}/${id}/resolve/${sha}/${name}`, revision: sha, listing };
}

async function dropped(files: { path: string; file: File }[], tools: Tools): Promise<Files> {
  const named = files.filter(({ path }) => /(^|\/)(config|modules)\.json$/.test(path));
  // The checkpoint's own file is the highest one: 1_Pooling has a config.json too.
  const top = named.sort((a, b) => a.path.split("/").length - b.path.split("/").length)[0];
  if (!top) {
    throw new FrostbertError("model", "there is no config.json among these files: choose the whole folder of a checkpoint");
  }
  const root = top.path.slice(0, top.path.lastIndexOf("/") + 1);
  const inside = new Map(files.filter(({ path }) => path.startsWith(root)).map(({ path, file }) => [path.slice(root.length), file]));
  const location = root.replace(/\/$/, "") || "chosen files";
  const blobs = new Map<string, Blob>();
  await collect(
    async (name) => {
      const file = inside.get(name);
      if (file) blobs.set(name, file);
      return file;
    },
    location,
    tools.checkConfig,
  );
  return { location, blobs, warnings: [], record: undefined };
}

function warnings(record: ModelRecord): string[] {
  return Object.entries(record.files).flatMap(([name, file]) =>
    file && name.endsWith(".safetensors") && !file.checked && file.zeros >= SUSPICIOUS_ZEROS
      ? [`${name} holds ${file.zeros} zero bytes in a row, which no trained model does: the server's copy may be damaged, and its results wrong`]
      : [],
  );
}

async function bytes(blob: Blob): Promise<Uint8Array> {
  return new Uint8Array(await blob.arrayBuffer());
}

async function json<T>(blob: Blob, name: string): Promise<T> {
  try {
    return JSON.parse(await blob.text()) as T;
  } catch (cause) {
    throw new FrostbertError("model", `${name} is not JSON`, { cause });
  }
}
