//! Tokenises ahead of the engine, a window of texts at a time.

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod web;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::Prefetch;
#[cfg(target_arch = "wasm32")]
pub(crate) use web::Prefetch;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::store::{RowStore, StoredRow};
use crate::encoder::Text;
use crate::error::{Error, Result};
use crate::text::{EncodeOptions, Encoding, TextInput, Tokenizer};

/// How much a window of texts holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowSize {
    texts: usize,
    /// A window of long texts ends after so many.
    bytes: usize,
}

impl WindowSize {
    /// Of the first window: soon tokenised, so that the engine works while the next ones are.
    pub(crate) const FIRST: WindowSize = WindowSize { texts: 64, bytes: 64 << 10 };
    /// Of later ones: enough to sort by length, few enough that memory stays flat and rows leave soon.
    pub(crate) const MOST: WindowSize = WindowSize { texts: 2048, bytes: 4 << 20 };

    /// Of the next window. Twice as much: whoever tokenises keeps ahead of an engine that takes half of its time or more.
    fn next(self, most: WindowSize) -> WindowSize {
        WindowSize { texts: (self.texts * 2).min(most.texts), bytes: (self.bytes * 2).min(most.bytes) }
    }
}

/// How texts are tokenised.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// Put before every text.
    pub(crate) prompt: Option<String>,
    /// Whether the prompt's tokens are pooled with the text's.
    pub(crate) include_prompt: bool,
    pub(crate) encode: EncodeOptions,
}

impl Recipe {
    /// Tokenises texts; [`Encoding::row`] counts from 0 in `texts`, errors name rows from `first_row` on.
    pub(crate) fn encode(
        &self,
        tokenizer: &Tokenizer,
        texts: &[&Text],
        first_row: usize,
    ) -> Result<Vec<Encoding>> {
        let in_context = |error: Error| match error.row() {
            Some(row) => error.at_row(first_row + row),
            None if first_row > 0 => error.context(format!("in the texts from row {first_row} on")),
            None => error,
        };
        let Some(prompt) = &self.prompt else {
            let inputs: Vec<TextInput<'_>> = texts.iter().map(|text| text.input()).collect();
            return tokenizer.encode_batch(&inputs, self.encode).map_err(in_context);
        };
        let firsts: Vec<String> = texts.iter().map(|text| format!("{prompt}{}", text.first)).collect();
        let inputs: Vec<TextInput<'_>> = firsts
            .iter()
            .zip(texts)
            .map(|(first, text)| match &text.second {
                Some(second) => TextInput::Pair(first, second),
                None => TextInput::Single(first),
            })
            .collect();
        let mut encodings = tokenizer.encode_batch(&inputs, self.encode).map_err(in_context)?;
        if !self.include_prompt {
            let left_out = self.prompt_tokens(tokenizer, prompt)?;
            let mut last_row = None;
            for encoding in &mut encodings {
                // The prompt stands in the first window of a text.
                if last_row != Some(encoding.row) {
                    encoding.pool_from = left_out.min(encoding.len().saturating_sub(1));
                }
                last_row = Some(encoding.row);
            }
        }
        Ok(encodings)
    }

    /// Tokens at the start of a row that belong to the prompt: the row of the prompt alone, without what ends a row. Source:
    /// sentence-transformers' `prompt_length`.
    fn prompt_tokens(&self, tokenizer: &Tokenizer, prompt: &str) -> Result<usize> {
        let options = EncodeOptions { truncate: crate::text::Truncate::Cut, ..self.encode };
        let alone = tokenizer.encode_batch(&[TextInput::Single(prompt)], options)?;
        Ok(alone.first().map_or(0, |encoding| encoding.len().saturating_sub(1)))
    }
}

/// Consecutive texts, looked up and tokenised.
#[derive(Default)]
pub(crate) struct TokenizedWindow {
    pub(crate) texts: Vec<Text>,
    /// Where the row of each text comes from, `[texts]`.
    pub(crate) sources: Vec<Source>,
    /// Rows that were there before.
    pub(crate) stored: Vec<StoredRow>,
    /// Texts to compute.
    pub(crate) computed: Vec<Computed>,
    /// Their encodings, in order; [`Encoding::row`] counts in `computed`.
    pub(crate) encodings: Vec<Encoding>,
}

/// Where the row of a text comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// An entry of [`TokenizedWindow::stored`].
    Stored(usize),
    /// An entry of [`TokenizedWindow::computed`].
    Computed(usize),
}

/// A text to compute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Computed {
    /// Which text; with a store, the first of those that are the same.
    pub(crate) text: usize,
    /// Its encodings: more than one where it was split into windows.
    pub(crate) encodings: Range<usize>,
}

