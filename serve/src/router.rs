//! The router over all routes.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, Uri};
use axum::routing::{MethodFilter, on};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer};

use crate::app::{App, dispatch};
use crate::error::{ApiError, Dialect, Kind};
use crate::routes::ROUTES;

/// In whose words an error is said that no route says: those of the route of this path, whatever the method, or of its neighbours.
fn dialect(path: &str) -> Dialect {
    match ROUTES.iter().find(|route| route.path == path) {
        Some(route) => route.dialect,
        None if path.starts_with("/v1/") => Dialect::OpenAi,
        None if path.starts_with("/v2/") => Dialect::Rerank,
        None => Dialect::Tei,
    }
}

impl App {
    /// The routes, to be served or mounted.
    pub fn router(&self) -> Router {
        let mut router = Router::new();
        for route in ROUTES {
            let filter = if route.method == "GET" { MethodFilter::GET } else { MethodFilter::POST };
            let state = self.state.clone();
            router = router.route(
                route.path,
                on(filter, move |request: Request| {
                    let state = state.clone();
                    async move { dispatch(state, route, request).await }
                }),
            );
        }
        let (panics, missing) = (self.state.clone(), self.state.clone());
        router
            .fallback(move |uri: Uri| {
                let state = missing.clone();
                async move {
                    state.metrics.failure(Kind::NotFound);
                    ApiError::new(Kind::NotFound, "there is no such route; GET /docs lists them")
                        .response(dialect(uri.path()), "")
                }
            })
            .method_not_allowed_fallback(|uri: Uri| async move {
                ApiError::new(Kind::Method, "this route takes another method; GET /docs lists them")
                    .response(dialect(uri.path()), "")
            })
            .layer(CatchPanicLayer::custom(move |_: Box<dyn std::any::Any + Send>| {
                panics.metrics.panics.inc();
                ApiError::new(Kind::Internal, "the request failed; this is a defect of the server")
                    .response(Dialect::Tei, "")
            }))
            .layer(self.cors())
    }

    /// For browsers: with a key, a request is preceded by a question whether `authorization` may be sent.
    fn cors(&self) -> CorsLayer {
        let origins = &self.state.registry.config.cors_allow_origin;
        let exposed = [
            "x-request-id",
            "x-truncated",
            "retry-after",
            "x-compute-characters",
            "x-compute-tokens",
            "x-total-time",
            "x-queue-time",
            "x-inference-time",
        ];
        let layer = CorsLayer::new()
            .allow_methods([Method::GET, Method::POST])
            // Clients of OpenAI's and Cohere's send a dozen of their own.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(exposed.map(HeaderName::from_static))
            .max_age(Duration::from_secs(600));
        if origins.iter().any(|origin| origin == "*") {
            return layer.allow_origin(Any);
        }
        let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
        layer.allow_origin(AllowOrigin::list(origins))
    }
}
