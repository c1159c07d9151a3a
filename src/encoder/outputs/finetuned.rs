//! Fine-tuned heads that come in a checkpoint: sequence classification, token classification, cross-encoders.
//!
//! Source: `BertForSequenceClassification`, `BertForTokenClassification`, `TokenClassificationPipeline` of transformers.

use crate::platform::entry;
use serde::Serialize;

use crate::encoder::{EmbedOptions, Encoder, Text, TokenRequest};
use crate::error::Result;
use crate::model::{HeadKind, ProblemType};
use crate::plan::HeadOutput;
use crate::text::Encoding;

/// A text's labels, in the model's order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Classification {
    /// One score a label: probabilities that sum to 1 (single label), probabilities each for itself (multi label), or the
    /// raw value (regression).
    pub scores: Vec<f32>,
    /// The head's output before that.
    pub logits: Vec<f32>,
}

impl Classification {
    /// Index of the highest score.
    pub fn best(&self) -> usize {
        argmax(&self.scores)
    }
}

/// How the pieces of a word become one entity. Source: `AggregationStrategy` of transformers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregation {
    /// Every token for itself.
    None,
    /// Neighbouring tokens of one entity type become one span.
    #[default]
    Simple,
    /// As simple, and a word's label is its first token's.
    First,
    /// As simple, and a word's label is its surest token's.
    Max,
}

/// A labelled span of a text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entity {
    /// The label; with an aggregation, without its `B-` or `I-`.
    pub label: String,
    /// Probability; of a span, the mean over its tokens or words.
    pub score: f32,
    /// First byte in the text.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// The text between.
    pub text: String,
}

/// A document's relevance to a query.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ranked {
    /// Which document, by its place in the input.
    pub index: usize,
    /// Higher is more relevant: a sigmoid of the logit with one label, otherwise the probability of the last label.
    pub score: f32,
}

impl Encoder {
    entry! {
        /// Classifies texts with the head that came in the checkpoint.
        ///
        /// # Errors
        /// The checkpoint has no such head, device errors.
        pub fn classify(&self, texts: impl IntoIterator<Item = impl Into<Text>>, options: &EmbedOptions) -> Result<Vec<Classification>> = classify_async;
    }

    pub(crate) async fn classify_async<T: Into<Text>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        options: &EmbedOptions,
    ) -> Result<Vec<Classification>> {
        self.require_head(HeadKind::Sequence)?;
        let request = TokenRequest { head: Some(HeadOutput::Sequence), ..TokenRequest::default() };
        let outputs = self.token_outputs_async(texts, &request, options).await?;
        let problem = self.problem_type();
        Ok(outputs
            .into_iter()
            .map(|output| {
                let logits = output.logits.unwrap_or_default();
                let scores = match problem {
                    ProblemType::SingleLabel => softmax(&logits),
                    ProblemType::MultiLabel => logits.iter().map(|x| sigmoid(*x)).collect(),
                    ProblemType::Regression => logits.clone(),
                };
                Classification { scores, logits }
            })
            .collect())
    }

    /// What the sequence-classification head's scores mean: `problem_type`, and where the config is silent what transformers
    /// makes of the number of labels (one: regression; several: single label).
    pub fn problem_type(&self) -> ProblemType {
        let outputs = self.checkpoint().heads().get(HeadKind::Sequence).map_or(0, |head| head.outputs);
        let guess = if outputs == 1 { ProblemType::Regression } else { ProblemType::SingleLabel };
        self.config().problem_type.unwrap_or(guess)
    }

    entry! {
        /// Labels the tokens or spans of texts with the head that came in the checkpoint.
        ///
        /// # Errors
        /// The checkpoint has no such head, device errors.
        pub fn tag(&self, texts: &[&str], aggregation: Aggregation, options: &EmbedOptions) -> Result<Vec<Vec<Entity>>> = tag_async;
    }

    pub(crate) async fn tag_async(
        &self,
        texts: &[&str],
        aggregation: Aggregation,
        options: &EmbedOptions,
    ) -> Result<Vec<Vec<Entity>>> {
        self.require_head(HeadKind::Token)?;
        let request = TokenRequest { head: Some(HeadOutput::Token), ..TokenRequest::default() };
        let outputs = self.token_outputs_async(texts.iter().copied(), &request, options).await?;
        let labels = self.checkpoint().labels(HeadKind::Token)?;
        Ok(texts
            .iter()
            .zip(outputs)
            .map(|(text, output)| {
                let logits = output.logits.unwrap_or_default();
                let scores: Vec<Vec<f32>> = logits.chunks_exact(labels.len().max(1)).map(softmax).collect();
                entities(text, &output.encoding, &scores, &labels, aggregation)
            })
            .collect())
    }

    entry! {
        /// Orders documents by relevance to a query with a cross-encoder: query and document go in as one pair.
        ///
        /// # Errors
        /// The checkpoint has no sequence-classification head, device errors.
        pub fn rerank(&self, query: &str, documents: &[&str], options: &EmbedOptions) -> Result<Vec<Ranked>> = rerank_async;
    }

    pub(crate) async fn rerank_async(
        &self,
        query: &str,
        documents: &[&str],
        options: &EmbedOptions,
    ) -> Result<Vec<Ranked>> {
        let pairs = documents.iter().map(|document| Text::from((query, *document)));
        let mut ranked: Vec<Ranked> = self
            .classify_async(pairs, options)
            .await?
            .iter()
            .enumerate()
            .map(|(index, scores)| {
                let score = match scores.logits[..] {
                    [logit] => sigmoid(logit),
                    _ => softmax(&scores.logits).last().copied().unwrap_or(0.0),
                };
                Ranked { index, score }
            })
            .collect();
        ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.index.cmp(&b.index)));
        Ok(ranked)
    }
}

