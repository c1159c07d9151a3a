//! Very long texts, tokenised in pieces: the tokens are those of the whole, and memory is that of a piece.

use std::ops::Range;

use serde_json::Value;
use tokenizers::utils::truncation::TruncationDirection;
use tokenizers::{Encoding, Tokenizer as Inner};

/// Texts up to this length are tokenised as one.
pub(super) const PIECE_BYTES: usize = 256 << 10;

/// The longest text that is tokenised where it cannot be in pieces, or where every token is wanted: about 100 bytes of memory
/// a byte of text.
pub(super) const WHOLE_BYTES: usize = 8 << 20;

/// Whether a text may be cut between `a` and ` b` (an ASCII letter or digit, one space, another) and its parts tokenised for
/// themselves: nothing that the tokenizer does looks across such a place. True of the usual normalisers, which work character
/// by character, and of pre-tokenizers that split there, unless an added token has a space in it or takes one with it.
pub(super) fn may_cut(inner: &Inner) -> bool {
    let normalizer = serde_json::to_value(inner.get_normalizer()).unwrap_or_default();
    let pre_tokenizer = serde_json::to_value(inner.get_pre_tokenizer()).unwrap_or_default();
    let added = inner.get_added_tokens_decoder();
    let harmless =
        |token: &tokenizers::AddedToken| !token.rstrip && !token.content.contains(char::is_whitespace);
    normalizer_is_local(&normalizer) && pre_tokenizer_splits(&pre_tokenizer) && added.values().all(harmless)
}

fn normalizer_is_local(normalizer: &Value) -> bool {
    match normalizer["type"].as_str() {
        None => normalizer.is_null(),
        Some(
            "BertNormalizer" | "Lowercase" | "NFC" | "NFD" | "NFKC" | "NFKD" | "StripAccents" | "Precompiled",
        ) => true,
        Some("Replace") => {
            let spaceless =
                |value: &Value| value.as_str().is_some_and(|text| !text.contains(char::is_whitespace));
            let pattern = &normalizer["pattern"];
            pattern["Regex"] == " {2,}"
                || (spaceless(&pattern["String"]) && spaceless(&normalizer["content"]))
        }
        Some("Sequence") => all(&normalizer["normalizers"], normalizer_is_local),
        Some(_) => false,
    }
}

fn pre_tokenizer_splits(pre_tokenizer: &Value) -> bool {
    match pre_tokenizer["type"].as_str() {
        Some("BertPreTokenizer" | "Whitespace" | "WhitespaceSplit") => true,
        Some("ByteLevel") => pre_tokenizer["use_regex"] != false,
        Some("Metaspace") => pre_tokenizer["split"] != false,
        Some("Sequence") => all(&pre_tokenizer["pretokenizers"], pre_tokenizer_splits),
        _ => false,
    }
}

fn all(list: &Value, check: impl Fn(&Value) -> bool) -> bool {
    list.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(check))
}

/// The pieces of a text. A piece is longer than [`PIECE_BYTES`] where no place to cut comes sooner.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        if from == text.len() {
            return None;
        }
        let start = from;
        let bytes = text.as_bytes();
        let place = |at: usize| {
            bytes[at] == b' '
                && bytes[at - 1].is_ascii_alphanumeric()
                && bytes[at + 1].is_ascii_alphanumeric()
        };
        let first = start + PIECE_BYTES;
        from = (first..text.len().saturating_sub(1)).find(|at| place(*at)).unwrap_or(text.len());
        Some((start, &text[start..from]))
    })
}

/// The tokens of a long text as its pieces give them: all of them counted, at most so many kept.
pub(super) struct Kept {
    most: usize,
    side: TruncationDirection,
    ids: Vec<u32>,
    tokens: Vec<String>,
    words: Vec<Option<u32>>,
    offsets: Vec<(usize, usize)>,
    special: Vec<u32>,
    words_before: u32,
    count: usize,
}

