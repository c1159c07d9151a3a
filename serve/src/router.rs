//! The router over all routes.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::routing::{MethodFilter, on};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use crate::app::{App, dispatch};
use crate::error::{ApiError, Dialect, Kind};
use crate::routes::ROUTES;

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
            .fallback(move || {
                let state = missing.clone();
                async move {
                    state.metrics.failure(Kind::NotFound);
                    ApiError::new(Kind::NotFound, "there is no such route; GET /docs lists them")
                        .response(Dialect::Tei, "")
                }
            })
            .method_not_allowed_fallback(|| async {
                ApiError::new(Kind::Method, "this route takes another method; GET /docs lists them")
                    .response(Dialect::Tei, "")
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
        let exposed = ["x-request-id", "x-truncated", "retry-after", "x-compute-tokens", "x-total-time"];
        let layer = CorsLayer::new()
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                HeaderName::from_static("x-request-id"),
            ])
            .expose_headers(exposed.map(HeaderName::from_static))
            .max_age(Duration::from_secs(600));
        if origins.iter().any(|origin| origin == "*") {
            return layer.allow_origin(Any);
        }
        let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
        layer.allow_origin(AllowOrigin::list(origins))
    }
}
