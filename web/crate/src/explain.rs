//! What each token adds to a class's logit.

use frostbert::Explanation;
use serde::Serialize;

/// `TokenShare` of the npm package: a UTF-16 range of the text, and what it adds to the logit of each label.
#[derive(Serialize)]
pub(crate) struct TokenShare {
    start: usize,
    end: usize,
    logits: Vec<f64>,
}

/// The shares of a text's own tokens: those of special tokens have no place in it.
pub(crate) fn shares(text: &str, explained: Explanation) -> Vec<TokenShare> {
    let mut utf16 = Utf16::new(text);
    let share = |((start, end), logits): ((usize, usize), Vec<f64>)| {
        (start < end).then(|| TokenShare { start: utf16.at(start), end: utf16.at(end), logits })
    };
    explained.offsets.into_iter().zip(explained.shares).filter_map(share).collect()
}

/// Byte offsets to UTF-16 offsets, in one pass over the text.
struct Utf16<'a> {
    text: &'a str,
    bytes: usize,
    units: usize,
}

impl<'a> Utf16<'a> {
    fn new(text: &'a str) -> Self {
        Utf16 { text, bytes: 0, units: 0 }
    }

    fn at(&mut self, byte: usize) -> usize {
        if byte < self.bytes {
            (self.bytes, self.units) = (0, 0);
        }
        self.units += self.text.get(self.bytes..byte).map_or(0, |part| part.encode_utf16().count());
        self.bytes = byte;
        self.units
    }
}
