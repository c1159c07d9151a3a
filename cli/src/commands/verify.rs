//! `frostbert verify`

use std::path::{Path, PathBuf};

use frostbert::workflow::verify;
use frostbert::workflow::verify::TensorComparison;
use frostbert::{Device, Encoder, Error, Result};

use super::{print, print_json};
use crate::args::EngineArgs;

#[derive(clap::Args)]
pub struct Args {
    /// Golden folders (a checkpoint with cases.json and cases.safetensors), or folders of such
    #[arg(required = true)]
    goldens: Vec<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
    /// Further devices to verify
    #[arg(long, value_name = "DEVICE")]
    also: Vec<Device>,
    /// The checkpoint of goldens that hold sentence embeddings only
    #[arg(long, value_name = "FOLDER|ID")]
    model: Option<String>,
    /// One JSON array instead of lines
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// A markdown table instead of lines
    #[arg(long)]
    markdown: bool,
}

/// One golden on one device.
#[derive(serde::Serialize)]
struct Golden {
    golden: String,
    device: String,
    comparisons: Vec<TensorComparison>,
}

impl Golden {
    /// Largest error as a multiple of PyTorch's own float32 error.
    fn worst(&self) -> f64 {
        let ratios = self.comparisons.iter().map(|found| found.error / found.torch_error);
        // f64::max would drop a NaN.
        ratios.fold(0.0, |worst, ratio| if ratio.is_nan() || ratio > worst { ratio } else { worst })
    }

    fn held(&self) -> usize {
        self.comparisons.iter().filter(|found| found.holds()).count()
    }
}

pub fn run(args: &Args) -> Result<()> {
    let folders = folders(&args.goldens, args.model.is_some())?;
    let devices: Vec<&Device> = std::iter::once(&args.engine.device).chain(&args.also).collect();
    let mut goldens: Vec<Golden> = Vec::new();
    for folder in &folders {
        for device in &devices {
            let golden = compare(folder, device, args)?;
            if !args.json && !args.markdown {
                print(&format!(
                    "{:<32} {:>3} of {:>3} tensors hold; largest error / PyTorch's float32 error {:.2}  ({})\n",
                    golden.golden,
                    golden.held(),
                    golden.comparisons.len(),
                    golden.worst(),
                    golden.device
                ))?;
            }
            goldens.push(golden);
        }
    }
    if args.json {
        print_json(&goldens)?;
    } else if args.markdown {
        print(&markdown(&goldens, devices.len()))?;
    }
    let failed: usize = goldens.iter().map(|golden| golden.comparisons.len() - golden.held()).sum();
    if failed > 0 {
        return Err(Error::device(format!(
            "{failed} tensors are further from PyTorch than the contract allows"
        )));
    }
    Ok(())
}

/// Golden folders among these and directly inside them.
fn folders(paths: &[PathBuf], with_model: bool) -> Result<Vec<PathBuf>> {
    let is_golden =
        |path: &Path| path.join("cases.json").exists() && (with_model || path.join("config.json").exists());
    let mut folders = Vec::new();
    for path in paths {
        if is_golden(path) {
            folders.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path)
            .map_err(|error| Error::input(format!("cannot list {}", path.display())).with_source(error))?;
        folders.extend(entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_golden(path)));
    }
    folders.sort();
    if folders.is_empty() {
        return Err(Error::input(
            "no golden found: a golden is a checkpoint folder with cases.json and cases.safetensors",
        ));
    }
    Ok(folders)
}

fn compare(folder: &Path, device: &Device, args: &Args) -> Result<Golden> {
    let golden = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let engine = EngineArgs { device: device.clone(), ..args.engine.clone() };
    let mut name = String::new();
    let comparisons = match &args.model {
        Some(model) if !folder.join("config.json").exists() => {
            let encoder = engine.load(model)?;
            name.clone_from(&encoder.device().name);
            vec![verify::sentence_golden(folder, &encoder)?]
        }
        _ => verify::golden(folder, |checkpoint| {
            let encoder = Encoder::from_checkpoint(checkpoint).device(device.clone()).build()?;
            name.clone_from(&encoder.device().name);
            Ok(encoder)
        })?,
    };
    Ok(Golden { golden, device: name, comparisons })
}

/// A row a golden, two columns a device.
fn markdown(goldens: &[Golden], devices: usize) -> String {
    let mut text = String::from("| golden | tensors |");
    for golden in goldens.iter().take(devices) {
        text += &format!(" {}: largest error | / PyTorch's |", golden.device);
    }
    text += &format!("\n|---|---|{}\n", "---|---|".repeat(devices));
    for row in goldens.chunks(devices) {
        text += &format!("| {} | {} |", row[0].golden, row[0].comparisons.len());
        for golden in row {
            let error = golden.comparisons.iter().map(|found| found.error).fold(0.0, f64::max);
            let mark = if golden.held() == golden.comparisons.len() { "" } else { " **fails**" };
            text += &format!(" {error:.1e} | {:.2}{mark} |", golden.worst());
        }
        text.push('\n');
    }
    text
}
