// The npm package in a plain page: numbers, stopping, faults of the network, lost devices.

import assert from "node:assert/strict";
import { test } from "node:test";
import { join } from "node:path";
import { readFileSync, writeFileSync } from "node:fs";
import { frostbert, goldens, json, largestDifference, minilm, root, statics, tensors } from "./files.mjs";
import { devicesOf, exposeDevices, harness, openPackage, WORKER_SCRIPT } from "./harness.mjs";

const shared = harness();

/** Runs `work(page)` in a page of its own. */
function inPage(name, work) {
  test(name, async (t) => {
    const opened = await openPackage(shared);
    try {
      await work(opened.page, t, opened.context);
    } finally {
      await opened.close();
    }
  });
}

const GOLDEN = "all-MiniLM-L6-v2";
const cases = json(join(goldens, GOLDEN, "cases.json"));
const expected = tensors(join(goldens, GOLDEN, "cases.safetensors")).sentence_embedding;
const ids = json(join(goldens, GOLDEN, "input_ids.json"));

for (const device of ["cpu", "webgpu"]) {
  inPage(`all-MiniLM-L6-v2 on ${device}: unit vectors at most 2e-6 from float64`, async (page, t) => {
    // The software adapter is slow: only a part of the long texts there.
    const picked = cases.texts.map((_, row) => row).filter((row) => device === "cpu" || ids[row].length < 24 || row === 55);
    const texts = picked.map((row) => cases.texts[row]);
    const wanted = picked.flatMap((row) => [...expected.values.subarray(row * 384, (row + 1) * 384)]);
    const result = await page.evaluate(
      async ([address, device, texts]) => {
        const seen = [];
        const encoder = await load(address, { device, onProgress: (p) => seen.push(p) });
        const progress = [];
        const embeddings = await encoder.embed(texts, { onProgress: (p) => progress.push(p) });
        return { ...rows(embeddings), model: encoder.model, device: encoder.device, seen, progress, warnings: encoder.warnings };
      },
      [`${shared.server.origin}/minilm`, device, texts],
    );
    assert.deepEqual(result.shape, [texts.length, 384]);
    assert.deepEqual(result.tokens.map((count, row) => (result.truncated[row] ? 256 : count)), picked.map((row) => ids[row].length));
    const error = largestDifference(result.data, wanted);
    t.diagnostic(`${result.device.name} (${result.device.class}): largest error ${error.toExponential(2)}`);
    assert.ok(error <= 2e-6, `largest error ${error}`);
    assert.equal(result.model.dim, 384);
    assert.equal(result.model.maxTokens, 256);
    assert.equal(result.device.backend === "cpu", device === "cpu");
    assert.deepEqual(result.warnings, []);
    assert.equal(result.progress.at(-1).texts, texts.length);
    const whole = result.seen.filter((p) => p.file === "model.safetensors").at(-1);
    assert.equal(whole.loaded, whole.total);
  });

  inPage(`a text that is too long keeps its [SEP] on ${device}`, async (page) => {
    const row = ids.findIndex((one) => one.length === 256);
    const address = `${shared.server.origin}/minilm`;
    const result = await page.evaluate(
      async ([address, device, text]) => rows(await (await load(address, { device })).embed([text])),
      [address, device, cases.texts[row]],
    );
    assert.deepEqual(result.truncated, [1]);
    assert.ok(result.tokens[0] > 256);
    // The reference's ids end in 102, [SEP]: without it the vector is another one.
    assert.equal(ids[row].at(-1), 102);
    const error = largestDifference(result.data, expected.values.slice(row * 384, (row + 1) * 384));
    assert.ok(error <= 2e-6, `largest error ${error}`);
  });
}