impl TokenizedWindow {
    /// Encodings that are there already, each a text of its own.
    pub(crate) fn ready(mut encodings: Vec<Encoding>) -> Self {
        for (row, encoding) in encodings.iter_mut().enumerate() {
            encoding.row = row;
        }
        TokenizedWindow {
            texts: vec![Text::from(""); encodings.len()],
            sources: (0..encodings.len()).map(Source::Computed).collect(),
            stored: Vec::new(),
            computed: (0..encodings.len()).map(|text| Computed { text, encodings: text..text + 1 }).collect(),
            encodings,
        }
    }

    /// Tokens of a computed text before truncation.
    pub(crate) fn tokens(&self, computed: usize) -> u32 {
        self.encodings[self.computed[computed].encodings.start].tokens as u32
    }

    /// Whether a computed text was cut.
    pub(crate) fn truncated(&self, computed: usize) -> bool {
        self.encodings[self.computed[computed].encodings.clone()].iter().any(|encoding| encoding.truncated)
    }

    /// How many texts were cut.
    pub(crate) fn count_truncated(&self) -> u64 {
        let cut = |source: &&Source| match **source {
            Source::Stored(at) => self.stored[at].truncated,
            Source::Computed(at) => self.truncated(at),
        };
        self.sources.iter().filter(cut).count() as u64
    }
}

/// The stage: takes texts off an iterator, looks them up and tokenises the others.
pub(crate) struct Tokenize {
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) recipe: Recipe,
    /// Rows that were computed before. With a store, texts of a window that are the same are computed once.
    pub(crate) store: Option<Arc<dyn RowStore>>,
    size: WindowSize,
    most: WindowSize,
    first_row: usize,
}

impl Tokenize {
    pub(crate) fn new(tokenizer: Arc<Tokenizer>, recipe: Recipe, most: WindowSize) -> Self {
        Tokenize { tokenizer, recipe, store: None, size: WindowSize::FIRST, most, first_row: 0 }
    }

    pub(crate) fn with_store(self, store: Option<Arc<dyn RowStore>>) -> Self {
        Tokenize { store, ..self }
    }

    /// The next window; none at the end.
    fn next(&mut self, texts: &mut dyn Iterator<Item = Result<Text>>) -> Result<Option<TokenizedWindow>> {
        let mut taken: Vec<Text> = Vec::new();
        let mut bytes = 0;
        while taken.len() < self.size.texts && bytes < self.size.bytes {
            let Some(text) = texts.next().transpose()? else { break };
            bytes += text.len_bytes();
            taken.push(text);
        }
        if taken.is_empty() {
            return Ok(None);
        }
        let window = self.window(taken)?;
        self.first_row += window.texts.len();
        self.size = self.size.next(self.most);
        Ok(Some(window))
    }

    fn window(&self, texts: Vec<Text>) -> Result<TokenizedWindow> {
        let mut window = TokenizedWindow { texts, ..TokenizedWindow::default() };
        self.look_up(&mut window)?;
        let missing: Vec<&Text> =
            window.computed.iter().map(|computed| &window.texts[computed.text]).collect();
        let encodings = self.recipe.encode(&self.tokenizer, &missing, self.first_row).map_err(|error| {
            if missing.len() == window.texts.len() {
                return error;
            }
            // Errors name the row among those given: among all texts it has the number that the caller knows.
            let all: Vec<&Text> = window.texts.iter().collect();
            let named = self.recipe.encode(&self.tokenizer, &all, self.first_row);
            named.err().unwrap_or(error)
        })?;
        for (at, encoding) in encodings.iter().enumerate() {
            let computed = window.computed.get_mut(encoding.row).ok_or_else(miscounted)?;
            if computed.encodings.is_empty() {
                computed.encodings.start = at;
            }
            computed.encodings.end = at + 1;
        }
        let rows = window.computed.iter().map(|computed| computed.encodings.len());
        if rows.clone().any(|rows| rows == 0) || rows.sum::<usize>() != encodings.len() {
            return Err(miscounted());
        }
        window.encodings = encodings;
        Ok(window)
    }

