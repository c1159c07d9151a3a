//! The routes, by whose they are.

mod admin;
mod classify;
mod inputs;
mod openai;
mod pages;
mod rerank;
mod tei;

use crate::app::{Access, Route};
use crate::error::Dialect::{OpenAi, Rerank, Tei};

macro_rules! routes {
    ($($access:ident $method:literal $path:literal $dialect:ident $handler:path, $summary:literal, $example:literal;)*) => {
        /// All routes.
        pub(crate) const ROUTES: &[Route] = &[$(Route {
            method: $method,
            path: $path,
            dialect: $dialect,
            access: Access::$access,
            handler: |call| Box::pin($handler(call)),
            summary: $summary,
            example: $example,
        }),*];
    };
}

routes! {
    Public "GET" "/" Tei pages::index, "A page that shows models, heads and figures, and tries a text", "";
    Public "GET" "/docs" Tei pages::docs, "This page", "";
    Public "GET" "/api-doc/openapi.json" Tei pages::openapi, "The routes as OpenAPI", "";
    Public "GET" "/health" Tei pages::health, "200 when requests can be answered, else 503", "";
    Public "GET" "/ping" Tei pages::health, "As /health", "";
    Public "GET" "/metrics" Tei pages::metrics, "Figures for Prometheus", "";
    Key "GET" "/status" Tei pages::status, "Models, heads and figures, as the page shows them", "";
    Key "GET" "/info" Tei tei::info, "What is served, as text-embeddings-inference says it", "";
    Key "POST" "/embed" Tei tei::embed, "A vector a text", r#"{"inputs":["A fine film.","A dull one."]}"#;
    Key "POST" "/embed_all" Tei tei::embed_all, "A vector a token", r#"{"inputs":"A fine film."}"#;
    Key "POST" "/embed_sparse" Tei tei::embed_sparse, "Weights of the vocabulary's tokens (SPLADE; models with an MLM head)", r#"{"inputs":"A fine film."}"#;
    Key "POST" "/predict" Tei classify::predict, "Labels and scores, by a checkpoint's classifier or a head of yours", r#"{"inputs":"A fine film."}"#;
    Key "POST" "/rerank" Tei rerank::tei, "Texts by relevance to a query (cross-encoders)", r#"{"query":"Who wrote it?","texts":["A poet did.","It rains."]}"#;
    Key "POST" "/similarity" Tei tei::similarity, "Cosines between a text and others", r#"{"inputs":{"source_sentence":"A fine film.","sentences":["A good one.","It rains."]}}"#;
    Key "POST" "/tokenize" Tei tei::tokenize, "Tokens of texts", r#"{"inputs":"A fine film."}"#;
    Key "POST" "/decode" Tei tei::decode, "Texts of token ids", r#"{"ids":[101,1037,2986,2143,102]}"#;
    Key "POST" "/embeddings" OpenAi openai::embeddings, "As /v1/embeddings", r#"{"input":"A fine film."}"#;
    Key "POST" "/v1/embeddings" OpenAi openai::embeddings, "A vector a text, as OpenAI's API", r#"{"input":"A fine film.","encoding_format":"float"}"#;
    Key "GET" "/v1/models" OpenAi openai::models, "Names of models and heads", "";
    Key "GET" "/v1/models/{name}" OpenAi openai::model, "One of them", "";
    Key "POST" "/v1/rerank" Rerank rerank::jina, "Documents by relevance, as Jina's and Cohere's first API", r#"{"query":"Who wrote it?","documents":["A poet did.","It rains."],"top_n":1}"#;
    Key "POST" "/v2/rerank" Rerank rerank::cohere, "Documents by relevance, as Cohere's second API", r#"{"query":"Who wrote it?","documents":["A poet did.","It rains."],"top_n":1}"#;
    Key "POST" "/classify" Tei classify::infinity, "Labels and scores, as infinity's API", r#"{"input":["A fine film."]}"#;
    Key "POST" "/v1/classify" Tei classify::ours, "Answers of heads: labels, calibrated probabilities, abstention, each token's share", r#"{"inputs":["A fine film."],"abstain":0.6}"#;
    Key "POST" "/tag" Tei classify::tag, "Names and other spans (models with a token classifier)", r#"{"inputs":"Ada lives in Paris.","aggregation":"simple"}"#;
    Key "POST" "/fill_mask" Tei classify::fill_mask, "Words for masks (models with an MLM head)", r#"{"inputs":"A [MASK] film.","top_k":3}"#;
    Key "POST" "/" Tei classify::hub, "As Hugging Face's inference API: what the first model, or that of `model`, does", r#"{"inputs":"A fine film."}"#;
    Key "POST" "/models/{name}" Tei classify::hub_named, "The same of a model or head by name", r#"{"inputs":"A fine film."}"#;
    Admin "POST" "/admin/models/{name}/load" Tei admin::load, "Loads a model, or replaces it by what its files hold now", "";
    Admin "POST" "/admin/models/{name}/unload" Tei admin::unload, "Unloads a model when its requests are answered", "";
    Admin "POST" "/admin/heads/{name}/reload" Tei admin::reload_head, "Replaces a head by what its file holds now", "";
}
