//! Ways with texts that are longer than the model takes, and what comparing them found.
//!
//! Source: Sun et al. (2019), *How to fine-tune BERT for text classification?*, section 5.3.1, for head, tail, and head and tail.

use serde::Serialize;

use crate::encoder::EmbedOptions;
use crate::head::Estimate;
use crate::names::named;
use crate::text::{Truncate, TruncationSide};

/// What of a text that is too long is embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LongTexts {
    /// Its beginning.
    Head,
    /// As much of its beginning as of its end.
    HeadAndTail,
    /// Its end.
    Tail,
    /// All of it, in overlapping windows that are combined into one vector.
    Windows,
}

named! { LongTexts, "way with long texts",
    "head", "Its beginning" => LongTexts::Head, LongTexts::Head,
    "head-and-tail", "As much of its beginning as of its end" => LongTexts::HeadAndTail, LongTexts::HeadAndTail,
    "tail", "Its end" => LongTexts::Tail, LongTexts::Tail,
    "windows", "All of it, in overlapping windows" => LongTexts::Windows, LongTexts::Windows,
}

/// Tokens that windows share where sequences are long enough, otherwise a quarter of one.
const OVERLAP: usize = 64;

impl LongTexts {
    /// These options, with long texts treated so; sequences have at most so many tokens.
    pub fn apply(self, options: &EmbedOptions, max_tokens: usize) -> EmbedOptions {
        let overlap = if max_tokens < 2 * OVERLAP { max_tokens / 4 } else { OVERLAP };
        let (truncate, side) = match self {
            LongTexts::Head => (Truncate::Warn, Some(TruncationSide::Right)),
            LongTexts::HeadAndTail => (Truncate::Warn, Some(TruncationSide::Middle)),
            LongTexts::Tail => (Truncate::Warn, Some(TruncationSide::Left)),
            LongTexts::Windows => (Truncate::Window { overlap }, None),
        };
        EmbedOptions { truncate, truncation_side: side.or(options.truncation_side), ..options.clone() }
    }
}

/// Ways with long texts, compared, and the one taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LongChoice {
    /// The one taken.
    pub chosen: LongTexts,
    /// Those compared, on the same folds; empty where no text is too long.
    pub candidates: Vec<LongCandidate>,
    /// Training texts that are longer than the model takes.
    pub long_texts: usize,
    /// Tokens that the model takes.
    pub max_tokens: usize,
    /// Why it was taken, in one sentence.
    pub reason: String,
}

/// One way with long texts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LongCandidate {
    /// Which.
    pub way: LongTexts,
    /// The `C` it does best with.
    pub c: Option<f64>,
    /// What was minimised, over the folds.
    pub score: Estimate,
    /// Share of all training texts' tokens that it cuts away.
    pub cut: f64,
}
