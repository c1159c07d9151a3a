//! The masked-language-model head (MLM) that BERT was pretrained with: words for a mask, and how plausible a text is.
//!
//! The decoder matmul runs at the masked positions only. Source: `BertForPreTraining`, `BertForMaskedLM`.

use serde::Serialize;

use super::join::join;
use super::scores::log_sum_exp;
use super::tokens::TokenRequest;
use crate::encoder::{EmbedOptions, Encoder, Prompt, Text};
use crate::error::{Error, Result};
use crate::model::HeadKind;
use crate::plan::HeadOutput;
use crate::platform::entry;
use crate::text::{Encoding, Truncate};

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

/// Candidates for the masks of a text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FilledMasks {
    /// For each mask, in the text's order, the likeliest tokens, best first.
    pub masks: Vec<Vec<MaskCandidate>>,
    /// Whether the text was cut, behind its last mask.
    pub truncated: bool,
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
    /// Whether the text was cut.
    pub truncated: bool,
}

/// The encodings of one text, and where its tokens are.
struct Masked {
    windows: Vec<Encoding>,
    whole: Encoding,
    /// Window and token in it, of each token of `whole`.
    places: Vec<(usize, usize)>,
}

impl Encoder {
    entry! {
        /// The likeliest tokens at each mask of a text, best first; `targets` limits the candidates to these words. Of the
        /// options truncation and the longest sequence count; a long text read in
        /// [windows](crate::text::Truncate::Window) has each mask filled in the window where it has the most context.
        ///
        /// # Errors
        /// The checkpoint has no MLM head, the text has no mask, or one where it is cut off; a target is no single token;
        /// device errors.
        pub fn fill_mask(&self, text: impl Into<Text>, top: usize, targets: &[String], options: &EmbedOptions) -> Result<FilledMasks> = fill_mask_async;
    }

    pub(crate) async fn fill_mask_async(
        &self,
        text: impl Into<Text>,
        top: usize,
        targets: &[String],
        options: &EmbedOptions,
    ) -> Result<FilledMasks> {
        self.require_head(HeadKind::MaskedLm)?;
        let mask = self.tokenizer().mask_id()?;
        let targets = targets.iter().map(|word| self.single_token(word)).collect::<Result<Vec<u32>>>()?;
        let text = text.into();
        let Masked { windows, whole, places } = self.encode_one(&text, options)?;
        self.expect_masks(&text, &whole, mask, options)?;
        let masks: Vec<(usize, usize)> = whole.positions(mask).map(|at| places[at]).collect();
        let truncated = whole.truncated;
        let vocab = self.config().vocab;
        let mut rows: Vec<Vec<f32>> = Vec::new();
        self.mlm_logits(
            windows,
            &|encoding| encoding.positions(mask).collect(),
            options,
            |encoding, logits| {
                let window = rows.len();
                rows.push(Vec::new());
                for (at, row) in encoding.positions(mask).zip(logits.chunks_exact(vocab)) {
                    if masks.contains(&(window, at)) {
                        rows[window].extend_from_slice(row);
                    }
                }
                Ok(())
            },
        )
        .await?;
        let candidates = |row: &[f32]| {
            let log_normalizer = log_sum_exp(row);
            let mut ids: Vec<u32> =
                if targets.is_empty() { (0..vocab as u32).collect() } else { targets.clone() };
            ids.sort_by(|a, b| row[*b as usize].total_cmp(&row[*a as usize]).then(a.cmp(b)));
            ids.truncate(top);
            let candidate = |id: u32| MaskCandidate {
                token: self.tokenizer().id_to_token(id).unwrap_or_default(),
                id,
                score: (f64::from(row[id as usize]) - log_normalizer).exp() as f32,
            };
            ids.into_iter().map(candidate).collect()
        };
        // Windows are in the text's order, and a mask is in one of them.
        let filled: Vec<Vec<MaskCandidate>> =
            rows.iter().flat_map(|rows| rows.chunks_exact(vocab)).map(candidates).collect();
        if filled.len() != masks.len() {
            return Err(Error::device(format!(
                "the masked-language-model head gave {} rows for {} masks",
                filled.len(),
                masks.len()
            )));
        }
        Ok(FilledMasks { masks: filled, truncated })
    }

    entry! {
        /// Masks each token in turn and asks how probable it was. Of the options truncation and the longest sequence count; a
        /// long text read in [windows](crate::text::Truncate::Window) has each token masked in the window where it has the
        /// most context.
        ///
        /// # Errors
        /// The checkpoint has no MLM head, the text has no tokens, device errors.
        pub fn pseudo_perplexity(&self, text: impl Into<Text>, options: &EmbedOptions) -> Result<PseudoPerplexity> = pseudo_perplexity_async;
    }

