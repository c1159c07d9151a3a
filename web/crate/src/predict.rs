//! Texts to labels: an encoder and a head together.

use frostbert::head::{AnswerOptions, Decision, Head, HeadAnswer, Matrix, Novelty};
use frostbert::{EmbedOptions, EmbeddingRecipe, Encoder, Explanation};
use serde::Serialize;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::encoder::{Stop, WebEncoder, json};
use crate::error::to_js;
use crate::explain::{TokenShare, shares};
use crate::head::WebHead;

/// `Prediction` of the npm package.
#[derive(Serialize)]
struct Prediction {
    label: String,
    probabilities: Vec<f64>,
    /// Whether the head was trained to leave this undecided; the label is then the likeliest one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    undecided: bool,
    /// Names of which one is right at the rate that the head was trained for.
    #[serde(skip_serializing_if = "Option::is_none")]
    set: Option<Vec<String>>,
    /// How far the text is from those that the head learnt from, where it keeps some.
    #[serde(skip_serializing_if = "Option::is_none")]
    novelty: Option<Novelty>,
    tokens: u32,
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    shares: Option<Vec<TokenShare>>,
}

#[wasm_bindgen]
impl WebEncoder {
    /// `Prediction[]` of the npm package, as JSON.
    ///
    /// # Errors
    /// The head belongs to another encoder; what `embed` returns.
    pub async fn predict(
        &self,
        head: &WebHead,
        texts: Vec<String>,
        explain: bool,
        stop: &Stop,
    ) -> Result<String, JsValue> {
        json(&predict(&self.encoder, &head.head, &texts, stop, explain).await.map_err(to_js)?)
    }
}

async fn predict(
    encoder: &Encoder,
    head: &Head,
    texts: &[String],
    stop: &Stop,
    explain: bool,
) -> frostbert::Result<Vec<Prediction>> {
    let as_trained =
        EmbeddingRecipe::of_head(head)?.map_or_else(EmbedOptions::default, |recipe| recipe.options());
    let options = EmbedOptions { cancel: Some(stop.0.clone()), ..as_trained };
    let recipe = encoder.recipe(&options)?;
    recipe.check_head(head)?;
    let embeddings = encoder.embed(texts, &options).await?;
    let matrix = Matrix::new(embeddings.len(), embeddings.dim, &embeddings.values[..])?;
    let answers = head.answers(&matrix, &AnswerOptions::default())?;
    let explained = if explain { explained(encoder, head, &options, texts).await? } else { Vec::new() };
    let mut explained = explained.into_iter();
    let names = head.names();
    let of_row = |(at, answer): (usize, HeadAnswer)| {
        let undecided = answer.is_undecided();
        let label = match (answer.label(names), &answer.decision) {
            (Some(label), _) => label.to_owned(),
            (None, Decision::Class { class, .. } | Decision::Abstained { class, .. }) => {
                names[*class].clone()
            }
            (None, Decision::Labels(labels)) => {
                labels.iter().map(|label| names[*label].as_str()).collect::<Vec<_>>().join(", ")
            }
            (None, Decision::Value(value)) => value.to_string(),
        };
        Prediction {
            label,
            undecided,
            set: answer.set.map(|set| set.into_iter().map(|class| names[class].clone()).collect()),
            novelty: answer.novelty,
            probabilities: answer.probabilities,
            tokens: embeddings.tokens[at],
            truncated: embeddings.truncated[at],
            shares: explained.next().map(|explained| shares(&texts[at], explained)),
        }
    };
    Ok(answers.into_iter().enumerate().map(of_row).collect())
}

/// What each token adds; nothing where the head's logits are no sums over tokens.
async fn explained(
    encoder: &Encoder,
    head: &Head,
    options: &EmbedOptions,
    texts: &[String],
) -> frostbert::Result<Vec<Explanation>> {
    match encoder.explain(head, options, texts).await {
        Err(error) if error.is_input() => Ok(Vec::new()),
        explained => explained,
    }
}
