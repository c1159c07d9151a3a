//! Running other programs.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Result;

/// A command in the workspace's folder, from words; nothing to read on its standard input.
pub fn command<I, S>(program: impl AsRef<OsStr>, arguments: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new(program);
    command.args(arguments).current_dir(crate::root()).stdin(Stdio::null());
    // What cargo tells this program of itself. Build scripts look at it (ring does), and would run again, with all that stands on them, at every
    // change between `cargo xtask` and cargo itself.
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            command.env_remove(name);
        }
    }
    command
}

/// The cargo that runs this program, with words split at spaces.
pub fn cargo(words: &str) -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), words.split_whitespace())
}

/// Builds a program of the workspace, for one of its own tests, and gives its path. With another selection of packages and features
/// than that of all tests, or without what only tests depend on, dependencies would be built a second time.
pub fn program(name: &str, test: &str) -> Result<PathBuf> {
    show(cargo("test --no-run --workspace --exclude frostbert-web --all-features --test").arg(test))?;
    let here = std::env::current_exe().map_err(|error| format!("cannot find the build folder: {error}"))?;
    Ok(here.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}

/// Runs a command with its output shown, after showing the command itself.
pub fn show(command: &mut Command) -> Result<()> {
    println!("$ {}", line(command));
    let status = command.status().map_err(|error| cannot_start(command, &error))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", line(command))) }
}

/// Runs a command quietly; its standard output, or an error that holds its standard error.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.output().map_err(|error| cannot_start(command, &error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{}` ended with {}:\n{}", line(command), output.status, said.trim_end()))
}

/// Whether a command can be started and ends well; nothing is shown.
pub fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Runs a command with its output shown and every line of its standard output looked at.
pub fn watch(command: &mut Command, mut each: impl FnMut(&str)) -> Result<()> {
    println!("$ {}", line(command));
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| cannot_start(command, &error))?;
    if let Some(stdout) = child.stdout.take() {
        for bytes in BufReader::new(stdout).split(b'\n').map_while(|line| line.ok()) {
            let line = String::from_utf8_lossy(&bytes);
            println!("{line}");
            each(&line);
        }
    }
    let status = child.wait().map_err(|error| format!("`{}`: {error}", line(command)))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", line(command))) }
}

/// A command as one would type it.
fn line(command: &Command) -> String {
    let mut words: Vec<String> = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_str()?, quoted(value?.to_str()?))))
        .collect();
    words.push(program_name(command));
    words.extend(command.get_args().map(|word| quoted(&word.to_string_lossy())));
    words.join(" ")
}

/// The program without its folder: `cargo`, not the toolchain's full path.
fn program_name(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned()
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_=./:,@+*".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("{word:?}") }
}

fn cannot_start(command: &Command, error: &std::io::Error) -> String {
    format!("cannot start `{}`: {error}. Is it installed and on PATH?", line(command))
}
