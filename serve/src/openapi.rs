//! The routes as an OpenAPI document, made of the table that the router is made of.

use serde_json::{Map, Value, json};

use crate::app::Access;
use crate::error::Dialect;
use crate::routes::ROUTES;

pub(crate) fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let mut operation = json!({
            "summary": route.summary,
            "operationId": operation_id(route.method, route.path),
            "responses": {
                "200": { "description": "the answer" },
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
        if let Ok(example) = serde_json::from_str::<Value>(route.example) {
            let properties: Map<String, Value> = example
                .as_object()
                .map(|fields| {
                    fields.iter().map(|(name, value)| (name.clone(), schema(name, value))).collect()
                })
                .unwrap_or_default();
            operation["requestBody"] = json!({
                "required": true,
                "content": { "application/json": {
                    "schema": { "type": "object", "properties": properties },
                    "example": example,
                } },
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

/// A field's kind, by its example; fields that take many forms are left open.
fn schema(name: &str, value: &Value) -> Value {
    match value {
        _ if ["inputs", "input", "ids", "documents"].contains(&name) => json!({}),
        Value::String(_) => json!({ "type": "string" }),
        Value::Number(number) if number.is_u64() => json!({ "type": "integer" }),
        Value::Number(_) => json!({ "type": "number" }),
        Value::Bool(_) => json!({ "type": "boolean" }),
        Value::Array(_) => json!({ "type": "array" }),
        _ => json!({}),
    }
}
