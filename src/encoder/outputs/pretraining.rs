//! The heads that BERT was pretrained with: masked language model (MLM) and next sentence (NSP).
//!
//! They answer other questions than embeddings do, and cost nothing unless asked for: the decoder matmul runs at the
//! masked positions only. Source: `BertForPreTraining`, `BertForMaskedLM`, `BertForNextSentencePrediction`.

use crate::platform::entry;
use serde::Serialize;

use crate::encoder::{EmbedOptions, Encoder, Prompt, Text, TokenRequest};
use crate::error::{Error, Result};
use crate::model::HeadKind;
use crate::plan::HeadOutput;
use crate::text::Encoding;

/// A candidate for one mask.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MaskCandidate {
    /// The token, as the vocabulary has it.
    pub token: String,
    /// Its id.
    pub id: u32,
    /// Its probability among the whole vocabulary.
    pub score: f32,
}

/// What the next-sentence head says of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NextSentence {
    /// Probability that the second text follows the first.
    pub is_next: f32,
    /// The head's two logits: follows, does not follow.
    pub logits: [f32; 2],
}

/// How well a masked language model predicts a text, token by token.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PseudoPerplexity {
    /// Tokens, without the special ones.
    pub tokens: Vec<String>,
    /// Natural logarithm of each token's probability when it alone is masked.
    pub log_probabilities: Vec<f32>,
    /// `exp(-mean log probability)`. Source: Salazar et al., "Masked Language Model Scoring" (2020).
    pub pseudo_perplexity: f64,
}

impl Encoder {
    entry! {
        /// The likeliest tokens at each mask of a text, best first; `targets` limits the candidates to these words.
        ///
        /// The result has one list a mask, in the text's order.
        ///
        /// # Errors
        /// The checkpoint has no MLM head, the text has no mask, a target is no single token, device errors.
        pub fn fill_mask(&self, text: impl Into<Text>, top: usize, targets: &[String]) -> Result<Vec<Vec<MaskCandidate>>> = fill_mask_async;
    }

    pub(crate) async fn fill_mask_async(
        &self,
        text: impl Into<Text>,
        top: usize,
        targets: &[String],
    ) -> Result<Vec<Vec<MaskCandidate>>> {
        self.require_head(HeadKind::MaskedLm)?;
        let mask = self.tokenizer().mask_id()?;
        let targets = targets.iter().map(|word| self.single_token(word)).collect::<Result<Vec<u32>>>()?;
        let encoding = self.encode_one(text.into())?;
        if !encoding.ids.contains(&mask) {
            let token = self.tokenizer().id_to_token(mask).unwrap_or_default();
            return Err(Error::input(format!(
                "the text has no mask: write {token} where a word is missing, as in \"Paris is the {token} of France.\""
            )));
        }
        let logits =
            self.mlm_logits(vec![encoding], move |encoding| encoding.positions(mask).collect()).await?;
        let vocab = self.config().vocab;
        Ok(logits[0]
            .chunks_exact(vocab)
            .map(|row| {
                let log_normalizer = log_sum_exp(row);
                let candidate = |id: u32| MaskCandidate {
                    token: self.tokenizer().id_to_token(id).unwrap_or_default(),
                    id,
                    score: (f64::from(row[id as usize]) - log_normalizer).exp() as f32,
                };
                let mut ids: Vec<u32> =
                    if targets.is_empty() { (0..vocab as u32).collect() } else { targets.clone() };
                ids.sort_by(|a, b| row[*b as usize].total_cmp(&row[*a as usize]).then(a.cmp(b)));
                ids.truncate(top);
                ids.into_iter().map(candidate).collect()
            })
            .collect())
    }

    entry! {
        /// Masks each token in turn and asks how probable it was.
        ///
        /// # Errors
        /// The checkpoint has no MLM head, the text has no tokens, device errors.
        pub fn pseudo_perplexity(&self, text: impl Into<Text>) -> Result<PseudoPerplexity> = pseudo_perplexity_async;
    }

