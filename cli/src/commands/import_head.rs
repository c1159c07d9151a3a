//! `frostbert import-head`

use std::path::PathBuf;

use frostbert::export::import_sklearn;
use frostbert::{Error, Result, bind_head};

use super::print;
use crate::args::{EmbedArgs, ModelArgs};
use crate::outputs::{Content, Files, OutputArgs};

#[derive(clap::Args)]
pub struct Args {
    /// scikit-learn's numbers: np.savez("head.npz", coef_=m.coef_, intercept_=m.intercept_, classes_=m.classes_), mean_ and
    /// scale_ of a StandardScaler (with_mean=False where it says so), and problem_type="ovr" where probabilities are
    /// one-versus-rest (SGDClassifier, OneVsRestClassifier)
    #[arg(value_name = "FILE.npz")]
    file: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    embed: EmbedArgs,
    /// Where to write the head
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    #[command(flatten)]
    outputs: OutputArgs,
}

pub fn run(args: &Args) -> Result<()> {
    let options = args.embed.options()?;
    let files = Files::new(&args.outputs).input(Some(&args.file)).model(&args.model.model);
    files.output("--out", Some(&args.out), Content::Head).check()?;
    let bytes = std::fs::read(&args.file)
        .map_err(|error| Error::io(format!("cannot read {}", args.file.display())).with_source(error))?;
    let parts = import_sklearn(&bytes).map_err(|error| error.context(args.file.display()))?;
    let notes = parts.notes();
    let mut head = parts.into_head().map_err(|error| error.context(args.file.display()))?;
    let encoder = args.model.load()?;
    let options = args.embed.length.suit(options, &encoder);
    let dim = encoder.dim(&options)?;
    if dim != head.dimension() {
        return Err(Error::input(format!(
            "{} takes {} columns, but the encoder gives {dim} with these options; embed as it was trained (--pooling, \
             --layers, --dimensions)",
            args.file.display(),
            head.dimension()
        )));
    }
    bind_head(&mut head, &encoder, &options, &args.model.model)?;
    head.save(&args.out)?;
    notes.iter().for_each(|note| eprintln!("note: {note}"));
    print(&format!("{}\n", args.out.display()))
}
