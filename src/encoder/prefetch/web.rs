//! Without threads a window is tokenised when it is asked for; the GPU works through the batches in flight meanwhile.

use std::sync::Arc;

use super::{TokenizedWindow, next_window};
use crate::error::Result;
use crate::text::{EncodeOptions, TextInput, Tokenizer};

pub(crate) struct Prefetch {
    texts: Box<dyn Iterator<Item = Result<TextInput>>>,
    tokenizer: Arc<Tokenizer>,
    options: EncodeOptions,
    row: usize,
}

impl Prefetch {
    pub(crate) fn new(
        texts: impl Iterator<Item = Result<TextInput>> + Send + 'static,
        tokenizer: Arc<Tokenizer>,
        options: EncodeOptions,
    ) -> Result<Self> {
        Ok(Prefetch { texts: Box::new(texts), tokenizer, options, row: 0 })
    }

    /// The next window; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<TokenizedWindow>> {
        next_window(&mut *self.texts, &self.tokenizer, &self.options, &mut self.row)
    }
}