    pub(crate) async fn pseudo_perplexity_async(&self, text: impl Into<Text>) -> Result<PseudoPerplexity> {
        self.require_head(HeadKind::MaskedLm)?;
        let mask = self.tokenizer().mask_id()?;
        let encoding = self.encode_one(text.into())?;
        let places: Vec<usize> =
            (0..encoding.ids.len()).filter(|at| !encoding.special_tokens_mask[*at]).collect();
        if places.is_empty() {
            return Err(Error::input("the text has no tokens to score"));
        }
        // One copy of the text a token, each with that token masked: they share batches like any texts.
        let masked = places
            .iter()
            .map(|&at| {
                let mut copy = encoding.clone();
                copy.ids[at] = mask;
                copy.offsets = vec![(at, at)];
                copy
            })
            .collect();
        let logits = self.mlm_logits(masked, |encoding| vec![encoding.offsets[0].0]).await?;
        let log_probabilities: Vec<f32> = places
            .iter()
            .zip(&logits)
            .map(|(&at, row)| (f64::from(row[encoding.ids[at] as usize]) - log_sum_exp(row)) as f32)
            .collect();
        let mean = log_probabilities.iter().map(|log| f64::from(*log)).sum::<f64>() / places.len() as f64;
        let token = |at: &usize| self.tokenizer().id_to_token(encoding.ids[*at]).unwrap_or_default();
        Ok(PseudoPerplexity {
            tokens: places.iter().map(token).collect(),
            log_probabilities,
            pseudo_perplexity: (-mean).exp(),
        })
    }

    entry! {
        /// Whether `second` follows `first`.
        ///
        /// # Errors
        /// The checkpoint has no NSP head, device errors.
        pub fn next_sentence(&self, first: &str, second: &str) -> Result<NextSentence> = next_sentence_async;
    }

    pub(crate) async fn next_sentence_async(&self, first: &str, second: &str) -> Result<NextSentence> {
        self.require_head(HeadKind::NextSentence)?;
        let encoding = self.encode_one((first, second).into())?;
        let request = TokenRequest { head: Some(HeadOutput::NextSentence), ..TokenRequest::default() };
        let outputs = self.run_encodings(vec![encoding], &request, |_| Vec::new()).await?;
        let logits = outputs.into_iter().next().and_then(|output| output.logits).unwrap_or_default();
        let [follows, random] = logits[..] else {
            return Err(Error::device(format!("the next-sentence head gave {} logits, not 2", logits.len())));
        };
        let is_next = (1.0 / (1.0 + f64::from(random - follows).exp())) as f32;
        Ok(NextSentence { is_next, logits: [follows, random] })
    }

    entry! {
        /// Logits of the MLM head at the token positions that `select` names, `[selected, vocab]` a text.
        ///
        /// # Errors
        /// The checkpoint has no MLM head, device errors.
        pub fn masked_lm_logits(&self, texts: impl IntoIterator<Item = impl Into<Text>>, options: &EmbedOptions, select: impl Fn(&Encoding) -> Vec<usize>) -> Result<Vec<Vec<f32>>> = masked_lm_logits_async;
    }

    pub(crate) async fn masked_lm_logits_async<T: Into<Text>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        options: &EmbedOptions,
        select: impl Fn(&Encoding) -> Vec<usize>,
    ) -> Result<Vec<Vec<f32>>> {
        self.require_head(HeadKind::MaskedLm)?;
        self.mlm_logits(self.encode(texts, options)?, select).await
    }

    async fn mlm_logits(
        &self,
        encodings: Vec<Encoding>,
        select: impl Fn(&Encoding) -> Vec<usize>,
    ) -> Result<Vec<Vec<f32>>> {
        let request = TokenRequest { head: Some(HeadOutput::MaskedLm), ..TokenRequest::default() };
        let outputs = self.run_encodings(encodings, &request, select).await?;
        Ok(outputs.into_iter().map(|output| output.logits.unwrap_or_default()).collect())
    }

    /// Encodes one text without a prompt.
    fn encode_one(&self, text: Text) -> Result<Encoding> {
        let options = EmbedOptions { prompt: Prompt::None, ..EmbedOptions::default() };
        self.encode([text], &options)?.pop().ok_or_else(|| Error::input("the text gave no tokens"))
    }

    fn single_token(&self, word: &str) -> Result<u32> {
        let id = self.tokenizer().token_to_id(word).ok_or_else(|| {
            Error::input(format!(
                "{word:?} is no single token of this vocabulary, so it cannot be a target; try another form"
            ))
        })?;
        // A tokenizer may have more tokens than the model has rows: added ones, which nobody trained.
        let vocab = self.config().vocab;
        if id as usize >= vocab {
            return Err(Error::input(format!(
                "{word:?} is token {id} of the tokenizer, but the model predicts tokens 0 to {} only, so it cannot be a \
                 target",
                vocab - 1
            )));
        }
        Ok(id)
    }
}

/// `ln sum exp(row)`, in f64 and without overflow.
fn log_sum_exp(row: &[f32]) -> f64 {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|x| f64::from(x - max).exp()).sum();
    f64::from(max) + sum.ln()
}
