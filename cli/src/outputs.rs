//! What a command reads and what it writes, declared before any work begins.
//!
//! The rule: a file that frostbert wrote for the same purpose is replaced without a question, as `np.save`, joblib and
//! sentence-transformers replace theirs; any other file only with `--force`; what the same run reads never. How a file is replaced
//! (whole, through links, with its permissions) is the library's `whole_file`.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use frostbert::data::EmbeddingFormat;
use frostbert::{Error, Result};

/// Whether files of others may be replaced.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct OutputArgs {
    /// Replace files that frostbert did not write
    #[arg(long)]
    force: bool,
}

/// What an output holds, which is how an earlier one is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A head file.
    Head,
    /// Embeddings.
    Embeddings(EmbeddingFormat),
    /// Ranges of int8 columns.
    Ranges,
    /// A page of HTML.
    Page,
    /// A model card.
    Card,
    /// A table of rows whose label is likely wrong.
    LabelErrors,
    /// A CSV table with these columns in front.
    Table(&'static str),
    /// The state of a training that goes on from it; whoever reads it says what is wrong with another file.
    TrainingState,
}

/// Inputs and outputs of one run.
pub struct Files<'a> {
    force: bool,
    inputs: Vec<Input<'a>>,
    outputs: Vec<Output<'a>>,
}

struct Input<'a> {
    path: &'a Path,
    /// A checkpoint: its folder may hold a head too, if it does not stand where a checkpoint's files do.
    checkpoint: bool,
}

struct Output<'a> {
    option: &'static str,
    path: &'a Path,
    kind: Content,
}

impl<'a> Files<'a> {
    pub fn new(args: &OutputArgs) -> Self {
        Files { force: args.force, inputs: Vec::new(), outputs: Vec::new() }
    }

    /// A file or folder that is read; `-` is standard input.
    pub fn input(mut self, path: Option<&'a Path>) -> Self {
        self.inputs.extend(path.map(|path| Input { path, checkpoint: false }));
        self
    }

    /// A checkpoint that is read; a hub id is no path.
    pub fn model(mut self, model: &'a str) -> Self {
        self.inputs.push(Input { path: Path::new(model), checkpoint: true });
        self
    }

    /// A file that is written, if it is asked for.
    pub fn output(mut self, option: &'static str, path: Option<&'a Path>, kind: Content) -> Self {
        self.outputs.extend(path.map(|path| Output { option, path, kind }));
        self
    }

    /// Finds out before the work whether its results may be written.
    ///
    /// # Errors
    /// An output that cannot be written, is read by the same run, has the path of another, or would replace somebody's file.
    pub fn check(&self) -> Result<()> {
        for (at, output) in self.outputs.iter().enumerate() {
            // Devices and pipes are written to: nothing is replaced.
            if fs::metadata(output.path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
                continue;
            }
            output.check_folder()?;
            for other in &self.outputs[..at] {
                if same(output.path, other.path) {
                    return Err(output.refuse(&format!(
                        "{} writes to the same file; give each a name of its own",
                        other.option
                    )));
                }
            }
            for input in &self.inputs {
                output.check_against(input)?;
            }
            output.check_earlier(self.force)?;
        }
        Ok(())
    }
}

impl Output<'_> {
    fn refuse(&self, why: &str) -> Error {
        Error::input(format!("cannot write {} {}: {why}", self.option, self.path.display()))
    }

    fn check_folder(&self) -> Result<()> {
        let folder = folder(self.path);
        if self.path.is_dir() {
            return Err(self.refuse("it is a folder; give the name of a file in it"));
        }
        if !folder.is_dir() {
            return Err(self.refuse(&format!("its folder does not exist ({})", folder.display())));
        }
        Ok(())
    }

    fn check_against(&self, input: &Input<'_>) -> Result<()> {
        let path = if input.path == Path::new("-") { Path::new("/dev/stdin") } else { input.path };
        if !path.is_dir() {
            return match path.exists() && same(self.path, path) {
                true => Err(self.refuse("this run reads it; write to another file")),
                false => Ok(()),
            };
        }
        let inside = match (fs::canonicalize(path), place(self.path)) {
            (Ok(folder), Some(place)) => place.starts_with(folder),
            _ => false,
        };
        if !inside {
            return Ok(());
        }
        if !input.checkpoint {
            return Err(self.refuse(&format!(
                "it lies in {}, all of which is read as texts; write to another folder",
                path.display()
            )));
        }
        match is_of_checkpoint(self.path) && !self.is_earlier() {
            true => Err(self.refuse(&format!(
                "a file of this name belongs to the checkpoint {}; write to another folder, or under another name",
                path.display()
            ))),
            false => Ok(()),
        }
    }

    fn check_earlier(&self, force: bool) -> Result<()> {
        if force || !self.path.exists() || self.is_earlier() {
            return Ok(());
        }
        Err(self.refuse(&format!(
            "there is a file of this name that is not {} written by frostbert; name another, or replace it with --force",
            self.kind.name()
        )))
    }

    /// Whether the file that is there is an earlier output of the same kind, or empty.
    fn is_earlier(&self) -> bool {
        let Ok(mut file) = File::open(self.path) else { return false };
        let Ok(len) = file.metadata().map(|there| there.len()) else { return false };
        len == 0 || self.kind.is(&mut file, len)
    }
}

