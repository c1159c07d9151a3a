//! The next-sentence head (NSP) that BERT was pretrained with.
//!
//! Source: `BertForPreTraining`, `BertForNextSentencePrediction`.

use serde::Serialize;

use super::tokens::TokenRequest;
use crate::encoder::session::select_none;
use crate::encoder::{EmbedOptions, Encoder, Prompt, Text};
use crate::error::{Error, Result};
use crate::plan::HeadOutput;
use crate::platform::entry;

/// What the next-sentence head says of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NextSentence {
    /// Probability that the second text follows the first.
    pub is_next: f32,
    /// The head's two logits: follows, does not follow.
    pub logits: [f32; 2],
    /// Whether the pair was cut.
    pub truncated: bool,
}

impl Encoder {
    entry! {
        /// Whether `second` follows `first`. Of the options truncation and the longest sequence count.
        ///
        /// # Errors
        /// The checkpoint has no NSP head, device errors. [Windows](crate::text::Truncate::Window) are refused: what follows
        /// what is asked of the end of one text and the beginning of the other.
        pub fn next_sentence(&self, first: &str, second: &str, options: &EmbedOptions) -> Result<NextSentence> = next_sentence_async;
    }

    pub(crate) async fn next_sentence_async(
        &self,
        first: &str,
        second: &str,
        options: &EmbedOptions,
    ) -> Result<NextSentence> {
        if options.window_overlap().is_some() {
            return Err(Error::input(
                "whether a text follows another cannot be answered window by window: give the end of the first and the \
                 beginning of the second, or cut long texts (--truncate cut)",
            ));
        }
        let options = EmbedOptions { prompt: Prompt::None, ..options.clone() };
        let request = TokenRequest::of_head(HeadOutput::NextSentence);
        let mut answer = None;
        let pair = vec![Ok(Text::from((first, second)))];
        self.stream_windows(pair, &request, &select_none, &options, |_, windows| {
            answer = windows.into_iter().next();
            Ok(())
        })
        .await?;
        let output = answer.unwrap_or_default();
        let logits = output.logits.unwrap_or_default();
        let [follows, random] = logits[..] else {
            return Err(Error::device(format!("the next-sentence head gave {} logits, not 2", logits.len())));
        };
        let is_next = (1.0 / (1.0 + f64::from(random - follows).exp())) as f32;
        Ok(NextSentence { is_next, logits: [follows, random], truncated: output.encoding.truncated })
    }
}
