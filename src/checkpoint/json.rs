//! JSON files of a checkpoint, read with errors that name the file, the key and what was there instead.

use super::files::{Files, read_all};
use crate::error::{Error, Result};
use serde_json::{Map, Value};

/// A JSON object and the file it came from. A key whose value is `null` counts as absent, as in transformers.
#[derive(Clone, Debug)]
pub(super) struct Object {
    file: String,
    map: Map<String, Value>,
}

/// A JSON file's value; `None` where there is no such file.
pub(super) fn read_value(files: &dyn Files, name: &str) -> Result<Option<Value>> {
    let Some(bytes) = read_all(files, name)? else { return Ok(None) };
    parse(&bytes, &files.describe(name)).map(Some)
}

pub(super) fn parse(bytes: &[u8], file: &str) -> Result<Value> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::model_file(format!("cannot read {file}: it is not JSON")).with_source(error))
}

impl Object {
    /// The object in a file; `None` where there is no such file.
    pub(super) fn read(files: &dyn Files, name: &str) -> Result<Option<Self>> {
        read_value(files, name)?.map(|value| Self::from_value(value, &files.describe(name))).transpose()
    }

    pub(super) fn from_value(value: Value, file: &str) -> Result<Self> {
        match value {
            Value::Object(map) => Ok(Object { file: file.to_owned(), map }),
            other => Err(Error::model_file(format!(
                "cannot read {file}: expected a JSON object, found {}",
                brief(&other)
            ))),
        }
    }

    /// The value of a key, `null` taken as absent.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn wrong(&self, key: &str, expected: &str) -> Error {
        let found = self.map.get(key).map_or("nothing".to_owned(), brief);
        Error::model_file(format!("cannot read {}: `{key}` must be {expected}, found {found}", self.file))
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        self.get(key).map(|value| read(value).ok_or_else(|| self.wrong(key, expected))).transpose()
    }

    pub(super) fn usize(&self, key: &str) -> Result<Option<usize>> {
        self.typed(key, "a whole number", |value| value.as_u64().and_then(|n| usize::try_from(n).ok()))
    }

    pub(super) fn require_usize(&self, key: &str) -> Result<usize> {
        self.usize(key)?.ok_or_else(|| self.wrong(key, "a whole number"))
    }

    pub(super) fn f64(&self, key: &str) -> Result<Option<f64>> {
        self.typed(key, "a number", Value::as_f64)
    }

    pub(super) fn bool(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "true or false", Value::as_bool)
    }

    pub(super) fn str(&self, key: &str) -> Result<Option<&str>> {
        self.typed(key, "a string", Value::as_str)
    }

    pub(super) fn require_str(&self, key: &str) -> Result<&str> {
        self.str(key)?.ok_or_else(|| self.wrong(key, "a string"))
    }

    pub(super) fn strings(&self, key: &str) -> Result<Option<Vec<String>>> {
        self.typed(key, "a list of strings", |value| {
            value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
        })
    }

    pub(super) fn object(&self, key: &str) -> Result<Option<Object>> {
        self.typed(key, "an object", |value| {
            let map = value.as_object()?.clone();
            Some(Object { file: format!("{}, `{key}`", self.file), map })
        })
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.map.iter()
    }
}

/// A value as a message shows it: short.
pub(super) fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
