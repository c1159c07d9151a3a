//! Text to token ids, as the checkpoint's own tokenizer does it.

use super::encoding::{Encoding, TextInput, Truncate, limit, too_long};
use super::guard::guard;
use super::pieces::{self, Kept};
use super::settings::{self, Class, special_token};
use super::vocab;
use crate::error::{Error, Result};
use crate::model::{Family, TokenizerFiles, TokenizerSource};
use crate::platform;
use serde_json::Value;
use std::fmt;
use tokenizers::processors::PostProcessorWrapper;
use tokenizers::utils::truncation::{
    TruncationDirection, TruncationParams, TruncationStrategy, truncate_encodings,
};
use tokenizers::{PostProcessor, Tokenizer as Inner};

/// How to encode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodeOptions {
    /// What to do with texts that are too long.
    pub truncate: Truncate,
    /// Longest row in tokens, special tokens included; at most, and unless given, what the checkpoint takes.
    pub max_tokens: Option<usize>,
    /// Which end of a text that is too long is cut off; none: as the checkpoint says.
    pub side: Option<TruncationSide>,
}

/// Which end of a text that is too long is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TruncationSide {
    /// The beginning.
    Left,
    /// The end.
    Right,
    /// The middle: as many tokens of the beginning are kept as of the end, or one more. For single texts.
    Middle,
}

/// A checkpoint's tokenizer: tokenizer.json, or a WordPiece built from vocab.txt.
///
/// The padding and truncation that tokenizer.json may ask for are ignored: rows are packed without padding, and what is cut
/// is the caller's decision.
///
/// ```no_run
/// use frostbert::{Checkpoint, text::{EncodeOptions, Tokenizer}};
/// let tokenizer = Tokenizer::load(Checkpoint::open("all-MiniLM-L6-v2")?.tokenizer_source())?;
/// let rows = tokenizer.encode_batch(&["Hello world!".into()], EncodeOptions::default())?;
/// assert_eq!(rows[0].len(), 5);
/// # Ok::<(), frostbert::Error>(())
/// ```
pub struct Tokenizer {
    /// Without its post-processor, which runs after truncation and must not run twice (it shifts offsets).
    inner: Inner,
    pub(super) processor: Option<PostProcessorWrapper>,
    pub(super) max_tokens: usize,
    vocab_rows: usize,
    /// Number of token types the model is given: 1 where it has none.
    types: u32,
    pub(super) direction: TruncationDirection,
    special: SpecialTokens,
    /// The row of the model's table that a text without tokens is given, where the model has one for it.
    no_tokens: Option<u32>,
    /// Whether long texts may be tokenised in pieces.
    may_cut: bool,
    /// What decides tokens beside tokenizer.json.
    settings: Value,
    location: String,
}

/// Ids of the special tokens, as far as the checkpoint has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// `[MASK]`.
    pub mask: Option<u32>,
    /// `[PAD]`.
    pub pad: Option<u32>,
    /// `[UNK]`.
    pub unknown: Option<u32>,
    /// `[CLS]`, the first token of every row.
    pub cls: Option<u32>,
    /// `[SEP]`, after each text.
    pub sep: Option<u32>,
}

impl Tokenizer {
    /// The tokenizer of a checkpoint.
    ///
    /// # Errors
    /// Neither tokenizer.json nor a vocab.txt for WordPiece is there, or they are damaged.
    pub fn load(source: TokenizerSource<'_>) -> Result<Self> {
        let files = source.files;
        let class = Class::of(&source)?;
        let unread = |what: &str| Error::model_file(format!("cannot read {what} of {}", files.location));
        let mut inner = match (&files.json, &files.vocab) {
            (Some(json), _) => guard(|| unread("tokenizer.json"), || Inner::from_bytes(json))?,
            (None, Some(vocab)) => vocab::word_piece(vocab, files, class)?,
            (None, None) => {
                return Err(Error::model_file(format!(
                    "{} has no tokenizer: expected tokenizer.json or vocab.txt. Make one there with \
                     python3 -c \"from transformers import AutoTokenizer as T; \
                     T.from_pretrained('.').save_pretrained('.')\"",
                    files.location
                )));
            }
        };
        let direction = match files.config.get("truncation_side").and_then(Value::as_str) {
            Some("left") => TruncationDirection::Left,
            Some(_) => TruncationDirection::Right,
            None => inner.get_truncation().map_or(TruncationDirection::Right, |json| json.direction),
        };
        inner.with_padding(None);
        guard(|| unread("the tokenizer"), || inner.with_truncation(None).map(drop))?;
        let mut settings = settings::apply(&mut inner, &source, class)?;
        // Source: `StaticEmbedding.preprocess`, which adds no special tokens.
        let processor = inner.get_post_processor().filter(|_| source.family != Family::Static).cloned();
        let no_tokens = match source.family {
            Family::Static => Some(u32::try_from(source.vocab_rows).map_err(|_| unread("the vocabulary"))?),
            _ => None,
        };
        inner.with_post_processor(None::<PostProcessorWrapper>);

        let types = if wants_type_ids(files) {
            u32::try_from(source.type_rows.max(1)).map_err(|_| unread("the token types"))?
        } else {
            1
        };
        if types == 1 && source.type_rows > 1 {
            settings.insert("token_types".to_owned(), false.into());
        }
        if direction == TruncationDirection::Left {
            settings.insert("truncation_side".to_owned(), "left".into());
        }
        let special = SpecialTokens::find(&inner, files);
        Ok(Tokenizer {
            processor,
            max_tokens: source.max_tokens,
            vocab_rows: source.vocab_rows,
            types,
            direction,
            special,
            no_tokens,
            may_cut: pieces::may_cut(&inner),
            inner,
            settings: Value::Object(settings),
            location: files.location.clone(),
        })
    }