impl Content {
    fn name(self) -> &'static str {
        match self {
            Content::Head => "a head",
            Content::Embeddings(EmbeddingFormat::Npy) | Content::Ranges => "an .npy file",
            Content::Embeddings(_) => "a file of embeddings in this format",
            Content::Page => "a page",
            Content::Card => "a model card",
            Content::LabelErrors => "a table of label errors",
            Content::Table(_) => "a table of the same columns",
            Content::TrainingState => "the state of a training",
        }
    }

    /// Whether a file is of this kind: by the marks that frostbert leaves in it. An .npy file has no place for one, so that any is
    /// taken for ours.
    fn is(self, file: &mut File, len: u64) -> bool {
        /// As much of a file as is looked at.
        const HEAD: u64 = 64 << 10;
        let mut read = |from: u64, most: u64| -> Vec<u8> {
            let mut bytes = Vec::new();
            let read = file
                .seek(SeekFrom::Start(from))
                .and_then(|_| std::io::Read::by_ref(file).take(most).read_to_end(&mut bytes));
            if read.is_ok() { bytes } else { Vec::new() }
        };
        let head = read(0, HEAD);
        let begins = |with: &str| head.starts_with(with.as_bytes());
        let holds = |bytes: &[u8], what: &str| bytes.windows(what.len()).any(|part| part == what.as_bytes());
        // The header of safetensors is JSON of the length that the first eight bytes say.
        let mut header_holds = |what: &str| {
            let len = head.first_chunk().map_or(0, |len| u64::from_le_bytes(*len));
            holds(&read(8, len.min(64 << 20)), what)
        };
        match self {
            Content::Head => header_holds("\"frostbert_head\""),
            Content::Embeddings(EmbeddingFormat::Safetensors) => header_holds("\"frostbert-embeddings\""),
            Content::Embeddings(EmbeddingFormat::Npy) | Content::Ranges => head.starts_with(b"\x93NUMPY"),
            Content::Embeddings(EmbeddingFormat::Jsonl) => {
                begins("{\"tokens\":") && holds(&head[..head.len().min(100)], "\"embedding\":")
            }
            Content::Embeddings(EmbeddingFormat::Csv) => begins("tokens,truncated,e0"),
            Content::Embeddings(EmbeddingFormat::Parquet) => {
                begins("PAR1") && holds(&read(len.saturating_sub(HEAD), HEAD), "frostbert version")
            }
            Content::Page => holds(&head, "name=\"generator\" content=\"frostbert "),
            Content::Card => holds(&head, "tags: [\"frostbert\""),
            Content::LabelErrors => begins("row,label,probability,suggested,"),
            Content::Table(columns) => begins(columns),
            Content::TrainingState => true,
        }
    }
}

/// The folder that a path lies in.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether two paths lead to one file, by whatever names.
fn same(a: &Path, b: &Path) -> bool {
    match (identity(a), identity(b)) {
        (Some(a), Some(b)) => a == b,
        _ => matches!((place(a), place(b)), (Some(a), Some(b)) if a == b),
    }
}

/// What a file that is there is, under any name.
#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|there| (there.dev(), there.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Option<PathBuf> {
    fs::canonicalize(path).ok()
}

/// Where a file is or would be: its path without links. A link that leads nowhere is where its target would be.
fn place(path: &Path) -> Option<PathBuf> {
    // As many as Linux follows.
    const MOST: usize = 40;
    let mut path = path.to_path_buf();
    for _ in 0..MOST {
        match fs::read_link(&path) {
            Ok(target) => path = folder(&path).join(target),
            Err(_) => return Some(fs::canonicalize(folder(&path)).ok()?.join(path.file_name()?)),
        }
    }
    None
}

/// Whether a file of this name would be taken for one of a checkpoint.
fn is_of_checkpoint(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let weights = ["model", "pytorch_model", "adapter_model", "tf_model", "flax_model"];
    name.ends_with(".json")
        || name.ends_with(".txt")
        || name.ends_with(".bin")
        || name.ends_with(".model")
        || (name.ends_with(".safetensors") && weights.iter().any(|weights| name.starts_with(weights)))
}