// Real graphics cards run the kernels of class `browser`: here they run on the software adapter too.
for (const [device, kernels] of [["cpu"], ["webgpu"], ["webgpu", "browser"]]) {
  for (const golden of ["sentence-cls", "sentence-max", "sentence-lasttoken"]) {
    inPage(`${golden} on ${device}${kernels ? ` with ${kernels} kernels` : ""}: within the contract`, async (page) => {
      const { cases: all, torch_float32_error: torch } = json(join(goldens, golden, "cases.json"));
      const wanted = tensors(join(goldens, golden, "cases.safetensors"));
      const plain = Object.entries(all).filter(([, one]) => !one.text_pairs && !one.prompt_name).map(([name, { texts }]) => [name, texts]);
      const results = await page.evaluate(
        async ([address, options, plain]) => {
          const encoder = await load(address, options);
          const all = { class: encoder.device.class };
          for (const [name, texts] of plain) all[name] = rows(await encoder.embed(texts)).data;
          return all;
        },
        [`${shared.server.origin}/goldens/${golden}`, { device, kernels }, plain],
      );
      assert.equal(results.class, kernels ?? (device === "cpu" ? "cpu" : "software"));
      for (const [name] of plain) {
        const key = `${name}/sentence_embedding`;
        const error = largestDifference(results[name], wanted[key].values);
        const largest = Math.max(1, ...wanted[key].values.map(Math.abs));
        assert.ok(error <= Math.max(4 * torch[key], 4e-6 * largest), `${key}: largest error ${error}, PyTorch's own ${torch[key]}`);
      }
    });
  }
}

for (const [device, kernels] of [["cpu"], ["webgpu"], ["webgpu", "browser"]]) {
  inPage(`tables of token vectors on ${device}${kernels ? ` with ${kernels} kernels` : ""}: as sentence-transformers computes them`, async (page) => {
    for (const [name, { texts, vectors }] of Object.entries(json(join(statics, "expected.json")))) {
      const found = await page.evaluate(
        async ([address, options, texts]) => {
          const encoder = await load(address, options);
          const result = rows(await encoder.embed(texts));
          encoder.dispose();
          return result.data;
        },
        [`${shared.server.origin}/static/${name}`, { device, kernels }, texts],
      );
      // sentence-transformers computes with the halves as they are.
      const most = name === "halves" ? 2e-3 : 2e-6;
      const error = largestDifference(found, vectors.flat());
      assert.ok(error <= most, `${name}: largest error ${error}`);
    }
  });
}

inPage("every file is asked for once, and not again when the model is stored", async (page) => {
  const address = `${shared.server.origin}/minilm/`;
  const before = shared.server.log.length;
  await page.evaluate((address) => load(address, { device: "cpu" }), address);
  const paths = shared.server.log.slice(before).map(({ path }) => path).filter((path) => path.startsWith("/minilm"));
  assert.deepEqual([...new Set(paths)].sort(), [...paths].sort());
  assert.ok(paths.includes("/minilm/model.safetensors"));
  const between = shared.server.log.length;
  const stored = await page.evaluate(async (address) => {
    encoder.dispose();
    await load(address, { device: "cpu" });
    return frostbert.listModels();
  }, address);
  assert.deepEqual(shared.server.log.slice(between).map(({ path }) => path).filter((path) => path.startsWith("/minilm")), []);
  assert.equal(stored.length, 1);
  assert.equal(stored[0].address, address);
  // Offline altogether.
  shared.server.setDown("/minilm");
  const offline = await page.evaluate(async (address) => {
    encoder.dispose();
    await load(address, { device: "cpu" });
    return encoder.model.dim;
  }, address);
  assert.equal(offline, 384);
});

