//! Documents by relevance to a query, in the words of text-embeddings-inference, Jina and Cohere.

use axum::response::Response;
use frostbert::model::HeadKind;
use frostbert::text::Truncate;
use frostbert::{EmbedOptions, Prompt, Text};
use serde::Deserialize;
use serde_json::{Value, json};

use super::inputs::Reading;
use super::openai::Usage;
use crate::app::{Call, json};
use crate::blocking::blocking;
use crate::error::{ApiError, ApiResult, Kind};
use crate::job::{Job, Row};
use crate::metrics::What;
use crate::registry::Loaded;

/// Bytes of a query times the documents beside it.
const MOST_QUERY_BYTES: usize = 64 << 20;

/// A document's relevance.
struct Ranked {
    index: usize,
    score: f32,
    logit: f64,
}

/// Ranks documents, the most relevant first; of equals the first. Source: the library's `Encoder::rerank`, whose scores these
/// are.
async fn rank(
    call: &Call,
    model: Option<&str>,
    query: &str,
    documents: &[String],
    reading: &Reading,
) -> ApiResult<(String, Vec<Ranked>)> {
    let (model, loaded) = call.model(model).await?;
    if !loaded.has(HeadKind::Sequence) {
        return Err(ApiError::new(
            Kind::Backend,
            format!(
                "{} is no cross-encoder and ranks nothing; compare vectors of /embed, or /similarity",
                model.spec.name
            ),
        ));
    }
    if documents.is_empty() {
        return Err(ApiError::new(Kind::Empty, "there are no documents to rank; send at least one"));
    }
    // Each pair holds the query.
    let bytes = query.len().saturating_mul(documents.len());
    if bytes > MOST_QUERY_BYTES {
        return Err(ApiError::new(
            Kind::TooLarge,
            format!(
                "a query of {} bytes beside {} documents is {bytes} bytes, more than the {MOST_QUERY_BYTES} that are read at once; \
                 shorten the query, or send fewer documents",
                query.len(),
                documents.len()
            ),
        ));
    }
    call.state.metrics.asked(What::Rerank, documents.len());
    let pairs = documents.iter().map(|document| Text::from((query, document.as_str()))).collect();
    let done = call.compute(&loaded, Job::Classify(reading.without_prompt(call)), pairs).await?;
    call.state.metrics.answered(What::Rerank, done.rows.iter().map(Row::tokens));
    let mut ranked: Vec<Ranked> = Vec::with_capacity(documents.len());
    for (index, row) in done.rows.into_iter().enumerate() {
        let Row::Classified(answer) = row else { continue };
        let (score, logit) = relevance(&answer.logits);
        ranked.push(Ranked { index, score, logit });
    }
    ranked.sort_by(|a, b| b.logit.total_cmp(&a.logit).then(a.index.cmp(&b.index)));
    Ok((model.spec.name.clone(), ranked))
}

/// A score from 0 to 1, and what documents are ordered by: bit for bit as the library computes them.
fn relevance(logits: &[f32]) -> (f32, f64) {
    let largest = |logits: &[f32]| logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum =
        |logits: &[f32], most: f32| -> f64 { logits.iter().map(|logit| f64::from(logit - most).exp()).sum() };
    match logits {
        [] => (0.0, f64::NEG_INFINITY),
        [logit] => ((1.0 / (1.0 + (-f64::from(*logit)).exp())) as f32, f64::from(*logit)),
        [others @ .., last] => {
            let (most, most_other) = (largest(logits), largest(others));
            let score = f64::from(last - most).exp() / sum(logits, most);
            (score as f32, f64::from(*last) - (f64::from(most_other) + sum(others, most_other).ln()))
        }
    }
}

#[derive(Deserialize)]
struct TeiRequest {
    query: String,
    texts: Vec<String>,
    model: Option<String>,
    raw_scores: Option<bool>,
    return_text: Option<bool>,
    #[serde(flatten)]
    reading: Reading,
}

pub(super) async fn tei(call: Call) -> ApiResult<Response> {
    tei_named(&call, None).await
}

pub(super) async fn tei_named(call: &Call, name: Option<&str>) -> ApiResult<Response> {
    let request: TeiRequest = call.json()?;
    let name = name.or(request.model.as_deref());
    let (_, ranked) = rank(call, name, &request.query, &request.texts, &request.reading).await?;
    let raw = request.raw_scores.unwrap_or(false);
    let with_text = request.return_text.unwrap_or(false);
    let entry = |ranked: &Ranked| {
        let score = if raw { ranked.logit as f32 } else { ranked.score };
        let mut entry = json!({ "index": ranked.index, "score": score });
        if with_text {
            entry["text"] = json!(request.texts[ranked.index]);
        }
        entry
    };
    json(ranked.iter().map(entry).collect::<Vec<Value>>(), ranked.len()).await
}

/// A document: its text, or an object with it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected each document as a text, or as an object with a field `text`")]
enum Document {
    Text(String),
    Object { text: String },
}

