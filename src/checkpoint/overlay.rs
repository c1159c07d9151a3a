//! Files of a checkpoint with settings that another of its files puts over them.
//!
//! `sentence_bert_config.json` may hold `config_kwargs` and `processor_kwargs` (older: `config_args`, `tokenizer_args`), which
//! sentence-transformers hands to transformers when it loads config.json and the tokenizer. Whatever reads those files here
//! reads them with these settings in place. Source: `Transformer._load_init_kwargs` of sentence-transformers.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::files::{Bytes, Files};
use super::json::{Object, read_value};
use crate::error::Result;

/// What says where files come from, not what is in them.
const OF_LOADING: [&str; 9] = [
    "trust_remote_code",
    "cache_dir",
    "token",
    "revision",
    "code_revision",
    "subfolder",
    "local_files_only",
    "force_download",
    "use_fast",
];

/// Settings to put over those of other files.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Overrides {
    /// Over config.json.
    pub(super) config: Map<String, Value>,
    /// Over tokenizer_config.json.
    pub(super) tokenizer: Map<String, Value>,
}

impl Overrides {
    /// Those in a transformer's configuration.
    ///
    /// # Errors
    /// One of them is no object.
    pub(super) fn read(config: &Object) -> Result<Self> {
        let of = |names: [&str; 2]| -> Result<Map<String, Value>> {
            let mut all = Map::new();
            for name in names {
                let Some(object) = config.object(name)? else { continue };
                let wanted = object.entries().filter(|(key, _)| !OF_LOADING.contains(&key.as_str()));
                all.extend(wanted.map(|(key, value)| (key.clone(), value.clone())));
            }
            Ok(all)
        };
        Ok(Overrides {
            config: of(["config_args", "config_kwargs"])?,
            tokenizer: of(["tokenizer_args", "processor_kwargs"])?,
        })
    }

    /// The files with these settings in them; `root` is the transformer's folder.
    ///
    /// # Errors
    /// A file that they go over is no JSON object.
    pub(super) fn over(&self, files: Arc<dyn Files>, root: &str) -> Result<Arc<dyn Files>> {
        let mut changed = HashMap::new();
        for (name, settings) in [("config.json", &self.config), ("tokenizer_config.json", &self.tokenizer)] {
            if settings.is_empty() {
                continue;
            }
            let name = format!("{root}{name}");
            let mut value = match read_value(&*files, &name)? {
                None if name.ends_with("tokenizer_config.json") => Value::Object(Map::new()),
                // Opening the checkpoint says what is missing.
                None => continue,
                Some(value) => value,
            };
            if let Value::Object(map) = &mut value {
                map.extend(settings.clone());
                changed.insert(name, value.to_string().into_bytes());
            }
        }
        Ok(if changed.is_empty() { files } else { Arc::new(Overlay { files, changed }) })
    }
}

/// Files of which some are replaced, or added, by what is in memory.
pub(super) struct Overlay {
    pub(super) files: Arc<dyn Files>,
    pub(super) changed: HashMap<String, Vec<u8>>,
}

impl Files for Overlay {
    fn len(&self, name: &str) -> Result<Option<u64>> {
        match self.changed.get(name) {
            Some(bytes) => Ok(Some(bytes.len() as u64)),
            None => self.files.len(name),
        }
    }

    fn read(&self, name: &str, range: Range<u64>) -> Result<Bytes<'_>> {
        let range_of = |bytes: &[u8]| {
            let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
            (start <= end && end <= bytes.len()).then_some(start..end)
        };
        let changed = self.changed.get(name).and_then(|bytes| range_of(bytes).map(|range| &bytes[range]));
        match changed {
            Some(bytes) => Ok(Bytes::Borrowed(bytes)),
            None => self.files.read(name, range),
        }
    }

    fn describe(&self, name: &str) -> String {
        self.files.describe(name)
    }

    fn location(&self) -> String {
        self.files.location()
    }
}
