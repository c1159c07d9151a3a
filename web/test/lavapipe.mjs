// A Chromium whose WebGPU runs on Mesa's lavapipe: the one adapter without a graphics card that has f16 in shaders.

import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromiumPath } from "./chrome.mjs";

const DRIVERS = "/usr/share/vulkan/icd.d";

/** The program, or what is missing: `{ missing }`, or `{ executable, env, remove }`. */
export function chromiumOnLavapipe() {
  const driver = lavapipe();
  if (!driver) return { missing: "Mesa's lavapipe (on Debian: mesa-vulkan-drivers)" };
  const home = chromiumFolder();
  if (!home) return { missing: "the folder of Chromium with libvk_swiftshader.so in it" };
  // Links where they can be: it is a third of a gigabyte. What a killed run has left is in the same place.
  const folder = fileURLToPath(new URL("out/lavapipe", import.meta.url));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  remove();
  mkdirSync(folder, { recursive: true });
  try {
    const shim = join(folder, "shim.so");
    const source = fileURLToPath(new URL("vulkan_shim.c", import.meta.url));
    try {
      execFileSync("cc", ["-shared", "-fPIC", "-O1", "-Wall", "-o", shim, source, "-ldl"], { stdio: ["ignore", "inherit", "inherit"] });
    } catch (error) {
      if (error.code !== "ENOENT") throw error;
      remove();
      return { missing: "a C compiler: cc" };
    }
    const copy = join(folder, "chromium");
    try {
      execFileSync("cp", ["-al", home, copy], { stdio: "ignore" });
    } catch {
      rmSync(copy, { recursive: true, force: true });
      execFileSync("cp", ["-a", home, copy]);
    }
    const swiftshader = join(copy, "libvk_swiftshader.so");
    const real = join(copy, "libvk_swiftshader_itself.so");
    renameSync(swiftshader, real);
    renameSync(shim, swiftshader);
    // Windows are still drawn by SwiftShader, which is found by this file.
    const icd = join(copy, "vk_swiftshader_icd.json");
    rmSync(icd, { force: true });
    writeFileSync(icd, JSON.stringify({ file_format_version: "1.0.0", ICD: { library_path: real, api_version: "1.0.5" } }));
    const executable = [join(copy, "chromium"), join(copy, "chrome")].find(existsSync);
    return { executable, env: { ...process.env, LAVAPIPE: driver, VK_ICD_FILENAMES: undefined, VK_DRIVER_FILES: undefined }, remove };
  } catch (error) {
    remove();
    throw error;
  }
}

function lavapipe() {
  const files = existsSync(DRIVERS) ? readdirSync(DRIVERS).filter((name) => name.startsWith("lvp_icd")) : [];
  const libraries = files.map((name) => JSON.parse(readFileSync(join(DRIVERS, name), "utf8")).ICD.library_path);
  // A bare name is found by the loader.
  return libraries.find((path) => !isAbsolute(path) || existsSync(path));
}

/** Debian's program is a script beside the folder, others' a link into it. */
function chromiumFolder() {
  const program = chromiumPath();
  const folders = [dirname(realpathSync(program)), "/usr/lib/chromium", "/usr/lib/chromium-browser"];
  return folders.find((folder) => existsSync(join(folder, "libvk_swiftshader.so")) && ["chromium", "chrome"].some((name) => existsSync(join(folder, name))));
}

/** A test that cannot run says so, and `cargo xtask test` counts it. */
export function notTested(what) {
  console.log(`NOT TESTED: ${what}`);
  if (process.env.FROSTBERT_NOT_TESTED) appendFileSync(process.env.FROSTBERT_NOT_TESTED, `${what}\n`);
}
