//! The routes as an OpenAPI document, made of the table that the router is made of.

use serde_json::{Map, Value, json};

use crate::app::Access;
use crate::error::Dialect;
use crate::routes::ROUTES;
use crate::schemas;

pub(crate) fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let mut fine = json!({ "description": "the answer" });
        if let Some((kind, schema)) = schemas::response(route.method, route.path) {
            fine["content"] = json!({ kind: { "schema": schema } });
        }
        if route.access == Access::Key && route.method == "POST" {
            fine["headers"] = headers();
        }
        let mut operation = json!({
            "summary": route.summary,
            "operationId": operation_id(route.method, route.path),
            "responses": {
                "200": fine,
                "default": {
                    "description": "what was wrong",
                    "content": { "application/json": { "schema": { "$ref": error_schema(route.dialect) } } },
                },
            },
        });
        if route.access != Access::Public {
            operation["security"] = json!([{ "key": [] }, {}]);
        }
        if route.path.contains("{name}") {
            operation["parameters"] =
                json!([{ "name": "name", "in": "path", "required": true, "schema": { "type": "string" } }]);
        }
        if let Some(schema) = schemas::request(route.path).filter(|_| route.method == "POST") {
            let example: Value = serde_json::from_str(route.example).unwrap_or_default();
            operation["requestBody"] = json!({
                "required": true,
                "content": { "application/json": { "schema": schema, "example": example } },
            });
        }
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.to_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Frostbert",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Embeddings, rankings and classifiers over HTTP",
        },
        "paths": paths,
        "components": {
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer" } },
            "schemas": {
                "Error": { "type": "object", "properties": {
                    "error": { "type": "string" }, "error_type": { "type": "string" },
                } },
                "OpenAiError": { "type": "object", "properties": { "error": { "type": "object", "properties": {
                    "message": { "type": "string" }, "type": { "type": "string" },
                    "param": { "type": ["string", "null"] }, "code": { "type": ["string", "null"] },
                } } } },
                "RerankError": { "type": "object", "properties": {
                    "id": { "type": "string" }, "message": { "type": "string" }, "detail": { "type": "string" },
                } },
            },
        },
    })
}

fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    std::iter::once(method.to_lowercase()).chain(words.map(str::to_owned)).collect::<Vec<_>>().join("_")
}

fn error_schema(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Tei => "#/components/schemas/Error",
        Dialect::OpenAi => "#/components/schemas/OpenAiError",
        Dialect::Rerank => "#/components/schemas/RerankError",
    }
}

/// What headers of an answer tell.
fn headers() -> Value {
    let header = |words: &str| json!({ "description": words, "schema": { "type": "integer" } });
    json!({
        "x-request-id": { "description": "the request's, or one of the server's", "schema": { "type": "string" } },
        "x-total-time": header("milliseconds of the request"),
        "x-queue-time": header("milliseconds before its first text was computed"),
        "x-inference-time": header("milliseconds of the batches that its texts were in"),
        "x-compute-characters": header("characters of its texts"),
        "x-compute-tokens": header("tokens that were computed"),
        "x-truncated": header("texts that were cut"),
    })
}
