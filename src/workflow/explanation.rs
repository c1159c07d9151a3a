//! Which tokens a classification comes from.

use super::classifier::Classifier;
use crate::encoder::{EmbedOptions, Encoder, Text, TokenOutputs, TokenRequest};
use crate::error::{Error, Result};
use crate::head::{Head, Matrix};
use crate::model::{LayerMix, Pooling};
use crate::platform::entry;
use crate::text::Truncate;

/// One text's logits, taken apart into its tokens.
///
/// `logits[name] = base[name] + sum over tokens of shares[token][name]`, to rounding; of two classes these are the log-odds of
/// each against the other. Where embeddings are not scaled to unit
/// length a share is exactly what its token adds. Where they are, all tokens together decide the length that each is divided
/// by; shares hold that length fixed: they still sum to the logit, but what would happen without a token they tell to first
/// order only. `exact` says which.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Explanation {
    /// Tokens that were pooled, special tokens among them, as the vocabulary has them.
    pub tokens: Vec<String>,
    /// Where each comes from: start and end in bytes of its text; `(0, 0)` for special tokens.
    pub offsets: Vec<(usize, usize)>,
    /// `[tokens][names]`.
    pub shares: Vec<Vec<f64>>,
    /// What each logit is without any token, `[names]`.
    pub base: Vec<f64>,
    /// `[names]`.
    pub logits: Vec<f64>,
    /// Whether embeddings are pooled without being scaled.
    pub exact: bool,
    /// Whether the text was cut: tokens behind the cut have no share.
    pub truncated: bool,
}

impl Classifier {
    entry! {
        /// Takes the logits of each text apart into its tokens' shares. For a linear head over mean pooling.
        ///
        /// # Errors
        /// As [`Encoder::explain`].
        pub fn explain(&self, texts: impl IntoIterator<Item = impl Into<Text>>) -> Result<Vec<Explanation>> = explain_async;
    }

    pub(crate) async fn explain_async<T: Into<Text>>(
        &self,
        texts: impl IntoIterator<Item = T>,
    ) -> Result<Vec<Explanation>> {
        self.encoder().explain_async(self.head(), self.options(), texts).await
    }
}

impl Encoder {
    entry! {
        /// Takes the logits that a linear head gives texts embedded with these options apart into their tokens' shares.
        ///
        /// # Errors
        /// The head is not linear, or embeddings are not sums over tokens: pooled otherwise than by the mean, passed through Dense
        /// modules, cut to fewer dimensions before they are scaled, or made of several windows.
        pub fn explain(&self, head: &Head, options: &EmbedOptions, texts: impl IntoIterator<Item = impl Into<Text>>) -> Result<Vec<Explanation>> = explain_async;
    }

    pub(crate) async fn explain_async<T: Into<Text>>(
        &self,
        head: &Head,
        options: &EmbedOptions,
        texts: impl IntoIterator<Item = T>,
    ) -> Result<Vec<Explanation>> {
        let request = self.embedding_request(options)?;
        let refuse = |why: &str| {
            Err(Error::input(format!(
                "cannot explain token by token: {why}; a logit is a sum over tokens with a linear head over mean pooling"
            )))
        };
        if request.pooling != [Pooling::Mean] {
            let names: Vec<&str> = request.pooling.iter().map(|pooling| pooling.name()).collect();
            return refuse(&format!("embeddings are pooled by {}", names.join(", ")));
        }
        if !request.modules.is_empty() {
            return refuse("embeddings go through Dense modules");
        }
        if request.dimensions.is_some() {
            return refuse("embeddings are cut to their first dimensions");
        }
        if matches!(options.truncate, Truncate::Window { .. }) {
            return refuse("long texts are read in windows");
        }
        let tokens = TokenRequest { hidden_states: request.layers.clone(), ..TokenRequest::default() };
        let width = self.config().hidden;
        let mut explanations = Vec::new();
        let texts: Vec<Result<Text>> = texts.into_iter().map(|text| Ok(text.into())).collect();
        let explain = |output: TokenOutputs| {
            let pooled = output.encoding.pool_from..output.encoding.len();
            let layers = &output.hidden_states;
            let row = |token: usize| -> Vec<f32> {
                let of_layer = |values: &Vec<f32>| values[token * width..(token + 1) * width].to_vec();
                match request.mix {
                    LayerMix::Concat => layers.iter().flat_map(of_layer).collect(),
                    LayerMix::Mean => (0..width)
                        .map(|column| {
                            let sum: f32 = layers.iter().map(|values| values[token * width + column]).sum();
                            sum / layers.len() as f32
                        })
                        .collect(),
                }
            };
            let values: Vec<f32> = pooled.clone().flat_map(row).collect();
            let rows = pooled.len();
            let columns = values.len() / rows.max(1);
            let shares = head.token_shares(&Matrix::new(rows, columns, values)?, request.normalize)?;
            let names = head.names().len().max(1);
            let token = |at: usize| {
                let id = output.encoding.ids[at];
                self.tokenizer().id_to_token(id).map_or_else(|| id.to_string(), Into::into)
            };
            explanations.push(Explanation {
                tokens: pooled.clone().map(token).collect(),
                offsets: output.encoding.offsets[pooled].to_vec(),
                shares: shares.shares.chunks_exact(names).map(<[f64]>::to_vec).collect(),
                base: shares.base,
                logits: shares.logits,
                exact: !request.normalize,
                truncated: output.encoding.truncated,
            });
            Ok(())
        };
        self.token_outputs_stream_async(texts, &tokens, options, explain).await?;
        Ok(explanations)
    }
}
