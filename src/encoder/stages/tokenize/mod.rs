//! Tokenises ahead of the engine, a window of texts at a time.

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod web;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::Prefetch;
#[cfg(target_arch = "wasm32")]
pub(crate) use web::Prefetch;

use crate::encoder::Text;
use crate::error::Result;
use crate::text::{EncodeOptions, Encoding, TextInput, Tokenizer};

/// Texts per window: enough to sort by length, few enough that memory stays flat and rows leave soon.
const WINDOW_TEXTS: usize = 2048;
/// A window of very long texts ends earlier.
const WINDOW_BYTES: usize = 4 << 20;

/// How texts are tokenised.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// Put before every text.
    pub(crate) prompt: Option<String>,
    /// Whether the prompt's tokens are pooled with the text's.
    pub(crate) include_prompt: bool,
    pub(crate) encode: EncodeOptions,
}

impl Recipe {
    /// Tokenises texts; [`Encoding::row`] counts from 0 in `texts`, errors name rows from `first_row` on.
    pub(crate) fn encode(
        &self,
        tokenizer: &Tokenizer,
        texts: &[Text],
        first_row: usize,
    ) -> Result<Vec<Encoding>> {
        let in_context = |error: crate::error::Error| {
            if first_row > 0 { error.context(format!("in the texts from row {first_row} on")) } else { error }
        };
        let Some(prompt) = &self.prompt else {
            let inputs: Vec<TextInput<'_>> = texts.iter().map(Text::input).collect();
            return tokenizer.encode_batch(&inputs, self.encode).map_err(in_context);
        };
        let firsts: Vec<String> = texts.iter().map(|text| format!("{prompt}{}", text.first)).collect();
        let inputs: Vec<TextInput<'_>> = firsts
            .iter()
            .zip(texts)
            .map(|(first, text)| match &text.second {
                Some(second) => TextInput::Pair(first, second),
                None => TextInput::Single(first),
            })
            .collect();
        let mut encodings = tokenizer.encode_batch(&inputs, self.encode).map_err(in_context)?;
        if !self.include_prompt {
            let left_out = self.prompt_tokens(tokenizer, prompt)?;
            let mut last_row = None;
            for encoding in &mut encodings {
                // The prompt stands in the first window of a text.
                if last_row != Some(encoding.row) {
                    encoding.pool_from = left_out.min(encoding.len().saturating_sub(1));
                }
                last_row = Some(encoding.row);
            }
        }
        Ok(encodings)
    }

    /// Tokens at the start of a row that belong to the prompt: the row of the prompt alone, without what ends a row. Source:
    /// sentence-transformers' `prompt_length`.
    fn prompt_tokens(&self, tokenizer: &Tokenizer, prompt: &str) -> Result<usize> {
        let options = EncodeOptions { truncate: crate::text::Truncate::Cut, ..self.encode };
        let alone = tokenizer.encode_batch(&[TextInput::Single(prompt)], options)?;
        Ok(alone.first().map_or(0, |encoding| encoding.len().saturating_sub(1)))
    }
}

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
    texts: &mut dyn Iterator<Item = Result<Text>>,
    tokenizer: &Tokenizer,
    recipe: &Recipe,
    first_row: &mut usize,
) -> Result<Option<TokenizedWindow>> {
    let mut taken: Vec<Text> = Vec::new();
    let mut bytes = 0;
    while taken.len() < WINDOW_TEXTS && bytes < WINDOW_BYTES {
        let Some(text) = texts.next().transpose()? else { break };
        bytes += text.len_bytes();
        taken.push(text);
    }
    if taken.is_empty() {
        return Ok(None);
    }
    let encodings = recipe.encode(tokenizer, &taken, *first_row)?;
    *first_row += taken.len();
    let mut window = TokenizedWindow {
        encodings_per_text: vec![0; taken.len()],
        tokens: vec![0; taken.len()],
        truncated: vec![false; taken.len()],
        ..TokenizedWindow::default()
    };
    for encoding in &encodings {
        window.encodings_per_text[encoding.row] += 1;
        window.tokens[encoding.row] = encoding.tokens as u32;
        window.truncated[encoding.row] |= encoding.truncated;
    }
    window.encodings = encodings;
    Ok(Some(window))
}
