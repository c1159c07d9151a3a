//! What becomes of texts that are longer than the model takes, chosen by cross-validation.

use super::dataset::Dataset;
use super::embed::{EmbeddingSummary, embed};
use super::long_texts::{LongCandidate, LongChoice, LongTexts};
use super::train::{Event, Trainer};
use crate::embeddings::Embeddings;
use crate::encoder::{EmbedOptions, Text};
use crate::error::{Error, Result};
use crate::head::{Matrix, TrainData, choose_embeddings};

/// The cheapest first: windows cost as many passes as a text has windows, and an end must be found.
const ALL: [LongTexts; 4] = [LongTexts::Head, LongTexts::HeadAndTail, LongTexts::Tail, LongTexts::Windows];

impl Trainer<'_> {
    /// Compares, by cross-validation, what can be done with texts that are longer than the model takes, and does what is best, in the head's
    /// use, too. Without this, as the options say.
    pub fn choose_long(mut self, choose: bool) -> Self {
        self.choose_long = choose;
        self
    }

    /// Embeds the training rows and then the others, long ones as is best for the former; also what it took, the options, and what was found.
    pub(super) async fn embed_long(
        &self,
        train: &Dataset,
        others: &[Text],
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<(Embeddings, EmbeddingSummary, EmbedOptions, LongChoice)> {
        if self.choose_layers {
            return Err(Error::input(
                "layers and what becomes of long texts are not chosen at once: name the layers, or how long texts are cut",
            ));
        }
        let texts = || train.texts.iter().chain(others);
        if texts().any(|text| text.second.is_some()) {
            return Err(Error::input(
                "choosing what becomes of long texts: that is for single texts, not for pairs",
            ));
        }
        let max_tokens = self.embed.max_tokens.unwrap_or_else(|| self.encoder.checkpoint().max_tokens());
        let with = |way: LongTexts| way.apply(&self.embed, max_tokens);
        let (base, mut summary) =
            embed(self.encoder, texts().cloned(), &with(LongTexts::Head), &self.run).await?;
        let long: Vec<usize> = (0..base.len()).filter(|row| base.truncated[*row]).collect();
        let long_texts = long.iter().filter(|row| **row < train.len()).count();
        let mut choice = LongChoice {
            chosen: LongTexts::Head,
            candidates: vec![],
            long_texts,
            max_tokens,
            reason: format!("no training text is longer than the {max_tokens} tokens that the model takes"),
        };
        if long_texts == 0 {
            return Ok((base, summary, with(LongTexts::Head), choice));
        }
        let mut all = vec![base];
        for way in &ALL[1..] {
            let of_long = long.iter().filter_map(|row| texts().nth(*row)).cloned();
            let (found, part) = embed(self.encoder, of_long, &with(*way), &self.run).await?;
            summary.add(&part);
            let mut embeddings = all[0].clone();
            let dim = embeddings.dim;
            for (at, row) in long.iter().enumerate() {
                embeddings.values[row * dim..(row + 1) * dim].copy_from_slice(found.row(at));
                embeddings.truncated[*row] = found.truncated[at];
            }
            all.push(embeddings);
        }
        // Passes over the long texts are no more texts.
        summary.texts = all[0].len() as u64;
        let dim = all[0].dim;
        let matrices = (all.iter())
            .map(|embeddings| Matrix::new(train.len(), dim, &embeddings.values[..train.len() * dim]))
            .collect::<Result<Vec<_>>>()?;
        let mut data = TrainData::new(matrices[0].view(), train.targets.clone());
        (data.weights, data.groups) = (train.weights.clone(), train.groups.clone());
        let mut progress = |step: crate::head::Progress<'_>| watch(Event::Training(step));
        let compared = choose_embeddings(&data, &matrices, &self.fit.head, &mut progress)?;
        let tokens = |row: usize| f64::from(all[0].tokens[row]);
        let whole: f64 = (0..train.len()).map(tokens).sum();
        let over = |row: &usize| (tokens(*row) - max_tokens as f64).max(0.0);
        let cut = long.iter().filter(|row| **row < train.len()).map(over).sum::<f64>() / whole.max(1.0);
        choice.candidates = (ALL.iter().zip(&compared.candidates))
            .map(|(way, (c, score))| LongCandidate {
                way: *way,
                c: *c,
                score: *score,
                cut: if *way == LongTexts::Windows { 0.0 } else { cut },
            })
            .collect();
        choice.chosen = ALL[compared.chosen];
        let (own, best) = (&choice.candidates[compared.chosen], &choice.candidates[compared.best]);
        choice.reason = if compared.chosen == compared.best {
            format!("{} has the lowest score, {:.4}", best.way, best.score.mean)
        } else {
            format!(
                "{} ({:.4}) costs less than {} ({:.4}) and is within a standard error of it",
                own.way, own.score.mean, best.way, best.score.mean
            )
        };
        Ok((all.swap_remove(compared.chosen), summary, with(choice.chosen), choice))
    }
}