/// One token or word on its way to becoming part of a span.
struct Piece {
    scores: Vec<f32>,
    start: usize,
    end: usize,
}

fn entities(
    text: &str,
    encoding: &Encoding,
    scores: &[Vec<f32>],
    labels: &[String],
    aggregation: Aggregation,
) -> Vec<Entity> {
    let tokens: Vec<Piece> = (0..encoding.ids.len().min(scores.len()))
        .filter(|at| !encoding.special_tokens_mask[*at])
        .map(|at| {
            let (start, end) = encoding.offsets[at];
            Piece { scores: scores[at].clone(), start, end }
        })
        .collect();
    let pieces = match aggregation {
        Aggregation::None | Aggregation::Simple => tokens,
        Aggregation::First | Aggregation::Max => words(text, tokens, aggregation),
    };
    let entity = |label: &str, score: f32, start: usize, end: usize| Entity {
        label: label.to_owned(),
        score,
        start,
        end,
        text: text.get(start..end).unwrap_or_default().to_owned(),
    };
    if aggregation == Aggregation::None {
        return pieces
            .iter()
            .map(|piece| {
                let best = argmax(&piece.scores);
                entity(&labels[best], piece.scores[best], piece.start, piece.end)
            })
            .collect();
    }
    // Source: `TokenClassificationPipeline.group_entities`: a span goes on while the type stays and no `B-` begins another.
    let mut spans: Vec<(String, Vec<f32>, usize, usize)> = Vec::new();
    let mut last: Option<String> = None;
    for piece in &pieces {
        let best = argmax(&piece.scores);
        let (begins, kind) = split_label(&labels[best]);
        let score = piece.scores[best];
        match spans.last_mut() {
            Some((label, scores, _, end)) if !begins && last.as_deref() == Some(kind) && label == kind => {
                scores.push(score);
                *end = piece.end;
            }
            _ => spans.push((kind.to_owned(), vec![score], piece.start, piece.end)),
        }
        last = Some(kind.to_owned());
    }
    spans
        .into_iter()
        .filter(|(label, ..)| label != "O")
        .map(|(label, scores, start, end)| {
            let mean = scores.iter().sum::<f32>() / scores.len() as f32;
            entity(&label, mean, start, end)
        })
        .collect()
}

/// Joins pieces that touch inside a word: what follows without white space or punctuation between belongs to the word before.
fn words(text: &str, tokens: Vec<Piece>, aggregation: Aggregation) -> Vec<Piece> {
    let mut words: Vec<Piece> = Vec::new();
    let joins = |start: usize| {
        let before = text.get(..start).and_then(|head| head.chars().next_back());
        let after = text.get(start..).and_then(|tail| tail.chars().next());
        before.is_some_and(char::is_alphanumeric) && after.is_some_and(char::is_alphanumeric)
    };
    for token in tokens {
        match words.last_mut() {
            Some(word) if word.end == token.start && joins(token.start) => {
                word.end = token.end;
                let surer = token.scores.iter().copied().fold(0.0, f32::max)
                    > word.scores.iter().copied().fold(0.0, f32::max);
                if aggregation == Aggregation::Max && surer {
                    word.scores = token.scores;
                }
            }
            _ => words.push(token),
        }
    }
    words
}

/// `B-PER` begins an entity of type `PER`; `I-PER` goes on with one; a bare `PER` does, too.
fn split_label(label: &str) -> (bool, &str) {
    match label.split_once('-') {
        Some(("B", kind)) => (true, kind),
        Some(("I", kind)) => (false, kind),
        _ => (false, label),
    }
}

fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (at, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = at;
        }
    }
    best
}

fn sigmoid(x: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(x)).exp())) as f32
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exp: Vec<f64> = logits.iter().map(|x| f64::from(x - max).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.into_iter().map(|x| (x / sum) as f32).collect()
}
