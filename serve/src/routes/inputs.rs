//! What requests hold, in the forms that the APIs allow.

use std::sync::Arc;

use frostbert::text::{Truncate, TruncationSide};
use frostbert::{EmbedOptions, Encoder, Prompt, Text};
use serde::Deserialize;
use serde_json::Value;

use crate::app::Call;
use crate::blocking::blocking;
use crate::error::{ApiError, ApiResult, Kind};

/// A text, or its token ids.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Input {
    Text(String),
    Ids(Vec<u32>),
}

/// A string, a list of ids, or a list of either.
#[derive(Clone, Debug)]
pub(super) struct Inputs {
    pub(super) inputs: Vec<Input>,
}

impl<'de> Deserialize<'de> for Inputs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let wrong = || {
            D::Error::custom(
                "expected a string, a list of token ids, or a list of strings or of lists of token ids",
            )
        };
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let inputs = match Value::deserialize(deserializer)? {
            Value::String(text) => vec![Input::Text(text)],
            Value::Array(list) if list.first().is_some_and(Value::is_number) => {
                vec![Input::Ids(list.iter().map(id).collect::<Option<Vec<u32>>>().ok_or_else(wrong)?)]
            }
            Value::Array(list) => list
                .into_iter()
                .map(|item| match item {
                    Value::String(text) => Some(Input::Text(text)),
                    Value::Array(ids) => Some(Input::Ids(ids.iter().map(id).collect::<Option<Vec<u32>>>()?)),
                    _ => None,
                })
                .collect::<Option<Vec<Input>>>()
                .ok_or_else(wrong)?,
            _ => return Err(wrong()),
        };
        Ok(Inputs { inputs })
    }
}

impl Inputs {
    /// [`texts`](Self::texts) for a route: where there are ids, which are tokenised for it, not on a thread that has others to answer.
    pub(super) async fn read(self, encoder: &Arc<Encoder>) -> ApiResult<Vec<Text>> {
        if self.inputs.iter().all(|input| matches!(input, Input::Text(_))) {
            return self.texts(encoder);
        }
        let encoder = encoder.clone();
        blocking("reading the token ids", move || self.texts(&encoder)).await?
    }

    /// The texts. Ids become the text that gives them: a text is tokenised in one place.
    pub(super) fn texts(self, encoder: &Encoder) -> ApiResult<Vec<Text>> {
        if self.inputs.is_empty() {
            return Err(ApiError::new(Kind::Empty, "there is no input; send at least one text"));
        }
        self.inputs
            .into_iter()
            .map(|input| match input {
                Input::Text(text) => Ok(Text::from(text)),
                Input::Ids(ids) => text_of(encoder, &ids).map(Text::from),
            })
            .collect()
    }
}

/// A text whose ids these are.
fn text_of(encoder: &Encoder, ids: &[u32]) -> ApiResult<String> {
    let tokenizer = encoder.tokenizer();
    let wrong = || {
        ApiError::new(
            Kind::Tokenizer,
            "these token ids are not what this model's tokenizer makes of any text; send texts (in langchain's \
             OpenAIEmbeddings: check_embedding_ctx_length=False), or ids of POST /tokenize",
        )
    };
    let special = tokenizer.special_tokens();
    let is_frame = |id: &u32| [special.cls, special.sep].contains(&Some(*id));
    let inner: Vec<u32> = ids.iter().copied().filter(|id| !is_frame(id)).collect();
    if inner.iter().any(|id| tokenizer.id_to_token(*id).is_none()) {
        return Err(wrong());
    }
    let text = tokenizer.decode_with_special_tokens(&inner).map_err(|_| wrong())?;
    let options = EmbedOptions {
        prompt: Prompt::None,
        truncate: Truncate::Window { overlap: 0 },
        ..EmbedOptions::default()
    };
    let again = encoder.encode([text.as_str()], &options).map_err(|_| wrong())?;
    let same = again.first().is_some_and(|encoding| {
        let kept = encoding.ids.iter().zip(&encoding.special_tokens_mask);
        kept.filter(|(id, special)| !**special && !is_frame(id)).map(|(id, _)| *id).eq(inner.iter().copied())
    });
    if same { Ok(text) } else { Err(wrong()) }
}

/// `truncation_direction`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) enum Direction {
    #[serde(alias = "left", alias = "LEFT")]
    Left,
    #[serde(alias = "right", alias = "RIGHT")]
    Right,
}

/// What many requests of text-embeddings-inference say.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Reading {
    pub(super) truncate: Option<bool>,
    pub(super) truncation_direction: Option<Direction>,
    pub(super) prompt_name: Option<String>,
}

impl Reading {
    pub(super) fn options(&self, call: &Call) -> EmbedOptions {
        let config = &call.state.registry.config;
        let cut = self.truncate.unwrap_or(config.auto_truncate);
        EmbedOptions {
            truncate: if cut { Truncate::Cut } else { Truncate::Error },
            truncation_side: self.truncation_direction.map(|direction| match direction {
                Direction::Left => TruncationSide::Left,
                Direction::Right => TruncationSide::Right,
            }),
            prompt: match self.prompt_name.as_ref().or(config.default_prompt_name.as_ref()) {
                Some(name) => Prompt::Named(name.clone()),
                None => Prompt::Default,
            },
            ..EmbedOptions::default()
        }
    }

    /// How a head's texts are embedded, with what the request says of texts that are too long; a head that reads them in windows cuts none.
    pub(super) fn of_head(&self, options: &EmbedOptions, call: &Call) -> EmbedOptions {
        if matches!(options.truncate, Truncate::Window { .. }) {
            return options.clone();
        }
        let EmbedOptions { truncate, truncation_side, .. } = self.options(call);
        EmbedOptions {
            truncate,
            truncation_side: truncation_side.or(options.truncation_side),
            ..options.clone()
        }
    }

    /// The same for heads of checkpoints, which read no prompt.
    pub(super) fn without_prompt(&self, call: &Call) -> EmbedOptions {
        EmbedOptions { prompt: Prompt::None, ..self.options(call) }
    }
}

/// `dimensions`, as far as the model has them.
pub(super) fn check_dimensions(encoder: &Encoder, dimensions: Option<usize>) -> ApiResult<()> {
    let Some(wanted) = dimensions else { return Ok(()) };
    let most = encoder.dim(&EmbedOptions::default()).map_err(|error| ApiError::of(&error))?;
    if (1..=most).contains(&wanted) {
        return Ok(());
    }
    Err(ApiError::validation(format!("dimensions must be 1 to {most}, found {wanted}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn inputs_have_many_forms() {
        let read = |json: &str| serde_json::from_str::<Inputs>(json).map(|inputs| inputs.inputs);
        let text = |text: &str| Input::Text(text.into());
        assert_eq!(read("\"a\"").unwrap(), [text("a")]);
        assert_eq!(read("[\"a\",\"b\"]").unwrap(), [text("a"), text("b")]);
        assert_eq!(read("[1,2]").unwrap(), [Input::Ids(vec![1, 2])]);
        assert_eq!(read("[[1],\"b\"]").unwrap(), [Input::Ids(vec![1]), text("b")]);
        for wrong in ["1", "{}", "[1,\"a\"]", "[-1]", "[null]", "[[\"a\"]]", "[4294967296]", "null"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
