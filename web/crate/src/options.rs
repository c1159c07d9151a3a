//! Options as JavaScript writes them.

use frostbert::model::Pooling;
use frostbert::text::Truncate;
use frostbert::{EmbedOptions, Layers, Prompt};
use serde::Deserialize;

/// Tokens that two neighbouring windows of a long text share.
const WINDOW_OVERLAP: usize = 32;

/// `EmbedOptions` of the npm package.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WebEmbedOptions {
    pooling: Option<OneOrMore>,
    layers: Option<WebLayers>,
    normalize: Option<bool>,
    dimensions: Option<usize>,
    max_tokens: Option<usize>,
    truncate: Option<WebTruncate>,
    prompt: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(Pooling),
    More(Vec<Pooling>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WebLayers {
    Named(String),
    These(Vec<usize>),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum WebTruncate {
    Cut,
    Error,
    Window,
}

impl WebEmbedOptions {
    pub(crate) fn parse(json: &str) -> frostbert::Result<EmbedOptions> {
        let options: Self = serde_json::from_str(json).map_err(|error| {
            frostbert::Error::input(format!("these embedding options are not understood: {error}"))
        })?;
        Ok(EmbedOptions {
            pooling: options.pooling.map(|pooling| match pooling {
                OneOrMore::One(one) => vec![one],
                OneOrMore::More(more) => more,
            }),
            layers: match options.layers {
                None => Layers::Last,
                Some(WebLayers::Named(name)) => name.parse()?,
                Some(WebLayers::These(these)) => Layers::These(these),
            },
            normalize: options.normalize,
            dimensions: options.dimensions,
            max_tokens: options.max_tokens,
            truncate: match options.truncate {
                None | Some(WebTruncate::Cut) => Truncate::Cut,
                Some(WebTruncate::Error) => Truncate::Error,
                Some(WebTruncate::Window) => Truncate::Window { overlap: WINDOW_OVERLAP },
            },
            prompt: options.prompt.map_or(Prompt::Default, Prompt::Text),
            ..EmbedOptions::default()
        })
    }
}