    /// Says where the row of each text comes from.
    fn look_up(&self, window: &mut TokenizedWindow) -> Result<()> {
        let compute = |text: usize| Computed { text, encodings: 0..0 };
        let Some(store) = &self.store else {
            window.sources = (0..window.texts.len()).map(Source::Computed).collect();
            window.computed = (0..window.texts.len()).map(compute).collect();
            return Ok(());
        };
        let mut known: HashMap<&Text, usize> = HashMap::new();
        let mut different: Vec<usize> = Vec::new();
        let places: Vec<usize> = (window.texts.iter().enumerate())
            .map(|(at, text)| {
                *known.entry(text).or_insert_with(|| {
                    different.push(at);
                    different.len() - 1
                })
            })
            .collect();
        let asked: Vec<&Text> = different.iter().map(|text| &window.texts[*text]).collect();
        let found = store.find(&asked);
        if found.len() != different.len() {
            return Err(Error::io(format!(
                "looking up {} texts in the embedding cache gave {} answers; run again without the cache",
                different.len(),
                found.len()
            )));
        }
        let sources: Vec<Source> = (different.iter().zip(found))
            .map(|(&text, row)| match row {
                Some(row) => {
                    window.stored.push(row);
                    Source::Stored(window.stored.len() - 1)
                }
                None => {
                    window.computed.push(compute(text));
                    Source::Computed(window.computed.len() - 1)
                }
            })
            .collect();
        window.sources = places.into_iter().map(|place| sources[place]).collect();
        Ok(())
    }
}

/// Only a defect of ours gets here; wrong pairs of texts and rows must not.
fn miscounted() -> Error {
    Error::input("tokenising gave other rows than texts; please report this with the checkpoint's name")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Checkpoint;
    use std::path::Path;

    /// Knows texts that begin with `k`, and gives so many answers too many.
    struct Store {
        off_by: isize,
    }

    impl RowStore for Store {
        fn find(&self, texts: &[&Text]) -> Vec<Option<StoredRow>> {
            let row = |at: usize| StoredRow { vector: vec![at as f32], tokens: 1, truncated: at == 1 };
            let known = |at: usize| texts.get(at).is_some_and(|text| text.first.starts_with('k'));
            (0..texts.len().saturating_add_signed(self.off_by)).map(|at| known(at).then(|| row(at))).collect()
        }

        fn keep(&self, _: Vec<(&Text, StoredRow)>) {}
    }

    fn stage(truncate: crate::text::Truncate) -> Tokenize {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens/sentence-mean");
        let tokenizer = Tokenizer::load(Checkpoint::open(folder).unwrap().tokenizer_source()).unwrap();
        let encode = EncodeOptions { truncate, max_tokens: Some(6), side: None };
        let recipe = Recipe { prompt: None, include_prompt: true, encode };
        Tokenize::new(Arc::new(tokenizer), recipe, WindowSize::MOST)
    }

    fn window(stage: &mut Tokenize, texts: &[&str]) -> Result<TokenizedWindow> {
        let mut texts = texts.iter().map(|text| Ok(Text::from(*text)));
        Ok(stage.next(&mut texts)?.unwrap())
    }

    #[test]
    fn each_text_has_one_source_whatever_is_stored_or_split() {
        let truncate = crate::text::Truncate::Window { overlap: 1 };
        let long = "fox fox fox fox fox fox fox fox fox";
        let texts = ["kernel", "fox", long, "kernel", "river", "fox", "", long];
        let mut stage = stage(truncate).with_store(Some(Arc::new(Store { off_by: 0 })));
        let window = window(&mut stage, &texts).unwrap();
        use Source::{Computed, Stored};
        let sources = [
            Stored(0),
            Computed(0),
            Computed(1),
            Stored(0),
            Computed(2),
            Computed(0),
            Computed(3),
            Computed(1),
        ];
        assert_eq!(window.sources, sources);
        assert_eq!(window.computed.iter().map(|computed| computed.text).collect::<Vec<_>>(), [1, 2, 4, 6]);
        let mut next = 0;
        for (at, computed) in window.computed.iter().enumerate() {
            assert_eq!(computed.encodings.start, next);
            next = computed.encodings.end;
            assert_eq!(computed.encodings.len() > 1, at == 1, "only the long one is split");
            assert!(window.encodings[computed.encodings.clone()].iter().all(|encoding| encoding.row == at));
        }
        assert_eq!((next, window.tokens(1)), (window.encodings.len(), 11));
        assert_eq!(window.count_truncated(), 0);
    }

    #[test]
    fn a_store_that_answers_for_other_texts_is_an_error() {
        for off_by in [-1, 1] {
            let mut stage = stage(Default::default()).with_store(Some(Arc::new(Store { off_by })));
            let error = window(&mut stage, &["kernel", "fox", "river"]).err().unwrap();
            assert!(error.to_string().contains("gave"), "{error}");
        }
    }

    #[test]
    fn errors_name_the_callers_row() {
        let mut stage = stage(crate::text::Truncate::Error).with_store(Some(Arc::new(Store { off_by: 0 })));
        let long = "fox fox fox fox fox fox fox";
        let error = window(&mut stage, &["kernel", "fox", "fox", long]).err().unwrap();
        assert!(error.to_string().contains("row 3: "), "{error}");
    }
}
