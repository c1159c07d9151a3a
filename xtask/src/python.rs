//! The Python package: its environment, its wheel, its tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::not_tested::NotTested;
use crate::process::{cargo, command, output, show, watch};
use crate::{Result, fetch, install, root};

/// The library that Python loads, as cargo calls it here.
fn built_name() -> String {
    let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    format!("{prefix}frostbert_native{suffix}")
}

/// `cargo xtask python [--all]`: the wheel as users get it, in an environment of its own, and every test. With `--all` also the
/// drop-ins for packages that need torch.
pub fn run(all: bool) -> Result<()> {
    fetch::run()?;
    let not_tested = NotTested::new()?;
    let environment = Environment::install(if all {
        "python/requirements-all.txt"
    } else {
        "python/requirements-test.txt"
    })?;
    let wheels = root().join("target/python/wheels");
    clear(&wheels)?;
    let mut maturin = environment.python(["-m", "maturin", "build", "--release", "--locked", "--quiet"]);
    show(maturin.args(["--manifest-path", "python/Cargo.toml", "--out"]).arg(&wheels))?;
    let wheel = fs::read_dir(&wheels)
        .map_err(|error| format!("{}: {error}", wheels.display()))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|ending| ending == "whl"))
        .ok_or_else(|| format!("maturin left no wheel in {}", wheels.display()))?;
    let bytes = fs::metadata(&wheel).map_err(|error| format!("{}: {error}", wheel.display()))?.len();
    println!("{}: {:.1} MB", wheel.display(), bytes as f64 / 1e6);
    environment.pip(|pip| pip.args(["--force-reinstall", "--no-deps"]).arg(&wheel))?;
    environment.test(None, &not_tested, |_| {})?;
    not_tested.show();
    Ok(())
}

/// The step of `cargo xtask test`: the package around the library that the other tests' build made, so that nothing is compiled
/// twice.
pub fn test(not_tested: &NotTested, each: impl FnMut(&str)) -> Result<()> {
    let environment = Environment::install("python/requirements-test.txt")?;
    environment.test(Some(&package()?), not_tested, each)
}

/// `cargo xtask python --scale`: the examples for engines of more rows than one process takes, on their local runners.
pub fn scale() -> Result<()> {
    some("python/requirements-scale.txt", &["test_scale_out.py"])
}

/// `cargo xtask python --oldest`: the tests that need no other package, with the oldest versions that pyproject.toml promises.
pub fn oldest() -> Result<()> {
    let tests = ["test_encoder.py", "test_sklearn.py", "test_vectors.py", "test_wrong_things.py"];
    some("python/requirements-oldest.txt", &tests)
}

/// Some of the tests, with the packages of a requirements file.
fn some(requirements: &str, tests: &[&str]) -> Result<()> {
    fetch::run()?;
    let not_tested = NotTested::new()?;
    let environment = Environment::install(requirements)?;
    let mut pytest = environment.python(["-m", "pytest", "-p", "no:cacheprovider", "--rootdir", "python"]);
    pytest.args(tests.iter().map(|test| format!("python/tests/{test}")));
    pytest.env("PYTHONPATH", package()?).env("PYTHONDONTWRITEBYTECODE", "1");
    show(not_tested.env(&mut pytest))?;
    not_tested.show();
    Ok(())
}

/// The package around the library that the tests' build makes: its folder.
fn package() -> Result<PathBuf> {
    // With the tests' features of dependencies, as everything before was built.
    show(&mut cargo("build --workspace --exclude frostbert-web --all-features --lib --tests"))?;
    let package = root().join("target/python/package");
    clear(&package)?;
    copy(&root().join("python/python/frostbert"), &package.join("frostbert"))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let from = target.join("debug").join(built_name());
    let to = package.join("frostbert").join(if cfg!(windows) { "_native.pyd" } else { "_native.abi3.so" });
    fs::copy(&from, &to).map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))?;
    Ok(package)
}

/// A Python with the packages of a requirements file.
pub struct Environment {
    python: PathBuf,
}

impl Environment {
    /// Makes the environment, unless it is there with the same packages. `requirements` is a file of the workspace.
    pub fn install(requirements: &str) -> Result<Self> {
        let file = root().join(requirements);
        let name: Vec<&str> =
            requirements.trim_end_matches(".txt").split('/').filter(|part| *part != "python").collect();
        let folder = root().join("target/python").join(name.join("-"));
        let python = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
        let environment = Environment { python: folder.join(python) };
        let mut wanted = read(&file)?;
        // With what it takes over: a file that names another one does not change when that one does.
        for line in wanted.clone().lines() {
            if let Some(other) = line.strip_prefix("-r ") {
                wanted += &read(&file.with_file_name(other.trim()))?;
            }
        }
        let stamp = folder.join("installed.txt");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(environment);
        }
        clear(&folder)?;
        // Without pip: Debian's Python brings it in a package of its own, and the machine's pip can install into any Python.
        show(command(install::python()?, ["-m", "venv", "--without-pip"]).arg(&folder))?;
        environment.pip(|pip| pip.arg("--requirement").arg(file))?;
        fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
        Ok(environment)
    }

    /// Where this Python is.
    pub fn path(&self) -> &Path {
        &self.python
    }

    /// This Python, with arguments.
    pub fn python<const N: usize>(&self, arguments: [&str; N]) -> Command {
        command(&self.python, arguments)
    }

    fn pip(&self, what: impl FnOnce(&mut Command) -> &mut Command) -> Result<()> {
        let mut pip = command(install::python()?, ["-m", "pip", "--python"]);
        pip.arg(&self.python).args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--only-binary",
            ":all:",
        ]);
        show(what(&mut pip))
            .map_err(|error| format!("{error}\n  is the package index reachable, and is the disk full?"))
    }

    /// Types, then tests; of a package in a folder, or of the one that is installed.
    fn test(&self, package: Option<&Path>, not_tested: &NotTested, each: impl FnMut(&str)) -> Result<()> {
        let path = |run: &mut Command| {
            if let Some(package) = package {
                run.env("PYTHONPATH", package);
            }
        };
        let mut types =
            self.python(["-m", "mypy", "--config-file", "python/pyproject.toml", "python/python/frostbert"]);
        show(types.env("MYPY_CACHE_DIR", root().join("target/python/mypy")))?;
        // A second opinion; it brings its own node.
        let mut types =
            self.python(["-m", "basedpyright", "--project", "python/pyproject.toml", "--pythonpath"]);
        show(types.arg(&self.python))?;
        let version = output(&mut self.python(["--version"]))?;
        println!("{}", version.trim());
        let mut pytest =
            self.python(["-m", "pytest", "-p", "no:cacheprovider", "--rootdir", "python", "python/tests"]);
        path(&mut pytest);
        pytest.env("PYTHONDONTWRITEBYTECODE", "1");
        watch(not_tested.env(&mut pytest), each)
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// An empty folder.
fn clear(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(format!("{}: {error}", folder.display()));
        }
        _ => {}
    }
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

/// Copies the files of a folder that holds no others.
fn copy(from: &Path, to: &Path) -> Result<()> {
    clear(to)?;
    let entries = fs::read_dir(from).map_err(|error| format!("{}: {error}", from.display()))?;
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()) {
        let name = path.file_name().unwrap_or_default();
        // What a developer built into the source folder is not what is tested.
        if Path::new(name).extension().is_some_and(|ending| ending == "so" || ending == "pyd") {
            continue;
        }
        fs::copy(&path, to.join(name)).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}
