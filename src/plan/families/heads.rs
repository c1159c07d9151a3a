//! Heads that come in checkpoints, in the few forms that the families share.

use crate::model::Activation;
use crate::plan::{BufferId, PlanBuilder, Step};

/// `tanh(W h_first + b)`: `BertPooler`.
pub(super) fn pooler(b: &mut PlanBuilder<'_>, name: &str, hidden: BufferId) -> BufferId {
    first_token_dense(b, name, hidden, Activation::Tanh, "pooler_output")
}

/// `activation(W h_first + b)`, as wide as the hidden state.
pub(super) fn first_token_dense(
    b: &mut PlanBuilder<'_>,
    name: &str,
    hidden: BufferId,
    activation: Activation,
    label: &'static str,
) -> BufferId {
    let first = b.first_tokens(hidden);
    let size = b.config().hidden;
    let out = b.linear(first, &[name.into()], size, true, Some(activation), label);
    b.release(first);
    out
}

/// Outputs of a classifier. Configs leave out `id2label` when it is transformers' default of two labels.
pub(super) fn label_count(b: &PlanBuilder<'_>) -> usize {
    match b.config().labels.len() {
        0 => 2,
        labels => labels,
    }
}

/// `W x + b` with one output a label.
pub(super) fn classifier(b: &mut PlanBuilder<'_>, name: &str, x: BufferId, labels: usize) -> BufferId {
    b.linear(x, &[name.into()], labels, true, None, "logits")
}

/// A masked-language-model head: dense, activation, LayerNorm, decoder (tied to the word embeddings or its own).
/// It runs at the selected rows only: the decoder is by far the largest matmul of the model.
pub(super) struct MlmHead {
    pub dense: &'static str,
    pub norm: &'static str,
    /// The decoder's own matrix, where the checkpoint has one.
    pub decoder: &'static str,
    /// The word embeddings, where it has none.
    pub tied: &'static str,
    pub decoder_bias: &'static str,
    pub activation: Activation,
    /// Whether the dense layer has a bias.
    pub bias: bool,
}

impl MlmHead {
    pub(super) fn logits(&self, b: &mut PlanBuilder<'_>, hidden: BufferId) -> BufferId {
        let config = b.config();
        let width = config.embedding_size;
        let rows = b.selected_rows(hidden);
        let transformed =
            b.linear(rows, &[self.dense.into()], width, self.bias, Some(self.activation), "mlm_transform");
        b.release(rows);
        let norm = b.norm(self.norm, width, config.norm_bias);
        let normed = b.add_layer_norm(transformed, None, norm, "mlm_norm");
        b.release(transformed);
        let decoder = if config.tie_word_embeddings { self.tied } else { self.decoder };
        let weight = b.matrix(&[(decoder.into(), config.vocab)], width);
        let bias = config.decoder_bias.then(|| b.vector(&[(self.decoder_bias.into(), config.vocab)]));
        let out = b.buffer(crate::plan::Rows::Selected, config.vocab, "logits");
        b.step(Step::MatMul { x: normed, weight, bias, activation: None, residual: None, out });
        b.release(normed);
        out
    }
}
