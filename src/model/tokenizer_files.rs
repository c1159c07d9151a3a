//! The files of a checkpoint's tokenizer.

use super::Family;

/// The files that a tokenizer is made from, as they are in the checkpoint.
#[derive(Clone, Debug, Default)]
pub struct TokenizerFiles {
    /// tokenizer.json.
    pub json: Option<Vec<u8>>,
    /// vocab.txt, read only where there is no tokenizer.json.
    pub vocab: Option<Vec<u8>>,
    /// tokenizer_config.json: an object, or `null`.
    pub config: serde_json::Value,
    /// special_tokens_map.json: an object, or `null`.
    pub special_tokens: serde_json::Value,
    /// added_tokens.json: an object from tokens to ids, or `null`.
    pub added_tokens: serde_json::Value,
    /// `tokenizer_class` of config.json, for tokenizer_config.json without one.
    pub model_class: Option<String>,
    /// Where they are, for messages.
    pub location: String,
}

/// What a tokenizer is made from: its files, and what the model expects of it.
#[derive(Clone, Copy, Debug)]
pub struct TokenizerSource<'a> {
    /// The files.
    pub files: &'a TokenizerFiles,
    /// The model's family, which says what reads the files where they do not.
    pub family: Family,
    /// Longest row in tokens, special tokens included.
    pub max_tokens: usize,
    /// Rows of the word-embedding table.
    pub vocab_rows: usize,
    /// Rows of the token-type table; 0 where there is none.
    pub type_rows: usize,
    /// Whether texts are lower-cased before the tokenizer's own normaliser.
    pub lowercase: bool,
}
