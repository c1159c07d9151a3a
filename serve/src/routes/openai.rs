//! OpenAI's routes.

use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use frostbert::{EmbedOptions, Text};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::inputs::{Inputs, Reading, check_dimensions};
use super::tei::rows;
use crate::app::{Call, json};
use crate::error::{ApiError, ApiResult};

#[derive(Deserialize)]
struct Request {
    input: Inputs,
    model: Option<String>,
    encoding_format: Option<Format>,
    dimensions: Option<usize>,
    prompt_name: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Float,
    Base64,
}

#[derive(Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Float(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
struct Answer {
    object: &'static str,
    data: Vec<Embedding>,
    model: String,
    usage: Usage,
}

/// What a request cost.
#[derive(Serialize)]
pub(super) struct Usage {
    pub(super) prompt_tokens: u64,
    pub(super) total_tokens: u64,
}

pub(super) async fn embeddings(call: Call) -> ApiResult<Response> {
    let request: Request = call.json()?;
    let (model, loaded) = call.model(request.model.as_deref()).await?;
    let encoder = loaded.encoder();
    check_dimensions(&encoder, request.dimensions)?;
    let texts = request.input.read(&encoder).await?;
    if let Some(at) = texts.iter().position(|text: &Text| text.first.is_empty()) {
        return Err(ApiError::validation(format!("input {at} is empty; OpenAI's API takes no empty texts")));
    }
    let reading = Reading { prompt_name: request.prompt_name, ..Reading::default() };
    let options =
        EmbedOptions { normalize: Some(true), dimensions: request.dimensions, ..reading.options(&call) };
    let count = texts.len();
    let rows = rows(&call, &loaded, options, texts).await?;
    let vector = |row: Vec<f32>| match request.encoding_format {
        Some(Format::Base64) => {
            let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
            Vector::Base64(STANDARD.encode(bytes))
        }
        _ => Vector::Float(row),
    };
    let data = rows.into_iter().enumerate().map(|(index, row)| Embedding {
        object: "embedding",
        index,
        embedding: vector(row),
    });
    let tokens = call.tokens();
    let answer = Answer {
        object: "list",
        data: data.collect(),
        model: model.spec.name.clone(),
        usage: Usage { prompt_tokens: tokens, total_tokens: tokens },
    };
    json(answer, count).await
}

pub(super) async fn models(call: Call) -> ApiResult<Response> {
    let registry = &call.state.registry;
    let names = registry.models.iter().map(|model| &model.spec.name);
    let names = names.chain(registry.heads.iter().map(|head| &head.spec.name));
    let data: Vec<_> = names.map(|name| entry(&call, name)).collect();
    json(json!({ "object": "list", "data": data }), 1).await
}

pub(super) async fn model(call: Call) -> ApiResult<Response> {
    // Says so where there is none of this name.
    call.find(Some(&call.name))?;
    json(entry(&call, &call.name), 1).await
}

fn entry(call: &Call, name: &str) -> Value {
    json!({ "id": name, "object": "model", "created": call.state.started(), "owned_by": "frostbert" })
}
