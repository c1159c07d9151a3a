//! A checkpoint whose files are blobs of the worker: on disk until a tensor is read.

use std::ops::Range;

use frostbert::checkpoint::{Bytes, Files};
use send_wrapper::SendWrapper;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

use crate::error::from_js;

#[wasm_bindgen]
extern "C" {
    /// What the worker's TypeScript implements: see `web/src/worker/blobs.ts`.
    #[wasm_bindgen(typescript_type = "BlobReader")]
    pub type BlobReader;

    #[wasm_bindgen(method)]
    fn size(this: &BlobReader, name: &str) -> Option<f64>;

    #[wasm_bindgen(method, catch)]
    fn read(this: &BlobReader, name: &str, start: f64, end: f64) -> Result<js_sys::Uint8Array, JsValue>;

    #[wasm_bindgen(method)]
    fn location(this: &BlobReader) -> String;
}

/// Reads ranges of blobs. One tensor at a time is in memory: the whole file never is.
pub(crate) struct BlobFiles {
    // A worker has one thread; the wrapper would panic on another.
    reader: SendWrapper<BlobReader>,
}

impl BlobFiles {
    pub(crate) fn new(reader: JsValue) -> Self {
        BlobFiles { reader: SendWrapper::new(reader.unchecked_into()) }
    }
}

impl Files for BlobFiles {
    fn len(&self, name: &str) -> frostbert::Result<Option<u64>> {
        // Sizes of blobs are whole numbers below 2^53.
        Ok(self.reader.size(name).map(|size| size as u64))
    }

    fn read(&self, name: &str, range: Range<u64>) -> frostbert::Result<Bytes<'_>> {
        let wanted = range.end - range.start;
        let bytes = self
            .reader
            .read(name, range.start as f64, range.end as f64)
            .map_err(|thrown| from_js(&thrown, &format!("cannot read {}", self.describe(name))))?;
        if u64::from(bytes.length()) != wanted {
            return Err(frostbert::Error::model_file(format!(
                "cannot read {}: bytes {} to {} were wanted, {} came",
                self.describe(name),
                range.start,
                range.end,
                bytes.length()
            )));
        }
        Ok(Bytes::Owned(bytes.to_vec()))
    }

    fn describe(&self, name: &str) -> String {
        format!("{}/{name}", self.location())
    }

    fn location(&self) -> String {
        self.reader.location()
    }
}
