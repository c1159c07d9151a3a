//! Rotary position embedding in the rotate-half form, in place on q and k. Source: `ModernBertRotaryEmbedding`.
//!
//! Frequencies and angles are f32, as transformers computes them whatever the model's dtype: part of the definition.

use super::context::Context;
use super::parallel::with_scratch;
use crate::text::PackedBatch;

/// Turns q and k of `qkv`, `[tokens, 3 * heads * head_dim]`.
pub fn run(
    context: &Context<'_>,
    heads: usize,
    head_dim: usize,
    theta: f32,
    batch: &PackedBatch,
    qkv: &mut [f32],
) {
    let half = head_dim / 2;
    let inner = heads * head_dim;
    context.pool.for_each_row(qkv, 3 * inner, |token, row| {
        let position = batch.position_ids[token] as f32;
        with_scratch(head_dim, |turns| {
            let (cos, sin) = turns.split_at_mut(half);
            for (i, (cos, sin)) in cos.iter_mut().zip(sin.iter_mut()).enumerate() {
                let frequency = 1.0 / theta.powf((2 * i) as f32 / head_dim as f32);
                let angle = f64::from(position * frequency);
                *cos = angle.cos() as f32;
                *sin = angle.sin() as f32;
            }
            for head in row[..2 * inner].chunks_exact_mut(head_dim) {
                let (low, high) = head.split_at_mut(half);
                for (((low, high), &cos), &sin) in low.iter_mut().zip(high).zip(&*cos).zip(&*sin) {
                    (*low, *high) = (*low * cos - *high * sin, *high * cos + *low * sin);
                }
            }
        });
    });
}
