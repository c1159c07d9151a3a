// One server and one browser for a file of tests.

import { after, before } from "node:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { launch } from "./chrome.mjs";
import { goldens, minilm, root, statics } from "./files.mjs";
import { serve } from "./server.mjs";

/** Starts both before the tests of a file and ends them afterwards; the options are those of `launch`. */
export function harness(options = {}) {
  const shared = { server: undefined, chrome: undefined, out: join(root, "web/test/out") };
  before(async () => {
    mkdirSync(shared.out, { recursive: true });
    const real = minilm();
    shared.server = await serve({
      "": join(root, "web/dist/page"),
      package: join(root, "web/dist/package"),
      test: join(root, "web/test/page"),
      goldens,
      static: statics,
      minilm: real,
    });
    shared.chrome = await launch(options);
  });
  after(async () => {
    await shared.chrome?.close();
    await shared.server?.close();
  });
  return shared;
}

/** Lets tests see the devices that workers open. Call it before a page is opened: a service worker may keep the script. */
export function exposeDevices(server) {
  server.inject(WORKER_SCRIPT, `{
    self.devices = [];
    const request = GPUAdapter.prototype.requestDevice;
    GPUAdapter.prototype.requestDevice = async function (...args) {
      const device = await request.apply(this, args);
      self.devices.push(device);
      return device;
    };
  }`);
}

/** Lets tests see the shaders that workers compile. Call it before the worker starts. */
export function exposeShaders(server) {
  server.inject(WORKER_SCRIPT, `{
    self.shaders = [];
    const create = GPUDevice.prototype.createShaderModule;
    GPUDevice.prototype.createShaderModule = function (descriptor) {
      self.shaders.push(descriptor.code);
      return create.call(this, descriptor);
    };
  }`);
}

/** The exposed shaders of a page's workers. */
export async function shadersOf(page) {
  return (await Promise.all(page.workers().map((worker) => worker.evaluate(() => self.shaders ?? [])))).flat();
}

/** The exposed devices of a page's workers, so that a test can lose one. Workers that open none have none. */
export function devicesOf(page) {
  const all = () => Promise.all(page.workers().map((worker) => worker.evaluate(() => self.devices?.length ?? 0).then((count) => ({ worker, count }))));
  return {
    opened: async () => (await all()).reduce((sum, { count }) => sum + count, 0),
    lose: async () => {
      const found = (await all()).find(({ count }) => count > 0);
      if (!found) throw new Error("no worker of the page has opened a device");
      await found.worker.evaluate(() => self.devices.at(-1).destroy());
    },
  };
}

/** The worker's script, in the package and in the page. */
export const WORKER_SCRIPT = /\/main[^/]*\.js$/;

/** A page of its own with the package in `window.frostbert`. Errors of the page fail the test. */
export async function openPackage({ server, chrome }) {
  server.restore();
  const context = await chrome.context();
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(error));
  const outside = [];
  page.on("request", (request) => {
    if (/^https?:/.test(request.url()) && !request.url().startsWith(server.origin)) outside.push(request.url());
  });
  await page.goto(`${server.origin}/test/`);
  await page.waitForFunction(() => "frostbert" in window);
  await page.evaluate(() => {
    // What tests need over and over.
    window.load = (address, options = {}) => frostbert.Encoder.load(address, options).then((encoder) => (window.encoder = encoder));
    window.attempt = async (work) => {
      try {
        return { value: await work() };
      } catch (error) {
        return { kind: error.kind, name: error.name, message: error.message };
      }
    };
    /** Runs `work`, and counts how often a timer of the page came to its turn meanwhile. */
    window.ticking = async (work) => {
      let ticks = 0;
      const timer = setInterval(() => ticks++, 5);
      const value = await work();
      clearInterval(timer);
      return { value, ticks };
    };
    window.rows = ({ data, shape, tokens, truncated }) => ({ data: [...data], shape, tokens: [...tokens], truncated: [...truncated] });
  });
  return {
    page,
    context,
    async close() {
      await context.close();
      if (faults.length) throw faults[0];
      if (outside.length) throw new Error(`the page asked for ${outside[0]}`);
    },
  };
}
