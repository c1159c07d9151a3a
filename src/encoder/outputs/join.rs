//! The windows of one long text, joined token by token.
//!
//! Windows overlap, so some tokens are in several: each is taken from the window where it has the most context, which is where
//! the nearer end of the window is furthest away (of equal ones the first). What the tokenizer adds before the text is taken
//! from the first window, what it adds after it from the last.

use crate::encoder::session::lost_rows;
use crate::error::{Error, Result};
use crate::text::Encoding;

/// One text's tokens, and where each was computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Joined {
    /// As if the text had not been split.
    pub(super) encoding: Encoding,
    /// Window and token in it, of each token.
    pub(super) places: Vec<(usize, usize)>,
}

/// Joins the windows of a text, which share `overlap` tokens.
///
/// # Errors
/// Pairs: the text that is not split stands in every window, so a token of it has several answers.
pub(super) fn join(windows: &[&Encoding], overlap: usize) -> Result<Joined> {
    let Some((first, rest)) = windows.split_first() else {
        return Err(lost_rows("a text has no encoding"));
    };
    if rest.is_empty() {
        let places = (0..first.len()).map(|token| (0, token)).collect();
        return Ok(Joined { encoding: (*first).clone(), places });
    }
    if windows.iter().any(|window| window.second_start.is_some()) {
        return Err(Error::input(
            "cannot read a pair in windows token by token: the shorter text stands in every window; give the texts one by \
             one, or cut them",
        ));
    }
    let texts: Vec<Vec<usize>> = windows.iter().map(|window| text_tokens(window)).collect();
    // Where each window's text starts in the whole text.
    let mut starts = vec![0; windows.len()];
    for at in 1..windows.len() {
        let start = (starts[at - 1] + texts[at - 1].len()).checked_sub(overlap);
        starts[at] = start.ok_or_else(|| lost_rows("a window is shorter than its overlap"))?;
        let (before, here) = (windows[at - 1], windows[at]);
        let shared = texts[at - 1].iter().rev().take(overlap).rev().map(|token| before.ids[*token]);
        if !shared.eq(texts[at].iter().take(overlap).map(|token| here.ids[*token])) {
            return Err(lost_rows("neighbouring windows do not share their tokens"));
        }
    }
    let whole = starts.last().unwrap_or(&0) + texts.last().map_or(0, Vec::len);
    // Windows start and end one after the other, so that those with a token are neighbours.
    let ends: Vec<usize> = starts.iter().zip(&texts).map(|(start, text)| start + text.len()).collect();
    let place = |at: usize| {
        let holding = ends.partition_point(|end| *end <= at)..starts.partition_point(|start| *start <= at);
        let context = |window: usize| {
            let (before, len) = (at - starts[window], texts[window].len());
            before.min(len - 1 - before)
        };
        let best = holding.reduce(|best, window| if context(window) > context(best) { window } else { best });
        best.map(|window| (window, texts[window][at - starts[window]]))
            .ok_or_else(|| lost_rows("a token is in no window"))
    };
    let last = windows.len() - 1;
    let head = texts[0].first().copied().unwrap_or(0);
    let tail = texts[last].last().map_or(0, |token| token + 1);
    let mut places: Vec<(usize, usize)> = (0..head).map(|token| (0, token)).collect();
    for at in 0..whole {
        places.push(place(at)?);
    }
    places.extend((tail..windows[last].len()).map(|token| (last, token)));

    fn pick<T: Copy>(places: &[(usize, usize)], of: impl Fn(usize, usize) -> T) -> Vec<T> {
        places.iter().map(|(window, token)| of(*window, *token)).collect()
    }
    let encoding = Encoding {
        row: first.row,
        ids: pick(&places, |window, token| windows[window].ids[token]),
        type_ids: pick(&places, |window, token| windows[window].type_ids[token]),
        offsets: pick(&places, |window, token| windows[window].offsets[token]),
        special_tokens_mask: pick(&places, |window, token| windows[window].special_tokens_mask[token]),
        word_ids: pick(&places, |window, token| windows[window].word_ids[token]),
        second_start: None,
        tokens: first.tokens,
        truncated: windows.iter().any(|window| window.truncated),
        pool_from: first.pool_from,
    };
    Ok(Joined { encoding, places })
}

/// Tokens of the text itself.
pub(super) fn text_tokens(encoding: &Encoding) -> Vec<usize> {
    (0..encoding.len()).filter(|at| !encoding.special_tokens_mask[*at]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `[CLS] text [SEP]`; token `at` of the text has the id `at + 10` and stands at byte `at`.
    fn encoding(tokens: std::ops::Range<usize>, whole: usize) -> Encoding {
        let text = tokens.clone();
        let around = |first: u32, last: u32, ids: Vec<u32>| [vec![first], ids, vec![last]].concat();
        let len = tokens.len() + 2;
        Encoding {
            row: 3,
            ids: around(1, 2, text.clone().map(|at| at as u32 + 10).collect()),
            type_ids: vec![0; len],
            offsets: [vec![(0, 0)], text.clone().map(|at| (at, at + 1)).collect(), vec![(0, 0)]].concat(),
            special_tokens_mask: (0..len).map(|at| at == 0 || at == len - 1).collect(),
            word_ids: [vec![None], text.map(|at| Some(at as u32 / 2)).collect(), vec![None]].concat(),
            second_start: None,
            tokens: whole + 2,
            truncated: false,
            pool_from: 0,
        }
    }

    proptest! {
        #[test]
        fn joined_windows_are_the_whole_text_with_the_most_context_that_there_is(
            whole in 1usize..200, room in 1usize..30, overlap in 0usize..29,
        ) {
            prop_assume!(overlap < room);
            let mut windows = Vec::new();
            for start in (0..whole).step_by(room - overlap) {
                windows.push(encoding(start..(start + room).min(whole), whole));
                if start + room >= whole { break; }
            }
            let windows: Vec<&Encoding> = windows.iter().collect();
            let joined = join(&windows, overlap).unwrap();
            prop_assert_eq!(&joined.encoding, &encoding(0..whole, whole));
            prop_assert_eq!(joined.places.len(), whole + 2);
            let context = |(window, token): (usize, usize)| (token - 1).min(windows[window].len() - 2 - token);
            for (at, place) in joined.places[1..=whole].iter().enumerate() {
                prop_assert_eq!(windows[place.0].ids[place.1] as usize, at + 10);
                for (number, window) in windows.iter().enumerate() {
                    if let Some(token) = window.ids.iter().position(|id| *id as usize == at + 10) {
                        prop_assert!(context((number, token)) <= context(*place));
                    }
                }
            }
        }
    }

    #[test]
    fn windows_that_do_not_fit_together_are_an_error() {
        let (a, b) = (encoding(0..6, 10), encoding(3..10, 10));
        assert!(join(&[&a, &b], 3).is_ok());
        assert!(join(&[&a, &b], 2).is_err());
        assert!(join(&[], 2).is_err());
        let pair = Encoding { second_start: Some(4), ..a.clone() };
        assert!(join(&[&pair, &b], 3).unwrap_err().is_input());
    }
}
