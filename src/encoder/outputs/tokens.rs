//! Token-level outputs: hidden states, attentions, pooler output and the logits of heads that come in checkpoints.

use super::join::{Joined, join};
use crate::encoder::session::{Arrived, Collect, EncodeReport, Select, Windows, lost_rows, select_none};
use crate::encoder::stages::tokenize::{Prefetch, Tokenize, TokenizedWindow, WindowSize};
use crate::encoder::{EmbedOptions, Encoder, Text};
use crate::error::{Error, Result};
use crate::model::HeadKind;
use crate::plan::{HeadOutput, OutputKind, Request, Rows};
use crate::platform::entry;
use crate::text::Encoding;

/// Which token-level outputs to compute. Nothing else is computed, and the pass stops at the last layer needed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenRequest {
    /// Hidden states of these layers (0 = embeddings, the model's layer count = `last_hidden_state`).
    pub hidden_states: Vec<usize>,
    /// Attention probabilities of these layers (0 = first layer).
    pub attentions: Vec<usize>,
    /// `BertModel.pooler_output`.
    pub pooler_output: bool,
    /// Logits of a head in the checkpoint.
    pub head: Option<HeadOutput>,
}

/// One text's outputs, special tokens included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenOutputs {
    /// What went in.
    pub encoding: Encoding,
    /// One per layer asked for, in that order: row-major `[tokens, hidden]`.
    pub hidden_states: Vec<Vec<f32>>,
    /// One per layer asked for, in that order: row-major `[heads, tokens, tokens]`.
    pub attentions: Vec<Vec<f32>>,
    /// `[hidden]`.
    pub pooler_output: Option<Vec<f32>>,
    /// Row-major: `[selected, vocab]` (MLM), `[2]` (NSP), `[labels]` (sequence), `[tokens, labels]` (token).
    pub logits: Option<Vec<f32>>,
}

impl TokenRequest {
    /// One head's logits, nothing else.
    pub(super) fn of_head(head: HeadOutput) -> Self {
        TokenRequest { head: Some(head), ..TokenRequest::default() }
    }

    fn plan(&self) -> Request {
        Request {
            embeddings: None,
            hidden_states: self.hidden_states.clone(),
            attentions: self.attentions.clone(),
            pooler_output: self.pooler_output,
            head: self.head,
        }
    }

    /// Logits of a text are small; what has a row a token is not.
    fn window_size(&self) -> WindowSize {
        let of_texts = matches!(self.head, Some(HeadOutput::Sequence | HeadOutput::NextSentence));
        let small = self.hidden_states.is_empty() && self.attentions.is_empty() && of_texts;
        if small { WindowSize::MOST } else { WindowSize::FIRST }
    }

    /// Outputs of which a text split into windows has one are those that belong to a token.
    fn refuse_windows(&self) -> Result<()> {
        let refused = if !self.attentions.is_empty() {
            "attentions"
        } else if self.pooler_output {
            "pooler output"
        } else if self.head.is_some_and(|head| head != HeadOutput::Token) {
            "logits of this head"
        } else {
            return Ok(());
        };
        Err(Error::input(format!(
            "a text that is read in windows has no {refused} of its own: each window has others; cut long texts (--truncate \
             cut), or leave this out"
        )))
    }
}

impl Encoder {
    entry! {
        /// Token-level outputs of each text, in input order.
        ///
        /// Attentions and hidden states are large: `layers * heads * tokens²` floats a text for all attentions.
        /// [`token_outputs_stream`](Self::token_outputs_stream) keeps memory flat.
        ///
        /// A long text that is [split into windows](crate::text::Truncate::Window) is joined again: each token is taken from
        /// the window where it has the most context.
        ///
        /// # Errors
        /// A layer the model does not have, a head the checkpoint does not have, a text that is refused, device errors; with
        /// windows, outputs that do not belong to a token (attentions, pooler output), and pairs.
        pub fn token_outputs(&self, texts: impl IntoIterator<Item = impl Into<Text>>, request: &TokenRequest, options: &EmbedOptions) -> Result<Vec<TokenOutputs>> = token_outputs_async;

        /// [`token_outputs`](Self::token_outputs) as a stream: `sink` gets the texts' outputs in input order, while a few dozen
        /// are in memory.
        ///
        /// # Errors
        /// As [`token_outputs`](Self::token_outputs), and what the iterator or `sink` return.
        pub fn token_outputs_stream(&self, texts: impl IntoIterator<Item = Result<Text>, IntoIter: Send + 'static>, request: &TokenRequest, options: &EmbedOptions, sink: impl FnMut(TokenOutputs) -> Result<()>) -> Result<EncodeReport> = token_outputs_stream_async;
    }

    pub(crate) async fn token_outputs_async<T: Into<Text>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        request: &TokenRequest,
        options: &EmbedOptions,
    ) -> Result<Vec<TokenOutputs>> {
        let texts: Vec<Result<Text>> = texts.into_iter().map(|text| Ok(text.into())).collect();
        let mut all = Vec::with_capacity(texts.len());
        self.token_outputs_stream_async(texts, request, options, |outputs| {
            all.push(outputs);
            Ok(())
        })
        .await?;
        Ok(all)
    }

