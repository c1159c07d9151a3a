//! A thread of its own tokenises while the engine computes.

use std::any::Any;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use super::{Tokenize, TokenizedWindow};
use crate::encoder::Text;
use crate::error::{Error, Result};

/// Windows ready ahead of the engine; more would only hold memory.
const AHEAD: usize = 2;

pub(crate) struct Prefetch {
    /// Ends with a `None` or an error. A channel that closes without either means that the thread died.
    windows: Receiver<Result<Option<TokenizedWindow>>>,
    /// None once the end was seen.
    thread: Option<JoinHandle<()>>,
}

impl Prefetch {
    pub(crate) fn new(
        mut texts: impl Iterator<Item = Result<Text>> + Send + 'static,
        mut stage: Tokenize,
    ) -> Result<Self> {
        let (sender, windows) = sync_channel(AHEAD);
        let work = move || {
            loop {
                let window = stage.next(&mut texts);
                let last = !matches!(window, Ok(Some(_)));
                // A closed channel means that the encoder stopped early: then so does this thread.
                if sender.send(window).is_err() || last {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("frostbert-tokenize".into())
            .spawn(work)
            .map_err(|error| Error::io("cannot start the tokenising thread").with_source(error))?;
        Ok(Prefetch { windows, thread: Some(thread) })
    }

    /// The next window; none at the end.
    ///
    /// # Errors
    /// As reading and tokenising; the thread died.
    pub(crate) async fn next(&mut self) -> Result<Option<TokenizedWindow>> {
        if self.thread.is_none() {
            return Ok(None);
        }
        let received = self.windows.recv();
        if !matches!(received, Ok(Ok(Some(_)))) {
            let ended = self.thread.take().map(JoinHandle::join);
            if received.is_err() {
                return Err(died(ended.and_then(std::result::Result::err)));
            }
        }
        received.unwrap_or(Ok(None))
    }
}

/// The error for a thread that ended without a word: texts after those that were taken are missing.
fn died(panic: Option<Box<dyn Any + Send>>) -> Error {
    let said = panic.as_ref().and_then(|panic| {
        panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
    });
    Error::input(format!(
        "the thread that reads and tokenises texts panicked before the last text ({}); expected it to end with the texts. \
         The input, or the tokenizer's file, holds something that the code behind it does not expect: rows so far are not \
         all rows",
        said.as_deref().unwrap_or("it gave no message")
    ))
}