inPage("a download that is stopped or breaks goes on where it was", async (page) => {
  const address = `${shared.server.origin}/minilm`;
  shared.server.fault("model.safetensors", { kind: "slow", bytesPerSecond: 20e6, times: 1 });
  const stopped = await page.evaluate((address) => {
    const controller = new AbortController();
    const onProgress = (p) => {
      if (p.file === "model.safetensors" && p.loaded > 3e6) controller.abort();
    };
    return attempt(() => load(address, { device: "cpu", signal: controller.signal, onProgress }));
  }, address);
  assert.equal(stopped.kind, "abort");
  assert.equal(stopped.name, "AbortError");
  // Once it breaks and is taken up by itself.
  shared.server.fault("model.safetensors", { kind: "cut", keep: 0.6, times: 1 });
  const before = shared.server.log.length;
  const result = await page.evaluate(async ([address, texts]) => rows(await (await load(address, { device: "cpu" })).embed(texts)), [address, cases.texts.slice(0, 2)]);
  const requests = shared.server.log.slice(before).filter(({ path }) => path === "/minilm/model.safetensors");
  assert.equal(requests.length, 2);
  assert.ok(requests.every(({ status, range }) => status === 206 && range !== null), JSON.stringify(requests));
  assert.ok(requests.reduce((sum, { bytes }) => sum + bytes, 0) < 90e6);
  const error = largestDifference(result.data, expected.values.slice(0, 2 * 384));
  assert.ok(error <= 2e-6, `largest error ${error}`);
});

for (const [what, fault, kind] of [
  ["HTTP 500", { kind: "status", status: 500 }, "io"],
  ["a page in place of the file", { kind: "html" }, "model"],
  ["garbage", { kind: "garbage" }, "model"],
  ["half a file", { kind: "short" }, "model"],
  ["a connection that always breaks", { kind: "cut", keep: 0.5 }, "io"],
]) {
  inPage(`${what} is an error that leaves nothing behind`, async (page) => {
    const address = `${shared.server.origin}/goldens/sentence-max`;
    for (const file of ["model.safetensors", "config.json", "tokenizer.json"]) {
      shared.server.fault(file, fault);
      const failed = await page.evaluate((address) => attempt(() => load(address, { device: "cpu" })), address);
      assert.ok([kind, file.endsWith(".json") && kind === "io" ? "io" : "model"].includes(failed.kind), `${file}: ${JSON.stringify(failed)}`);
      assert.ok(failed.message.length > 20, failed.message);
      shared.server.fault();
      const repaired = await page.evaluate((address) => attempt(async () => (await load(address, { device: "cpu" })).model.dim), address);
      assert.equal(typeof repaired.value, "number", `${file}: ${JSON.stringify(repaired)}`);
      await page.evaluate((address) => frostbert.removeModel(address), address);
    }
  });
}

inPage("weights with a hole are told of, and refused where a checksum is known", async (page) => {
  const address = `${shared.server.origin}/minilm`;
  shared.server.fault("model.safetensors", { kind: "zeros", at: 0.6, bytes: 4096 });
  const warned = await page.evaluate((address) => attempt(async () => (await load(address, { device: "cpu" })).warnings), address);
  assert.match(warned.value.join(), /zero bytes in a row/);
  const sum = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db";
  const refused = await page.evaluate(
    ([address, sum]) => attempt(() => load(address, { device: "cpu", refresh: true, checksums: { "model.safetensors": sum } })),
    [address, sum],
  );
  assert.equal(refused.kind, "model");
  assert.match(refused.message, /SHA-256/);
  shared.server.fault();
  const good = await page.evaluate(
    ([address, sum]) => attempt(async () => (await load(address, { device: "cpu", refresh: true, checksums: { "model.safetensors": sum } })).warnings),
    [address, sum],
  );
  assert.deepEqual(good.value, []);
});

inPage("a pass is stopped between two batches, and the encoder goes on", async (page) => {
  const result = await page.evaluate(async (address) => {
    const encoder = await load(address, { device: "cpu", batchTokens: 64 });
    const texts = Array.from({ length: 400 }, (_, i) => `Text number ${i} of a pass that takes a while to compute.`);
    const controller = new AbortController();
    let done = 0;
    const onProgress = (p) => {
      done = p.texts;
      if (done > 20) controller.abort();
    };
    const stopped = await attempt(() => encoder.embed(texts, { signal: controller.signal, onProgress }));
    const again = await encoder.embed(texts.slice(0, 3));
    return { stopped, done, shape: again.shape };
  }, `${shared.server.origin}/minilm`);
  assert.equal(result.stopped.kind, "abort");
  assert.ok(result.done < 400, `${result.done} were done`);
  assert.deepEqual(result.shape, [3, 384]);
});

