//! `frostbert cache`

use clap::Subcommand;
use frostbert::Result;
use frostbert::cache::{Cache, Cleared};

use super::{print, print_json};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Say where the embedding cache is and what it holds
    Info {
        /// JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Remove embeddings from the cache
    Clear {
        /// Only those of the encoder whose fingerprint (see info) starts so
        #[arg(long, value_name = "FINGERPRINT")]
        encoder: Option<String>,
    },
}

pub fn run(args: &Args) -> Result<()> {
    if let Action::Clear { encoder: None } = &args.action {
        return say_cleared(&Cache::clear_folder(Cache::default_folder()?)?);
    }
    let cache = Cache::open(Cache::default_folder()?)?;
    for note in cache.take_notes() {
        eprintln!("warning: {note}");
    }
    match &args.action {
        Action::Info { json } => {
            let info = cache.info()?;
            if *json {
                return print_json(&info);
            }
            let mut text = format!(
                "{}\n{} embeddings, {:.1} MB\n",
                info.path.display(),
                info.entries,
                info.bytes as f64 / 1e6
            );
            for encoder in &info.encoders {
                let short: String = encoder.fingerprint.chars().take(16).collect();
                text += &format!("  {short}  {} embeddings\n", encoder.entries);
            }
            print(&text)
        }
        Action::Clear { encoder } => say_cleared(&cache.clear(encoder.as_deref())?),
    }
}

fn say_cleared(cleared: &Cleared) -> Result<()> {
    print(&format!("{} embeddings removed, {:.1} MB freed\n", cleared.entries, cleared.bytes as f64 / 1e6))
}
