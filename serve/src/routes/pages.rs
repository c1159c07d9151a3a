//! What is public: the pages, the API's description, health, and figures.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::app::{Call, json};
use crate::error::{ApiError, ApiResult, Kind};
use crate::openapi;

/// Pages bring all they need: nothing is loaded from elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn page(html: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, html).into_response()
}

pub(super) async fn index(_: Call) -> ApiResult<Response> {
    Ok(page(include_str!("../../assets/index.html")))
}

pub(super) async fn docs(_: Call) -> ApiResult<Response> {
    Ok(page(include_str!("../../assets/docs.html")))
}

pub(super) async fn openapi(_: Call) -> ApiResult<Response> {
    json(openapi::document(), 1).await
}

pub(super) async fn health(call: Call) -> ApiResult<Response> {
    if !call.state.is_ready() {
        return Err(ApiError::new(Kind::Unhealthy, "the server is not ready, or is stopping"));
    }
    for model in &call.state.registry.models {
        if let Some(loaded) = model.get()
            && !loaded.computes(&call.client).await
        {
            let message = format!("the device of {} was lost and cannot be opened anew", model.spec.name);
            return Err(ApiError::new(Kind::Unhealthy, message));
        }
    }
    Ok(StatusCode::OK.into_response())
}

pub(super) async fn metrics(call: Call) -> ApiResult<Response> {
    for model in &call.state.registry.models {
        let waiting = model.get().map_or(0, |loaded| loaded.queue.len());
        call.state.metrics.queue_size.with_label_values(&[model.spec.name.as_str()]).set(waiting as i64);
    }
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((headers, call.state.metrics.text()).into_response())
}

pub(super) async fn status(call: Call) -> ApiResult<Response> {
    let registry = &call.state.registry;
    let models: Vec<_> = registry
        .models
        .iter()
        .map(|model| {
            let Some(loaded) = model.get() else {
                return json!({ "name": model.spec.name, "loaded": false });
            };
            let encoder = loaded.encoder();
            let config = encoder.config();
            let heads: Vec<_> = encoder.checkpoint().heads().iter().map(|head| head.kind.name()).collect();
            json!({
                "name": model.spec.name,
                "loaded": true,
                "since": loaded.since,
                "device": encoder.device().name,
                "layers": config.layers,
                "hidden": config.hidden,
                "max_tokens": encoder.checkpoint().max_tokens(),
                "bytes": loaded.bytes,
                "waiting": loaded.queue.len(),
                "heads": heads,
            })
        })
        .collect();
    let heads: Vec<_> = registry
        .heads
        .iter()
        .map(|head| {
            let bound = head.bound();
            json!({
                "name": head.spec.name,
                "model": registry.models[head.model].spec.name,
                "kind": bound.head.kind(),
                "labels": bound.head.names(),
            })
        })
        .collect();
    let [requests, texts, tokens, seconds] = call.state.metrics.totals();
    let status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started": call.state.started(),
        "ready": call.state.is_ready(),
        "models": models,
        "heads": heads,
        "requests": requests,
        "texts": texts,
        "tokens": tokens,
        "device_seconds": seconds,
    });
    json(status, 1).await
}
