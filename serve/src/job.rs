//! What is wanted of texts, and what comes of each.

use std::sync::Arc;

use frostbert::head::Head;
use frostbert::{
    Aggregation, Classification, EmbedOptions, EncodeReport, Encoder, Explanation, FilledMasks, Result,
    SparseEmbedding, Tagged, Text, TokenOutputs, TokenRequest,
};

/// What is wanted of each text.
#[derive(Clone)]
pub(crate) enum Job {
    /// A vector.
    Embed(EmbedOptions),
    /// A vector a token: the last layer's hidden states.
    Tokens(EmbedOptions),
    /// The scores of the checkpoint's classifier; of a pair, its relevance.
    Classify(EmbedOptions),
    /// Spans, by the checkpoint's token classifier.
    Tag(EmbedOptions, Aggregation),
    /// Weights of the vocabulary's tokens.
    Sparse(EmbedOptions),
    /// Words for masks: so many, of these.
    FillMask(EmbedOptions, usize, Vec<String>),
    /// Each token's share in a head's logits.
    Explain(EmbedOptions, Arc<Head>),
}

impl Job {
    /// Texts of jobs with equal keys may be computed together.
    pub(crate) fn key(&self) -> String {
        match self {
            Job::Embed(options) => format!("embed {options:?}"),
            Job::Tokens(options) => format!("tokens {options:?}"),
            Job::Classify(options) => format!("classify {options:?}"),
            Job::Tag(options, aggregation) => format!("tag {aggregation} {options:?}"),
            Job::Sparse(options) => format!("sparse {options:?}"),
            Job::FillMask(options, top, targets) => format!("fill {top} {targets:?} {options:?}"),
            Job::Explain(options, head) => format!("explain {:p} {options:?}", Arc::as_ptr(head)),
        }
    }

    /// Computes texts: a row each, in order.
    pub(crate) fn run(&self, encoder: &Encoder, texts: Vec<Text>) -> Result<(Vec<Row>, EncodeReport)> {
        let mut rows = Vec::with_capacity(texts.len());
        let mut report = EncodeReport::default();
        let given = texts.into_iter().map(Ok);
        match self {
            Job::Embed(options) => {
                let given: Vec<Result<Text>> = given.collect();
                report = encoder.embed_stream(given, options, |part| {
                    for (at, row) in part.rows().enumerate() {
                        let (tokens, truncated) = (part.tokens[at], part.truncated[at]);
                        rows.push(Row::Vector { values: row.to_vec(), tokens, truncated });
                    }
                    Ok(())
                })?;
            }
            Job::Tokens(options) => {
                let request =
                    TokenRequest { hidden_states: vec![encoder.config().layers], ..TokenRequest::default() };
                let given: Vec<Result<Text>> = given.collect();
                report = encoder.token_outputs_stream(given, &request, options, |outputs| {
                    rows.push(Row::Tokens(outputs));
                    Ok(())
                })?;
            }
            Job::Classify(options) => {
                let given: Vec<Result<Text>> = given.collect();
                report = encoder.classify_stream(given, options, |_, answer| {
                    rows.push(Row::Classified(answer));
                    Ok(())
                })?;
            }
            Job::Tag(options, aggregation) => {
                let given: Vec<Result<Text>> = given.collect();
                report = encoder.tag_stream(given, *aggregation, options, |_, tagged| {
                    rows.push(Row::Tagged(tagged));
                    Ok(())
                })?;
            }
            Job::Sparse(options) => {
                let texts = given.collect::<Result<Vec<Text>>>()?;
                rows.extend(encoder.embed_sparse(texts, options)?.into_iter().map(Row::Sparse));
            }
            Job::FillMask(options, top, targets) => {
                for text in given {
                    rows.push(Row::Masks(encoder.fill_mask(text?, *top, targets, options)?));
                }
            }
            Job::Explain(options, head) => {
                let texts = given.collect::<Result<Vec<Text>>>()?;
                rows.extend(encoder.explain(head, options, texts)?.into_iter().map(Row::Explained));
            }
        }
        Ok((rows, report))
    }
}

/// What came of a text.
pub(crate) enum Row {
    Vector { values: Vec<f32>, tokens: u32, truncated: bool },
    Tokens(TokenOutputs),
    Classified(Classification),
    Tagged(Tagged),
    Sparse(SparseEmbedding),
    Masks(FilledMasks),
    Explained(Explanation),
}

impl Row {
    /// Tokens of the text before truncation, where that is known.
    pub(crate) fn tokens(&self) -> usize {
        match self {
            Row::Vector { tokens, .. } => *tokens as usize,
            Row::Tokens(outputs) => outputs.encoding.tokens,
            Row::Classified(answer) => answer.tokens as usize,
            Row::Tagged(tagged) => tagged.tokens as usize,
            Row::Sparse(sparse) => sparse.tokens as usize,
            Row::Masks(_) | Row::Explained(_) => 0,
        }
    }

    pub(crate) fn truncated(&self) -> bool {
        match self {
            Row::Vector { truncated, .. } => *truncated,
            Row::Tokens(outputs) => outputs.encoding.truncated,
            Row::Classified(answer) => answer.truncated,
            Row::Tagged(tagged) => tagged.truncated,
            Row::Sparse(sparse) => sparse.truncated,
            Row::Masks(filled) => filled.truncated,
            Row::Explained(explanation) => explanation.truncated,
        }
    }
}
