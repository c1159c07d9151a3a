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
