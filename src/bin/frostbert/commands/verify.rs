//! `frostbert verify`

use std::path::PathBuf;

use frostbert::verify::{self, Comparison};
use frostbert::{Device, Encoder, Error, Result};

use super::{print, print_json};
use crate::args::EngineArgs;

#[derive(clap::Args)]
pub struct Args {
    /// Golden folders: a checkpoint with cases.json and cases.safetensors, or a folder of such
    #[arg(required = true)]
    goldens: Vec<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
    /// One JSON array instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Golden {
    golden: String,
    device: String,
    comparisons: Vec<Comparison>,
}

pub fn run(args: &Args) -> Result<()> {
    let mut folders = Vec::new();
    for path in &args.goldens {
        if path.join("cases.json").exists() {
            folders.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path)
            .map_err(|error| Error::input(format!("cannot list {}", path.display())).with_source(error))?;
        let inside = entries.filter_map(|entry| Some(entry.ok()?.path()));
        folders.extend(inside.filter(|path| path.join("cases.json").exists() && path.join("config.json").exists()));
    }
    folders.sort();
    if folders.is_empty() {
        return Err(Error::input("no golden found: a golden is a checkpoint folder with cases.json and cases.safetensors"));
    }
    let device: Device = args.engine.device.clone();
    let mut goldens = Vec::new();
    let mut failed = 0;
    for folder in &folders {
        let mut name = String::new();
        let comparisons = verify::golden(folder, |checkpoint| {
            let encoder = Encoder::from_checkpoint(checkpoint).device(device.clone()).build_blocking()?;
            name.clone_from(&encoder.device().name);
            Ok(encoder)
        })?;
        failed += comparisons.iter().filter(|comparison| !comparison.holds()).count();
        let golden = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !args.json {
            let worst = comparisons.iter().map(|c| c.error / c.torch_error).fold(0.0f64, |a, b| if b.is_nan() { b } else { a.max(b) });
            let held = comparisons.iter().filter(|comparison| comparison.holds()).count();
            print(&format!(
                "{golden:<32} {held:>3} of {:>3} tensors hold; largest error / PyTorch's float32 error {worst:.2}\n",
                comparisons.len()
            ))?;
        }
        goldens.push(Golden { golden, device: name, comparisons });
    }
    if args.json {
        print_json(&goldens)?;
    }
    if failed > 0 {
        return Err(Error::device(format!("{failed} tensors are further from PyTorch than the contract allows")));
    }
    Ok(())
}
