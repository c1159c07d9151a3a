//! `frostbert embed`

use std::path::{Path, PathBuf};

use frostbert::data::{EmbeddingFormat, EmbeddingWriter, QuantizingWriter};
use frostbert::export::check_npy_shape;
use frostbert::quantize::{Precision, Ranges};
use frostbert::{Embeddings, Error, Result};

use super::print;
use crate::args::{EmbedArgs, ModelArgs, RowArgs, open_cache};
use crate::outputs::{Content, Files, OutputArgs};
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
    /// Take embeddings from the embedding cache, and leave new ones in it: a run that was stopped, repeated with this,
    /// goes on where it was
    #[arg(long, visible_alias = "resume")]
    cache: bool,
    /// Numbers to write: f32, f16, int8 (a byte a column) or ubinary (a bit a column), as in sentence-transformers
    #[arg(long, default_value_t)]
    precision: Precision,
    /// Ranges of int8 columns: an .npy file of [2, columns] as --save-ranges writes it [default: those of the rows]
    #[arg(long, value_name = "FILE")]
    ranges: Option<PathBuf>,
    /// Keep the ranges of int8 columns, to write more rows that compare with these
    #[arg(long, value_name = "FILE")]
    save_ranges: Option<PathBuf>,
    /// Where to write: .npy, .safetensors, .jsonl, .csv or .parquet by the ending [default: jsonl to stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    outputs: OutputArgs,
}

pub fn run(args: &Args) -> Result<()> {
    let options = args.embed.options()?;
    if args.precision != Precision::Int8 && (args.ranges.is_some() || args.save_ranges.is_some()) {
        return Err(Error::input("--ranges and --save-ranges go with --precision int8"));
    }
    let format = args.out.as_deref().map(EmbeddingFormat::from_path).transpose()?;
    let files = Files::new(&args.outputs)
        .input(args.file.as_deref())
        .input(args.ranges.as_deref())
        .model(&args.model.model)
        .output("--out", args.out.as_deref(), Content::Embeddings(format.unwrap_or(EmbeddingFormat::Jsonl)))
        .output("--save-ranges", args.save_ranges.as_deref(), Content::Ranges);
    files.check()?;
    // The table is opened before the model is loaded: a wrong file name should not cost a minute.
    let texts = args.rows.texts(args.file.as_deref(), &args.text)?;
    let encoder = args.model.engine.load(&args.model.model)?;
    let options = args.embed.length.suit(options, &encoder);
    let dim = encoder.dim(&options)?;
    let ranges = args.ranges.as_deref().map(read_ranges).transpose()?;
    let precision = args.precision;
    let writer = match (&args.out, format) {
        (Some(path), Some(format)) => EmbeddingWriter::create_as(path, format, dim, precision)?,
        _ => EmbeddingWriter::jsonl("standard output", std::io::stdout(), dim, precision),
    };
    let mut writer = QuantizingWriter::new(writer, precision, dim, ranges)?;
    let bar = EncodeBar::of(texts.total, "embedding");
    let options = bar.attach(options);
    let write = |rows: Embeddings| writer.write(&rows);
    let report = if args.cache {
        encoder.embed_stream_cached(texts.rows, &options, &open_cache(true), write)
    } else {
        encoder.embed_stream(texts.rows, &options, write)
    };
    bar.finish();
    let report = report?;
    let (_, ranges) = writer.finish()?;
    if let (Some(path), Some(ranges)) = (&args.save_ranges, ranges) {
        write_ranges(path, &ranges)?;
    }
    args.embed.warn_truncated(report.truncated, report.texts);
    if args.cache {
        eprintln!("{} texts came from the cache", report.from_cache);
    }
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

/// Ranges as NumPy keeps them, `[2, columns]`.
fn read_ranges(path: &Path) -> Result<Ranges> {
    let wrong = |what: String| {
        Error::input(format!(
            "cannot read the ranges {}: {what}; expected an .npy file of float32, [2, columns], as --save-ranges writes",
            path.display()
        ))
    };
    let bytes = std::fs::read(path)
        .map_err(|error| Error::io(format!("cannot read {}", path.display())).with_source(error))?;
    check_npy_shape(&bytes).map_err(|error| wrong(error.to_string()))?;
    let file = npyz::NpyFile::new(&bytes[..]).map_err(|error| wrong(error.to_string()))?;
    let &[2, columns] = file.shape() else {
        return Err(wrong(format!("its shape is {:?}", file.shape())));
    };
    // The header is checked against the bytes that are there before anything is allocated by it.
    let most = bytes.len() as u64 / size_of::<f32>() as u64 / 2;
    if columns > most {
        return Err(wrong(format!("its header says {columns} columns, and the file has room for {most}")));
    }
    let values: Vec<f32> = file.into_vec().map_err(|error| wrong(error.to_string()))?;
    Ranges::from_values(&values).map_err(|error| error.context(path.display()))
}

fn write_ranges(path: &Path, ranges: &Ranges) -> Result<()> {
    let mut writer = EmbeddingWriter::create_as(path, EmbeddingFormat::Npy, ranges.dim(), Precision::F32)?;
    writer.write(&ranges.values(), &[0; 2], &[false; 2])?;
    writer.finish()?;
    Ok(())
}
