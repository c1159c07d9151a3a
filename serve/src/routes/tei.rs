//! text-embeddings-inference's own routes.

use axum::response::Response;
use frostbert::model::HeadKind;
use frostbert::text::Truncate;
use frostbert::{EmbedOptions, Encoder, Text};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::inputs::{Inputs, Reading, check_dimensions};
use crate::app::{Call, json};
use crate::blocking::blocking;
use crate::error::{ApiError, ApiResult, Kind};
use crate::job::{Job, Row};
use crate::metrics::What;
use crate::registry::Loaded;

#[derive(Deserialize)]
struct EmbedRequest {
    inputs: Inputs,
    model: Option<String>,
    #[serde(flatten)]
    reading: Reading,
    normalize: Option<bool>,
    dimensions: Option<usize>,
}

/// Embeds texts: a row each.
pub(super) async fn rows(
    call: &Call,
    loaded: &Loaded,
    options: EmbedOptions,
    texts: Vec<Text>,
) -> ApiResult<Vec<Vec<f32>>> {
    call.state.metrics.asked(What::Embed, texts.len());
    let done = call.compute(loaded, Job::Embed(options), texts).await?;
    call.state.metrics.answered(What::Embed, done.rows.iter().map(Row::tokens));
    let row = |row: Row| match row {
        Row::Vector { values, .. } => values,
        _ => Vec::new(),
    };
    Ok(done.rows.into_iter().map(row).collect())
}

pub(super) async fn embed(call: Call) -> ApiResult<Response> {
    let request: EmbedRequest = call.json()?;
    embed_as(&call, request, None).await
}

/// As Hugging Face's feature extraction: a vector a text.
pub(super) async fn embed_named(call: &Call, name: Option<&str>) -> ApiResult<Response> {
    let request: EmbedRequest = call.json()?;
    embed_as(call, request, name).await
}

async fn embed_as(call: &Call, request: EmbedRequest, name: Option<&str>) -> ApiResult<Response> {
    let (_, loaded) = call.model(name.or(request.model.as_deref())).await?;
    let encoder = loaded.encoder();
    check_dimensions(&encoder, request.dimensions)?;
    let texts = request.inputs.read(&encoder).await?;
    let options = EmbedOptions {
        normalize: Some(request.normalize.unwrap_or(true)),
        dimensions: request.dimensions,
        ..request.reading.options(call)
    };
    let count = texts.len();
    json(rows(call, &loaded, options, texts).await?, count).await
}

#[derive(Deserialize)]
struct TokensRequest {
    inputs: Inputs,
    model: Option<String>,
    #[serde(flatten)]
    reading: Reading,
}

/// Bytes that an answer of one vector a token may take.
const LARGEST_ANSWER: usize = 256 << 20;
/// Bytes of a number in an answer, with its comma.
const BYTES_A_NUMBER: usize = 12;

/// Refuses what could not be answered: half a megabyte of text is half a gigabyte of vectors.
fn check_answer(encoder: &Encoder, texts: &[Text], hidden: usize) -> ApiResult<()> {
    let longest = encoder.checkpoint().max_tokens();
    // Few tokens have less than two bytes.
    let tokens: usize = texts.iter().map(|text| (text.first.len() / 2 + 2).min(longest)).sum();
    let bytes = tokens.saturating_mul(hidden * BYTES_A_NUMBER);
    if bytes <= LARGEST_ANSWER {
        return Ok(());
    }
    let fits = LARGEST_ANSWER / (hidden * BYTES_A_NUMBER);
    Err(ApiError::new(
        Kind::TooLarge,
        format!(
            "vectors for each of up to {tokens} tokens are too large an answer; send texts of {fits} tokens at most"
        ),
    ))
}

pub(super) async fn embed_all(call: Call) -> ApiResult<Response> {
    let request: TokensRequest = call.json()?;
    let (_, loaded) = call.model(request.model.as_deref()).await?;
    let encoder = loaded.encoder();
    let texts = request.inputs.read(&encoder).await?;
    let (count, hidden) = (texts.len(), encoder.config().hidden);
    check_answer(&encoder, &texts, hidden)?;
    call.state.metrics.asked(What::Embed, count);
    let done = call.compute(&loaded, Job::Tokens(request.reading.options(&call)), texts).await?;
    call.state.metrics.answered(What::Embed, done.rows.iter().map(Row::tokens));
    let tokens = |row: Row| -> Vec<Vec<f32>> {
        let Row::Tokens(outputs) = row else { return Vec::new() };
        outputs
            .hidden_states
            .iter()
            .flat_map(|layer| layer.chunks_exact(hidden))
            .map(<[f32]>::to_vec)
            .collect()
    };
    let all: Vec<Vec<Vec<f32>>> = done.rows.into_iter().map(tokens).collect();
    json(all, count * 64).await
}

