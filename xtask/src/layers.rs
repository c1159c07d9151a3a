//! Who may know whom: the library's floors, held against the paths in its code.
//!
//! A module may name the modules in its row and nothing else of ours; HOUSE in ARCHITECTURE.md is the same table in words. Comments
//! and unit tests do not count. The rooms of `head` have floors of their own.

use std::fs;
use std::path::Path;

use crate::{Result, circles, root};

/// Each module of the library, and what it may import.
const FLOORS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("names", &["error"]),
    ("platform", &["error"]),
    ("model", &["error", "names"]),
    ("device", &["error"]),
    ("quantize", &["error"]),
    ("embeddings", &["error"]),
    ("checkpoint", &["error", "platform", "model"]),
    ("text", &["error", "platform", "model"]),
    ("plan", &["error", "model", "text"]),
    ("engine", &["error", "platform", "device", "model", "text", "plan"]),
    ("cache", &["error", "platform"]),
    ("data", &["error", "platform", "embeddings", "quantize"]),
    (
        "encoder",
        &[
            "error",
            "names",
            "platform",
            "device",
            "embeddings",
            "model",
            "checkpoint",
            "text",
            "plan",
            "engine",
            "cache",
        ],
    ),
    ("head", &["error", "names", "platform"]),
    ("vectors", &["error", "names", "platform", "head"]),
    (
        "workflow",
        &[
            "error",
            "names",
            "platform",
            "device",
            "embeddings",
            "quantize",
            "model",
            "checkpoint",
            "text",
            "plan",
            "engine",
            "cache",
            "data",
            "encoder",
            "head",
            "vectors",
        ],
    ),
    ("report", &["error", "platform", "encoder", "head", "workflow"]),
    ("export", &["error", "platform", "model", "checkpoint", "encoder", "head", "workflow"]),
];

/// Each room of the head, and which others it may import.
const HEAD: &[(&str, &[&str])] = &[
    ("data", &[]),
    ("numeric", &[]),
    ("options", &["data"]),
    ("progress", &[]),
    ("tensors", &[]),
    ("linear", &["data", "numeric", "options"]),
    ("measure", &["data", "numeric", "options"]),
    ("mlp", &["data", "numeric", "options", "progress", "tensors"]),
    ("model", &["data", "numeric", "options", "tensors", "linear", "measure", "mlp"]),
    ("select", &["data", "numeric", "options", "progress", "linear", "measure", "mlp", "model"]),
    ("baselines", &["data", "numeric", "options", "progress", "measure", "model", "select"]),
];

/// Only these parts of a floor may name a crate.
const ALONE: &[(&str, &str)] = &[("wgpu", "src/engine/gpu/"), ("tokenizers", "src/text/")];

/// The crates whose files may not import one another in a circle; the empty name is the library.
const CRATES: &[&str] = &["", "cli/", "serve/", "python/", "xtask/", "fuzz/", "web/crate/", "cluster/"];

/// Checks every file of the library against the table, and every crate for circles.
pub fn run() -> Result<()> {
    let mut wrong = Vec::new();
    let (mut count, mut circles) = (0, Vec::new());
    for package in CRATES {
        let files = read(&format!("{package}src/"))?;
        count += files.len();
        if package.is_empty() {
            files.iter().for_each(|(path, text)| check(&format!("src/{path}"), text, &mut wrong));
        }
        circles.extend(circles::find(&files).iter().map(|circle| format!("{package}src: {circle}")));
    }
    println!("{count} files, {} imports against the table, {} circles", wrong.len(), circles.len());
    if !wrong.is_empty() {
        Err(format!("imports against the table of floors:\n  {}", wrong.join("\n  ")))
    } else if !circles.is_empty() {
        Err(format!("files that import one another in a circle:\n  {}", circles.join("\n  ")))
    } else {
        Ok(())
    }
}

/// Path below the folder and text of every source file in it.
fn read(folder: &str) -> Result<Vec<(String, String)>> {
    let folder = root().join(folder);
    let mut files = Vec::new();
    collect(&folder, &mut files)?;
    let read = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let place = path.strip_prefix(&folder).unwrap_or(path).display().to_string().replace('\\', "/");
        Ok((place, text))
    };
    files.iter().map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(())
}