impl Kept {
    /// Keeps `most` tokens: the first ones where what is cut is cut on the right, else the last.
    pub(super) fn new(most: usize, side: TruncationDirection) -> Self {
        Kept {
            most,
            side,
            ids: vec![],
            tokens: vec![],
            words: vec![],
            offsets: vec![],
            special: vec![],
            words_before: 0,
            count: 0,
        }
    }

    /// Adds a piece that starts at byte `start` of the text.
    pub(super) fn add(&mut self, piece: &Encoding, start: usize) {
        self.count += piece.len();
        let take = match self.side {
            TruncationDirection::Right => piece.len().min(self.most - self.ids.len()),
            TruncationDirection::Left => piece.len(),
        };
        self.ids.extend_from_slice(&piece.get_ids()[..take]);
        self.tokens.extend_from_slice(&piece.get_tokens()[..take]);
        self.special.extend_from_slice(&piece.get_special_tokens_mask()[..take]);
        let offsets = piece.get_offsets()[..take].iter();
        self.offsets.extend(offsets.map(|(from, to)| (from + start, to + start)));
        let before = self.words_before;
        let words = piece.get_word_ids();
        self.words.extend(words[..take].iter().map(|word| word.map(|word| word + before)));
        self.words_before += words.iter().flatten().max().map_or(0, |last| last + 1);
        // What goes at the front goes in large portions, so that a long text stays linear.
        if self.ids.len() > 2 * self.most {
            self.trim();
        }
    }

    fn trim(&mut self) {
        let surplus = self.ids.len().saturating_sub(self.most);
        self.ids.drain(..surplus);
        self.tokens.drain(..surplus);
        self.words.drain(..surplus);
        self.offsets.drain(..surplus);
        self.special.drain(..surplus);
    }

    /// The tokens kept, and how many the text has.
    pub(super) fn finish(mut self) -> (Encoding, usize) {
        if self.side == TruncationDirection::Left {
            self.trim();
        }
        let len = self.ids.len();
        let Kept { ids, tokens, words, offsets, special, .. } = self;
        let (types, attention, ranges) = (vec![0; len], vec![1; len], Default::default());
        let mut kept = Encoding::new(ids, types, tokens, words, offsets, special, attention, vec![], ranges);
        kept.set_sequence_id(0);
        (kept, self.count)
    }
}

/// Two parts of one text as one.
pub(super) fn joined(first: &Encoding, second: &Encoding) -> Encoding {
    parts(&[(first, 0..first.len()), (second, 0..second.len())])
}

/// Some tokens of one text as a text of their own.
pub(super) fn parts(of: &[(&Encoding, Range<usize>)]) -> Encoding {
    fn all<T: Clone>(of: &[(&Encoding, Range<usize>)], what: impl Fn(&Encoding) -> &[T]) -> Vec<T> {
        of.iter().flat_map(|(encoding, range)| what(encoding)[range.clone()].to_vec()).collect()
    }
    let len = of.iter().map(|(_, range)| range.len()).sum();
    let mut joined = Encoding::new(
        all(of, Encoding::get_ids),
        vec![0; len],
        all(of, Encoding::get_tokens),
        all(of, Encoding::get_word_ids),
        all(of, Encoding::get_offsets),
        all(of, Encoding::get_special_tokens_mask),
        vec![1; len],
        vec![],
        Default::default(),
    );
    joined.set_sequence_id(0);
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_text_and_end_between_words() {
        let mut text = "x".repeat(PIECE_BYTES - 3);
        text.push_str(" , né ab, c d e ");
        text.push_str(&"yz ".repeat(PIECE_BYTES));
        let found: Vec<(usize, &str)> = pieces(&text).collect();
        assert!(found.len() > 2);
        assert_eq!(found.iter().map(|(_, piece)| *piece).collect::<String>(), text);
        for pair in found.windows(2) {
            assert_eq!(pair[0].0 + pair[0].1.len(), pair[1].0);
            assert!(pair[0].1.ends_with(|c: char| c.is_ascii_alphanumeric()));
            assert!(pair[1].1.starts_with(' '));
        }
        assert_eq!(pieces("").count(), 0);
        assert_eq!(pieces(&"界".repeat(PIECE_BYTES)).count(), 1);
    }
}
