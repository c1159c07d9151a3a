//! What each token adds to a class's logit.

use frostbert::head::Head;
use frostbert::plan::Pooling;
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
    let (coefficients, _) = head.coefficients()?;
    let dim = head.dimension();
    let hidden = outputs.hidden_states.first()?;
    let tokens = hidden.len() / dim;
    let mut mean = vec![0.0f64; dim];
    for row in hidden.chunks_exact(dim) {
        mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x) / tokens as f64);
    }
    let length = mean.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
    let scale = if normalize { 1.0 / (tokens as f64 * length) } else { 1.0 / tokens as f64 };
    let factors = &head.calibration().scale;
    let encoding = &outputs.encoding;
    let mut shares = Vec::with_capacity(tokens);
    let mut utf16 = Utf16::new(text);
    for (at, row) in hidden.chunks_exact(dim).enumerate() {
        if encoding.special_tokens_mask[at] {
            continue;
        }
        let mut logits: Vec<f64> = coefficients
            .chunks_exact(dim)
            .zip(factors)
            .map(|(w, factor)| {
                factor * scale * w.iter().zip(row).map(|(w, h)| w * f64::from(*h)).sum::<f64>()
            })
            .collect();
        // Two classes have one output, the second's: what speaks for one speaks against the other.
        if logits.len() == 1 {
            logits.insert(0, -logits[0]);
        }
        let (start, end) = encoding.offsets[at];
        shares.push(TokenShare { start: utf16.at(start), end: utf16.at(end), logits });
    }
    Some(shares)
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
