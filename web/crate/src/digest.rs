//! A checksum that is computed while a file arrives.

use sha2::{Digest as _, Sha256};
use wasm_bindgen::prelude::wasm_bindgen;

/// A running SHA-256 that also looks for the longest run of zero bytes: a file with a hole in it.
#[wasm_bindgen]
#[derive(Default)]
pub struct WebDigest {
    sha256: Sha256,
    /// Zero bytes at the end of what has come so far.
    zeros: usize,
    longest: usize,
}

#[wasm_bindgen]
impl WebDigest {
    /// Of nothing yet.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        for word in bytes.chunks(8) {
            if word.iter().all(|byte| *byte == 0) {
                self.zeros += word.len();
                continue;
            }
            let leading = word.iter().take_while(|byte| **byte == 0).count();
            self.longest = self.longest.max(self.zeros + leading);
            self.zeros = word.iter().rev().take_while(|byte| **byte == 0).count();
        }
    }

    /// The SHA-256 of what has come so far, in hexadecimal.
    #[must_use]
    pub fn hex(&self) -> String {
        self.sha256.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Bytes of the longest run of zeros.
    #[wasm_bindgen(js_name = longestZeroRun)]
    #[must_use]
    pub fn longest_zero_run(&self) -> usize {
        self.longest.max(self.zeros)
    }
}
