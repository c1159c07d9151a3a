//! `frostbert fill-mask`

use frostbert::Result;

use super::{print, print_json};
use crate::args::{LengthArgs, ModelArgs};
use crate::terminal::cell;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Text with one or more masks: "Paris is the [MASK] of France."
    text: String,
    /// Candidates per mask
    #[arg(long, default_value_t = 5)]
    top: usize,
    /// Only these words as candidates
    #[arg(long, value_delimiter = ',')]
    targets: Vec<String>,
    /// Instead score the text itself: pseudo-perplexity, each token masked in turn
    #[arg(long, conflicts_with_all = ["top", "targets"])]
    score: bool,
    #[command(flatten)]
    length: LengthArgs,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let encoder = args.model.load()?;
    let options = args.length.options();
    if args.score {
        let score = encoder.pseudo_perplexity(args.text.as_str(), &options)?;
        args.length.warn_truncated(score.truncated.into(), 1);
        if args.json {
            return print_json(&score);
        }
        let mut text = String::new();
        for (token, log) in score.tokens.iter().zip(&score.log_probabilities) {
            text += &format!("{log:>9.4}  {}\n", cell(token));
        }
        return print(&format!("{text}pseudo-perplexity {:.4}\n", score.pseudo_perplexity));
    }
    let filled = encoder.fill_mask(args.text.as_str(), args.top, &args.targets, &options)?;
    args.length.warn_truncated(filled.truncated.into(), 1);
    let masks = filled.masks;
    if args.json {
        return print_json(&masks);
    }
    let mut text = String::new();
    for (number, candidates) in masks.iter().enumerate() {
        if masks.len() > 1 {
            text += &format!("mask {}\n", number + 1);
        }
        for candidate in candidates {
            text += &format!("{:>8.5}  {}\n", candidate.score, cell(&candidate.token));
        }
    }
    print(&text)
}
