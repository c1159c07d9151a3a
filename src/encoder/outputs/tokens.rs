//! Token-level outputs: hidden states, attentions, pooler output and the logits of heads that come in checkpoints.

use crate::encoder::{EmbedOptions, Encoder, Text};
use crate::engine::scheduler::{Finished, Scheduler};
use crate::error::{Error, Result};
use crate::model::HeadKind;
use crate::plan::{HeadOutput, OutputKind, Plan, Request, Rows};
use crate::platform::entry;
use crate::text::{Encoding, PackedBatch, pack};

/// Which token-level outputs to compute. Nothing else is computed, and the pass stops at the last layer needed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenRequest {
    /// Hidden states of these layers (0 = embeddings, the model's layer count = `last_hidden_state`).
    pub hidden_states: Vec<usize>,
    /// Attention probabilities of these layers (0 = first layer).
    pub attentions: Vec<usize>,
    /// `BertModel.pooler_output`.
    pub pooler_output: bool,
    /// Logits of a head in the checkpoint.
    pub head: Option<HeadOutput>,
}

/// One text's outputs, special tokens included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenOutputs {
    /// What went in.
    pub encoding: Encoding,
    /// One per layer asked for, in that order: row-major `[tokens, hidden]`.
    pub hidden_states: Vec<Vec<f32>>,
    /// One per layer asked for, in that order: row-major `[heads, tokens, tokens]`.
    pub attentions: Vec<Vec<f32>>,
    /// `[hidden]`.
    pub pooler_output: Option<Vec<f32>>,
    /// Row-major: `[selected, vocab]` (MLM), `[2]` (NSP), `[labels]` (sequence), `[tokens, labels]` (token).
    pub logits: Option<Vec<f32>>,
}

impl Encoder {
    entry! {
        /// Token-level outputs of each text, in input order.
        ///
        /// Attentions and hidden states are large: `layers * heads * tokens²` floats a text for all attentions.
        ///
        /// # Errors
        /// A layer the model does not have, a head the checkpoint does not have, a text that is refused, device errors.
        pub fn token_outputs(&self, texts: impl IntoIterator<Item = impl Into<Text>>, request: &TokenRequest, options: &EmbedOptions) -> Result<Vec<TokenOutputs>> = token_outputs_async;
    }