#[derive(Serialize)]
struct SparseValue {
    index: u32,
    value: f32,
}

pub(super) async fn embed_sparse(call: Call) -> ApiResult<Response> {
    let request: TokensRequest = call.json()?;
    let (model, loaded) = call.model(request.model.as_deref()).await?;
    if !loaded.has(HeadKind::MaskedLm) {
        return Err(ApiError::new(
            Kind::Backend,
            format!(
                "{} has no masked-language-model head, of which sparse vectors are made",
                model.spec.name
            ),
        ));
    }
    let texts = request.inputs.read(&loaded.encoder()).await?;
    let count = texts.len();
    call.state.metrics.asked(What::Embed, count);
    let done = call.compute(&loaded, Job::Sparse(request.reading.options(&call)), texts).await?;
    call.state.metrics.answered(What::Embed, done.rows.iter().map(Row::tokens));
    let sparse = |row: Row| -> Vec<SparseValue> {
        let Row::Sparse(sparse) = row else { return Vec::new() };
        sparse
            .indices
            .into_iter()
            .zip(sparse.values)
            .map(|(index, value)| SparseValue { index, value })
            .collect()
    };
    let all: Vec<Vec<SparseValue>> = done.rows.into_iter().map(sparse).collect();
    json(all, count * 64).await
}

#[derive(Deserialize)]
struct SimilarityRequest {
    inputs: SimilarityInputs,
    model: Option<String>,
    parameters: Option<Reading>,
}

#[derive(Deserialize)]
struct SimilarityInputs {
    source_sentence: String,
    sentences: Vec<String>,
}

pub(super) async fn similarity(call: Call) -> ApiResult<Response> {
    similarity_named(&call, None).await
}

pub(super) async fn similarity_named(call: &Call, name: Option<&str>) -> ApiResult<Response> {
    let request: SimilarityRequest = call.json()?;
    let (_, loaded) = call.model(name.or(request.model.as_deref())).await?;
    if request.inputs.sentences.is_empty() {
        return Err(ApiError::new(Kind::Empty, "there are no sentences to compare with; send at least one"));
    }
    let reading = request.parameters.unwrap_or_default();
    let options = EmbedOptions { normalize: Some(true), ..reading.options(call) };
    let texts = std::iter::once(request.inputs.source_sentence).chain(request.inputs.sentences);
    let rows = rows(call, &loaded, options, texts.map(Text::from).collect()).await?;
    let Some((source, others)) = rows.split_first() else { return json(Vec::<f32>::new(), 0).await };
    let cosine = |row: &Vec<f32>| -> f32 {
        source.iter().zip(row).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() as f32
    };
    json(others.iter().map(cosine).collect::<Vec<f32>>(), others.len()).await
}

#[derive(Deserialize)]
struct TokenizeRequest {
    inputs: Inputs,
    model: Option<String>,
    add_special_tokens: Option<bool>,
    prompt_name: Option<String>,
}

#[derive(Serialize)]
struct SimpleToken {
    id: u32,
    text: String,
    special: bool,
    start: Option<usize>,
    stop: Option<usize>,
}