    pub(crate) async fn token_outputs_stream_async<I>(
        &self,
        texts: I,
        request: &TokenRequest,
        options: &EmbedOptions,
        mut sink: impl FnMut(TokenOutputs) -> Result<()>,
    ) -> Result<EncodeReport>
    where
        I: IntoIterator<Item = Result<Text>>,
        I::IntoIter: Send + 'static,
    {
        let overlap = options.window_overlap();
        if overlap.is_some() {
            request.refuse_windows()?;
        }
        self.stream_windows(texts, request, &select_none, options, |_, windows| {
            sink(join_outputs(windows, overlap.unwrap_or(0))?)
        })
        .await
    }

    /// Token ids of each text as the encoder sees them, special tokens included. A long text that is
    /// [split into windows](crate::text::Truncate::Window) is joined again.
    ///
    /// # Errors
    /// Options the model cannot fulfil, a text that is refused; with windows, pairs.
    pub fn encode<T: Into<Text>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        options: &EmbedOptions,
    ) -> Result<Vec<Encoding>> {
        let encodings = self.encode_windows(texts, options)?;
        let Some(overlap) = options.window_overlap() else { return Ok(encodings) };
        encodings
            .chunk_by(|a, b| a.row == b.row)
            .map(|windows| Ok(join(&windows.iter().collect::<Vec<_>>(), overlap)?.encoding))
            .collect()
    }

    /// The encodings of each text: several where it is split into windows.
    pub(crate) fn encode_windows<T: Into<Text>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        options: &EmbedOptions,
    ) -> Result<Vec<Encoding>> {
        let texts: Vec<Text> = texts.into_iter().map(Into::into).collect();
        self.text_recipe(options)?.encode(&self.tokenizer, &texts.iter().collect::<Vec<_>>(), 0)
    }

    /// Refuses a head that the checkpoint does not have, and says which checkpoints do.
    pub(crate) fn require_head(&self, kind: HeadKind) -> Result<()> {
        let heads = self.checkpoint.heads();
        if heads.has(kind) {
            return match self.config().classifier_problems.first() {
                Some(problem) if matches!(kind, HeadKind::Sequence | HeadKind::Token) => {
                    Err(Error::model_file(problem.clone()))
                }
                _ => Ok(()),
            };
        }
        let class = self.config().family.class_prefix();
        let where_from = match kind {
            HeadKind::MaskedLm => {
                format!("{class}ForMaskedLM and {class}ForPreTraining checkpoints have one")
            }
            HeadKind::NextSentence => {
                "BertForNextSentencePrediction and BertForPreTraining checkpoints have one".into()
            }
            HeadKind::Sequence => format!("{class}ForSequenceClassification checkpoints have one"),
            HeadKind::Token => format!("{class}ForTokenClassification checkpoints have one"),
            HeadKind::Pooler => format!("{class}Model checkpoints saved with add_pooling_layer have one"),
        };
        let present: Vec<&str> = heads.iter().map(|head| head.kind.name()).collect();
        let present = if present.is_empty() { "none".to_owned() } else { present.join(", ") };
        Err(Error::input(format!(
            "{} has no {} head (heads it has: {present}); {where_from}",
            self.checkpoint.location(),
            kind.name()
        )))
    }

    /// Runs texts through one pass; `sink` gets each text with the outputs of its windows, of which there is one unless the
    /// options split it.
    pub(super) async fn stream_windows<I>(
        &self,
        texts: I,
        request: &TokenRequest,
        select: Select<'_>,
        options: &EmbedOptions,
        sink: impl FnMut(Text, Vec<TokenOutputs>) -> Result<()>,
    ) -> Result<EncodeReport>
    where
        I: IntoIterator<Item = Result<Text>>,
        I::IntoIter: Send + 'static,
    {
        if let Some(head) = request.head {
            self.require_head(head.kind())?;
        }
        let stage = Tokenize::new(self.tokenizer.clone(), self.text_recipe(options)?, request.window_size());
        let windows = Windows::Texts(Prefetch::new(texts.into_iter(), stage)?);
        let mut rows = TokenRows { request, sink };
        self.run(windows, &request.plan(), select, options, &mut rows).await
    }

    /// Runs encodings through one pass; `sink` gets the outputs of each, in order.
    pub(super) async fn run_encodings(
        &self,
        encodings: impl Iterator<Item = Encoding>,
        request: &TokenRequest,
        select: Select<'_>,
        options: &EmbedOptions,
        mut sink: impl FnMut(TokenOutputs) -> Result<()>,
    ) -> Result<EncodeReport> {
        let mut encodings = encodings.peekable();
        let windows = std::iter::from_fn(move || {
            encodings.peek()?;
            Some(TokenizedWindow::ready(encodings.by_ref().take(AT_A_TIME).collect()))
        });
        let mut rows = TokenRows {
            request,
            sink: |_, outputs: Vec<TokenOutputs>| outputs.into_iter().try_for_each(&mut sink),
        };
        self.run(Windows::Ready(Box::new(windows)), &request.plan(), select, options, &mut rows).await
    }
}

