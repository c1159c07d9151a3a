//! What training is at, on stderr.

use frostbert::Encoder;
use frostbert::workflow::{EmbeddingSummary, Event};
use indicatif::ProgressBar;

use crate::args::EmbedArgs;
use crate::progress::{EncodeBar, spinner};

/// Says what embedding took, and how many texts were cut.
pub fn say_embedded(done: &EmbeddingSummary, encoder: &Encoder, args: &EmbedArgs) {
    eprintln!(
        "{} texts, {} from the cache; {} tokens embedded in {:.1} s on {}",
        done.texts,
        done.from_cache,
        done.tokens,
        done.seconds,
        encoder.device().name
    );
    args.warn_truncated(done.truncated, done.texts);
}

/// Training's progress, one line at a time: the encoder's bar, then what the head is at.
pub struct TrainingProgress<'a> {
    bar: EncodeBar,
    spinner: Option<ProgressBar>,
    encoder: &'a Encoder,
    args: &'a EmbedArgs,
}

impl<'a> TrainingProgress<'a> {
    /// For so many texts.
    pub fn new(texts: u64, encoder: &'a Encoder, args: &'a EmbedArgs) -> Self {
        TrainingProgress { bar: EncodeBar::new(Some(texts), "embedding"), spinner: None, encoder, args }
    }

    /// The encoder's bar.
    pub fn bar(&self) -> &EncodeBar {
        &self.bar
    }

    /// Shows what happened.
    pub fn show(&mut self, event: Event<'_>) {
        match event {
            Event::Embedded(done) => {
                self.bar.finish();
                say_embedded(done, self.encoder, self.args);
                self.spinner = Some(spinner("training"));
            }
            Event::Training(step) => {
                // A head that learns from a stream is at work before the encoder is done.
                if let Some(spinner) = &self.spinner {
                    spinner.set_message(format!("training: {} {}/{}", step.stage, step.done, step.total));
                }
            }
            _ => {}
        }
    }

    /// Takes bar and line away.
    pub fn finish(&mut self) {
        self.bar.finish();
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
    }
}
