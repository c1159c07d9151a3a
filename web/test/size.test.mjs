// What a visitor downloads.

import assert from "node:assert/strict";
import { test } from "node:test";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";
import { root } from "./files.mjs";

const page = join(root, "web/dist/page");
const files = readdirSync(page, { recursive: true });

test("the WebAssembly, with and without relaxed SIMD, is below 2.5 MB after brotli", (t) => {
  const wasm = files.filter((name) => name.endsWith(".wasm")).sort();
  assert.deepEqual(wasm.map((name) => name.replace(/.*(frostbert_web_\w+)-.*/, "$1")), ["frostbert_web_bg", "frostbert_web_relaxed"]);
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24 };
  for (const name of wasm) {
    const bytes = brotliCompressSync(readFileSync(join(page, name)), { params }).length;
    t.diagnostic(`${name}: ${bytes} bytes`);
    assert.ok(bytes > 100_000 && bytes < 2_500_000, `${bytes} bytes`);
  }
});

test("the page's scripts are below 300 kB", (t) => {
  const bytes = files.filter((name) => name.endsWith(".js")).reduce((sum, name) => sum + statSync(join(page, name)).size, 0);
  t.diagnostic(`${bytes} bytes`);
  assert.ok(bytes > 10_000 && bytes < 300_000, `${bytes} bytes`);
});
