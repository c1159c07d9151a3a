//! A thread of its own tokenises while the engine computes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use super::{Recipe, TokenizedWindow, next_window};
use crate::encoder::Text;
use crate::error::{Error, Result};
use crate::text::Tokenizer;

/// Windows ready ahead of the engine; more would only hold memory.
const AHEAD: usize = 2;

pub(crate) struct Prefetch {
    windows: Receiver<Result<TokenizedWindow>>,
}

impl Prefetch {
    pub(crate) fn new(
        mut texts: impl Iterator<Item = Result<Text>> + Send + 'static,
        tokenizer: Arc<Tokenizer>,
        recipe: Recipe,
    ) -> Result<Self> {
        let (sender, windows) = sync_channel(AHEAD);
        let work = move || {
            let mut row = 0;
            // A closed channel means that the encoder stopped early: then so does this thread.
            while let Some(window) = next_window(&mut texts, &tokenizer, &recipe, &mut row).transpose() {
                let failed = window.is_err();
                if sender.send(window).is_err() || failed {
                    break;
                }
            }
        };
        std::thread::Builder::new()
            .name("frostbert-tokenize".into())
            .spawn(work)
            .map_err(|error| Error::io("cannot start the tokenising thread").with_source(error))?;
        Ok(Prefetch { windows })
    }

    /// The next window; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<TokenizedWindow>> {
        // The sender is dropped at the end of the texts.
        self.windows.recv().ok().transpose()
    }
}
