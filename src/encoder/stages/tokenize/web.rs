//! Without threads a window is tokenised when it is asked for; the GPU works through the batches in flight meanwhile.

use super::{Tokenize, TokenizedWindow};
use crate::encoder::Text;
use crate::error::Result;

pub(crate) struct Prefetch {
    texts: Box<dyn Iterator<Item = Result<Text>>>,
    stage: Tokenize,
}

impl Prefetch {
    pub(crate) fn new(
        texts: impl Iterator<Item = Result<Text>> + Send + 'static,
        stage: Tokenize,
    ) -> Result<Self> {
        Ok(Prefetch { texts: Box::new(texts), stage })
    }

    /// The next window; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<TokenizedWindow>> {
        self.stage.next(&mut *self.texts)
    }
}
