//! `frostbert next-sentence`

use frostbert::Result;

use super::{print, print_json};
use crate::args::{LengthArgs, ModelArgs};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// First text
    #[arg(long)]
    a: String,
    /// Does this text follow the first?
    #[arg(long)]
    b: String,
    #[command(flatten)]
    length: LengthArgs,
    /// JSON instead of a line
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let encoder = args.model.load()?;
    let answer = encoder.next_sentence(&args.a, &args.b, &args.length.options())?;
    args.length.warn_truncated(answer.truncated.into(), 1);
    if args.json {
        return print_json(&answer);
    }
    let word = if answer.is_next >= 0.5 { "follows" } else { "does not follow" };
    print(&format!("{word} (probability that it does: {:.5})\n", answer.is_next))
}
