//! `out[t] = LayerNorm(words[id[t]] + types[type[t]] + positions[position[t]])`. Source: `BertEmbeddings`.

use super::context::Context;
use super::layernorm::LayerNorm;
use super::simd::{dispatch, zip_in_place};
use super::weight::Weight;
use crate::text::PackedBatch;
use fearless_simd::prelude::*;

/// The tables.
pub struct EmbedLayerNorm<'a> {
    /// `[vocab, cols]`.
    pub words: &'a Weight,
    /// `[max_positions, cols]`.
    pub positions: Option<&'a Weight>,
    /// `[type_vocab, cols]`.
    pub types: Option<&'a Weight>,
    /// Over `cols`.
    pub norm: LayerNorm<'a>,
}

/// Writes `[tokens, cols]`. The ids were checked against the tables.
pub fn run(context: &Context<'_>, args: &EmbedLayerNorm<'_>, batch: &PackedBatch, out: &mut [f32]) {
    context.pool.for_each_row(out, args.words.cols, |token, out| {
        dispatch!(context.level, simd => row(simd, args, batch, token, out));
    });
}

#[inline(always)]
fn row<S: Simd>(simd: S, args: &EmbedLayerNorm<'_>, batch: &PackedBatch, token: usize, out: &mut [f32]) {
    out.copy_from_slice(args.words.row(batch.ids[token] as usize));
    if let Some(types) = args.types {
        zip_in_place(
            simd,
            out,
            types.row(batch.type_ids[token] as usize),
            #[inline(always)]
            |out, x| out + x,
        );
    }
    if let Some(positions) = args.positions {
        zip_in_place(
            simd,
            out,
            positions.row(batch.position_ids[token] as usize),
            #[inline(always)]
            |out, x| out + x,
        );
    }
    args.norm.apply(simd, out);
}
