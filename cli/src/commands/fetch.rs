//! `frostbert fetch`

use frostbert::{Checkpoint, Result};

use super::{print, print_json};
use crate::args;

#[derive(clap::Args)]
pub struct Args {
    /// Hub id, such as sentence-transformers/all-MiniLM-L6-v2[@revision]
    model: String,
    /// Only say where it is; fail if it is not in the cache
    #[arg(long)]
    offline: bool,
    /// JSON instead of a line
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let folder = args::locate(&args.model, args.offline)?;
    // A checkpoint that cannot be opened is better found out now than at the first use.
    let checkpoint = Checkpoint::open(&folder)?;
    let family = checkpoint.config().family.name();
    if args.json {
        return print_json(&serde_json::json!({ "model": args.model, "folder": folder, "family": family }));
    }
    print(&format!("{}\n", folder.display()))
}
