//! Which files of a repository are needed, by what its small files say.

use crate::checkpoint::files::{Files, check_relative};
use crate::checkpoint::json::Object;
use crate::checkpoint::modules::ModuleEntry;
use crate::error::{Error, Result};

/// The first file that a snapshot needs and does not have.
pub(super) fn first_missing(files: &dyn Files) -> Result<Option<String>> {
    let entries = ModuleEntry::list(files)?.unwrap_or_default();
    let root = transformer_root(&entries);
    let has = |name: &str| Ok::<_, Error>(files.len(name)?.is_some());
    let any_of = |names: [String; 2]| Ok::<_, Error>(has(&names[0])? || has(&names[1])?);
    let inside = |name: &str| format!("{root}{name}");
    let mut needed = vec![];
    if ModuleEntry::is_static_embedding(&entries) {
        needed.push(inside("tokenizer.json"));
    } else {
        needed.push(inside("config.json"));
        if !any_of([inside("tokenizer.json"), inside("vocab.txt")])? {
            return Ok(Some(inside("tokenizer.json")));
        }
    }
    for entry in entries.iter().filter(|entry| !entry.path.is_empty()) {
        if entry.class == "Pooling" {
            needed.push(format!("{}/config.json", entry.path));
        } else if entry.has_tensors() {
            needed.extend(["config.json", "model.safetensors"].map(|name| format!("{}/{name}", entry.path)));
        }
    }
    let index = inside("model.safetensors.index.json");
    if has(&index)? {
        needed.extend(shards(files, &index)?.into_iter().map(|shard| inside(&shard)));
    } else {
        needed.push(inside("model.safetensors"));
    }
    for name in needed {
        if !has(&name)? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// The folder of the transformer, empty or with a slash at the end.
pub(super) fn transformer_root(entries: &[ModuleEntry]) -> String {
    match entries.first() {
        Some(first) if !first.path.is_empty() => format!("{}/", first.path),
        _ => String::new(),
    }
}

/// The files that an index of shards names, each once.
pub(super) fn shards(files: &dyn Files, index: &str) -> Result<Vec<String>> {
    let Some(index) = Object::read(files, index)? else { return Ok(vec![]) };
    let Some(map) = index.object("weight_map")? else { return Ok(vec![]) };
    let mut shards = vec![];
    for (name, shard) in map.entries() {
        let shard = shard.as_str().ok_or_else(|| map.wrong(name, "a file name"))?;
        check_relative(shard, index.file())?;
        shards.push(shard.to_owned());
    }
    shards.sort();
    shards.dedup();
    Ok(shards)
}
