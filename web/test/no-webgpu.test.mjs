// A browser without WebGPU.

import assert from "node:assert/strict";
import { test } from "node:test";
import { harness, openPackage } from "./harness.mjs";

const shared = harness({ webgpu: false });

test("without WebGPU the page says so, and works", async (t) => {
  const context = await shared.chrome.context();
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(`${shared.server.origin}/`);
  await page.getByLabel("Model", { exact: true }).fill(`${shared.server.origin}/goldens/sentence-cls`);
  await page.getByRole("button", { name: "Load", exact: true }).click();
  await page.locator(".facts dd").getByText("CPU (WebAssembly)", { exact: true }).waitFor();
  await page.getByText(/no WebGPU on a graphics adapter, so the CPU computes/).waitFor();
  await page.getByLabel("Device").selectOption("webgpu");
  await page.getByRole("button", { name: "Load", exact: true }).click();
  await page.getByRole("alert").filter({ hasText: /no WebGPU adapter.*choose the CPU/ }).waitFor();
});

test("without WebGPU the CPU computes, and the page says so", async () => {
  const { page, close } = await openPackage(shared);
  const result = await page.evaluate(async (address) => {
    const automatic = await load(address);
    const { shape } = await automatic.embed(["x"]);
    return { device: automatic.device, shape, asked: await attempt(() => load(address, { device: "webgpu" })) };
  }, `${shared.server.origin}/goldens/sentence-cls`);
  assert.equal(result.device.backend, "cpu");
  assert.match(result.device.note, /no WebGPU/);
  assert.equal(result.shape[0], 1);
  assert.equal(result.asked.kind, "device");
  assert.match(result.asked.message, /choose the CPU/);
  await close();
});

test("without relaxed SIMD another WebAssembly computes the same", async () => {
  const texts = ["a text", "another one, which is longer than the first", ""];
  const run = async (prepare) => {
    const { page, close } = await openPackage(shared);
    prepare?.();
    const before = shared.server.log.length;
    const result = await page.evaluate(async ([address, texts]) => rows(await (await load(address)).embed(texts)), [
      `${shared.server.origin}/goldens/sentence-cls`,
      texts,
    ]);
    await close();
    const fetched = shared.server.log.slice(before).map(({ path }) => /frostbert_web_\w+\.wasm$/.exec(path)?.[0]);
    return { ...result, wasm: [...new Set(fetched.filter(Boolean))] };
  };
  const fused = await run();
  const plain = await run(() => shared.server.inject(/\/relaxed\.js$/, "WebAssembly.validate = () => false;"));
  assert.deepEqual(fused.wasm, ["frostbert_web_relaxed.wasm"]);
  assert.deepEqual(plain.wasm, ["frostbert_web_bg.wasm"]);
  assert.deepEqual(plain.shape, fused.shape);
  const apart = plain.data.map((value, at) => Math.abs(value - fused.data[at]));
  assert.ok(Math.max(...apart) < 1e-5, `${Math.max(...apart)}`);
  // Where the processor fuses them, which the browser decides, one rounding less shows somewhere.
  console.log(`largest difference of the two: ${Math.max(...apart)}`);
});