/// Encodings whose outputs are in memory at a time.
const AT_A_TIME: usize = 64;

/// Collects outputs and hands them on text by text.
struct TokenRows<'a, S> {
    request: &'a TokenRequest,
    sink: S,
}

impl<S: FnMut(Text, Vec<TokenOutputs>) -> Result<()>> Collect for TokenRows<'_, S> {
    type Rows = Vec<TokenOutputs>;

    fn open(&self, window: &TokenizedWindow) -> Vec<TokenOutputs> {
        vec![TokenOutputs::default(); window.encodings.len()]
    }

    /// Cuts a batch's buffers into texts.
    fn place(&self, arrived: &Arrived<'_>, rows: &mut Vec<TokenOutputs>) -> Result<()> {
        let Arrived { plan, batch, encodings, outputs } = arrived;
        if plan.outputs().len() != outputs.buffers.len() {
            return Err(lost_rows("the device gave back fewer outputs than the plan says"));
        }
        for (output, values) in plan.outputs().iter().zip(&outputs.buffers) {
            let spec = plan.buffer(output.buffer);
            let mut start = 0;
            for (text, &row) in encodings.iter().enumerate() {
                let tokens = batch.rows(text);
                let count = match spec.rows {
                    Rows::Tokens => tokens.len(),
                    Rows::Texts => 1,
                    Rows::Selected => {
                        batch.selected.iter().filter(|at| tokens.contains(&(**at as usize))).count()
                    }
                    Rows::TokenPairs => tokens.len() * tokens.len(),
                };
                let end = start + count * spec.cols;
                let part = values
                    .get(start..end)
                    .ok_or_else(|| lost_rows("the device gave back fewer values than the plan says"))?
                    .to_vec();
                start = end;
                let result = &mut rows[row];
                match output.kind {
                    // A layer may be asked for twice: each place in the request gets it.
                    OutputKind::HiddenState(layer) => {
                        place(&self.request.hidden_states, layer, &mut result.hidden_states, part)
                    }
                    OutputKind::Attentions(layer) => {
                        place(&self.request.attentions, layer, &mut result.attentions, part)
                    }
                    OutputKind::PoolerOutput => result.pooler_output = Some(part),
                    OutputKind::Logits => result.logits = Some(part),
                    OutputKind::Embeddings => {}
                }
            }
        }
        Ok(())
    }

    fn close(&mut self, window: TokenizedWindow, rows: Vec<TokenOutputs>) -> Result<()> {
        if window.computed.len() != window.texts.len() || rows.len() != window.encodings.len() {
            return Err(lost_rows("a text has no outputs"));
        }
        let mut outputs =
            window.encodings.into_iter().zip(rows).map(|(encoding, row)| TokenOutputs { encoding, ..row });
        for (text, computed) in window.texts.into_iter().zip(window.computed) {
            (self.sink)(text, outputs.by_ref().take(computed.encodings.len()).collect())?;
        }
        Ok(())
    }
}

fn place(asked: &[usize], layer: usize, slots: &mut Vec<Vec<f32>>, values: Vec<f32>) {
    slots.resize(asked.len(), Vec::new());
    for (slot, _) in slots.iter_mut().zip(asked).filter(|(_, wanted)| **wanted == layer) {
        slot.clone_from(&values);
    }
}

/// The windows of a text as one: hidden states and logits of tokens, each from the window where it has the most context.
pub(super) fn join_outputs(mut windows: Vec<TokenOutputs>, overlap: usize) -> Result<TokenOutputs> {
    if windows.len() == 1 {
        return windows.pop().ok_or_else(|| lost_rows("a text has no outputs"));
    }
    let encodings: Vec<&Encoding> = windows.iter().map(|window| &window.encoding).collect();
    let Joined { encoding, places } = join(&encodings, overlap)?;
    let gather = |of: &dyn Fn(&TokenOutputs) -> &[f32]| -> Vec<f32> {
        let width = |window: &TokenOutputs| of(window).len() / window.encoding.len().max(1);
        let row = |(window, token): &(usize, usize)| {
            let width = width(&windows[*window]);
            &of(&windows[*window])[token * width..(token + 1) * width]
        };
        places.iter().flat_map(row).copied().collect()
    };
    let layers = windows.iter().map(|window| window.hidden_states.len()).min().unwrap_or(0);
    let logits = windows.iter().all(|window| window.logits.is_some());
    Ok(TokenOutputs {
        hidden_states: (0..layers).map(|layer| gather(&|window| &window.hidden_states[layer])).collect(),
        attentions: Vec::new(),
        pooler_output: None,
        logits: logits.then(|| gather(&|window| window.logits.as_deref().unwrap_or_default())),
        encoding,
    })
}
