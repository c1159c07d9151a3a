// The package in a bundler: everything it needs comes along, and nothing that is not used.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "vite";
import { root } from "./files.mjs";

const folder = mkdtempSync(join(tmpdir(), "frostbert-bundle-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Names and sizes of what Vite makes of a script. */
async function bundled(script) {
  writeFileSync(join(folder, "app.js"), script);
  const { output } = await build({
    root: folder,
    configFile: false,
    logLevel: "warn",
    resolve: { alias: { frostbert: join(root, "web") } },
    build: { write: false, rollupOptions: { input: join(folder, "app.js") } },
    worker: { format: "es" },
  });
  return output.map((file) => ({ name: file.fileName, size: (file.code ?? file.source).length }));
}

test("the worker and the WebAssembly come along", async () => {
  const files = await bundled(`import { Encoder } from "frostbert"; globalThis.load = (address) => Encoder.load(address);`);
  assert.ok(files.some(({ name }) => name.endsWith(".wasm")), JSON.stringify(files));
  assert.ok(files.filter(({ name }) => name.endsWith(".js")).length >= 2, JSON.stringify(files));
});

test("what is not used stays out", async () => {
  const files = await bundled(`import { FrostbertError } from "frostbert"; globalThis.mine = (error) => error instanceof FrostbertError;`);
  assert.deepEqual(files.length, 1, JSON.stringify(files));
  assert.ok(files[0].size < 3_000, JSON.stringify(files));
});
