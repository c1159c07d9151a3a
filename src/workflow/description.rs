//! What classes are like, in words.

use std::fmt;
use std::str::FromStr;

use crate::encoder::Text;
use crate::error::{Error, Result};

/// What the texts of a class are like, in words.
///
/// ```
/// use frostbert::workflow::Description;
/// let liked: Description = "positive=The reviewer liked the film.".parse()?;
/// assert_eq!((&*liked.label, &*liked.text), ("positive", "The reviewer liked the film."));
/// # Ok::<(), frostbert::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Description {
    /// The class.
    pub label: String,
    /// A text that could be one of its own, or that says what they are about.
    pub text: String,
}

impl FromStr for Description {
    type Err = Error;

    fn from_str(words: &str) -> Result<Self> {
        match words.split_once('=').map(|(label, text)| (label.trim(), text.trim())) {
            Some((label, text)) if !label.is_empty() && !text.is_empty() => {
                Ok(Description { label: label.to_owned(), text: text.to_owned() })
            }
            _ => Err(Error::input(format!(
                "a description is LABEL=TEXT, such as \"positive=The reviewer liked the film.\"; found {words:?}"
            ))),
        }
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.label, self.text)
    }
}

/// Descriptions of classes, and texts without a label.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    pub(super) descriptions: Vec<Description>,
    pub(super) unlabelled: Vec<Text>,
}
