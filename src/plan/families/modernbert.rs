//! ModernBERT: pre-norm layers without biases, rotary positions, gated feed-forward, local attention in most layers.
//! Source: `ModernBertModel`.

use super::Steps;
use super::heads;
use super::heads::MlmHead;
use crate::model::ClassifierPooling;
use crate::plan::builder::AttentionSettings;
use crate::plan::{BufferId, HeadOutput, PlanBuilder, Rows, Step};

pub(super) struct ModernBert;

impl Steps for ModernBert {
    fn embeddings(&self, b: &mut PlanBuilder<'_>) -> BufferId {
        let config = b.config();
        let words = b.table("embeddings.tok_embeddings.weight", config.vocab, config.hidden);
        let norm = b.norm("embeddings.norm", config.hidden, config.norm_bias);
        let out = b.buffer(Rows::Tokens, config.hidden, "hidden");
        b.step(Step::EmbedLayerNorm { words, positions: None, types: None, norm, out });
        out
    }

    fn layer(&self, b: &mut PlanBuilder<'_>, layer: usize, hidden: BufferId) -> BufferId {
        let config = b.config();
        let prefix = format!("layers.{layer}");
        let inner = config.heads * config.head_dim;

        // The embeddings are normalised already: the first layer has no norm before its attention.
        let normed = if layer == 0 { hidden } else { norm(b, &format!("{prefix}.attn_norm"), hidden) };
        let qkv =
            b.linear(normed, &[format!("{prefix}.attn.Wqkv")], 3 * inner, config.attention_bias, None, "qkv");
        if layer != 0 {
            b.release(normed);
        }
        let (heads, head_dim, theta) = (config.heads, config.head_dim, config.attention[layer].rope_theta);
        if let Some(theta) = theta {
            b.step(Step::Rotary { qkv, heads, head_dim, theta });
        }
        let settings =
            AttentionSettings { window: config.attention[layer].window, ..AttentionSettings::default() };
        let context = b.attention(layer, qkv, settings);
        b.release(qkv);
        let attended =
            residual_linear(b, context, &format!("{prefix}.attn.Wo"), config.attention_bias, hidden);
        b.release(context);
        b.release(hidden);

        let normed = norm(b, &format!("{prefix}.mlp_norm"), attended);
        let wide = b.linear(
            normed,
            &[format!("{prefix}.mlp.Wi")],
            2 * config.intermediate,
            config.mlp_bias,
            None,
            "wide",
        );
        b.release(normed);
        let gated = b.buffer(Rows::Tokens, config.intermediate, "gated");
        b.step(Step::GatedActivation { x: wide, activation: config.activation, out: gated });
        b.release(wide);
        let out = residual_linear(b, gated, &format!("{prefix}.mlp.Wo"), config.mlp_bias, attended);
        b.release(gated);
        b.release(attended);
        out
    }

    fn last(&self, b: &mut PlanBuilder<'_>, hidden: BufferId) -> BufferId {
        let out = norm(b, "final_norm", hidden);
        b.release(hidden);
        out
    }

    fn head(&self, b: &mut PlanBuilder<'_>, head: HeadOutput, hidden: BufferId) -> Option<BufferId> {
        let config = b.config();
        match head {
            HeadOutput::MaskedLm => Some(
                MlmHead {
                    dense: "head.dense",
                    norm: "head.norm",
                    decoder: "decoder.weight",
                    tied: "embeddings.tok_embeddings.weight",
                    decoder_bias: "decoder.bias",
                    activation: config.classifier_activation,
                    bias: config.classifier_bias,
                }
                .logits(b, hidden),
            ),
            HeadOutput::NextSentence => None,
            HeadOutput::Sequence => {
                let pooled = if config.classifier_pooling == ClassifierPooling::Mean {
                    let out = b.buffer(Rows::Texts, config.hidden, "mean");
                    b.step(Step::Pool { x: hidden, pooling: crate::model::Pooling::Mean, column: 0, out });
                    out
                } else {
                    b.first_tokens(hidden)
                };
                let transformed = prediction_head(b, pooled);
                Some(heads::classifier(b, "classifier", transformed, heads::label_count(b)))
            }
            HeadOutput::Token => {
                let transformed = prediction_head(b, hidden);
                Some(heads::classifier(b, "classifier", transformed, heads::label_count(b)))
            }
        }
    }
}

/// LayerNorm into a fresh buffer.
fn norm(b: &mut PlanBuilder<'_>, prefix: &str, x: BufferId) -> BufferId {
    let config = b.config();
    let norm = b.norm(prefix, config.hidden, config.norm_bias);
    b.add_layer_norm(x, None, norm, "normed")
}

/// `x Wᵀ [+ b] + residual`.
fn residual_linear(
    b: &mut PlanBuilder<'_>,
    x: BufferId,
    prefix: &str,
    bias: bool,
    residual: BufferId,
) -> BufferId {
    let hidden = b.config().hidden;
    let out = b.buffer(Rows::Tokens, hidden, "hidden");
    b.linear_into(x, prefix, bias, residual, out);
    out
}

/// `ModernBertPredictionHead`: dense, GELU, norm.
fn prediction_head(b: &mut PlanBuilder<'_>, x: BufferId) -> BufferId {
    let config = b.config();
    let dense = b.linear(
        x,
        &["head.dense".into()],
        config.hidden,
        config.classifier_bias,
        Some(config.classifier_activation),
        "head_dense",
    );
    let out = norm(b, "head.norm", dense);
    b.release(dense);
    out
}
