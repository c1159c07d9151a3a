//! `frostbert bench`: how fast a model is on this machine, and how far from what the device can do.

mod measure;
mod table;
mod texts;

use std::path::{Path, PathBuf};

use frostbert::RandomModel;
use frostbert::{Device, Error, Result};

use super::{print, print_json};
use crate::args::{EmbedArgs, EngineArgs, RowArgs, locate};
use crate::progress;
use measure::Measured;

#[derive(clap::Args)]
pub struct Args {
    /// Checkpoint folder or hub id
    #[arg(long, value_name = "FOLDER|ID", required_unless_present = "random", conflicts_with = "random")]
    model: Option<String>,
    /// A model with random weights instead: bert-tiny, bert-mini, bert-small, bert-medium, minilm-l6, minilm-l12,
    /// bert-base, bert-large or HIDDENxLAYERSxHEADS
    #[arg(long, value_name = "SIZE")]
    random: Option<RandomModel>,
    /// Keep the random model in this (new) folder
    #[arg(long, value_name = "FOLDER", requires = "random")]
    save: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
    /// Further devices to measure
    #[arg(long, value_name = "DEVICE")]
    also: Vec<Device>,
    /// Texts to measure with (a table), instead of made-up ones by length
    #[arg(long, value_name = "FILE")]
    texts: Option<PathBuf>,
    #[command(flatten)]
    rows: RowArgs,
    #[command(flatten)]
    embed: EmbedArgs,
    /// Mixes of lengths to measure, of short (8 to 48 tokens), mixed (8 to the longest) and long (as long as the model takes)
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = texts::Mix::ALL, conflicts_with = "texts")]
    mixes: Vec<texts::Mix>,
    /// Seconds to measure each mix for, about
    #[arg(long, default_value_t = 3.0, value_parser = parse_seconds)]
    seconds: f64,
    /// Leave out starting a process to see how long the first embedding takes
    #[arg(long)]
    no_cold_start: bool,
    /// One JSON array instead of tables
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let scratch;
    let folder = match (&args.model, &args.random) {
        (Some(model), _) => locate(model, args.engine.offline)?,
        (None, Some(random)) => {
            let folder = match &args.save {
                Some(folder) => folder.clone(),
                None => {
                    scratch = tempfile::tempdir().map_err(|error| {
                        Error::io("cannot make a temporary folder for the random model").with_source(error)
                    })?;
                    scratch.path().to_path_buf()
                }
            };
            let spinner = progress::spinner("making a random model");
            let written = random.write(&folder);
            spinner.finish_and_clear();
            written?;
            folder
        }
        (None, None) => return Err(Error::input("name a model with --model, or a size with --random")),
    };
    let devices: Vec<Device> = std::iter::once(&args.engine.device).chain(&args.also).cloned().collect();
    let mut all = Vec::new();
    for device in devices {
        let found = one(args, &folder, device)?;
        if !args.json {
            print(&table::render(&found))?;
        }
        all.push(found);
    }
    if args.json { print_json(&all) } else { Ok(()) }
}

fn one(args: &Args, folder: &Path, device: Device) -> Result<Measured> {
    let engine = EngineArgs { device, ..args.engine.clone() };
    let options = args.embed.options()?;
    // First, while nothing of this process keeps the device busy.
    let cold = if args.no_cold_start { None } else { measure::cold_start(folder, &engine)? };
    let (mut measured, encoder) = measure::load(folder, &engine)?;
    measured.cold_start = cold;
    measured.latency = Some(measure::latency(&encoder, &options)?);
    match &args.texts {
        Some(file) => {
            let texts = args.rows.texts(Some(file), &[])?.collect()?;
            measured.mixes.push(measure::mix(&encoder, &options, "texts", &texts, args.seconds)?);
            measured.profile = measure::profile(&encoder, &options, &texts)?;
        }
        None => {
            let longest = measure::longest(&encoder, &options);
            for mix in &args.mixes {
                let texts = measure::enough(&encoder, &options, *mix, longest, args.seconds)?;
                measured.mixes.push(measure::mix(&encoder, &options, mix.name(), &texts, args.seconds)?);
            }
            let texts = texts::Mix::Mixed.texts(encoder.batch_tokens() / 8 + 1, longest);
            measured.profile = measure::profile(&encoder, &options, &texts)?;
        }
    }
    measured.peak = Some(encoder.peak()?);
    measured.device_bytes = encoder.device_bytes();
    measured.process_bytes = measure::process_bytes();
    Ok(measured)
}

fn parse_seconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3600.0 => Ok(seconds),
        _ => Err("expected a number of seconds above 0 and at most 3600".into()),
    }
}
