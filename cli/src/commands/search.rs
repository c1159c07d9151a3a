//! `frostbert search`

use std::path::PathBuf;

use frostbert::data::EmbeddingFile;
use frostbert::head::Matrix;
use frostbert::vectors::{Compact, CompactRows, Neighbour, nearest};
use frostbert::{EmbedOptions, Error, Prompt, Result, Text};
use serde_json::json;

use super::vectors::{embed, read, shown};
use super::{print, print_json};
use crate::args::{CacheArgs, EmbedArgs, ModelArgs, RowArgs, at_most, choice};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Table of the texts to search (.txt one a line, .csv, .tsv, .jsonl, .parquet)
    file: PathBuf,
    /// What to look for; may be given several times
    #[arg(long, required = true, value_name = "TEXT")]
    query: Vec<String>,
    /// The checkpoint's prompt of this name, put before every query; --prompt-name is the texts'
    #[arg(long, value_name = "NAME", conflicts_with = "query_prompt")]
    query_prompt_name: Option<String>,
    /// This text, put before every query
    #[arg(long, value_name = "TEXT")]
    query_prompt: Option<String>,
    /// How many texts a query
    #[arg(long, default_value_t = 10, value_parser = crate::args::at_most::<100_000>)]
    top: usize,
    /// The texts' embeddings, a row for each in the table's order, as `frostbert embed --out` wrote them (.npy or .safetensors, f32);
    /// the table is not embedded then
    #[arg(long, value_name = "FILE")]
    embeddings: Option<PathBuf>,
    /// Look for candidates among rows in fewer bytes, and compare only those exactly: a quarter of the memory, or a
    /// thirty-second
    #[arg(long, value_parser = choice::<Compact>(Compact::CHOICES))]
    compact: Option<Compact>,
    /// With --compact: candidates for each text that is asked for [default: 2 of int8, 20 of binary]
    #[arg(long, value_name = "N", requires = "compact", value_parser = at_most::<100_000>)]
    rescore: Option<usize>,
    #[command(flatten)]
    rows: RowArgs,
    #[command(flatten)]
    embed: EmbedArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// One JSON object for each text found
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let options = args.embed.options()?;
    let (texts, numbers) = read(&args.rows, &args.file)?;
    let encoder = args.model.load()?;
    let options = args.embed.length.suit(options, &encoder);
    let cache = args.cache.open();
    let queries: Vec<Text> = args.query.iter().map(Text::from).collect();
    let asked = EmbedOptions {
        prompt: match (&args.query_prompt_name, &args.query_prompt) {
            (Some(name), _) => Prompt::Named(name.clone()),
            (_, Some(text)) => Prompt::Text(text.clone()),
            _ => options.prompt.clone(),
        },
        ..options.clone()
    };
    // First, because a wrong name of a prompt should not cost the table's time.
    let of_queries = embed(&encoder, &asked, &queries, "embedding queries", &cache)?;
    let mut vectors = match &args.embeddings {
        None => Vectors::Memory(embed(&encoder, &options, &texts, "embedding", &cache)?),
        Some(path) => {
            let file = EmbeddingFile::open(path)?;
            if (file.rows(), file.columns()) != (texts.len(), of_queries.columns()) {
                return Err(Error::input(format!(
                    "{} holds {} rows of {} columns, but {} has {} texts and the model gives {} columns: name the file that was made of \
                     this table with this model and these options",
                    path.display(),
                    file.rows(),
                    file.columns(),
                    args.file.display(),
                    texts.len(),
                    of_queries.columns()
                )));
            }
            Vectors::File(file)
        }
    };
    let found = match args.compact {
        None => vectors.nearest(&of_queries, args.top)?,
        Some(how) => {
            let times = args.rescore.unwrap_or(if how == Compact::Int8 { 2 } else { 20 });
            vectors.nearest_compact(&of_queries, args.top, how, times)?
        }
    };
    for (query, found) in queries.iter().zip(found) {
        if !args.json && queries.len() > 1 {
            print(&format!("{}\n", shown(query)))?;
        }
        for near in found {
            let (text, row) = (&texts[near.row], numbers[near.row]);
            if args.json {
                let found = json!({
                    "query": query.first, "row": row, "similarity": near.similarity, "text": text.first, "pair": text.second,
                });
                print_json(&found)?;
            } else {
                print(&format!("{:.4}\t{row}\t{}\n", near.similarity, shown(text)))?;
            }
        }
    }
    Ok(())
}

/// Rows that are searched, where they are.
enum Vectors {
    Memory(Matrix<'static>),
    File(EmbeddingFile),
}

/// Rows read from a file at a time.
const CHUNK: usize = 4096;

impl Vectors {
    /// Shows all rows, some at a time, with the number of the first.
    fn each(&mut self, mut show: impl FnMut(usize, &Matrix<'_>) -> Result<()>) -> Result<()> {
        match self {
            Vectors::Memory(rows) => show(0, rows),
            Vectors::File(file) => {
                for first in (0..file.rows()).step_by(CHUNK) {
                    let count = CHUNK.min(file.rows() - first);
                    let rows = file.read(first, count)?;
                    show(first, &Matrix::new(count, file.columns(), rows)?)?;
                }
                Ok(())
            }
        }
    }

    /// By comparison with every row.
    fn nearest(&mut self, queries: &Matrix<'_>, top: usize) -> Result<Vec<Vec<Neighbour>>> {
        let mut best: Vec<Vec<Neighbour>> = vec![vec![]; queries.rows()];
        self.each(|first, rows| {
            for (best, found) in best.iter_mut().zip(nearest(queries, rows, top)?) {
                best.extend(found.into_iter().map(|near| Neighbour { row: first + near.row, ..near }));
                // Stable: of equals the first row.
                best.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
                best.truncate(top);
            }
            Ok(())
        })?;
        Ok(best)
    }

    /// Among candidates that compact rows give.
    fn nearest_compact(
        &mut self,
        queries: &Matrix<'_>,
        top: usize,
        how: Compact,
        times: usize,
    ) -> Result<Vec<Vec<Neighbour>>> {
        let mut compact = CompactRows::new(queries.columns(), how);
        self.each(|_, rows| compact.push(rows))?;
        compact.nearest(queries, top, times, |wanted| match self {
            Vectors::Memory(rows) => Ok(wanted.iter().flat_map(|row| rows.row(*row)).copied().collect()),
            Vectors::File(file) => {
                let mut values = Vec::with_capacity(wanted.len() * file.columns());
                for row in wanted {
                    values.extend(file.read(*row, 1)?);
                }
                Ok(values)
            }
        })
    }
}
