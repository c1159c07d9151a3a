//! A browser has no files: heads travel as bytes.

use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// An error.
pub(crate) fn read(_path: &Path) -> Result<Vec<u8>> {
    Err(unsupported())
}

/// An error.
pub(crate) fn write(_path: &Path, _bytes: &[u8]) -> Result<()> {
    Err(unsupported())
}

/// An error.
pub(crate) fn remove(_path: &Path) -> Result<()> {
    Err(unsupported())
}

fn unsupported() -> Error {
    Error::new(ErrorKind::Unsupported, "a browser has no files: use Head::from_bytes and Head::to_bytes")
}
