//! What a text becomes: token ids, and what is needed to go back to the text.

use crate::error::{Error, Result};

/// What to encode: one text, or two that a model reads together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextInput<'a> {
    /// `[CLS] text [SEP]`.
    Single(&'a str),
    /// `[CLS] first [SEP] second [SEP]`.
    Pair(&'a str, &'a str),
}

impl<'a> From<&'a str> for TextInput<'a> {
    fn from(text: &'a str) -> Self {
        TextInput::Single(text)
    }
}

impl<'a> From<&'a String> for TextInput<'a> {
    fn from(text: &'a String) -> Self {
        TextInput::Single(text)
    }
}

impl<'a> From<(&'a str, &'a str)> for TextInput<'a> {
    fn from((first, second): (&'a str, &'a str)) -> Self {
        TextInput::Pair(first, second)
    }
}

/// What to do with a text that is longer than the model takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Truncate {
    /// Cut it; [`Encoding::truncated`] says so.
    #[default]
    Cut,
    /// Cut it; the caller warns, by [`Encoding::truncated`].
    Warn,
    /// Refuse it.
    Error,
    /// Several encodings for one text: windows that share `overlap` tokens with the one before.
    Window {
        /// Tokens that two neighbouring windows share.
        overlap: usize,
    },
}

/// One row of tokens. Without [`Truncate::Window`] there is one for each input, in input order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoding {
    /// Index of the input that it comes from.
    pub row: usize,
    /// Token ids, special tokens included.
    pub ids: Vec<u32>,
    /// Token types: 1 in the second text of a pair for models that have types, elsewhere 0.
    pub type_ids: Vec<u32>,
    /// Where each token comes from: start and end in bytes of its text; `(0, 0)` for special tokens.
    pub offsets: Vec<(usize, usize)>,
    /// Whether a token was added by the tokenizer (`[CLS]`, `[SEP]`).
    pub special_tokens_mask: Vec<bool>,
    /// Which word each token belongs to, as the tokenizer splits the text before it makes tokens of the words; none for
    /// special tokens. Counted from 0 in each text.
    pub word_ids: Vec<Option<u32>>,
    /// First token of a pair's second text; none for a single text.
    pub second_start: Option<usize>,
    /// Tokens of the whole input before anything was cut, special tokens included.
    pub tokens: usize,
    /// Whether tokens of the input are in no encoding.
    pub truncated: bool,
    /// Tokens at the start that pooling leaves out: a prompt's, where the checkpoint does not pool prompts.
    pub pool_from: usize,
}

impl Encoding {
    /// Number of tokens, special tokens included.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Positions of a token: of the mask, say.
    pub fn positions(&self, id: u32) -> impl Iterator<Item = usize> + '_ {
        self.ids.iter().enumerate().filter(move |(_, found)| **found == id).map(|(at, _)| at)
    }

    /// Takes over what the tokenizers crate made of one row.
    pub(super) fn from_parts(encoding: &tokenizers::Encoding, row: usize) -> Self {
        let sequences = encoding.get_sequence_ids();
        Encoding {
            row,
            ids: encoding.get_ids().to_vec(),
            type_ids: encoding.get_type_ids().to_vec(),
            offsets: encoding.get_offsets().to_vec(),
            special_tokens_mask: encoding.get_special_tokens_mask().iter().map(|flag| *flag == 1).collect(),
            word_ids: encoding.get_word_ids().to_vec(),
            second_start: sequences.iter().position(|sequence| *sequence == Some(1)),
            tokens: encoding.len(),
            truncated: false,
            pool_from: 0,
        }
    }
}

/// The error for a text that is too long under [`Truncate::Error`].
pub(super) fn too_long(row: usize, tokens: usize, max_tokens: usize) -> Error {
    Error::input(format!(
        "the text has {tokens} tokens, and the limit is {max_tokens}; shorten it, or choose to cut it or to split it \
         into windows"
    ))
    .at_row(row)
}

/// Checks the caller's limit against the model's.
pub(super) fn limit(asked: Option<usize>, model: usize) -> Result<usize> {
    match asked {
        None => Ok(model),
        Some(asked) if asked > model => Err(Error::input(format!(
            "a maximum of {asked} tokens was asked for, but the model takes at most {model}"
        ))),
        Some(asked) => Ok(asked),
    }
}

/// A value as a message shows it: short.
pub(super) fn brief(value: &serde_json::Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