    pub(crate) async fn pseudo_perplexity_async(
        &self,
        text: impl Into<Text>,
        options: &EmbedOptions,
    ) -> Result<PseudoPerplexity> {
        self.require_head(HeadKind::MaskedLm)?;
        let mask = self.tokenizer().mask_id()?;
        let Masked { windows, whole, places } = self.encode_one(&text.into(), options)?;
        let scored: Vec<usize> = (0..whole.ids.len()).filter(|at| !whole.special_tokens_mask[*at]).collect();
        if scored.is_empty() {
            return Err(Error::input("the text has no tokens to score"));
        }
        // One copy of the text a token, each with that token masked: they share batches like any texts.
        let masked = scored.iter().map(|&at| {
            let (window, token) = places[at];
            let mut copy = windows[window].clone();
            copy.ids[token] = mask;
            copy.offsets = vec![(token, token)];
            copy
        });
        let mut log_probabilities: Vec<f32> = Vec::with_capacity(scored.len());
        self.mlm_logits(masked, &|encoding| vec![encoding.offsets[0].0], options, |_, row| {
            let id = whole.ids[scored[log_probabilities.len()]] as usize;
            let logit = row.get(id).ok_or_else(|| {
                Error::device(format!(
                    "the masked-language-model head gave {} logits, none for id {id}",
                    row.len()
                ))
            })?;
            log_probabilities.push((f64::from(*logit) - log_sum_exp(row)) as f32);
            Ok(())
        })
        .await?;
        let mean = log_probabilities.iter().map(|log| f64::from(*log)).sum::<f64>() / scored.len() as f64;
        let token = |at: &usize| self.tokenizer().id_to_token(whole.ids[*at]).unwrap_or_default();
        Ok(PseudoPerplexity {
            tokens: scored.iter().map(token).collect(),
            log_probabilities,
            pseudo_perplexity: (-mean).exp(),
            truncated: whole.truncated,
        })
    }

    entry! {
        /// Logits of the MLM head at the token positions that `select` names, `[selected, vocab]` a text.
        ///
        /// # Errors
        /// The checkpoint has no MLM head, device errors. [Windows](crate::text::Truncate::Window) are refused: a text has
        /// several encodings then.
        pub fn masked_lm_logits(&self, texts: impl IntoIterator<Item = impl Into<Text>>, options: &EmbedOptions, select: impl Fn(&Encoding) -> Vec<usize>) -> Result<Vec<Vec<f32>>> = masked_lm_logits_async;
    }

    pub(crate) async fn masked_lm_logits_async<T: Into<Text>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        options: &EmbedOptions,
        select: impl Fn(&Encoding) -> Vec<usize>,
    ) -> Result<Vec<Vec<f32>>> {
        self.require_head(HeadKind::MaskedLm)?;
        if options.window_overlap().is_some() {
            return Err(Error::input(
                "logits at chosen positions are of one encoding a text: cut long texts instead of splitting them into windows",
            ));
        }
        let mut all = Vec::new();
        self.mlm_logits(self.encode(texts, options)?, &select, options, |_, logits| {
            all.push(logits.to_vec());
            Ok(())
        })
        .await?;
        Ok(all)
    }

    /// Hands each encoding on with its logits, `[selected, vocab]`.
    async fn mlm_logits(
        &self,
        encodings: impl IntoIterator<Item = Encoding>,
        select: &dyn Fn(&Encoding) -> Vec<usize>,
        options: &EmbedOptions,
        mut sink: impl FnMut(&Encoding, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let request = TokenRequest::of_head(HeadOutput::MaskedLm);
        self.run_encodings(encodings.into_iter(), &request, select, options, |output| {
            sink(&output.encoding, output.logits.as_deref().unwrap_or_default())
        })
        .await
        .map(drop)
    }

    /// Encodes one text without a prompt.
    fn encode_one(&self, text: &Text, options: &EmbedOptions) -> Result<Masked> {
        let windows = self.encode_windows([text.clone()], &without_prompt(options, options.truncate))?;
        let joined = join(&windows.iter().collect::<Vec<_>>(), options.window_overlap().unwrap_or(0))?;
        Ok(Masked { windows, whole: joined.encoding, places: joined.places })
    }

    /// Checks that there is a mask, and that none is cut off: an answer would be missing.
    fn expect_masks(&self, text: &Text, read: &Encoding, mask: u32, options: &EmbedOptions) -> Result<()> {
        let here = read.positions(mask).count();
        let all = if read.truncated {
            let everything = without_prompt(options, Truncate::Window { overlap: 0 });
            let parts = std::iter::once(text.first.as_str()).chain(text.second.as_deref());
            let windows = self.encode_windows(parts, &everything)?;
            windows.iter().map(|window| window.positions(mask).count()).sum()
        } else {
            here
        };
        let token = self.tokenizer().id_to_token(mask).unwrap_or_default();
        if all == 0 {
            return Err(Error::input(format!(
                "the text has no mask: write {token} where a word is missing, as in \"Paris is the {token} of France.\""
            )));
        }
        if here < all {
            return Err(Error::input(format!(
                "{} of the text's {all} masks ({token}) lie beyond the {} tokens that are read of its {}; shorten the text, \
                 or read it in windows (--truncate window)",
                all - here,
                read.len(),
                read.tokens
            )));
        }
        Ok(())
    }

    fn single_token(&self, word: &str) -> Result<u32> {
        let vocab = self.config().vocab;
        let no_target =
            |why: &str| Error::input(format!("{word:?} {why}, so it cannot be a target; try another form"));
        let id = self.tokenizer().token_to_id(word);
        let id = id.ok_or_else(|| no_target("is no single token of this vocabulary"))?;
        if id as usize >= vocab {
            return Err(no_target(&format!("has the id {id}, and the model knows {vocab} tokens")));
        }
        Ok(id)
    }
}

fn without_prompt(options: &EmbedOptions, truncate: Truncate) -> EmbedOptions {
    EmbedOptions { prompt: Prompt::None, truncate, ..options.clone() }
}
