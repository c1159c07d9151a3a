//! A browser's page: one thread, no files, and whoever waits must let the event loop run.

use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::JsFuture;

/// `work(0), .., work(count - 1)`.
pub(crate) fn map<R: Send>(count: usize, work: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
    (0..count).map(work).collect()
}

/// Calls `work(i, chunk i)` for each piece of `len` elements of `data` (the last may be shorter).
pub(crate) fn for_chunks<T: Send>(data: &mut [T], len: usize, work: impl Fn(usize, &mut [T]) + Sync + Send) {
    data.chunks_mut(len).enumerate().for_each(|(index, chunk)| work(index, chunk));
}

// A message to itself is the shortest way through the event loop: timers wait 4 ms at least.
#[wasm_bindgen(inline_js = "
export function nextTask() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => { port1.close(); resolve(); };
    port2.postMessage(null);
  });
}")]
extern "C" {
    #[wasm_bindgen(js_name = nextTask)]
    fn next_task() -> js_sys::Promise;
}

/// Lets the event loop run what waits between two batches, a request to stop above all.
pub(crate) async fn pause() {
    // The promise is never rejected.
    let _ = JsFuture::from(next_task()).await;
}

/// A browser has no folders.
///
/// # Errors
/// Always.
pub(crate) fn cache_folder() -> crate::error::Result<std::path::PathBuf> {
    Err(crate::error::Error::input("a browser has no folders"))
}

/// Every one of these is an error: heads travel as bytes here.
pub(crate) mod disk {
    use std::io::{Error, ErrorKind, Result};
    use std::path::Path;

    pub(crate) fn read(_path: &Path) -> Result<Vec<u8>> {
        Err(unsupported())
    }

    pub(crate) fn write(_path: &Path, _bytes: &[u8]) -> Result<()> {
        Err(unsupported())
    }

    pub(crate) fn remove(_path: &Path) -> Result<()> {
        Err(unsupported())
    }

    fn unsupported() -> Error {
        Error::new(ErrorKind::Unsupported, "a browser has no files: use Head::from_bytes and Head::to_bytes")
    }
}

/// Declares entries of the public API: of `&self`, `&mut self`, `self`, or constructors. Here they are async; natively (native.rs) the
/// same entries block. One body, `$inner`, serves both.
macro_rules! entry {
    ($(
        $(#[$meta:meta])*
        pub fn $name:ident(&$self:ident $(, $arg:ident: $type:ty)* $(,)?) -> $result:ty = $inner:ident;
    )*) => {$(
        $(#[$meta])*
        pub async fn $name(&$self $(, $arg: $type)*) -> $result {
            $self.$inner($($arg),*).await
        }
    )*};
    ($(
        $(#[$meta:meta])*
        pub fn $name:ident(&mut $self:ident $(, $arg:ident: $type:ty)* $(,)?) -> $result:ty = $inner:ident;
    )*) => {$(
        $(#[$meta])*
        pub async fn $name(&mut $self $(, $arg: $type)*) -> $result {
            $self.$inner($($arg),*).await
        }
    )*};
    ($(#[$meta:meta])* pub fn $name:ident($self:ident) -> $result:ty = $inner:ident;) => {
        $(#[$meta])*
        pub async fn $name($self) -> $result {
            $self.$inner().await
        }
    };
    ($(
        $(#[$meta:meta])*
        pub fn $name:ident($($arg:ident: $type:ty),* $(,)?) -> $result:ty = $inner:ident;
    )*) => {$(
        $(#[$meta])*
        pub async fn $name($($arg: $type),*) -> $result {
            Self::$inner($($arg),*).await
        }
    )*};
}
pub(crate) use entry;