    pub(crate) async fn token_outputs_async<T: Into<Text>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        request: &TokenRequest,
        options: &EmbedOptions,
    ) -> Result<Vec<TokenOutputs>> {
        if let Some(head) = request.head {
            self.require_head(head.kind())?;
        }
        self.run_encodings(self.encode(texts, options)?, request, |_| Vec::new()).await
    }

    /// Token ids of each text as the encoder sees them, special tokens included.
    ///
    /// # Errors
    /// Options the model cannot fulfil, a text that is refused.
    pub fn encode<T: Into<Text>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        options: &EmbedOptions,
    ) -> Result<Vec<Encoding>> {
        let texts: Vec<Text> = texts.into_iter().map(Into::into).collect();
        self.text_recipe(options)?.encode(&self.tokenizer, &texts, 0)
    }

    /// Refuses a head that the checkpoint does not have, and says which checkpoints do.
    pub(crate) fn require_head(&self, kind: HeadKind) -> Result<()> {
        let heads = self.checkpoint.heads();
        if heads.has(kind) {
            return match self.config().classifier_problems.first() {
                Some(problem) if matches!(kind, HeadKind::Sequence | HeadKind::Token) => {
                    Err(Error::model_file(problem.clone()))
                }
                _ => Ok(()),
            };
        }
        let class = self.config().family.class_prefix();
        let where_from = match kind {
            HeadKind::MaskedLm => {
                format!("{class}ForMaskedLM and {class}ForPreTraining checkpoints have one")
            }
            HeadKind::NextSentence => {
                "BertForNextSentencePrediction and BertForPreTraining checkpoints have one".into()
            }
            HeadKind::Sequence => format!("{class}ForSequenceClassification checkpoints have one"),
            HeadKind::Token => format!("{class}ForTokenClassification checkpoints have one"),
            HeadKind::Pooler => format!("{class}Model checkpoints saved with add_pooling_layer have one"),
        };
        let present: Vec<&str> = heads.iter().map(|head| head.kind.name()).collect();
        let present = if present.is_empty() { "none".to_owned() } else { present.join(", ") };
        Err(Error::input(format!(
            "{} has no {} head (heads it has: {present}); {where_from}",
            self.checkpoint.location(),
            kind.name()
        )))
    }

    /// Runs encodings through one pass. `select` names the token positions of an encoding that a masked-language-model
    /// head computes on.
    pub(crate) async fn run_encodings(
        &self,
        encodings: Vec<Encoding>,
        request: &TokenRequest,
        select: impl Fn(&Encoding) -> Vec<usize>,
    ) -> Result<Vec<TokenOutputs>> {
        let request = Request {
            embeddings: None,
            hidden_states: request.hidden_states.clone(),
            attentions: request.attentions.clone(),
            pooler_output: request.pooler_output,
            head: request.head,
        };
        let pass = self.pass(&request).await?;
        let mut results: Vec<TokenOutputs> = vec![TokenOutputs::default(); encodings.len()];
        let lens: Vec<usize> = encodings.iter().map(|encoding| encoding.ids.len()).collect();
        let mut scheduler = Scheduler::new(&self.engine, &pass.prepared);
        let offset = self.config().position_offset;
        for rows in pack(&lens, self.batch_tokens, None) {
            let mut batch = PackedBatch::new();
            for &index in &rows {
                let encoding = &encodings[index];
                let start = batch.tokens();
                batch.selected.extend(select(encoding).iter().map(|at| (start + at) as u32));
                batch.push(&encoding.ids, &encoding.type_ids, offset);
            }
            if let Some(finished) = scheduler.submit(batch, rows).await? {
                scatter(&pass.plan, &request, finished, &mut results)?;
            }
        }
        while let Some(finished) = scheduler.finish_oldest().await? {
            scatter(&pass.plan, &request, finished, &mut results)?;
        }
        for (result, encoding) in results.iter_mut().zip(encodings) {
            result.encoding = encoding;
        }
        Ok(results)
    }
}

/// Cuts a batch's buffers into texts.
fn scatter(
    plan: &Plan,
    request: &Request,
    finished: Finished<Vec<usize>>,
    results: &mut [TokenOutputs],
) -> Result<()> {
    let Finished { batch, tag: rows, outputs } = finished;
    for (output, values) in plan.outputs.iter().zip(&outputs.buffers) {
        let spec = plan.buffer(output.buffer);
        let mut start = 0;
        for (text, &row) in rows.iter().enumerate() {
            let tokens = batch.rows(text);
            let count = match spec.rows {
                Rows::Tokens => tokens.len(),
                Rows::Texts => 1,
                Rows::Selected => {
                    batch.selected.iter().filter(|at| tokens.contains(&(**at as usize))).count()
                }
                Rows::TokenPairs => tokens.len() * tokens.len(),
            };
            let end = start + count * spec.cols;
            let part = values
                .get(start..end)
                .ok_or_else(|| Error::device("the device gave back fewer values than the plan says"))?
                .to_vec();
            start = end;
            let result = &mut results[row];
            match output.kind {
                // A layer may be asked for twice: each place in the request gets it.
                OutputKind::HiddenState(layer) => {
                    place(&request.hidden_states, layer, &mut result.hidden_states, part)
                }
                OutputKind::Attentions(layer) => {
                    place(&request.attentions, layer, &mut result.attentions, part)
                }
                OutputKind::PoolerOutput => result.pooler_output = Some(part),
                OutputKind::Logits => result.logits = Some(part),
                OutputKind::Embeddings => {}
            }
        }
    }
    Ok(())
}

fn place(asked: &[usize], layer: usize, slots: &mut Vec<Vec<f32>>, values: Vec<f32>) {
    slots.resize(asked.len(), Vec::new());
    for (slot, _) in slots.iter_mut().zip(asked).filter(|(_, wanted)| **wanted == layer) {
        slot.clone_from(&values);
    }
}
