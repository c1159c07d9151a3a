//! `frostbert tokens`: what `BertModel` gives for each token.

use std::path::PathBuf;

use frostbert::{Layers, Result, TokenOutputs, TokenRequest};
use serde_json::{Value, json};

use super::print_json;
use crate::args::{EmbedArgs, ModelArgs, RowArgs};

/// Texts tokenised at a time.
const CHUNK: usize = 4096;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Table of texts, or - for stdin
    #[arg(value_name = "FILE", required_unless_present = "text", conflicts_with = "text")]
    file: Option<PathBuf>,
    /// A text, instead of a file; may be given several times
    #[arg(long)]
    text: Vec<String>,
    #[command(flatten)]
    rows: RowArgs,
    #[command(flatten)]
    embed: EmbedArgs,
    /// Attention probabilities of these layers, from 1: `[heads, tokens, tokens]` each
    #[arg(long, value_name = "N,M", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    attentions: Vec<u16>,
    /// pooler_output too
    #[arg(long)]
    pooler: bool,
    /// Tokens and offsets only: nothing is computed
    #[arg(long, conflicts_with_all = ["attentions", "pooler"])]
    ids_only: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let options = args.embed.options()?;
    let texts = args.rows.texts(args.file.as_deref(), &args.text)?.rows;
    let encoder = args.model.load()?;
    let options = args.embed.length.suit(options, &encoder);
    let layers = args.embed.layers.parse::<Layers>()?.resolve(encoder.config().layers)?;
    let request = TokenRequest {
        hidden_states: layers.clone(),
        attentions: args.attentions.iter().map(|layer| usize::from(*layer) - 1).collect(),
        pooler_output: args.pooler,
        head: None,
    };
    let token = |id: &u32| encoder.tokenizer().id_to_token(*id).unwrap_or_default();
    let print = |output: &TokenOutputs| print_json(&as_json(output, &layers, args, token));
    if !args.ids_only {
        let report = encoder.token_outputs_stream(texts, &request, &options, |output| print(&output))?;
        args.embed.warn_truncated(report.truncated, report.texts);
        return Ok(());
    }
    let mut texts = texts;
    let (mut all, mut truncated) = (0, 0);
    loop {
        let chunk = texts.by_ref().take(CHUNK).collect::<Result<Vec<_>>>()?;
        if chunk.is_empty() {
            args.embed.warn_truncated(truncated, all);
            return Ok(());
        }
        for encoding in encoder.encode(chunk, &options)? {
            all += 1;
            truncated += u64::from(encoding.truncated);
            print(&TokenOutputs { encoding, ..TokenOutputs::default() })?;
        }
    }
}

/// One text: tokens with ids and byte offsets, and a matrix a layer.
fn as_json(output: &TokenOutputs, layers: &[usize], args: &Args, token: impl Fn(&u32) -> String) -> Value {
    let encoding = &output.encoding;
    let count = encoding.ids.len().max(1);
    let rows = |values: &[f32], width: usize| -> Vec<Value> {
        values.chunks_exact(width.max(1)).map(|row| json!(row)).collect()
    };
    let mut object = json!({
        "tokens": encoding.ids.iter().map(token).collect::<Vec<_>>(),
        "ids": encoding.ids,
        "offsets": encoding.offsets,
        "truncated": encoding.truncated,
    });
    if !output.hidden_states.is_empty() {
        let states = layers.iter().zip(&output.hidden_states);
        object["hidden_states"] = states
            .map(|(layer, values)| (layer.to_string(), json!(rows(values, values.len() / count))))
            .collect();
    }
    if !output.attentions.is_empty() {
        let maps = args.attentions.iter().zip(&output.attentions);
        object["attentions"] = maps
            .map(|(layer, values)| {
                let heads = values.chunks_exact(count * count).map(|head| json!(rows(head, count)));
                (layer.to_string(), heads.collect::<Value>())
            })
            .collect();
    }
    if let Some(pooler) = &output.pooler_output {
        object["pooler_output"] = json!(pooler);
    }
    object
}
