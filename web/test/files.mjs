// What the tests compare with.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const goldens = join(root, "tests/fixtures/goldens");
/** Checkpoints without a transformer. */
export const statics = join(root, "tests/fixtures/static");

/** The folder of the real all-MiniLM-L6-v2. */
export function minilm() {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const place = process.env.FROSTBERT_MINILM || join(cache, "frostbert/models/all-MiniLM-L6-v2");
  if (!existsSync(join(place, "model.safetensors"))) throw new Error(`${place} is not there: run \`cargo xtask fetch\``);
  return place;
}

/** Tensors of a safetensors file, by name: { shape, values }. Only 32-bit and 64-bit floats. */
export function tensors(file) {
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
  const all = {};
  delete header.__metadata__;
  for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(header)) {
    const slice = new Uint8Array(bytes.subarray(8 + length + from, 8 + length + to)).buffer;
    const kinds = { F32: Float32Array, F64: Float64Array };
    if (dtype in kinds) all[name] = { shape, values: new kinds[dtype](slice) };
  }
  return all;
}

/** Runs the command line; what it prints. */
export function frostbert(...words) {
  const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
  const binary = ["debug", "release"].map((profile) => join(target, profile, "frostbert")).find(existsSync);
  if (!binary) throw new Error("the command line is not built: run `cargo build`");
  return execFileSync(binary, words, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
}

export function json(file) {
  return JSON.parse(readFileSync(file, "utf8"));
}

/** Largest absolute difference; NaN where one of them is no number or the lengths differ. */
export function largestDifference(actual, expected) {
  if (actual.length !== expected.length) return NaN;
  let largest = 0;
  for (let i = 0; i < actual.length; i++) {
    const difference = Math.abs(actual[i] - expected[i]);
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}
