// Starts Chromium on a fresh profile, and drives it over its debugging protocol.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
/** WebGPU on the software adapter that Chromium brings along. */
const WEBGPU = ["--enable-unsafe-webgpu", "--enable-features=Vulkan", "--use-webgpu-adapter=swiftshader"];

export function chromiumPath() {
  const found = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) => path && existsSync(path));
  if (!found) throw new Error("no Chromium was found: install it (on Debian: apt-get install chromium), or name it in CHROMIUM");
  return found;
}

/** `executable` and `env` are those of another Chromium than the machine's. */
export async function launch({ webgpu = true, executable = chromiumPath(), env = process.env } = {}) {
  const profile = mkdtempSync(join(tmpdir(), "frostbert-chromium-"));
  const child = spawn(executable, [...FLAGS, ...(webgpu ? WEBGPU : ["--disable-gpu"]), `--user-data-dir=${profile}`, "--remote-debugging-port=0", "about:blank"], {
    stdio: ["ignore", "ignore", "pipe"],
    env,
  });
  let said = "";
  const answered = new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`Chromium did not answer:\n${said}`)), 60_000);
    child.stderr.on("data", (data) => {
      said += data;
      const [, url] = /DevTools listening on (ws:\/\/\S+)/.exec(said) ?? [];
      if (url) (clearTimeout(timer), resolve(url));
    });
    child.on("exit", (code) => reject(new Error(`Chromium ended (${code}):\n${said}`)));
    child.on("error", reject);
  });
  const address = await answered.catch((error) => {
    child.kill("SIGKILL");
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    throw error;
  });
  const browser = await chromium.connectOverCDP(address);
  const session = await browser.newBrowserCDPSession();
  return {
    browser,
    /** A context of its own: no storage in common with others. */
    async context(options = {}) {
      const context = await browser.newContext({ acceptDownloads: true, ...options });
      context.setDefaultTimeout(300_000);
      return context;
    },
    /** Peak memory in MiB by kind of process, the largest of each kind. */
    async peaks() {
      const { processInfo } = await session.send("SystemInfo.getProcessInfo");
      const peaks = {};
      for (const { type, id } of processInfo) {
        try {
          const [, kib] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${id}/status`, "utf8")) ?? [];
          peaks[type] = Math.max(peaks[type] ?? 0, Math.round(Number(kib) / 1024));
        } catch {
          // The process has gone meanwhile.
        }
      }
      return peaks;
    },
    async close() {
      const gone = new Promise((done) => (child.exitCode === null ? child.once("exit", done) : done()));
      await session.send("Browser.close").catch(() => undefined);
      const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
      await gone;
      clearTimeout(timer);
      rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    },
  };
}
