//! Loading, unloading and replacing what is configured. No request names a file.

use axum::response::Response;
use serde_json::json;

use crate::app::{self, Call, json};
use crate::error::{ApiError, ApiResult, Kind};

fn missing(what: &str, name: &str) -> ApiError {
    ApiError::new(Kind::NotFound, format!("there is no {what} {name:?} here; GET /v1/models lists them"))
}

pub(super) async fn load(call: Call) -> ApiResult<Response> {
    let registry = &call.state.registry;
    let model = registry.models.iter().find(|model| model.spec.name == call.name);
    let model = model.ok_or_else(|| missing("model", &call.name))?;
    registry.reload(model).await?;
    json(json!({ "model": call.name, "loaded": true }), 1).await
}

pub(super) async fn unload(call: Call) -> ApiResult<Response> {
    let registry = &call.state.registry;
    let model = registry.models.iter().find(|model| model.spec.name == call.name);
    let was = registry.unload(model.ok_or_else(|| missing("model", &call.name))?);
    json(json!({ "model": call.name, "loaded": false, "was_loaded": was }), 1).await
}

pub(super) async fn reload_head(call: Call) -> ApiResult<Response> {
    let registry = &call.state.registry;
    let head = registry.heads.iter().find(|head| head.spec.name == call.name);
    app::reload_head(registry, head.ok_or_else(|| missing("head", &call.name))?).await?;
    json(json!({ "head": call.name, "reloaded": true }), 1).await
}
