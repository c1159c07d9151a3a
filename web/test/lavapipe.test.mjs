// Kernels for graphics cards that offer f16 and subgroups, through Chromium's own compiler, on the one adapter here that offers both.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { join } from "node:path";
import { goldens, json, largestDifference, tensors } from "./files.mjs";
import { exposeShaders, harness, openPackage, shadersOf } from "./harness.mjs";
import { chromiumOnLavapipe, notTested } from "./lavapipe.mjs";

/** The contract of f16 on unit vectors: a cosine, and the largest difference of a coordinate. */
const COSINE = 0.9999;
const COORDINATE = 2e-3;

const chromium = chromiumOnLavapipe();
if (chromium.missing) notTested(`f16 and subgroups in Chromium: this needs ${chromium.missing}`);

const options = { skip: chromium.missing };
const shared = chromium.missing ? {} : harness({ executable: chromium.executable, env: chromium.env });
after(() => chromium.remove?.());

const plain = Object.entries(json(join(goldens, "sentence-mean", "cases.json")).cases)
  .filter(([, one]) => !one.text_pairs && !one.prompt_name)
  .map(([name, { texts }]) => [name, texts]);
const wanted = tensors(join(goldens, "sentence-mean", "cases.safetensors"));

async function embedded(options, golden = "sentence-mean") {
  const { page, close } = await openPackage(shared);
  exposeShaders(shared.server);
  try {
    const found = await page.evaluate(
      async ([address, options, plain]) => {
        const encoder = await load(address, options);
        const found = { device: encoder.device, model: encoder.model, rows: {}, alone: {}, checks: await encoder.verify() };
        for (const [name, texts] of plain) {
          const unit = { normalize: true };
          found.rows[name] = rows(await encoder.embed(texts, unit)).data;
          found.alone[name] = rows(await encoder.embed(texts.slice(-1), unit)).data;
        }
        return found;
      },
      [`${shared.server.origin}/goldens/${golden}`, { device: "webgpu", ...options }, plain],
    );
    return { ...found, shaders: await shadersOf(page) };
  } finally {
    await close();
  }
}

test("the adapter is lavapipe, with f16 and subgroups", options, async () => {
  const { page, close } = await openPackage(shared);
  const features = await page.evaluate(async () => [...(await navigator.gpu.requestAdapter()).features]);
  await close();
  assert.ok(features.includes("shader-f16") && features.includes("subgroups"), `${features}`);
});

for (const [kernels, dtypes] of [["half", ["f16", "f32"]], ["browser", ["f16", "f32"]], [undefined, ["f32"]]]) {
  for (const dtype of dtypes) {
    test(`${kernels ?? "an adapter's own"} kernels with weights in ${dtype}: within the contract, whatever else is in the batch`, options, async (t) => {
      const { device, model, rows, alone, checks, shaders } = await embedded({ kernels, dtype });
      // A failed check at the start would show as class `browser`.
      assert.equal(device.class, kernels ?? "software");
      assert.equal(model.dtype, dtype);
      assert.deepEqual(checks.filter(({ pass }) => !pass), []);
      const has = (words) => shaders.some((shader) => shader.includes(words));
      assert.equal(has("array<vec4<f16>>"), kernels === "half" && dtype === "f16");
      assert.equal(has("subgroupShuffleXor"), kernels === "half" && dtype === "f16");
      let most = 0;
      for (const [name] of plain) {
        const expected = unitRows(wanted[`${name}/sentence_embedding`]);
        const width = wanted[`${name}/sentence_embedding`].shape[1];
        const error = largestDifference(rows[name], expected);
        most = Math.max(most, error);
        if (dtype === "f16") {
          assert.ok(error <= COORDINATE, `${name}: ${error}`);
          for (let at = 0; at < expected.length; at += width) {
            const cosine = expected.slice(at, at + width).reduce((sum, value, i) => sum + value * rows[name][at + i], 0);
            assert.ok(cosine >= COSINE, `${name}: cosine ${cosine}`);
          }
        } else {
          assert.ok(error <= 4e-6, `${name}: ${error}`);
        }
        assert.deepEqual(rows[name].slice(-width), alone[name], `${name}: the last text alone`);
      }
      t.diagnostic(`${device.class}, ${dtype}: largest error ${most.toExponential(2)}`);
      assert.equal(most > 1e-6, dtype === "f16", "were the weights f16 at all?");
    });
  }
}

test("a checkpoint in f16 stays so unless it is told otherwise", options, async () => {
  for (const [dtype, expected] of [["auto", "f16"], [undefined, "f16"], ["f32", "f32"]]) {
    const { model, checks } = await embedded({ kernels: "half", ...(dtype && { dtype }) }, "bert-float16");
    assert.equal(model.dtype, expected);
    assert.deepEqual(checks.filter(({ pass }) => !pass), []);
  }
});

function unitRows({ shape: [count, width], values }) {
  const all = [...values];
  for (let row = 0; row < count; row++) {
    const length = Math.hypot(...all.slice(row * width, (row + 1) * width));
    for (let i = 0; i < width; i++) all[row * width + i] /= length;
  }
  return all;
}
