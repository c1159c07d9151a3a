//! One file a subcommand, and what they share.

pub mod bench;
pub mod cache;
pub mod classify;
pub mod clusters;
pub mod compare;
pub mod dedupe;
pub mod devices;
pub mod drift;
pub mod embed;
pub mod evaluate;
pub mod export;
pub mod fetch;
pub mod fill_mask;
pub mod import_head;
pub mod inspect;
pub mod next_sentence;
pub mod predict;
pub mod rerank;
pub mod search;
#[cfg(feature = "serve")]
pub mod serve;
pub mod suggest;
pub mod tag;
pub mod tokens;
pub mod train;
pub mod vectors;
pub mod verify;

use std::io::Write;

use frostbert::{Error, Result};

use crate::terminal;

/// Columns of a terminal that tables and token shares are laid out for.
pub const WIDTH: usize = 100;

/// Writes lines for people to stdout, control characters shown. Names and texts inside a line go through [`terminal::cell`]
/// first. A closed pipe is an error that [`is_broken_pipe`] knows.
pub fn print(text: &str) -> Result<()> {
    print_exactly(&terminal::lines(text))
}

/// Writes to stdout as it is: JSON, and what this program has coloured.
pub fn print_exactly(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Error::io("cannot write to standard output").with_source(error))
}

/// Writes one JSON document and a line end to stdout.
pub fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let mut text = serde_json::to_string(value)
        .map_err(|error| Error::io("cannot write the result as JSON").with_source(error))?;
    text.push('\n');
    print_exactly(&text)
}

/// Whether the reader of our output has gone.
pub fn is_broken_pipe(error: &Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
        {
            return true;
        }
        cause = error.source();
    }
    false
}
