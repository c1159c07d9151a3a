//! What stands in for downloads in a build without them.

use super::model::HubModel;
use super::remote::{Download, Remote};
use crate::error::{Error, Result};
use std::path::PathBuf;

pub(super) fn download(
    remote: &Remote<'_>,
    model: &HubModel,
    _progress: &mut dyn FnMut(Download<'_>),
) -> Result<PathBuf> {
    Err(Error::input(format!(
        "cannot download {model}: the cache {} does not have it, and this build was made without the feature `hub`; \
         name a folder",
        remote.cache.display()
    )))
}
