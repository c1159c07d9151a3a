//! `frostbert verify`

mod built_in;

use std::path::{Path, PathBuf};

use frostbert::workflow::verify;
use frostbert::workflow::verify::{Contract, TensorComparison};
use frostbert::{Device, Dtype, Encoder, Error, Result};

use super::{print, print_json};
use crate::args::EngineArgs;

#[derive(clap::Args)]
pub struct Args {
    /// Golden folders (a checkpoint with cases.json and cases.safetensors), or folders of such [default: small ones that the program
    /// brings along, in f32 and in f16]
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
    /// What weights were kept as: `auto` is what the checkpoint stores.
    dtype: String,
    comparisons: Vec<TensorComparison>,
}

impl Golden {
    /// Which contract its tensors were held to.
    fn contract(&self) -> Contract {
        self.comparisons.first().map_or(Contract::F32, |found| found.contract)
    }

    /// Largest error.
    fn error(&self) -> f64 {
        self.largest(|found| found.error)
    }

    /// Largest error as a multiple of what was allowed there.
    fn of_allowed(&self) -> f64 {
        self.largest(|found| found.error / found.allowed)
    }

    /// Largest error as a multiple of PyTorch's own float32 error.
    fn worst(&self) -> f64 {
        self.largest(|found| found.error / found.torch_error)
    }

    /// The largest of the tensors' values; NaN if there is one.
    fn largest(&self, value: impl Fn(&TensorComparison) -> f64) -> f64 {
        // f64::max would drop a NaN.
        let larger = |most: f64, next: f64| if next.is_nan() || next > most { next } else { most };
        self.comparisons.iter().map(value).fold(0.0, larger)
    }

    fn held(&self) -> usize {
        self.comparisons.iter().filter(|found| found.holds()).count()
    }
}

pub fn run(args: &Args) -> Result<()> {
    let brought = if args.goldens.is_empty() { Some(built_in::write()?) } else { None };
    let folders = match &brought {
        Some(folder) => folders(&[folder.path().to_path_buf()], false)?,
        None => folders(&args.goldens, args.model.is_some())?,
    };
    let dtypes = match (&brought, args.engine.dtype) {
        (Some(_), Dtype::Auto) => vec![Dtype::F32, Dtype::F16],
        (_, dtype) => vec![dtype],
    };
    let devices: Vec<&Device> = std::iter::once(&args.engine.device).chain(&args.also).collect();
    let lines = !args.json && !args.markdown;
    if lines {
        print(&format!(
            "{:<28}  {:<7}  {:<8}  {:>12}  {:>13}  {:>10}  {:>9}  {}\n",
            "golden",
            "weights",
            "contract",
            "tensors hold",
            "largest error",
            "of allowed",
            "of torch",
            "device"
        ))?;
    }
    let mut goldens: Vec<Golden> = Vec::new();
    for folder in &folders {
        for dtype in &dtypes {
            for device in &devices {
                let golden = compare(folder, device, *dtype, args)?;
                if lines {
                    print(&line(&golden))?;
                }
                goldens.push(golden);
            }
        }
    }
    if args.json {
        print_json(&goldens)?;
    } else if args.markdown {
        print(&markdown(&goldens, devices.len() * dtypes.len()))?;
    }
    let failed: usize = goldens.iter().map(|golden| golden.comparisons.len() - golden.held()).sum();
    if failed > 0 {
        return Err(Error::device(format!(
            "{failed} tensors are further from PyTorch than the contract allows: do not trust this device with this driver; use --device cpu, \
             and report the table"
        )));
    }
    Ok(())
}

/// One golden on one device as a line of the table.
fn line(golden: &Golden) -> String {
    let held = format!("{} of {}", golden.held(), golden.comparisons.len());
    let mark = if golden.held() == golden.comparisons.len() { "" } else { "  FAILS" };
    let of_torch = match golden.contract() {
        Contract::F32 => format!("{:.2}", golden.worst()),
        // PyTorch's float32 error is no measure of what rounding costs.
        _ => "-".to_owned(),
    };
    format!(
        "{:<28}  {:<7}  {:<8}  {held:>12}  {:>13.1e}  {:>10.2}  {of_torch:>9}  {}{mark}\n",
        golden.golden,
        golden.dtype,
        golden.contract().name(),
        golden.error(),
        golden.of_allowed(),
        golden.device
    )
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

fn compare(folder: &Path, device: &Device, dtype: Dtype, args: &Args) -> Result<Golden> {
    let golden = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let engine = EngineArgs { device: device.clone(), dtype, ..args.engine.clone() };
    let mut name = String::new();
    let comparisons = match &args.model {
        Some(model) if !folder.join("config.json").exists() => {
            let encoder = engine.load(model)?;
            name.clone_from(&encoder.device().name);
            vec![verify::sentence_golden(folder, &encoder)?]
        }
        _ => verify::golden(folder, |checkpoint| {
            let encoder = Encoder::from_checkpoint(checkpoint).device(device.clone()).dtype(dtype).build()?;
            name.clone_from(&encoder.device().name);
            Ok(encoder)
        })?,
    };
    Ok(Golden { golden, device: name, dtype: dtype.to_string(), comparisons })
}

/// A row a golden, two columns a device.
fn markdown(goldens: &[Golden], devices: usize) -> String {
    let mut text = String::from("| golden | tensors |");
    for golden in goldens.iter().take(devices) {
        let dtype = if golden.dtype == "auto" { String::new() } else { format!(", {}", golden.dtype) };
        text += &format!(" {}{dtype}: largest error | / PyTorch's |", golden.device);
    }
    text += &format!("\n|---|---|{}\n", "---|---|".repeat(devices));
    for row in goldens.chunks(devices) {
        text += &format!("| {} | {} |", row[0].golden, row[0].comparisons.len());
        for golden in row {
            let error = golden.error();
            let mark = if golden.held() == golden.comparisons.len() { "" } else { " **fails**" };
            text += &format!(" {error:.1e} | {:.2}{mark} |", golden.worst());
        }
        text.push('\n');
    }
    text
}
