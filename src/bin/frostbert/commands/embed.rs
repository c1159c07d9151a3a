//! `frostbert embed`

use std::path::PathBuf;

use frostbert::Result;
use frostbert::data::EmbeddingWriter;

use super::print;
use crate::args::{EmbedArgs, ModelArgs, RowArgs};
use crate::progress::EncodeBar;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Table of texts (.txt one a line, .csv, .tsv, .jsonl, .parquet), a folder of text files, or - for stdin
    #[arg(value_name = "FILE", required_unless_present = "text", conflicts_with = "text")]
    file: Option<PathBuf>,
    /// A text, instead of a file; may be given several times
    #[arg(long)]
    text: Vec<String>,
    #[command(flatten)]
    rows: RowArgs,
    #[command(flatten)]
    embed: EmbedArgs,
    /// Where to write: .npy, .safetensors, .jsonl, .csv or .parquet by the ending [default: jsonl to stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<()> {
    let options = args.embed.options()?;
    // The table is opened before the model is loaded: a wrong file name should not cost a minute.
    let texts = args.rows.texts(args.file.as_deref(), &args.text)?;
    let encoder = args.model.engine.load(&args.model.model)?;
    let dim = encoder.dim(&options)?;
    let mut writer = match &args.out {
        Some(path) => EmbeddingWriter::create(path, dim)?,
        None => EmbeddingWriter::jsonl("standard output", std::io::stdout(), dim),
    };
    let bar = EncodeBar::new(texts.total, "embedding");
    let options = bar.attach(options);
    let report = pollster::block_on(encoder.embed_stream(texts.rows, &options, |rows| {
        writer.write(&rows.values, &rows.tokens, &rows.truncated)
    }));
    bar.finish();
    let report = report?;
    writer.finish()?;
    args.embed.warn_truncated(report.truncated, report.texts);
    if let Some(path) = &args.out {
        let device = encoder.device();
        eprintln!(
            "{} texts, {} tokens in {:.1} s on {} ({:.0} tokens/s; real/computed tokens {:.3})",
            report.texts,
            report.real_tokens,
            bar.seconds(),
            device.name,
            report.real_tokens as f64 / bar.seconds().max(1e-9),
            report.real_tokens as f64 / (report.computed_tokens.max(1)) as f64,
        );
        print(&format!("{}\n", path.display()))?;
    }
    Ok(())
}
