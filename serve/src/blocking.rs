//! Work that takes long, on threads that have no other requests to answer.

use crate::error::{ApiError, ApiResult, Kind};

/// What `work` gives, computed elsewhere. `what` it is doing stands in the error of a panic.
pub(crate) async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> ApiResult<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| ApiError::new(Kind::Internal, format!("{what} failed; this is a defect of the server")))
}
