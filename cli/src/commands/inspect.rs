//! `frostbert inspect`

use frostbert::{Checkpoint, Result};

use super::{print, print_json};
use crate::args;

#[derive(clap::Args)]
pub struct Args {
    /// Checkpoint folder or hub id
    model: String,
    /// Tokens of a packed batch, for the memory estimate
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    batch_tokens: u32,
    /// Never touch the network
    #[arg(long)]
    offline: bool,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let folder = args::locate(&args.model, args.offline)?;
    let summary = Checkpoint::open(folder)?.summary(args.batch_tokens as usize);
    if args.json { print_json(&summary) } else { print(&format!("{summary}\n")) }
}