    /// Longest row that the checkpoint takes, in tokens, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Ids of the special tokens.
    pub fn special_tokens(&self) -> SpecialTokens {
        self.special
    }

    /// The mask's id, for filling in masks.
    ///
    /// # Errors
    /// The tokenizer has no mask token.
    pub fn mask_id(&self) -> Result<u32> {
        self.special.mask.ok_or_else(|| {
            Error::input(format!("the tokenizer of {} has no mask token to fill in", self.location))
        })
    }

    /// What decides a text's tokens beside tokenizer.json (or vocab.txt): an object with what the other files change of it,
    /// empty where they agree. Two tokenizers of one tokenizer.json with equal settings give the same tokens.
    pub fn settings(&self) -> &Value {
        &self.settings
    }

    /// The id of a token as it stands in the vocabulary (`##ing`, `Ġthe`).
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token of an id.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The text of some ids, without special tokens.
    ///
    /// # Errors
    /// The tokenizer cannot decode.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        guard(|| Error::input("cannot decode token ids"), || self.inner.decode(ids, true))
    }

    /// The text of some ids, special tokens included.
    ///
    /// # Errors
    /// The tokenizer cannot decode.
    pub fn decode_with_special_tokens(&self, ids: &[u32]) -> Result<String> {
        guard(|| Error::input("cannot decode token ids"), || self.inner.decode(ids, false))
    }

    /// The settings with another side of truncation.
    pub(crate) fn settings_with(&self, side: Option<TruncationSide>) -> Value {
        let mut settings = self.settings.clone();
        if let (Some(side), Some(settings)) = (side, settings.as_object_mut()) {
            match side {
                TruncationSide::Left => settings.insert("truncation_side".to_owned(), "left".into()),
                TruncationSide::Middle => settings.insert("truncation_side".to_owned(), "middle".into()),
                TruncationSide::Right => settings.shift_remove("truncation_side"),
            };
        }
        settings
    }

    /// Encodes texts, in parallel. Rows come in input order; with [`Truncate::Window`] a text may have several, one after
    /// another, and [`Encoding::row`] says whose they are.
    ///
    /// # Errors
    /// [`is_input`](Error::is_input): a longer limit than the model's, or no room for a single token under it; a text that is
    /// too long under [`Truncate::Error`]. [`is_model_file`](Error::is_model_file): a token that the model has no embedding
    /// for.
    pub fn encode_batch(&self, inputs: &[TextInput<'_>], options: EncodeOptions) -> Result<Vec<Encoding>> {
        let max_tokens = limit(options.max_tokens, self.max_tokens)?;
        let rows: Vec<(usize, TextInput<'_>)> = inputs.iter().copied().enumerate().collect();
        let encoded = platform::map(rows.len(), |at| {
            let (row, input) = rows[at];
            self.encode_row(row, input, options, max_tokens)
        });
        let mut all = Vec::with_capacity(inputs.len());
        for encodings in encoded {
            all.append(&mut encodings?);
        }
        Ok(all)
    }

    fn encode_row(
        &self,
        row: usize,
        input: TextInput<'_>,
        options: EncodeOptions,
        max_tokens: usize,
    ) -> Result<Vec<Encoding>> {
        let truncate = options.truncate;
        let side = match options.side {
            None => self.direction,
            Some(TruncationSide::Left) => TruncationDirection::Left,
            Some(TruncationSide::Right) => TruncationDirection::Right,
            // Windows cut nothing.
            Some(TruncationSide::Middle) if matches!(truncate, Truncate::Window { .. }) => {
                TruncationDirection::Right
            }
            Some(TruncationSide::Middle) => return self.encode_ends(row, input, truncate, max_tokens),
        };
        // Enough to cut a pair as if both were whole: how much goes off either depends on which is longer, and by whether they
        // leave room for each other.
        let most = match truncate {
            Truncate::Cut | Truncate::Warn | Truncate::Error => max_tokens.saturating_add(1),
            Truncate::Window { .. } => usize::MAX,
        };
        let ((mut first, first_len), second) = match input {
            TextInput::Single(text) => (self.tokens(row, text, most, side)?, None),
            TextInput::Pair(first, second) => {
                (self.tokens(row, first, most, side)?, Some(self.tokens(row, second, most, side)?))
            }
        };
        let (mut second, second_len) = match second {
            Some((second, len)) => (Some(second), len),
            None => (None, 0),
        };
        let added = self.processor.as_ref().map_or(0, |processor| processor.added_tokens(second.is_some()));
        let tokens = first_len + second_len + added;
        if tokens <= max_tokens {
            return Ok(vec![self.finish(row, first, second, tokens, false)?]);
        }
        if truncate == Truncate::Error {
            return Err(too_long(row, tokens, max_tokens));
        }
        let room = room(max_tokens, added)?;
        if let Truncate::Window { overlap } = truncate {
            return self.windows(row, first, second, tokens, room, overlap);
        }
        // The longer of two that were kept in part stays the longer.
        if let Some(second) = second.as_mut().filter(|_| first_len.min(second_len) > max_tokens) {
            first.truncate(max_tokens + usize::from(first_len > second_len), 0, side);
            second.truncate(max_tokens + usize::from(second_len > first_len), 0, side);
            first.take_overflowing();
            second.take_overflowing();
        }
        let (mut first, mut second) = truncate_encodings(
            first,
            second,
            &TruncationParams {
                max_length: room,
                strategy: TruncationStrategy::LongestFirst,
                stride: 0,
                direction: side,
            },
        )
        .map_err(|error| failed(row).with_source(error))?;
        // Else the post-processor would build every combination of the parts that were cut off.
        first.take_overflowing();
        if let Some(second) = &mut second {
            second.take_overflowing();
        }
        Ok(vec![self.finish(row, first, second, tokens, true)?])
    }

    /// A text without its middle where it is too long.
    fn encode_ends(
        &self,
        row: usize,
        input: TextInput<'_>,
        truncate: Truncate,
        max_tokens: usize,
    ) -> Result<Vec<Encoding>> {
        let TextInput::Single(text) = input else {
            return Err(Error::input(format!(
                "cannot cut the middle out of row {row}: that is for single texts, and this is a pair; cut the beginning or the end"
            )));
        };
        let most = max_tokens.saturating_add(1);
        let (mut head, len) = self.tokens(row, text, most, TruncationDirection::Right)?;
        let added = self.processor.as_ref().map_or(0, |processor| processor.added_tokens(false));
        let tokens = len + added;
        if tokens <= max_tokens {
            return Ok(vec![self.finish(row, head, None, tokens, false)?]);
        }
        if truncate == Truncate::Error {
            return Err(too_long(row, tokens, max_tokens));
        }
        let room = room(max_tokens, added)?;
        let (mut tail, _) = self.tokens(row, text, most, TruncationDirection::Left)?;
        head.truncate(room.div_ceil(2), 0, TruncationDirection::Right);
        tail.truncate(room / 2, 0, TruncationDirection::Left);
        Ok(vec![self.finish(row, pieces::joined(&head, &tail), None, tokens, true)?])
    }

    /// Windows over a text; over the longer of a pair, with the whole of the other in each.
    fn windows(
        &self,
        row: usize,
        first: tokenizers::Encoding,
        second: Option<tokenizers::Encoding>,
        tokens: usize,
        room: usize,
        overlap: usize,
    ) -> Result<Vec<Encoding>> {
        let (mut long, kept, is_second) = match second {
            None => (first, None, false),
            Some(second) if second.len() >= first.len() => (second, Some(first), true),
            Some(second) => (first, Some(second), false),
        };
        let room = room.saturating_sub(kept.as_ref().map_or(0, tokenizers::Encoding::len));
        if room <= overlap {
            return Err(Error::input(format!(
                "cannot split row {row} into windows: {room} tokens are left for its text, and {overlap} of them were to \
                 overlap; choose a smaller overlap"
            )));
        }
        long.truncate(room, overlap, TruncationDirection::Right);
        let rest = long.take_overflowing();
        std::iter::once(long)
            .chain(rest)
            .map(|window| match (is_second, kept.clone()) {
                (true, Some(first)) => self.finish(row, first, Some(window), tokens, false),
                (_, kept) => self.finish(row, window, kept, tokens, false),
            })
            .collect()
    }

    /// A text's tokens, and how many they are. Of a long text `most` of them, on the side that truncation keeps.
    pub(super) fn tokens(
        &self,
        row: usize,
        text: &str,
        most: usize,
        side: TruncationDirection,
    ) -> Result<(tokenizers::Encoding, usize)> {
        let encode = |text: &str| guard(|| failed(row), || self.inner.encode(text, false));
        if text.len() <= pieces::PIECE_BYTES {
            let whole = encode(text)?;
            let len = whole.len();
            return Ok((whole, len));
        }
        let too_much = |len: usize| {
            Error::input(format!(
                "cannot tokenise row {row}: {len} bytes of it must be tokenised at once, and the limit is {}; split it into \
                 several texts",
                pieces::WHOLE_BYTES
            ))
        };
        if !self.may_cut || most == usize::MAX {
            if text.len() > pieces::WHOLE_BYTES {
                return Err(too_much(text.len()));
            }
            let whole = encode(text)?;
            let len = whole.len();
            return Ok((whole, len));
        }
        let mut kept = Kept::new(most, side);
        for (start, piece) in pieces::pieces(text) {
            if piece.len() > pieces::WHOLE_BYTES {
                return Err(too_much(piece.len()));
            }
            kept.add(&encode(piece)?, start);
        }
        Ok(kept.finish())
    }

    /// Adds special tokens and types, and checks the ids.
    pub(super) fn finish(
        &self,
        row: usize,
        first: tokenizers::Encoding,
        second: Option<tokenizers::Encoding>,
        tokens: usize,
        truncated: bool,
    ) -> Result<Encoding> {
        let whole = match &self.processor {
            Some(processor) => guard(|| failed(row), || processor.process(first, second, true))?,
            None => {
                let mut both: Vec<_> = std::iter::once(first).chain(second).collect();
                for (sequence, part) in both.iter_mut().enumerate() {
                    part.set_sequence_id(sequence);
                    part.set_type_ids(vec![sequence as u32; part.len()]);
                }
                tokenizers::Encoding::merge(both, false)
            }
        };
        let mut encoding = Encoding { tokens, truncated, ..Encoding::from_parts(&whole, row) };
        if let Some(id) = encoding.ids.iter().find(|id| **id as usize >= self.vocab_rows) {
            return Err(Error::model_file(format!(
                "cannot embed row {row}: the tokenizer of {} gives the token {:?} the id {id}, but the model has {} word \
                 embeddings; tokenizer and weights do not belong together",
                self.location,
                self.id_to_token(*id).unwrap_or_default(),
                self.vocab_rows
            )));
        }
        if let Some(id) = self.no_tokens.filter(|_| encoding.ids.is_empty()) {
            encoding.ids.push(id);
            encoding.type_ids.push(0);
            encoding.offsets.push((0, 0));
            encoding.special_tokens_mask.push(true);
            encoding.word_ids.push(None);
        }
        for type_id in &mut encoding.type_ids {
            *type_id = (*type_id).min(self.types - 1);
        }
        Ok(encoding)
    }
}

/// Tokens that a sequence has left beside its special tokens.
pub(super) fn room(max_tokens: usize, added: usize) -> Result<usize> {
    max_tokens.checked_sub(added).filter(|room| *room > 0).ok_or_else(|| {
        Error::input(format!(
            "a maximum of {max_tokens} tokens leaves no room for text: {added} are special tokens"
        ))
    })
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokenizer({} tokens at most, of {})", self.max_tokens, self.location)
    }
}

impl SpecialTokens {
    fn find(tokenizer: &Inner, files: &TokenizerFiles) -> Self {
        let find = |key: &str, usual: [&str; 2]| {
            let named = special_token(files, key);
            let ids = named.into_iter().chain(usual).map(|token| tokenizer.token_to_id(token));
            ids.flatten().next()
        };
        SpecialTokens {
            mask: find("mask_token", ["[MASK]", "<mask>"]),
            pad: find("pad_token", ["[PAD]", "<pad>"]),
            unknown: find("unk_token", ["[UNK]", "<unk>"]),
            cls: find("cls_token", ["[CLS]", "<s>"]),
            sep: find("sep_token", ["[SEP]", "</s>"]),
        }
    }
}

/// Whether the model was trained with token types: transformers passes none where the tokenizer does not list them.
fn wants_type_ids(files: &TokenizerFiles) -> bool {
    match files.config.get("model_input_names").and_then(Value::as_array) {
        Some(names) => names.iter().any(|name| name == "token_type_ids"),
        None => true,
    }
}

fn failed(row: usize) -> Error {
    Error::input(format!("cannot tokenise row {row}"))
}
