//! Bytes of a table: where they come from, how many there were, and whether they are text at all.

use std::io::{Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Reader;
use crate::error::{Error, Result};

/// How far into its bytes a table has been read; for progress bars.
///
/// Units: bytes.
#[derive(Clone, Debug)]
pub struct ReadProgress {
    read: Arc<AtomicU64>,
    total: Option<u64>,
}

impl ReadProgress {
    pub(super) fn new(total: Option<u64>) -> Self {
        ReadProgress { read: Arc::default(), total }
    }

    pub(super) fn with_total(self, total: u64) -> Self {
        ReadProgress { total: Some(total), ..self }
    }

    pub(super) fn add(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }

    #[cfg(feature = "parquet")]
    pub(super) fn set(&self, bytes: u64) {
        self.read.store(bytes, Ordering::Relaxed);
    }

    /// Bytes read so far. Readers read ahead, so this may run a little before the rows.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// All bytes, where that is known (not on a pipe).
    pub fn total(&self) -> Option<u64> {
        self.total
    }
}

/// A named stream of bytes whose reading is counted.
pub(super) struct Input {
    name: String,
    reader: Reader,
    progress: ReadProgress,
}

/// Text that starts with these bytes is something else; with what to do about it.
const MAGIC: [(&[u8], &str); 6] = [
    (b"PK\x03\x04", "a zip archive or a spreadsheet; unpack it, or save the sheet as CSV (UTF-8)"),
    (b"\x1f\x8b", "compressed with gzip; unpack it first, or pipe it: gzip -dc FILE | frostbert ... -"),
    (
        b"\x28\xb5\x2f\xfd",
        "compressed with zstd; unpack it first, or pipe it: zstd -dc FILE | frostbert ... -",
    ),
    (b"PAR1", "a Parquet file; give it the ending .parquet"),
    (b"\xff\xfe", "UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "UTF-16; save it as UTF-8"),
];
const BOM: &[u8] = b"\xef\xbb\xbf";
/// As much as is looked at to tell text from binary.
const HEAD: u64 = 64 << 10;

impl Input {
    pub(super) fn new(name: String, reader: Reader, total: Option<u64>) -> Self {
        Input { name, reader, progress: ReadProgress::new(total) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn progress(&self) -> &ReadProgress {
        &self.progress
    }

    /// Everything, for formats that seek.
    #[cfg(feature = "parquet")]
    pub(super) fn read_all(mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader.read_to_end(&mut bytes).map_err(|error| reading(&self.name, error))?;
        Ok(bytes)
    }

    /// Looks at the first bytes: refuses what is empty or not text, drops a byte order mark.
    pub(super) fn sniffed(mut self) -> Result<Sniffed> {
        let mut head = Vec::new();
        let reading = self.reader.by_ref().take(HEAD).read_to_end(&mut head);
        reading.map_err(|error| self::reading(&self.name, error))?;
        check_text(&self.name, &head)?;
        let skipped = if head.starts_with(BOM) { BOM.len() } else { 0 };
        if head[skipped..].iter().all(|byte| byte.is_ascii_whitespace()) && (head.len() as u64) < HEAD {
            return Err(Error::input(format!("{} is empty: there is no text in it", self.name)));
        }
        let mut rest = Cursor::new(head.clone());
        rest.set_position(skipped as u64);
        self.progress.add(skipped as u64);
        let reader = Box::new(Counted { reader: rest.chain(self.reader), progress: self.progress });
        Ok(Sniffed { name: self.name, head: head.split_off(skipped), skipped: skipped as u64, reader })
    }
}

/// Refuses bytes that are no text.
pub(super) fn check_text(name: &str, head: &[u8]) -> Result<()> {
    if let Some((_, what)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(Error::input(format!("{name} is not plain text: it is {what}")));
    }
    if let Some(at) = head.iter().position(|&byte| byte == 0) {
        return Err(Error::input(format!(
            "{name} is a binary file (byte {at} is zero); expected a table of texts in UTF-8"
        )));
    }
    Ok(())
}

/// An input known to begin like text.
pub(super) struct Sniffed {
    pub(super) name: String,
    /// The first bytes, for guesses; the reader gives them again.
    pub(super) head: Vec<u8>,
    /// Bytes of a byte order mark before the first that the reader gives.
    pub(super) skipped: u64,
    pub(super) reader: Reader,
}

struct Counted<R> {
    reader: R,
    progress: ReadProgress,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.progress.add(read as u64);
        Ok(read)
    }
}

pub(super) fn reading(name: &str, error: std::io::Error) -> Error {
    Error::io(format!("cannot read {name}")).with_source(error)
}

/// Text that is not UTF-8. `place` says where the piece is, `offset` at which byte of the file it starts.
pub(super) fn not_utf8(name: &str, place: &str, bytes: &[u8], valid_up_to: usize, offset: u64) -> Error {
    let byte = bytes.get(valid_up_to).map_or_else(String::new, |byte| format!(" 0x{byte:02X}"));
    Error::input(format!(
        "{name}, {place}: not UTF-8 (byte{byte} at offset {} of the file); save the table as UTF-8",
        offset + valid_up_to as u64
    ))
}
