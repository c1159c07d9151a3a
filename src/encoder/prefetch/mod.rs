//! Tokenises ahead of the engine, a window of texts at a time.

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod web;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::Prefetch;
#[cfg(target_arch = "wasm32")]
pub(crate) use web::Prefetch;

use crate::error::Result;
use crate::text::{EncodeOptions, Encoding, TextInput, Tokenizer};

/// Texts per window: enough to sort by length, few enough that memory stays flat and rows leave soon.
const WINDOW_TEXTS: usize = 2048;
/// A window of very long texts ends earlier.
const WINDOW_BYTES: usize = 4 << 20;

/// Consecutive texts, tokenised.
#[derive(Default)]
pub(crate) struct TokenizedWindow {
    /// Encodings of all texts, in order.
    pub(crate) encodings: Vec<Encoding>,
    /// How many encodings each text has: more than one where it was split into windows.
    pub(crate) encodings_per_text: Vec<usize>,
    /// Tokens of each text before truncation.
    pub(crate) tokens: Vec<u32>,
    /// Whether each text was cut.
    pub(crate) truncated: Vec<bool>,
}

/// Takes the next texts off the iterator and tokenises them; none at the end.
fn next_window(
    texts: &mut dyn Iterator<Item = Result<TextInput>>,
    tokenizer: &Tokenizer,
    options: &EncodeOptions,
    row: &mut usize,
) -> Result<Option<TokenizedWindow>> {
    let mut taken = Vec::new();
    let mut bytes = 0;
    while taken.len() < WINDOW_TEXTS && bytes < WINDOW_BYTES {
        let Some(text) = texts.next() else { break };
        let text = text?;
        bytes += text.len();
        taken.push(text);
    }
    if taken.is_empty() {
        return Ok(None);
    }
    let per_text = tokenizer.encode_batch(&taken, options, *row)?;
    *row += taken.len();
    let mut window = TokenizedWindow::default();
    for encodings in per_text {
        window.encodings_per_text.push(encodings.len());
        window.tokens.push(encodings.first().map_or(0, |first| first.tokens as u32));
        window.truncated.push(encodings.iter().any(|encoding| encoding.truncated));
        window.encodings.extend(encodings);
    }
    Ok(Some(window))
}
