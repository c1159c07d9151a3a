//! What goes into an engine and what comes out, checked in one place for both: weights, batches, outputs.

use crate::error::{Error, Result};
use crate::model::{WeightSource, WeightSpec};
use crate::plan::kernels::WeightType;
use crate::plan::{OutputKind, Outputs, Plan, Rows, Step};
use crate::text::PackedBatch;

/// Loads a weight: as many numbers as the plan says, all of them finite.
///
/// # Errors
/// `is_model_file`: the source lacks it, or gives something else.
pub(super) fn weight(source: &dyn WeightSource, spec: &WeightSpec) -> Result<Vec<f32>> {
    let values = source.load(spec)?;
    if values.len() != spec.len() {
        return Err(Error::model_file(format!(
            "cannot load {}: expected {} numbers, found {}",
            spec.label(),
            spec.len(),
            values.len()
        )));
    }
    match first_not_finite(&values) {
        None => Ok(values),
        Some(at) => Err(Error::model_file(format!(
            "cannot load {}: expected finite numbers, found {} at element {at}; the checkpoint is damaged or its training \
             diverged",
            spec.label(),
            values[at]
        ))),
    }
}

/// Checks that a batch is consistent and fits a plan: kernels read tables and rows without looking.
///
/// # Errors
/// `is_input`: an id outside of its table, lengths that do not agree, a text without tokens; where one text is at fault the
/// error has its [`row`](Error::row). `is_limit`: a buffer would be larger than memory can be addressed.
pub(super) fn batch(plan: &Plan, batch: &PackedBatch) -> Result<()> {
    let tokens = batch.ids.len();
    let (first, last) = (batch.cu_seqlens.first(), batch.cu_seqlens.last());
    let agree = batch.type_ids.len() == tokens
        && batch.position_ids.len() == tokens
        && batch.pool_from.len() == batch.texts()
        && first == Some(&0)
        && last.is_some_and(|last| *last as usize == tokens);
    if !agree {
        return Err(Error::input(format!(
            "the packed batch is inconsistent: {tokens} ids, {} type ids, {} positions, {} starts of pooling, and \
             cumulative lengths of {} texts from {first:?} to {last:?}; they must agree",
            batch.type_ids.len(),
            batch.position_ids.len(),
            batch.pool_from.len(),
            batch.texts()
        )));
    }
    if let Some(text) = batch.cu_seqlens.windows(2).position(|pair| pair[0] >= pair[1]) {
        return Err(Error::input("the text has no tokens; leave it out").at_row(text));
    }
    let pools = batch.pool_from.iter().zip(batch.seqlens());
    if let Some((text, (from, len))) = pools.enumerate().find(|(_, (from, len))| **from as usize >= *len) {
        return Err(Error::input(format!("pooling starts at token {from} of {len}")).at_row(text));
    }
    if let Some(row) = batch.selected.iter().find(|row| **row as usize >= tokens) {
        return Err(Error::input(format!("token row {row} was selected, but the batch has {tokens} tokens")));
    }
    let below = |ids: &[u32], rows: usize, what: &str| {
        match ids.iter().position(|id| *id as usize >= rows) {
        Some(at) => Err(Error::input(format!(
            "{what} {} is outside of the model's {rows}; was the text cut to the model's longest input, and does the \
             tokenizer belong to the model?",
            ids[at]
        ))
        .at_row(text_of_token(&batch.cu_seqlens, at))),
        None => Ok(()),
    }
    };
    for step in plan.steps() {
        if let Step::EmbedLayerNorm { words, .. } | Step::EmbedTokens { words, .. } = step {
            below(&batch.ids, plan.weight(*words).rows(), "token id")?;
        }
        if let Step::EmbedLayerNorm { positions, types, .. } = step {
            if let Some(positions) = positions {
                below(&batch.position_ids, plan.weight(*positions).rows(), "position")?;
            }
            if let Some(types) = types {
                below(&batch.type_ids, plan.weight(*types).rows(), "token type")?;
            }
        }
    }
    for spec in plan.buffers() {
        let rows = match spec.rows {
            Rows::TokenPairs => batch.seqlens().map(|len| len as u64 * len as u64).sum(),
            other => other.count(batch) as u64,
        };
        if u128::from(rows) * spec.cols as u128 * 4 > isize::MAX as u128 {
            return Err(Error::limit(format!(
                "{} [{rows}, {}] of a batch of {tokens} tokens is too large; make batches smaller (--batch-tokens)",
                spec.label, spec.cols
            )));
        }
    }
    Ok(())
}

/// Which text a token row belongs to.
fn text_of_token(cu_seqlens: &[u32], token: usize) -> usize {
    cu_seqlens.partition_point(|start| *start as usize <= token).saturating_sub(1)
}