#[derive(Deserialize)]
struct DocumentsRequest {
    query: String,
    documents: Vec<Document>,
    model: Option<String>,
    top_n: Option<usize>,
    return_documents: Option<bool>,
    /// Cohere's: longer documents are cut.
    max_tokens_per_doc: Option<usize>,
    /// Cohere's first API: fields of documents to rank by.
    rank_fields: Option<Vec<String>>,
}

/// Documents in the order of their relevance, and what the answer says beside them.
struct Answered {
    documents: Vec<String>,
    model: String,
    ranked: Vec<Ranked>,
    top: usize,
    with_text: bool,
    warnings: Vec<String>,
}

async fn answered(call: &Call) -> ApiResult<Answered> {
    let request: DocumentsRequest = call.json()?;
    if request.rank_fields.is_some_and(|fields| fields != ["text"]) {
        return Err(ApiError::validation("rank_fields: of documents only the field \"text\" is read"));
    }
    let text = |document| match document {
        Document::Text(text) | Document::Object { text } => text,
    };
    let documents: Vec<String> = request.documents.into_iter().map(text).collect();
    let mut warnings = Vec::new();
    let mut short = None;
    match request.max_tokens_per_doc {
        Some(0) => return Err(ApiError::validation("max_tokens_per_doc must be at least 1")),
        Some(most) => {
            let (_, loaded) = call.model(request.model.as_deref()).await?;
            let (shortened, count) = shortened(&loaded, &documents, most).await?;
            if count > 0 {
                call.count_truncated(count);
                warnings.push(format!("{count} documents were cut to max_tokens_per_doc = {most}"));
            }
            short = Some(shortened);
        }
        None => {}
    }
    let compared = short.as_ref().unwrap_or(&documents);
    let (model, ranked) =
        rank(call, request.model.as_deref(), &request.query, compared, &Reading::default()).await?;
    Ok(Answered {
        model,
        ranked,
        top: request.top_n.unwrap_or(usize::MAX),
        with_text: request.return_documents.unwrap_or(false),
        documents,
        warnings,
    })
}

/// Documents without what is behind their first `most` tokens, and how many had more.
async fn shortened(loaded: &Loaded, documents: &[String], most: usize) -> ApiResult<(Vec<String>, u64)> {
    let (encoder, mut documents) = (loaded.encoder(), documents.to_vec());
    let cut = blocking("tokenising", move || -> frostbert::Result<(Vec<String>, u64)> {
        // All of a document, however long.
        let options = EmbedOptions {
            prompt: Prompt::None,
            truncate: Truncate::Window { overlap: 0 },
            ..EmbedOptions::default()
        };
        let encodings = encoder.encode(documents.iter().map(String::as_str), &options)?;
        let mut count = 0;
        for (document, encoding) in documents.iter_mut().zip(&encodings) {
            let tokens = encoding.offsets.iter().zip(&encoding.special_tokens_mask);
            let mut ends = tokens.filter(|(_, special)| !**special).map(|((_, end), _)| *end).skip(most - 1);
            let last = ends.next();
            if let Some(end) = last.filter(|end| ends.next().is_some() && document.is_char_boundary(*end)) {
                document.truncate(end);
                count += 1;
            }
        }
        Ok((documents, count))
    });
    cut.await?.map_err(|error| ApiError::of(&error))
}

/// `meta` of both of Cohere's answers.
fn meta(version: &str, warnings: &[String]) -> Value {
    let mut meta = json!({ "api_version": { "version": version }, "billed_units": { "search_units": 1 } });
    if !warnings.is_empty() {
        meta["warnings"] = json!(warnings);
    }
    meta
}

pub(super) async fn jina(call: Call) -> ApiResult<Response> {
    let answered = answered(&call).await?;
    let entry = |ranked: &Ranked| {
        let mut entry = json!({ "index": ranked.index, "relevance_score": ranked.score });
        if answered.with_text {
            entry["document"] = json!({ "text": answered.documents[ranked.index] });
        }
        entry
    };
    let results: Vec<Value> = answered.ranked.iter().take(answered.top).map(entry).collect();
    let tokens = call.tokens();
    let answer = json!({
        "id": call.id,
        "model": answered.model,
        "object": "list",
        "usage": Usage { prompt_tokens: tokens, total_tokens: tokens },
        "results": results,
        "meta": meta("1", &answered.warnings),
    });
    json(answer, answered.ranked.len()).await
}

pub(super) async fn cohere(call: Call) -> ApiResult<Response> {
    let answered = answered(&call).await?;
    let results: Vec<Value> = answered
        .ranked
        .iter()
        .take(answered.top)
        .map(|ranked| json!({ "index": ranked.index, "relevance_score": ranked.score }))
        .collect();
    let mut meta = meta("2", &answered.warnings);
    meta["tokens"] = json!({ "input_tokens": call.tokens() });
    json(json!({ "id": call.id, "results": results, "meta": meta }), answered.ranked.len()).await
}
