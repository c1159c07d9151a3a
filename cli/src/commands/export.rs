//! `frostbert export`

use std::path::PathBuf;

use clap::ValueEnum;
use frostbert::export::{CardData, LinearHeadParts, model_card, transformers};
use frostbert::head::Head;
use frostbert::{EmbeddingRecipe, Error, Result};

use super::{print, print_json};
use crate::args::locate;

#[derive(clap::Args)]
pub struct Args {
    /// Head file, as `frostbert train` wrote it
    #[arg(long, value_name = "FILE")]
    head: PathBuf,
    /// The encoder it was trained with [default: where it was at training]
    #[arg(long, value_name = "FOLDER|ID")]
    model: Option<String>,
    /// What to write: a folder that transformers loads as ...ForSequenceClassification
    #[arg(long, value_enum)]
    to: Target,
    /// The new folder
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Never touch the network
    #[arg(long)]
    offline: bool,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

/// `--to`.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// config.json, model.safetensors and the tokenizer, for transformers
    Transformers,
}

pub fn run(args: &Args) -> Result<()> {
    let Target::Transformers = args.to;
    let head = Head::load(&args.head)?;
    let recipe = EmbeddingRecipe::of_head(&head)?.ok_or_else(|| {
        Error::input(format!(
            "{} is bound to no encoder; train it with `frostbert train`, or import it with `frostbert import-head`",
            args.head.display()
        ))
    })?;
    let model = args.model.as_ref().or(head.record.model_location.as_ref()).ok_or_else(|| {
        Error::input(format!(
            "{} does not say where its encoder is; name it with --model",
            args.head.display()
        ))
    })?;
    let checkpoint = locate(model, args.offline)?;
    let name =
        args.folder.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned());
    let card = model_card(&CardData::of_head(&head, &recipe, name, true));
    let exported =
        transformers(&args.folder, checkpoint, &LinearHeadParts::of_head(&head)?, &recipe, Some(&card))?;
    for note in &exported.notes {
        eprintln!("note: {note}");
    }
    if args.json {
        return print_json(&serde_json::json!({
            "folder": exported.folder, "class": exported.class, "notes": exported.notes
        }));
    }
    print(&format!("{}: load it with transformers' {}\n", exported.folder.display(), exported.class))
}
