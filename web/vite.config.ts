import { createHash } from "node:crypto";
import { defineConfig, type Plugin } from "vite";

/** Builds the service worker last, with the list of the page's files in it. */
function serviceWorker(): Plugin {
  let source = "";
  return {
    name: "service-worker",
    apply: "build",
    async buildStart() {
      const { transformWithOxc } = await import("vite");
      const { readFile } = await import("node:fs/promises");
      const file = new URL("./page/service-worker.ts", import.meta.url);
      // It is one script, without imports.
      const relaxed = (await readFile(new URL("./src/relaxed.ts", import.meta.url), "utf8")).replace("export function", "function");
      source = (await transformWithOxc(`${relaxed}\n${await readFile(file, "utf8")}`, file.pathname)).code;
    },
    async generateBundle(_options, bundle) {
      const { readFile, readdir } = await import("node:fs/promises");
      const hash = createHash("sha256").update(source);
      const publicFolder = new URL("./page/public/", import.meta.url);
      const files = ["./", ...Object.keys(bundle).filter((name) => name !== "index.html").map((name) => `./${name}`)];
      for (const name of await readdir(publicFolder)) {
        files.push(`./${name}`);
        hash.update(await readFile(new URL(name, publicFolder)));
      }
      for (const file of Object.values(bundle)) hash.update(file.type === "chunk" ? file.code : file.source);
      const constants = { PAGE_FILES: JSON.stringify(files.sort()), PAGE_VERSION: JSON.stringify(hash.digest("hex").slice(0, 16)) };
      // Modules may not be service workers everywhere; the empty export only made TypeScript see a module.
      const code = Object.entries(constants).reduce((text, [name, value]) => text.replaceAll(name, value), source).replace(/export\s*\{\s*\};?/, "");
      this.emitFile({ type: "asset", fileName: "service-worker.js", source: code });
    },
  };
}

export default defineConfig({
  root: "page",
  base: "./",
  build: {
    outDir: "../dist/page",
    emptyOutDir: true,
    target: "es2022",
    reportCompressedSize: false,
    // WebAssembly and icons stay files: an inlined copy could not be cached on its own.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  worker: { format: "es" },
  plugins: [serviceWorker()],
});
