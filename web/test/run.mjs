// Builds what is out of date and runs every test of the browser side: `node test/run.mjs [--no-build] [file ...]`.

import { spawn, spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const given = process.argv.slice(2);
if (!given.includes("--no-build")) {
  const built = spawnSync(process.execPath, [join(here, "../build.mjs")], { stdio: "inherit" });
  if (built.status !== 0) process.exit(1);
}
const named = given.filter((argument) => !argument.startsWith("--"));
const files = (named.length ? named : readdirSync(here).filter((name) => name.endsWith(".test.mjs")).sort()).map((name) => join(here, name));
// One file after the other: each starts a browser, and a software adapter takes the whole machine.
const tests = spawn(process.execPath, ["--test", "--test-concurrency=1", "--test-reporter=spec", "--test-timeout=900000", ...files], {
  stdio: ["ignore", "pipe", "inherit"],
});
let text = "";
tests.stdout.on("data", (data) => {
  text += data;
  process.stdout.write(data);
});
tests.on("exit", (code) => {
  const count = (what) => Number(new RegExp(`^ℹ ${what} (\\d+)`, "m").exec(text)?.[1] ?? 0);
  // The line that `cargo xtask test` adds up.
  const ok = code === 0 && count("pass") > 0;
  console.log(`test result: ${ok ? "ok" : "FAILED"}. ${count("pass")} passed; ${count("fail") + count("cancelled")} failed`);
  process.exit(ok ? 0 : code || 1);
});
