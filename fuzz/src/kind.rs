//! Kinds of inputs.

/// A kind of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is a file's or a value's name")]
pub enum Kind {
    Config,
    Plan,
    Safetensors,
    Index,
    Modules,
    Tokenizer,
    Vocab,
    Head,
    Npz,
    Npy,
    Csv,
    Tsv,
    Jsonl,
    Text,
    Parquet,
    Labels,
    Arguments,
}