/// What is needed to find the text that an output's number belongs to, once a batch is done.
#[derive(Clone, Debug)]
pub(super) struct OutputCheck {
    outputs: Vec<(OutputKind, Rows, usize)>,
    cu_seqlens: Vec<u32>,
    selected: Vec<u32>,
    weights: WeightType,
}

impl OutputCheck {
    pub(super) fn new(plan: &Plan, batch: &PackedBatch, weights: WeightType) -> Self {
        let outputs = plan.outputs().iter().map(|output| {
            let spec = plan.buffer(output.buffer);
            (output.kind, spec.rows, spec.cols)
        });
        OutputCheck {
            outputs: outputs.collect(),
            cu_seqlens: batch.cu_seqlens.clone(),
            selected: batch.selected.clone(),
            weights,
        }
    }

    /// Refuses numbers that are not finite: they never leave an engine.
    ///
    /// # Errors
    /// `is_model_file`, with the [`row`](Error::row) of the text that has one.
    pub(super) fn check(&self, outputs: &Outputs) -> Result<()> {
        for ((kind, rows, cols), values) in self.outputs.iter().zip(&outputs.buffers) {
            if let Some(at) = first_not_finite(values) {
                let what = match kind {
                    OutputKind::Embeddings => "its embedding holds".to_owned(),
                    OutputKind::HiddenState(layer) => format!("its hidden state of layer {layer} holds"),
                    OutputKind::PoolerOutput => "its pooler output holds".to_owned(),
                    OutputKind::Attentions(layer) => format!("its attentions of layer {layer} hold"),
                    OutputKind::Logits => "its logits hold".to_owned(),
                };
                let step = match self.weights {
                    WeightType::F16 => {
                        "values grow too large for this device with f16 weights; use f32 (--dtype f32)"
                    }
                    WeightType::F32 => {
                        "the checkpoint's weights may be damaged, or too large for what f32 can hold"
                    }
                };
                return Err(Error::model_file(format!("{what} {}; {step}", values[at]))
                    .at_row(self.text_of(*rows, at / cols)));
            }
        }
        Ok(())
    }

    fn text_of(&self, rows: Rows, row: usize) -> usize {
        match rows {
            Rows::Texts => row,
            Rows::Tokens => text_of_token(&self.cu_seqlens, row),
            Rows::Selected => {
                let token = self.selected.get(row).map_or(0, |token| *token as usize);
                text_of_token(&self.cu_seqlens, token)
            }
            Rows::TokenPairs => {
                // Text after text [heads, S, S]: as many rows of `heads` numbers as pairs.
                let mut left = row;
                let lens = self.cu_seqlens.windows(2).map(|pair| (pair[1] - pair[0]) as usize);
                let mut ends_before = lens.map(|len| {
                    let inside = left < len * len;
                    left = left.saturating_sub(len * len);
                    inside
                });
                ends_before.position(|inside| inside).unwrap_or(0)
            }
        }
    }
}

/// Where the first number is that is infinite or NaN.
pub(super) fn first_not_finite(values: &[f32]) -> Option<usize> {
    // No branch within a piece, so that compilers use vectors; by bits, since NaN may be assumed away elsewhere.
    const PIECE: usize = 4096;
    let bad = |value: &f32| value.to_bits() & 0x7f80_0000 == 0x7f80_0000;
    let mut pieces = values.chunks(PIECE);
    let piece = pieces.position(|piece| piece.iter().fold(false, |any, value| any | bad(value)))?;
    values[piece * PIECE..].iter().position(bad).map(|at| piece * PIECE + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_is_found_wherever_it_is() {
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, 1, 4095, 4096, 9999] {
                let mut values = vec![f32::MAX; 10_000];
                assert_eq!(first_not_finite(&values), None);
                values[at] = bad;
                assert_eq!(first_not_finite(&values), Some(at));
            }
        }
        assert_eq!(first_not_finite(&[]), None);
    }

    #[test]
    fn every_number_belongs_to_its_text() {
        let check = OutputCheck {
            outputs: vec![],
            cu_seqlens: vec![0, 2, 3, 6],
            selected: vec![5, 2, 0],
            weights: WeightType::F32,
        };
        let texts =
            |rows, count: usize| -> Vec<usize> { (0..count).map(|row| check.text_of(rows, row)).collect() };
        assert_eq!(texts(Rows::Texts, 3), [0, 1, 2]);
        assert_eq!(texts(Rows::Tokens, 6), [0, 0, 1, 2, 2, 2]);
        assert_eq!(texts(Rows::Selected, 3), [2, 1, 0]);
        assert_eq!(texts(Rows::TokenPairs, 14), [0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2]);
    }
}