/// Finds what one file names and may not.
fn check(place: &str, text: &str, wrong: &mut Vec<String>) {
    let parts: Vec<&str> = place.trim_end_matches(".rs").split('/').collect();
    let Some(&module) = parts.get(1) else { return };
    if module == "lib" {
        return;
    }
    let allowed = FLOORS.iter().find(|(name, _)| *name == module).map(|(_, allowed)| *allowed);
    let Some(allowed) = allowed else {
        wrong.push(format!("{place}: module {module} has no row in xtask/src/layers.rs; give it one"));
        return;
    };
    let room = (module == "head").then(|| parts.get(2).copied()).flatten();
    let rooms = room.and_then(|room| HEAD.iter().find(|(name, _)| *name == room));
    let mut in_tests = false;
    for (number, line) in text.lines().enumerate() {
        // Unit tests stand at the end of a file.
        in_tests |= line.trim_start().starts_with("mod tests");
        let code = line.trim_start();
        if in_tests || code.starts_with("//") {
            continue;
        }
        let mut say =
            |what: String| wrong.push(format!("{place}:{}: {what}: {}", number + 1, code.trim_end()));
        for named in after(code, "crate::") {
            let ours = FLOORS.iter().any(|(name, _)| *name == named);
            if ours && named != module && !allowed.contains(&named) {
                say(format!("{module} may not know {named}"));
            }
            if !ours && named != "head" && named.chars().next().is_some_and(char::is_uppercase) {
                say(format!("name {named} by its module, not by the crate's root"));
            }
        }
        if let Some((room, allowed)) = rooms {
            for named in after(code, "crate::head::") {
                let is_room = HEAD.iter().any(|(name, _)| *name == named);
                if is_room && named != *room && !allowed.contains(&named) {
                    say(format!("head/{room} may not know head/{named}"));
                }
            }
        }
        for (name, home) in ALONE {
            if !place.starts_with(home)
                && after(code, "").any(|word| word == *name)
                && code.contains(&format!("{name}::"))
            {
                say(format!("{name} is known in {home} alone"));
            }
        }
    }
}

/// The identifiers that follow `prefix` in a line; with an empty prefix, all of them.
fn after<'a>(line: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = line;
    std::iter::from_fn(move || {
        loop {
            if prefix.is_empty() {
                rest = rest.trim_start_matches(|c| !is_word(c));
            } else {
                rest = &rest[rest.find(prefix)? + prefix.len()..];
            }
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            if rest.is_empty() {
                return None;
            }
            let (word, tail) = rest.split_at(end);
            rest = tail;
            if !word.is_empty() {
                return Some(word);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(place: &str, text: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        check(place, text, &mut wrong);
        wrong
    }

    #[test]
    fn imports_against_the_table_are_found() {
        assert_eq!(
            found("src/plan/mod.rs", "use crate::model::Config;\nuse crate::text::PackedBatch;").len(),
            0
        );
        let up = found("src/encoder/recipe.rs", "use crate::error::Result;\nuse crate::head::Head;");
        assert_eq!(up, ["src/encoder/recipe.rs:2: encoder may not know head: use crate::head::Head;"]);
        assert_eq!(
            found("src/plan/mod.rs", "    let plan = crate::engine::cpu::CpuEngine::new(None);").len(),
            1
        );
        assert_eq!(found("src/encoder/mod.rs", "let device: wgpu::Device;").len(), 1);
        assert_eq!(found("src/engine/gpu/mod.rs", "let device: wgpu::Device;").len(), 0);
        assert_eq!(found("src/head/data/split.rs", "use crate::head::select::fit;").len(), 1);
        assert_eq!(found("src/head/data/split.rs", "use crate::Error;").len(), 1);
        assert_eq!(found("src/attic/mod.rs", "").len(), 1);
    }

    #[test]
    fn comments_and_tests_do_not_count() {
        let text =
            "//! See [`Head`](crate::head::Head).\n#[cfg(test)]\nmod tests {\n    use crate::head::Head;\n}";
        assert_eq!(found("src/encoder/recipe.rs", text).len(), 0);
    }
}
