//! What a request is answered with when it fails, in the words of whichever API it came by.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Whose shape an error takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// text-embeddings-inference, and our own routes.
    Tei,
    /// OpenAI.
    OpenAi,
    /// Cohere, Jina.
    Rerank,
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Validation,
    Tokenizer,
    Empty,
    Json,
    MediaType,
    TooLarge,
    Unauthorized,
    Forbidden,
    NotFound,
    Method,
    Timeout,
    Overloaded,
    Backend,
    Unhealthy,
    Internal,
}

impl Kind {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Kind::Validation | Kind::Tokenizer => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::Empty | Kind::Json => StatusCode::BAD_REQUEST,
            Kind::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::Unauthorized => StatusCode::UNAUTHORIZED,
            Kind::Forbidden => StatusCode::FORBIDDEN,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Method => StatusCode::METHOD_NOT_ALLOWED,
            Kind::Timeout => StatusCode::REQUEST_TIMEOUT,
            Kind::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            Kind::Backend => StatusCode::FAILED_DEPENDENCY,
            Kind::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// As text-embeddings-inference and its dashboards call it.
    pub(crate) fn tei(self) -> &'static str {
        match self {
            Kind::Tokenizer => "Tokenizer",
            Kind::Empty => "Empty",
            Kind::Overloaded => "Overloaded",
            Kind::Backend | Kind::Internal => "Backend",
            Kind::Unhealthy => "Unhealthy",
            _ => "Validation",
        }
    }

    fn openai(self) -> (&'static str, Option<&'static str>) {
        match self {
            Kind::Unauthorized => ("invalid_request_error", Some("invalid_api_key")),
            Kind::Forbidden => ("permission_error", None),
            Kind::NotFound => ("invalid_request_error", Some("model_not_found")),
            Kind::Overloaded => ("rate_limit_error", Some("rate_limit_exceeded")),
            Kind::Backend | Kind::Unhealthy | Kind::Internal => ("server_error", None),
            _ => ("invalid_request_error", None),
        }
    }
}

/// A failed request.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) kind: Kind,
    pub(crate) message: String,
}

pub(crate) type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        ApiError { kind, message: message.into() }
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new(Kind::Validation, message)
    }

    /// What the library says, as this server's clients know it.
    pub(crate) fn of(error: &frostbert::Error) -> Self {
        let kind = if error.is_input() {
            Kind::Validation
        } else if error.is_limit() {
            Kind::TooLarge
        } else {
            Kind::Backend
        };
        Self::new(kind, format!("{error:#}"))
    }

    /// The answer in a dialect. `id` is the request's.
    pub(crate) fn response(&self, dialect: Dialect, id: &str) -> Response {
        let message = &self.message;
        let status = self.kind.status();
        let body = match dialect {
            Dialect::Tei => json!({ "error": message, "error_type": self.kind.tei() }),
            Dialect::OpenAi => {
                let (kind, code) = self.kind.openai();
                json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
            }
            Dialect::Rerank => json!({ "id": id, "message": message, "detail": message }),
        };
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response();
        let headers = response.headers_mut();
        if matches!(self.kind, Kind::Overloaded | Kind::Unhealthy) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.kind == Kind::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
