//! Files that import one another in a circle: neither can be read, moved or tested without the other.
//!
//! Read are the `use` declarations outside of unit tests. That a module and its own children know each other is Rust's way
//! of dividing a module, and no circle here.

use std::collections::{BTreeMap, BTreeSet};

/// Files by their module path (`encoder::session`; the crate's root is empty), each with the module paths it imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// Circles among the files of one crate, each once, as `a -> b -> a`. `files` are paths below the crate's `src` and texts.
pub fn find(files: &[(String, String)]) -> Vec<String> {
    let modules: BTreeSet<String> = files.iter().map(|(path, _)| module_of(path)).collect();
    let mut imports = Imports::new();
    for (path, text) in files {
        let module = module_of(path);
        let named = uses(text).into_iter().filter_map(|path| resolve(&modules, &module, &path));
        let others = named.filter(|other| !is_within(&module, other) && !is_within(other, &module));
        imports.insert(module.clone(), others.collect());
    }
    let mut circles = Vec::new();
    let mut left = modules;
    // The shortest way from a file back to itself; its files are taken out, so that no circle is told twice.
    while let Some(start) = left.iter().next().cloned() {
        match way_back(&imports, &left, &start) {
            Some(circle) => {
                left.retain(|module| !circle.contains(module));
                circles.push(format!("{} -> {start}", circle.join(" -> ")));
            }
            None => {
                left.remove(&start);
            }
        }
    }
    circles
}

/// `engine/cpu/mod.rs` is `engine::cpu`; `lib.rs` and `main.rs` are the root.
fn module_of(path: &str) -> String {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let path = if path == "mod" { "" } else { path.strip_suffix("/mod").unwrap_or(path) };
    if matches!(path, "lib" | "main") { String::new() } else { path.replace('/', "::") }
}

/// Whether `module` is `outer` or inside of it.
fn is_within(module: &str, outer: &str) -> bool {
    outer.is_empty()
        || module.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every path that the `use` declarations of a file name, braces taken apart.
fn uses(text: &str) -> Vec<String> {
    // Unit tests stand at the end of a file.
    let code = text.split("\nmod tests").next().unwrap_or(text);
    let mut paths = Vec::new();
    let mut declaration: Option<String> = None;
    for line in code.lines().map(str::trim) {
        let begun = declaration.is_some();
        let words = line
            .trim_start_matches("pub ")
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub(super) ");
        if begun || words.starts_with("use ") {
            declaration.get_or_insert_default().push_str(if begun { line } else { &words["use ".len()..] });
            if line.ends_with(';') {
                expand(declaration.take().unwrap_or_default().trim_end_matches(';'), &mut paths);
            }
        }
    }
    paths
}

/// `a::{b, c::{d, e}}` is `a::b`, `a::c::d` and `a::c::e`.
fn expand(path: &str, out: &mut Vec<String>) {
    let Some((before, inside)) = path.split_once('{') else {
        let path = path.split(" as ").next().unwrap_or(path).trim();
        return out.push(path.trim_end_matches("::self").to_owned());
    };
    let inside = inside.trim_end().strip_suffix('}').unwrap_or(inside);
    let (mut depth, mut from) = (0, 0);
    for (at, character) in inside.char_indices().chain([(inside.len(), ',')]) {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !inside[from..at].trim().is_empty() {
                    expand(&format!("{before}{}", inside[from..at].trim()), out);
                }
                from = at + 1;
            }
            _ => {}
        }
    }
}

/// The file in which a path's module is, if it is one of the crate's.
fn resolve(modules: &BTreeSet<String>, from: &str, path: &str) -> Option<String> {
    let mut words: Vec<&str> = path.split("::").collect();
    let mut place: Vec<&str> = Vec::new();
    match words.first().copied()? {
        "crate" => drop(words.remove(0)),
        "self" | "super" => {
            place = from.split("::").collect();
            while let Some(&word @ ("self" | "super")) = words.first() {
                if word == "super" {
                    place.pop();
                }
                words.remove(0);
            }
        }
        _ => return None,
    }
    place.extend(words);
    (1..=place.len()).rev().map(|len| place[..len].join("::")).find(|path| modules.contains(path))
}

/// The shortest way from a module to itself through `among`: the modules on it, once each.
fn way_back(imports: &Imports, among: &BTreeSet<String>, start: &str) -> Option<Vec<String>> {
    let mut ways = std::collections::VecDeque::from([vec![start.to_owned()]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for next in imports.get(&way[way.len() - 1])?.iter().filter(|next| among.contains(*next)) {
            if next == start {
                return Some(way);
            }
            if seen.insert(next) {
                ways.push_back(way.iter().chain([next]).cloned().collect());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        find(&files.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect::<Vec<_>>())
    }

    #[test]
    fn circles_are_found_through_every_way_of_naming() {
        let two =
            [("a.rs", "use crate::b::{C, self};"), ("b.rs", "pub(crate) use super::a::{x::Y,\n    Z};")];
        assert_eq!(found(&two), ["a -> b -> a"]);
        let three = [
            ("lib.rs", "pub use p::q::Q;\npub use r::R;"),
            ("p/mod.rs", "mod q;\nuse crate::r::R;"),
            ("p/q.rs", "use super::Up;\nuse std::fmt;"),
            ("r.rs", "use crate::s;"),
            ("s.rs", "use crate::p as other;"),
        ];
        assert_eq!(found(&three), ["p -> r -> s -> p"]);
        let (a, b) = (("a.rs", "use crate::b::B;\nuse crate::c::C;"), ("b.rs", "use crate::c::C;"));
        assert_eq!(found(&[a, b, ("c.rs", "")]).len(), 0);
    }

    #[test]
    fn tests_parents_and_children_make_no_circle() {
        let files = [
            ("a/mod.rs", "use self::inner::Inner;"),
            ("a/inner.rs", "use super::Outer;\nuse crate::a::Other;"),
            ("b.rs", "use crate::c::C;"),
            ("c.rs", "struct C;\n\n#[cfg(test)]\nmod tests {\n    use crate::b::B;\n}"),
        ];
        assert_eq!(found(&files).len(), 0);
    }
}
