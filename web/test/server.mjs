// A static server with ranges, strong validators, and faults to order.
//
//   server.fault("model.safetensors", { kind: "cut", keep: 0.5, times: 1 })
//
//   status   an error status                 garbage   the right length, other bytes
//   html     200 and a page                  zeros     a stretch of zeros: { at, bytes }
//   cut      the connection breaks midway    short     a shorter file, with a right length
//   slow     { bytesPerSecond }

import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { readFileSync, statSync } from "node:fs";
import { extname, join, normalize, sep } from "node:path";

const TYPES = {
  ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".mjs": "text/javascript", ".json": "application/json",
  ".css": "text/css", ".wasm": "application/wasm", ".svg": "image/svg+xml", ".csv": "text/csv",
};

/** `roots` maps the first part of a path to a folder; `""` is for everything else. `isolated` pages may share memory between threads. */
export async function serve(roots, { isolated = false } = {}) {
  const faults = [];
  const log = [];
  const etags = new Map();
  let down;
  let injected;
  const always = {
    "cache-control": "no-store",
    ...(isolated && { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp", "cross-origin-resource-policy": "same-origin" }),
  };

  const server = createServer(async (request, response) => {
    if (down !== undefined && request.url.startsWith(down)) return request.socket.destroy();
    const path = decodeURIComponent(new URL(request.url, "http://x").pathname);
    const entry = { path, range: request.headers.range ?? null, status: 0, bytes: 0 };
    log.push(entry);
    const send = (status, headers, body = Buffer.alloc(0)) => {
      entry.status = status;
      entry.bytes = body.length;
      response.writeHead(status, { ...always, "content-length": body.length, ...headers });
      response.end(body);
    };
    const top = path.split("/")[1] ?? "";
    const [root, rest] = top in roots ? [roots[top], path.slice(top.length + 2)] : [roots[""], path.slice(1)];
    const file = root && normalize(join(root, rest === "" || rest.endsWith("/") ? `${rest}index.html` : rest));
    let stat;
    try {
      stat = file?.startsWith(normalize(root) + sep) ? statSync(file) : undefined;
    } catch {
      // Answered with 404 below.
    }
    const fault = take(path);
    if (fault?.kind === "status") return send(fault.status, { "content-type": "text/plain" }, Buffer.from("no"));
    if (fault?.kind === "html") return send(200, { "content-type": "text/html" }, Buffer.from("<!doctype html><title>An app</title>"));
    if (!stat?.isFile()) return send(404, { "content-type": "text/plain" }, Buffer.from("not found"));

    let body = readFileSync(file);
    if (injected?.pattern.test(path)) body = Buffer.concat([Buffer.from(`${injected.script}\n`), body]);
    if (fault?.kind === "short") body = body.subarray(0, Math.floor(body.length / 2));
    if (fault?.kind === "garbage") body = Buffer.alloc(body.length, "not a tensor ");
    if (fault?.kind === "zeros") (body = Buffer.from(body)).fill(0, Math.floor(body.length * fault.at), Math.floor(body.length * fault.at) + fault.bytes);
    const etag = etagOf(file, stat, fault, body);
    const headers = { "content-type": TYPES[extname(file)] ?? "application/octet-stream", etag, "accept-ranges": "bytes" };
    const [, start] = /^bytes=(\d+)-$/.exec(request.headers.range ?? "") ?? [];
    const from = Number(start ?? 0);
    if (from > 0 && from >= body.length) return send(416, { "content-range": `bytes */${body.length}` });
    entry.status = from > 0 ? 206 : 200;
    response.writeHead(entry.status, {
      ...always,
      ...headers,
      "content-length": body.length - from,
      ...(from > 0 && { "content-range": `bytes ${from}-${body.length - 1}/${body.length}` }),
    });
    const end = fault?.kind === "cut" ? Math.floor(body.length * fault.keep) : body.length;
    for (let at = from; at < end && !response.destroyed; ) {
      const chunk = body.subarray(at, Math.min(end, at + (1 << 18)));
      at += chunk.length;
      entry.bytes += chunk.length;
      if (!response.write(chunk)) await drained(response);
      if (fault?.kind === "slow") await new Promise((done) => setTimeout(done, (1000 * chunk.length) / fault.bytesPerSecond));
    }
    if (fault?.kind === "cut") request.socket.destroy();
    else response.end();
  });

  /** Waits until more can be written, or nobody listens any more. */
  function drained(response) {
    return new Promise((done) => {
      const finish = () => {
        response.off("drain", finish).off("close", finish);
        done();
      };
      response.on("drain", finish).on("close", finish);
    });
  }

  function take(path) {
    const fault = faults.find((candidate) => path.endsWith(candidate.part) && candidate.times > 0);
    if (fault) fault.times--;
    return fault;
  }

  function etagOf(file, stat, fault, body) {
    if (fault && ["garbage", "zeros", "short"].includes(fault.kind)) return `"${createHash("sha256").update(body).digest("hex")}"`;
    const key = `${file} ${stat.mtimeMs} ${stat.size}`;
    if (!etags.has(key)) etags.set(key, `"${createHash("sha256").update(key).digest("hex").slice(0, 16)}"`);
    return etags.get(key);
  }

  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    origin: `http://localhost:${server.address().port}`,
    log,
    /** The next `times` answers for paths that end so are faulty. */
    fault(part, fault) {
      faults.length = 0;
      if (part) faults.push({ part, times: Infinity, ...fault });
    },
    /** From now on puts a script before those whose path the pattern fits. */
    inject(pattern, script) {
      injected = { pattern, script };
    },
    /** No faults, nothing injected. */
    restore() {
      faults.length = 0;
      injected = undefined;
      down = undefined;
    },
    /** From now on takes connections for paths that begin so, and breaks them; without a path it works again. */
    setDown(path) {
      down = path;
      if (path !== undefined) server.closeAllConnections();
    },
    close() {
      server.closeAllConnections();
      return new Promise((closed) => server.close(closed));
    },
  };
}
