//! An input that owns its text, so that it can travel to the tokenising thread.

use crate::text::TextInput;

/// One text, or two that the model reads together.
///
/// ```
/// use frostbert::Text;
/// let single: Text = "A fine film.".into();
/// let pair: Text = ("Who wrote it?", "A poet did.").into();
/// assert_ne!(single, pair);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Text {
    /// The text, or the first of a pair.
    pub first: String,
    /// The second of a pair.
    pub second: Option<String>,
}

impl Text {
    /// The text as the tokenizer takes it.
    pub(crate) fn input(&self) -> TextInput<'_> {
        match &self.second {
            Some(second) => TextInput::Pair(&self.first, second),
            None => TextInput::Single(&self.first),
        }
    }

    /// Bytes in all.
    pub(crate) fn len_bytes(&self) -> usize {
        self.first.len() + self.second.as_ref().map_or(0, String::len)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text { first: text.to_owned(), second: None }
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for Text {
    fn from(first: String) -> Self {
        Text { first, second: None }
    }
}

impl<A: Into<String>, B: Into<String>> From<(A, B)> for Text {
    fn from((first, second): (A, B)) -> Self {
        Text { first: first.into(), second: Some(second.into()) }
    }
}
