//! Without threads a window is tokenised when it is asked for; the GPU works through the batches in flight meanwhile.

use std::sync::Arc;

use super::{Recipe, TokenizedWindow, next_window};
use crate::encoder::Text;
use crate::error::Result;
use crate::text::Tokenizer;

pub(crate) struct Prefetch {
    texts: Box<dyn Iterator<Item = Result<Text>>>,
    tokenizer: Arc<Tokenizer>,
    recipe: Recipe,
    row: usize,
}

impl Prefetch {
    pub(crate) fn new(
        texts: impl Iterator<Item = Result<Text>> + Send + 'static,
        tokenizer: Arc<Tokenizer>,
        recipe: Recipe,
    ) -> Result<Self> {
        Ok(Prefetch { texts: Box::new(texts), tokenizer, recipe, row: 0 })
    }

    /// The next window; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<TokenizedWindow>> {
        next_window(&mut *self.texts, &self.tokenizer, &self.recipe, &mut self.row)
    }
}