inPage("a text's bits do not depend on its neighbours", async (page) => {
  for (const device of ["cpu", "webgpu"]) {
    const equal = await page.evaluate(
      async ([address, device, texts]) => {
        const encoder = await load(address, { device });
        const together = await encoder.embed(texts);
        const reversed = await encoder.embed([...texts].reverse());
        const [n, dim] = together.shape;
        let equal = true;
        for (let i = 0; i < n; i++) for (let j = 0; j < dim; j++) equal &&= together.data[i * dim + j] === reversed.data[(n - 1 - i) * dim + j];
        encoder.dispose();
        return equal;
      },
      [`${shared.server.origin}/goldens/sentence-max`, device, ["A short one.", "A text that is somewhat longer than that.", "Third."]],
    );
    assert.ok(equal, device);
  }
});

inPage("the page goes on while a model loads and texts are embedded", async (page) => {
  for (const device of ["cpu", "webgpu"]) {
    const ticks = await page.evaluate(
      async ([address, device]) => {
        const first = await ticking(async () => (await load(address, { device })).embed(["The first text."]));
        const texts = Array.from({ length: 60 }, (_, i) => `Text number ${i} of a pass that would freeze a page.`);
        const pass = await ticking(() => encoder.embed(device === "cpu" ? texts : texts.slice(0, 8)));
        encoder.dispose();
        return [first.ticks, pass.ticks];
      },
      [`${shared.server.origin}/minilm`, device],
    );
    assert.ok(ticks.every((count) => count >= 10), `${device}: ${ticks} turns of a timer`);
  }
});

inPage("a model that is too large for the device is refused in words", async (page) => {
  // What a browser does when a device of 32 MB runs out of memory.
  shared.server.inject(WORKER_SCRIPT, `{
    let left = 32e6;
    const create = GPUDevice.prototype.createBuffer;
    GPUDevice.prototype.createBuffer = function (descriptor) {
      left -= descriptor.size;
      const error = () => new GPUUncapturedErrorEvent("uncapturederror", { error: new GPUOutOfMemoryError("no memory left") });
      if (left < 0) queueMicrotask(() => this.dispatchEvent(error()));
      return create.call(this, descriptor);
    };
  }`);
  const address = `${shared.server.origin}/minilm`;
  const refused = await page.evaluate((address) => attempt(() => load(address, { device: "webgpu" })), address);
  assert.equal(refused.kind, "limit", JSON.stringify(refused));
  assert.match(refused.message, /no memory left/);
  const cpu = await page.evaluate(async (address) => (await (await load(address, { device: "cpu" })).embed(["x"])).shape, address);
  assert.deepEqual(cpu, [1, 384]);
});

inPage("a lost device is opened again, and the pass goes on", async (page, t) => {
  exposeDevices(shared.server);
  const devices = devicesOf(page);
  const texts = Array.from({ length: 40 }, (_, i) => cases.texts[3 + (i % 2)]);
  const address = `${shared.server.origin}/minilm`;
  await page.evaluate((address) => load(address, { device: "webgpu", batchTokens: 64 }), address);
  await page.evaluate((texts) => {
    window.progress = 0;
    window.pass = attempt(() => encoder.embed(texts, { onProgress: (p) => (window.progress = p.texts) }).then(rows));
  }, texts);
  await page.waitForFunction(() => window.progress > 5);
  const before = await devices.opened();
  await devices.lose();
  const result = await page.evaluate(async () => ({ ...(await window.pass), device: encoder.device }));
  assert.ok(result.value, JSON.stringify(result));
  assert.match(result.device.note, /lost/);
  assert.equal(result.device.backend === "cpu", false);
  assert.ok((await devices.opened()) > before);
  const wanted = Float32Array.from(texts.flatMap((_, i) => [...expected.values.slice((3 + (i % 2)) * 384, (4 + (i % 2)) * 384)]));
  const error = largestDifference(result.value.data, wanted);
  t.diagnostic(`largest error ${error.toExponential(2)}`);
  assert.ok(error <= 2e-6, `largest error ${error}`);
});