pub(super) async fn tokenize(call: Call) -> ApiResult<Response> {
    let request: TokenizeRequest = call.json()?;
    let (_, loaded) = call.model(request.model.as_deref()).await?;
    let encoder = loaded.encoder();
    let special = request.add_special_tokens.unwrap_or(true);
    let most = call.state.registry.config.max_queued_texts;
    if request.inputs.inputs.len() > most {
        return Err(ApiError::new(
            Kind::TooLarge,
            format!(
                "{} texts are more than the {most} that may be sent at once",
                request.inputs.inputs.len()
            ),
        ));
    }
    let reading = Reading { prompt_name: request.prompt_name, ..Reading::default() };
    // All of a text, however long.
    let options = EmbedOptions { truncate: Truncate::Window { overlap: 0 }, ..reading.options(&call) };
    let tokens = blocking("tokenising", move || -> ApiResult<Vec<Vec<SimpleToken>>> {
        let texts = request.inputs.texts(&encoder)?;
        let prompt =
            encoder.recipe(&options).map_err(|error| ApiError::of(&error))?.prompt.unwrap_or_default();
        let encodings = encoder.encode(texts.clone(), &options).map_err(|error| ApiError::of(&error))?;
        let tokens = texts.iter().zip(encodings).map(|(text, encoding)| {
            let whole = format!("{prompt}{}", text.first);
            let mut counted = (0, 0);
            // Offsets of the answer count characters.
            let mut characters = |byte: usize| {
                if byte < counted.0 {
                    counted = (0, 0);
                }
                counted.1 += whole.get(counted.0..byte).unwrap_or_default().chars().count();
                counted.0 = byte;
                counted.1
            };
            let mut all = Vec::new();
            for (at, id) in encoding.ids.iter().enumerate() {
                let is_special = encoding.special_tokens_mask[at];
                if is_special && !special {
                    continue;
                }
                let (start, stop) = encoding.offsets[at];
                let text = if is_special { None } else { whole.get(start..stop).map(str::to_owned) };
                all.push(SimpleToken {
                    id: *id,
                    text: text.unwrap_or_else(|| encoder.tokenizer().id_to_token(*id).unwrap_or_default()),
                    special: is_special,
                    start: (!is_special).then(|| characters(start)),
                    stop: (!is_special).then(|| characters(stop)),
                });
            }
            all
        });
        Ok(tokens.collect())
    });
    let tokens = tokens.await??;
    let count = tokens.len();
    json(tokens, count).await
}

#[derive(Deserialize)]
struct DecodeRequest {
    ids: Ids,
    model: Option<String>,
    skip_special_tokens: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a list of token ids, or a list of such lists")]
enum Ids {
    One(Vec<u32>),
    More(Vec<Vec<u32>>),
}

pub(super) async fn decode(call: Call) -> ApiResult<Response> {
    let request: DecodeRequest = call.json()?;
    let (_, loaded) = call.model(request.model.as_deref()).await?;
    let lists = match request.ids {
        Ids::One(ids) => vec![ids],
        Ids::More(lists) => lists,
    };
    if lists.iter().all(Vec::is_empty) {
        return Err(ApiError::new(Kind::Empty, "there are no ids to decode; send at least one"));
    }
    let encoder = loaded.encoder();
    let skip = request.skip_special_tokens.unwrap_or(true);
    let texts = blocking("decoding", move || {
        let tokenizer = encoder.tokenizer();
        let text = |ids: &Vec<u32>| match skip {
            true => tokenizer.decode(ids),
            false => tokenizer.decode_with_special_tokens(ids),
        };
        lists.iter().map(text).collect::<frostbert::Result<Vec<String>>>()
    });
    let texts = texts.await?.map_err(|error| ApiError::new(Kind::Tokenizer, error.to_string()))?;
    json(texts, 1).await
}

/// What a model is, in text-embeddings-inference's words.
fn model_type(encoder: &Encoder) -> Value {
    let heads = encoder.checkpoint().heads();
    if heads.has(HeadKind::Sequence)
        && let Ok(labels) = encoder.classification_labels()
    {
        let id2label: Map<String, Value> =
            labels.iter().enumerate().map(|(id, label)| (id.to_string(), json!(label))).collect();
        let label2id: Map<String, Value> =
            labels.iter().enumerate().map(|(id, label)| (label.clone(), json!(id))).collect();
        let kind = if labels.len() == 1 { "reranker" } else { "classifier" };
        return json!({ kind: { "id2label": id2label, "label2id": label2id } });
    }
    let pooling = encoder.checkpoint().embedding_request().pooling;
    let names: Vec<&str> = pooling.iter().map(|pooling| pooling.name()).collect();
    json!({ "embedding": { "pooling": names.join("+") } })
}

pub(super) async fn info(call: Call) -> ApiResult<Response> {
    let (model, loaded) = call.model(None).await?;
    let encoder = loaded.encoder();
    let config = &call.state.registry.config;
    let info = json!({
        "model_id": model.spec.name,
        "model_sha": null,
        "model_dtype": format!("{:?}", encoder.weight_type()).to_lowercase().replace('f', "float"),
        "served_model_name": model.spec.name,
        "model_type": model_type(&encoder),
        "max_concurrent_requests": config.max_concurrent_requests,
        "max_input_length": encoder.checkpoint().max_tokens(),
        "max_batch_tokens": loaded.batch_tokens,
        "max_batch_requests": null,
        "max_client_batch_size": config.max_queued_texts,
        "auto_truncate": config.auto_truncate,
        "tokenization_workers": std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
        "version": env!("CARGO_PKG_VERSION"),
        "sha": null,
        "docker_label": null,
        "backend": "frostbert",
        "device": encoder.device().name,
    });
    json(info, 1).await
}
