//! Documents by relevance to a query, in the words of text-embeddings-inference, Jina and Cohere.

use axum::response::Response;
use frostbert::Text;
use frostbert::model::HeadKind;
use serde::Deserialize;
use serde_json::{Value, json};

use super::inputs::Reading;
use super::openai::Usage;
use crate::app::{Call, json};
use crate::error::{ApiError, ApiResult, Kind};
use crate::metrics::What;
use crate::worker::{Job, Row};

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
#[serde(untagged)]
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
    /// Cohere's second API: longer documents are cut.
    max_tokens_per_doc: Option<usize>,
}

impl DocumentsRequest {
    fn take(self) -> (Vec<String>, String, Option<String>, usize, bool) {
        let top = self.top_n.unwrap_or(usize::MAX);
        let text = |document| match document {
            Document::Text(text) | Document::Object { text } => text,
        };
        let documents = self.documents.into_iter().map(text).collect();
        (documents, self.query, self.model, top, self.return_documents.unwrap_or(false))
    }
}

pub(super) async fn jina(call: Call) -> ApiResult<Response> {
    let request: DocumentsRequest = call.json()?;
    let (documents, query, model, top, with_text) = request.take();
    let (model, ranked) = rank(&call, model.as_deref(), &query, &documents, &Reading::default()).await?;
    let entry = |ranked: &Ranked| {
        let mut entry = json!({ "index": ranked.index, "relevance_score": ranked.score });
        if with_text {
            entry["document"] = json!({ "text": documents[ranked.index] });
        }
        entry
    };
    let results: Vec<Value> = ranked.iter().take(top).map(entry).collect();
    let tokens = call.tokens();
    let answer = json!({
        "id": call.id,
        "model": model,
        "object": "list",
        "usage": Usage { prompt_tokens: tokens, total_tokens: tokens },
        "results": results,
        "meta": { "api_version": { "version": "1" }, "billed_units": { "search_units": 1 } },
    });
    json(answer, ranked.len()).await
}

pub(super) async fn cohere(call: Call) -> ApiResult<Response> {
    let request: DocumentsRequest = call.json()?;
    if request.max_tokens_per_doc == Some(0) {
        return Err(ApiError::validation("max_tokens_per_doc must be at least 1"));
    }
    let (documents, query, model, top, _) = request.take();
    let (_, ranked) = rank(&call, model.as_deref(), &query, &documents, &Reading::default()).await?;
    let results: Vec<Value> = ranked
        .iter()
        .take(top)
        .map(|ranked| json!({ "index": ranked.index, "relevance_score": ranked.score }))
        .collect();
    let answer = json!({
        "id": call.id,
        "results": results,
        "meta": {
            "api_version": { "version": "2" },
            "billed_units": { "search_units": 1 },
            "tokens": { "input_tokens": call.tokens() },
        },
    });
    json(answer, ranked.len()).await
}