inPage("odd texts", async (page) => {
  const result = await page.evaluate(async (address) => {
    const encoder = await load(address, { device: "cpu" });
    const odd = ["", " ", "\u0000", "é".repeat(10), "😀 emoji", "word ".repeat(20_000), "\ud800 alone"];
    const embeddings = await encoder.embed(odd);
    const none = await encoder.embed([]);
    const counted = await encoder.countTokens(odd);
    return {
      finite: embeddings.data.every(Number.isFinite), shape: embeddings.shape, none: none.shape,
      truncated: [...embeddings.truncated], tokens: [...embeddings.tokens], counted: [...counted.tokens],
      wrong: await attempt(() => encoder.embed(["fine", 3])),
      tooLong: await attempt(() => encoder.embed(["word ".repeat(1000)], { truncate: "error" })),
      layer: await attempt(() => encoder.embed(["x"], { layers: [99] })),
      mask: await attempt(() => encoder.fillMask("Paris is the [MASK] of France.")),
      after: (await encoder.embed(["still here"])).shape,
    };
  }, `${shared.server.origin}/minilm`);
  assert.ok(result.finite);
  assert.deepEqual(result.shape, [7, 384]);
  assert.deepEqual(result.none, [0, 384]);
  assert.deepEqual(result.truncated, [0, 0, 0, 0, 0, 1, 0]);
  assert.deepEqual(result.tokens, result.counted);
  for (const failed of [result.wrong, result.tooLong, result.layer, result.mask]) assert.equal(failed.kind, "input", JSON.stringify(failed));
  assert.deepEqual(result.after, [1, 384]);
});

inPage("one failure does not outlive itself", async (page) => {
  const result = await page.evaluate(async (origin) => {
    const first = await attempt(() => load(`${origin}/goldens/nothing-here`));
    const encoder = await load(`${origin}/goldens/sentence-cls`, { device: "cpu" });
    const works = (await encoder.embed(["x"])).shape[0];
    encoder.dispose();
    return { first, works, disposed: await attempt(() => encoder.embed(["x"])) };
  }, shared.server.origin);
  assert.equal(result.first.kind, "model");
  assert.match(result.first.message, /config\.json/);
  assert.equal(result.works, 1);
  assert.equal(result.disposed.kind, "input");
});

inPage("the masked-language-model head", async (page) => {
  const candidates = await page.evaluate(async (address) => {
    const encoder = await load(address, { device: "cpu" });
    return { masked: encoder.model.masked, filled: await encoder.fillMask("the [MASK] is good [MASK]", { top: 3 }) };
  }, `${shared.server.origin}/goldens/bert-pretraining`);
  assert.ok(candidates.masked);
  assert.equal(candidates.filled.length, 2);
  for (const list of candidates.filled) {
    assert.equal(list.length, 3);
    assert.ok(list[0].score >= list[1].score && list[2].score > 0);
  }
});

inPage("this device computes what the CPU engine computes", async (page) => {
  const checks = await page.evaluate(async (address) => (await load(address, { device: "webgpu" })).verify(), `${shared.server.origin}/goldens/sentence-max`);
  assert.ok(checks.length >= 3);
  for (const check of checks) assert.ok(check.pass, JSON.stringify(check));
});

