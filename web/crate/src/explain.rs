//! What each token adds to a class's logit.

use frostbert::head::{Head, Matrix};
use frostbert::model::Pooling;
use frostbert::{EmbeddingRecipe, TokenOutputs};
use serde::Serialize;

/// `TokenShare` of the npm package: a UTF-16 range of the text, and what it adds to the logit of each label.
#[derive(Serialize)]
pub(crate) struct TokenShare {
    start: usize,
    end: usize,
    logits: Vec<f64>,
}

/// The layer whose tokens an embedding is the mean of; none where it is no mean of one layer.
pub(crate) fn explainable(recipe: &EmbeddingRecipe) -> Option<usize> {
    let plain = recipe.pooling == [Pooling::Mean] && recipe.dense.is_empty() && recipe.dimensions.is_none();
    match recipe.layers[..] {
        [layer] if plain && recipe.window_overlap.is_none() => Some(layer),
        _ => None,
    }
}

/// Shares of a linear head over the mean of one layer, which is a sum over tokens: `w·h_t / (n |mean|)`. They are exact,
/// up to the special tokens, whose shares have no place in the text. None for other heads.
pub(crate) fn shares(
    head: &Head,
    normalize: bool,
    text: &str,
    outputs: &TokenOutputs,
) -> Option<Vec<TokenShare>> {
    let hidden = outputs.hidden_states.first()?;
    let (dim, names) = (head.dimension(), head.names().len());
    let tokens = Matrix::new(hidden.len() / dim, dim, hidden.as_slice()).ok()?;
    let logits = head.token_shares(&tokens, normalize).ok()?.shares;
    let encoding = &outputs.encoding;
    let mut utf16 = Utf16::new(text);
    let ordinary = (0..tokens.rows()).filter(|at| !encoding.special_tokens_mask[*at]);
    let share = |at: usize| {
        let (start, end) = encoding.offsets[at];
        let logits = logits[at * names..(at + 1) * names].to_vec();
        TokenShare { start: utf16.at(start), end: utf16.at(end), logits }
    };
    Some(ordinary.map(share).collect())
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
