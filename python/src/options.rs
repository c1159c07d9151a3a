//! How texts become vectors, as Python writes it down: a record of the command line's options.

use frostbert::model::{LayerMix, Pooling};
use frostbert::text::Truncate;
use frostbert::{EmbedOptions, Encoder, Error, Layers, Prompt, Result};
use serde::Deserialize;

use crate::process::Watch;
use std::sync::Arc;

/// The record. What is missing is as the checkpoint says.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Record {
    pooling: Option<Vec<String>>,
    layers: Option<String>,
    layer_mix: LayerMix,
    normalize: Option<bool>,
    dimensions: Option<usize>,
    truncate_dim: Option<usize>,
    prompt: Option<String>,
    prompt_name: Option<String>,
    no_prompt: bool,
    include_prompt: Option<bool>,
    truncate: Option<String>,
    window_overlap: Option<usize>,
    max_tokens: Option<usize>,
}

/// Tokens that windows share, unless told otherwise; of short sequences a quarter.
const WINDOW_OVERLAP: usize = 64;

fn pooling(name: &str) -> Result<Pooling> {
    Pooling::from_name(name).ok_or_else(|| {
        Error::input(format!(
            "pooling: no such way to pool: {name:?}; known are cls, mean, max, mean_sqrt_len_tokens, weightedmean, lasttoken and pooler"
        ))
    })
}

/// Reads the record, for an encoder.
pub(crate) fn embed_options(json: &str, encoder: &Encoder) -> Result<EmbedOptions> {
    let record: Record = serde_json::from_str(json)
        .map_err(|error| Error::input(format!("the options for embedding are wrong: {error}")))?;
    let suited = || {
        let longest = record.max_tokens.unwrap_or_else(|| encoder.checkpoint().max_tokens());
        if longest < 2 * WINDOW_OVERLAP { longest / 4 } else { WINDOW_OVERLAP }
    };
    let truncate = match record.truncate.as_deref() {
        None | Some("warn") => Truncate::Warn,
        Some("cut") => Truncate::Cut,
        Some("error") => Truncate::Error,
        Some("window") => Truncate::Window { overlap: record.window_overlap.unwrap_or_else(suited) },
        Some(other) => {
            return Err(Error::input(format!(
                "no such way with long texts: {other:?}; known are cut, warn, error and window"
            )));
        }
    };
    let above_zero = |name: &str, value: Option<usize>| match value {
        Some(0) => Err(Error::input(format!("expected {name} of 1 or more, found 0"))),
        value => Ok(value),
    };
    Ok(EmbedOptions {
        pooling: record
            .pooling
            .filter(|names| !names.is_empty())
            .map(|names| names.iter().map(|name| pooling(name)).collect::<Result<Vec<_>>>())
            .transpose()?,
        layers: record.layers.map_or(Ok(Layers::Last), |layers| layers.parse())?,
        mix: record.layer_mix,
        normalize: record.normalize,
        dimensions: above_zero("truncate_dim", record.dimensions)?,
        truncate_dim: above_zero("truncate_dim", record.truncate_dim)?,
        prompt: match (record.no_prompt, record.prompt_name, record.prompt) {
            (true, ..) => Prompt::None,
            (_, _, Some(text)) => Prompt::Text(text),
            (_, Some(name), _) => Prompt::Named(name),
            _ => Prompt::Default,
        },
        include_prompt: record.include_prompt,
        truncate,
        max_tokens: above_zero("max_tokens", record.max_tokens)?,
        ..EmbedOptions::default()
    })
}

/// Lets a watch see every batch and stop the pass.
pub(crate) fn watched(options: EmbedOptions, watch: &Arc<Watch>) -> EmbedOptions {
    let seen = watch.clone();
    EmbedOptions { cancel: Some(watch.token()), ..options }.with_progress(move |done| seen.batch(done))
}