inPage("a head trained here has the weights of one trained by the command line", async (page, t) => {
  const table = join(root, "web/page/public/sample.csv");
  const bytes = await page.evaluate(
    async ([origin, csv]) => {
      const table = await frostbert.Table.open(new File([csv], "sample.csv"));
      const { columns: [texts, labels] } = await table.columns(0, 1);
      const encoder = await load(`${origin}/minilm`, { device: "cpu" });
      const { head } = await frostbert.Head.train(await encoder.embed(texts), labels, { c: 1, seed: 7, classWeight: "balanced" });
      return [...head.toBytes()];
    },
    [shared.server.origin, readFileSync(table, "utf8")],
  );
  const [file, own] = ["page-head.safetensors", "cli-head.safetensors"].map((name) => join(shared.out, name));
  writeFileSync(file, Uint8Array.from(bytes));
  const settings = ["--c", "1", "--seed", "7", "--class-weight", "balanced", "--test-fraction", "0", "--calibrate", "temperature", "--no-cache"];
  frostbert("train", table, "--label-column", "label", "--model", minilm(), "--device", "cpu", "--out", own, ...settings);
  const [here, there] = [tensors(file), tensors(own)];
  assert.deepEqual(Object.keys(here).sort(), Object.keys(there).sort());
  for (const [name, { values }] of Object.entries(there)) {
    const error = largestDifference(here[name].values, values);
    t.diagnostic(`${name}: at most ${error.toExponential(1)} from the command line's`);
    assert.ok(error <= 1e-6 * Math.max(1, ...values.map(Math.abs)), `${name}: largest difference ${error}`);
  }
});

inPage("a head learns, predicts, explains, and refuses another encoder", async (page) => {
  const result = await page.evaluate(async (origin) => {
    const encoder = await load(`${origin}/minilm`, { device: "cpu" });
    const good = ["wonderful", "great fun", "I loved it", "a joy", "superb", "delightful", "charming film", "a masterpiece"];
    const bad = ["awful", "so boring", "I hated it", "a mess", "terrible", "dreadful", "stupid film", "a disaster"];
    const texts = [...good, ...bad];
    const labels = texts.map((_, i) => (i < good.length ? "good" : "bad"));
    const embeddings = await encoder.embed(texts);
    const { head, report } = await frostbert.Head.train(embeddings, labels, { folds: 4, seed: 7, c: 1 });
    const again = await frostbert.Head.fromBytes(head.toBytes());
    const [liked] = await new frostbert.Classifier(encoder, again).predict(["What a lovely evening, I enjoyed it!"], { explain: true });
    const embedded = await encoder.embed(["What a lovely evening, I enjoyed it!"]);
    const same = head.toBytes().every((byte, i) => byte === again.toBytes()[i]);
    const other = await load(`${origin}/goldens/sentence-max`, { device: "cpu" });
    const refused = await attempt(() => new frostbert.Classifier(other, again).predict(["x"]));
    const oneLabel = await attempt(() => frostbert.Head.train(embeddings, labels.map(() => "same")));
    const fewLabels = await attempt(() => frostbert.Head.train(embeddings, ["a", "b"]));
    const damaged = await attempt(() => frostbert.Head.fromBytes(head.toBytes().slice(0, 500)));
    const map = await frostbert.project(embeddings);
    return { info: again.info, accuracy: report.accuracy, classes: report.classes, liked, same, refused, oneLabel, fewLabels, damaged, map: [...map], recipe: embedded.recipe === embeddings.recipe };
  }, shared.server.origin);
  assert.deepEqual(result.classes, ["bad", "good"]);
  assert.ok(result.accuracy.mean >= 0.75, JSON.stringify(result.accuracy));
  assert.equal(result.liked.label, "good");
  assert.ok(Math.abs(result.liked.probabilities[0] + result.liked.probabilities[1] - 1) < 1e-12);
  assert.ok(result.same);
  assert.deepEqual(result.info.labels, ["bad", "good"]);
  const text = "What a lovely evening, I enjoyed it!";
  const words = result.liked.shares.map(({ start, end }) => text.slice(start, end));
  assert.ok(words.includes("lovely") && words.includes("enjoyed"), words.join("|"));
  assert.equal(result.map.length, 32);
  assert.ok(result.recipe);
  assert.equal(result.refused.kind, "input");
  for (const failed of [result.oneLabel, result.fewLabels]) assert.equal(failed.kind, "input", JSON.stringify(failed));
  assert.equal(result.damaged.kind, "model");
});
