// Builds everything: the WebAssembly, the npm package, the page. From a fresh clone: `node build.mjs`.
//
//   --wasm | --package | --page   only this part
//
// What is up to date is not built again. Needs a Rust toolchain with the target wasm32-unknown-unknown, and Node.

import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { withoutRelaxed } from "./unrelaxed.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = join(here, "..");
const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
const compiled = join(target, "wasm32-unknown-unknown/web/frostbert_web.wasm");
const wasmFolder = join(here, "src/wasm");
const packageFolder = join(here, "dist/package");
const bin = (name) => join(here, "node_modules/.bin", name);

/** No inlining: what the compiler left apart are kernels, whose loops browsers compile well only in small functions. */
const KEPT_APART = ["--one-caller-inline-max-function-size=20", "--flexible-inline-max-function-size=20"];

const parts = process.argv.slice(2).map((part) => part.replace(/^--/, ""));
const wanted = (part) => parts.length === 0 || parts.includes(part);

if (!existsSync(bin("vite"))) run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
if (wanted("wasm")) buildWasm();
if (wanted("package")) buildPackage();
if (wanted("page")) buildPage();

function buildWasm() {
  const bindgen = wasmBindgen();
  say("compiling the WebAssembly");
  run("cargo", ["build", "--profile", "web", "--target", "wasm32-unknown-unknown", "--package", "frostbert-web"], root);
  const optimised = join(wasmFolder, "frostbert_web_bg.wasm");
  if (existsSync(optimised) && statSync(optimised).mtimeMs > statSync(compiled).mtimeMs) return;
  const bound = join(target, "web-bindgen");
  rmSync(bound, { recursive: true, force: true });
  run(bindgen, [compiled, "--target", "web", "--out-dir", bound]);
  say("optimising it");
  const plain = ["--enable-simd", "--enable-bulk-memory", "--enable-nontrapping-float-to-int", "--enable-sign-ext", "--enable-mutable-globals", "--enable-multivalue", "--enable-reference-types"];
  const relaxed = [...plain, "--enable-relaxed-simd"];
  // The compiler has done most of it: -O3 takes twice the time and saves a hundredth more.
  const fresh = join(bound, "frostbert_web_bg.wasm");
  // As compiled, for browsers with fused multiply-adds; and without, for all.
  const fused = join(bound, "frostbert_web_relaxed.wasm");
  run(bin("wasm-opt"), ["-O2", ...KEPT_APART, ...relaxed, fresh, "-o", fused]);
  const text = join(bound, "module.wat");
  run(bin("wasm-dis"), [...relaxed, fused, "-o", text]);
  writeFileSync(text, withoutRelaxed(readFileSync(text, "utf8")));
  run(bin("wasm-as"), [...plain, text, "-o", fresh]);
  rmSync(text);
  rmSync(wasmFolder, { recursive: true, force: true });
  cpSync(bound, wasmFolder, { recursive: true });
}

/** wasm-bindgen's tool in exactly the version of the library in Cargo.lock: installed once into the user's cache. */
function wasmBindgen() {
  const lock = readFileSync(join(root, "Cargo.lock"), "utf8");
  const version = /name = "wasm-bindgen"\nversion = "([^"]+)"/.exec(lock)?.[1];
  if (!version) throw new Error("Cargo.lock names no wasm-bindgen");
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const place = join(cache, "frostbert/tools", `wasm-bindgen-${version}`);
  const tool = join(place, "bin/wasm-bindgen");
  if (!existsSync(tool)) {
    say(`installing wasm-bindgen-cli ${version} (once, some minutes)`);
    run("cargo", ["install", "wasm-bindgen-cli", "--version", version, "--bin", "wasm-bindgen", "--root", place], root);
  }
  return tool;
}

/** Plain ES modules, one for each source file: bundlers take what is used. */
function buildPackage() {
  say("building the npm package");
  rmSync(packageFolder, { recursive: true, force: true });
  run(bin("tsc"), ["-p", "src/tsconfig.json"]);
  run(bin("tsc"), ["-p", "src/worker/tsconfig.json"]);
  mkdirSync(join(packageFolder, "wasm"), { recursive: true });
  for (const name of ["frostbert_web.js", "frostbert_web_bg.wasm", "frostbert_web_relaxed.wasm"]) cpSync(join(wasmFolder, name), join(packageFolder, "wasm", name));
  if (existsSync(join(wasmFolder, "snippets"))) cpSync(join(wasmFolder, "snippets"), join(packageFolder, "wasm/snippets"), { recursive: true });
}

function buildPage() {
  say("building the page");
  run(bin("tsc"), ["-p", "page/tsconfig.json"]);
  run(bin("vite"), ["build", "--logLevel", "warn"]);
}

function run(command, args, cwd = here) {
  const { status, error } = spawnSync(command, args, { cwd, stdio: "inherit" });
  if (error) throw error;
  if (status !== 0) {
    console.error(`build.mjs: ${command} ${args.slice(0, 3).join(" ")} failed`);
    process.exit(1);
  }
}

function say(text) {
  console.log(`web: ${text}`);
}
