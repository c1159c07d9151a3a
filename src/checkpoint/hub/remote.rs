//! What a download is told, and what it tells.

use std::path::Path;
use std::time::Duration;

/// The hub, and the cache to fill.
#[cfg_attr(not(feature = "hub"), expect(dead_code, reason = "only downloads read it all"))]
pub(super) struct Remote<'a> {
    pub(super) endpoint: &'a str,
    pub(super) token: Option<&'a str>,
    pub(super) timeout: Duration,
    pub(super) retries: usize,
    pub(super) cache: &'a Path,
}

/// A step of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Download<'a> {
    /// The file, as it is called in the repository.
    pub file: &'a str,
    /// Its place among the files to download, from 0.
    pub index: usize,
    /// How many files there are to download.
    pub files: usize,
    /// Bytes that are there.
    pub done_bytes: u64,
    /// Bytes of the whole file.
    pub total_bytes: u64,
}
