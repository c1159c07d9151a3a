// Keeps the page itself in the browser, so that it opens without a network. Models are kept elsewhere: see src/models.ts.

/// <reference lib="webworker" />
export {};

declare const self: ServiceWorkerGlobalScope;
/** Put in by the build: every file of the page, and a hash over them all. */
declare const PAGE_FILES: string[];
declare const PAGE_VERSION: string;
/** Put before it by the build: src/relaxed.ts. */
declare function relaxedSimd(): boolean;

const CACHE = `frostbert-page-${PAGE_VERSION}`;

/** The page's files but the WebAssembly that this browser never loads. */
function wanted(): string[] {
  const other = relaxedSimd() ? "frostbert_web_bg" : "frostbert_web_relaxed";
  return PAGE_FILES.filter((url) => !url.includes(other));
}

self.addEventListener("install", (event) => {
  // All or nothing: `addAll` fails, and the old version goes on serving, where one file cannot be had.
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(wanted().map((url) => new Request(url, { cache: "no-cache" })))));
  void self.skipWaiting();
});

self.addEventListener("activate", (event) => {
  const clean = async () => {
    for (const name of await caches.keys()) if (name.startsWith("frostbert-page-") && name !== CACHE) await caches.delete(name);
    await self.clients.claim();
  };
  event.waitUntil(clean());
});

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== self.location.origin) return;
  event.respondWith(answer(event.request, url));
});

async function answer(request: Request, url: URL): Promise<Response> {
  // The page's own files only: everything else, models above all, goes to the network untouched.
  url.search = "";
  const kept = await (await caches.open(CACHE)).match(url, { ignoreSearch: true });
  return kept ?? fetch(request);
}
