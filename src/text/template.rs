//! A text between two others that are never cut: what stands in a template keeps the template whole.

use std::ops::Range;

use super::encoding::{Encoding, Truncate, limit, too_long};
use super::pieces;
use super::tokenizer::{EncodeOptions, Tokenizer, TruncationSide, room};
use crate::error::{Error, Result};
use tokenizers::PostProcessor;
use tokenizers::utils::truncation::TruncationDirection;

/// What stands before and after a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Within<'a> {
    pub(crate) before: &'a str,
    pub(crate) after: &'a str,
}

impl Within<'_> {
    /// The whole of it.
    pub(crate) fn around(&self, text: &str) -> String {
        [self.before, text, self.after].concat()
    }
}

impl Tokenizer {
    /// Encodes a text within a template. Where the whole is too long, tokens of the text go, on the side that the options say, or it is read
    /// in windows that have the whole template each; [`Encoding::offsets`] count in the whole.
    ///
    /// # Errors
    /// As [`encode_batch`](Self::encode_batch), and a template that leaves no room for the text.
    pub(crate) fn encode_within(
        &self,
        row: usize,
        text: &str,
        template: Within<'_>,
        options: EncodeOptions,
    ) -> Result<Vec<Encoding>> {
        let max_tokens = limit(options.max_tokens, self.max_tokens)?;
        let whole = template.around(text);
        // Every token is wanted: which of them are the text's is known of the whole alone.
        let (all, len) = self.tokens(row, &whole, usize::MAX, TruncationDirection::Right)?;
        let added = self.processor.as_ref().map_or(0, |processor| processor.added_tokens(false));
        let tokens = len + added;
        if tokens <= max_tokens {
            return Ok(vec![self.finish(row, all, None, tokens, false)?]);
        }
        if options.truncate == Truncate::Error {
            return Err(too_long(row, tokens, max_tokens));
        }
        let of_text = tokens_within(
            &whole,
            all.get_offsets(),
            template.before.len()..whole.len() - template.after.len(),
        );
        let fixed = len - of_text.len();
        let left = room(max_tokens, added)?.checked_sub(fixed).filter(|left| *left > 0).ok_or_else(|| {
            Error::input(format!(
                "the template takes {} of the {max_tokens} tokens that are read and leaves none for a text; shorten it",
                fixed + added
            ))
            .at_row(row)
        })?;
        let Range { start, end } = of_text;
        let part = |first: Range<usize>, second: Range<usize>, truncated: bool| {
            let parts = [0..start, first, second, end..len].map(|range| (&all, range));
            self.finish(row, pieces::parts(&parts), None, tokens, truncated)
        };
        if let Truncate::Window { overlap } = options.truncate {
            if left <= overlap {
                return Err(Error::input(format!(
                    "cannot split row {row} into windows: {left} tokens are left for its text beside the template, and {overlap} of \
                     them were to overlap; choose a smaller overlap"
                )));
            }
            let last = (end - start - left).div_ceil(left - overlap);
            let window = |at: usize| start + at * (left - overlap);
            return (0..=last)
                .map(|at| part(window(at)..(window(at) + left).min(end), end..end, false))
                .collect();
        }
        let of_start = match (options.side, self.direction) {
            (Some(TruncationSide::Middle), _) => left.div_ceil(2),
            (Some(TruncationSide::Left), _) | (None, TruncationDirection::Left) => 0,
            (Some(TruncationSide::Right), _) | (None, TruncationDirection::Right) => left,
        };
        Ok(vec![part(start..start + of_start, end - (left - of_start)..end, true)?])
    }
}

/// The tokens that are of nothing but some bytes of a text, white space at their ends aside: a token may hold the space before its word.
fn tokens_within(whole: &str, offsets: &[(usize, usize)], bytes: Range<usize>) -> Range<usize> {
    let inside = |(from, to): &(usize, usize)| {
        let token = whole.get(*from..*to).unwrap_or_default();
        let start = from + (token.len() - token.trim_start().len());
        let is_space = token.trim().is_empty();
        let (start, end) = if is_space { (*from, *to) } else { (start, from + token.trim_end().len()) };
        start < end && start >= bytes.start && end <= bytes.end
    };
    let first = offsets.iter().position(inside).unwrap_or(offsets.len());
    let last = offsets.iter().rposition(inside).map_or(first, |last| last + 1);
    first..last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_the_texts_where_they_hold_nothing_else() {
        let whole = "Say: a b c. Was it?";
        // As byte-level tokenizers have it: spaces belong to the word behind them.
        let offsets = [(0, 3), (3, 4), (4, 6), (6, 8), (8, 10), (10, 11), (11, 15), (15, 18), (18, 19)];
        assert_eq!(tokens_within(whole, &offsets, 5..10), 2..5);
        assert_eq!(tokens_within(whole, &offsets, 4..10), 2..5);
        assert_eq!(tokens_within(whole, &offsets, 5..11), 2..6);
        // Of half a token nothing may go.
        assert_eq!(tokens_within(whole, &offsets, 5..9), 2..4);
        assert_eq!(tokens_within(whole, &offsets, 5..5).len(), 0);
    }
}
