//! The measurements.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use frostbert::plan::Peak;
use frostbert::plan::kernels::WeightType;
use frostbert::{DeviceReport, EmbedOptions, Encoder, Error, Profile, Result, Text};
use serde::Serialize;

use super::texts::Mix;
use crate::args::EngineArgs;

/// Everything that was measured of one model on one device.
#[derive(Serialize)]
pub struct Measured {
    pub model: String,
    pub family: String,
    pub layers: usize,
    pub hidden: usize,
    pub parameters: u64,
    pub device: DeviceReport,
    /// What matrices and word tables are kept as on the device.
    pub weights: WeightType,
    pub batch_tokens: usize,
    /// Loading the model in this process, until it could embed.
    pub load_seconds: f64,
    pub cold_start: Option<ColdStart>,
    pub latency: Option<Latency>,
    pub mixes: Vec<MixSpeed>,
    /// Not there where the adapter has no timestamps.
    pub profile: Option<Profile>,
    pub peak: Option<Peak>,
    /// Weights and batch buffers.
    pub device_bytes: usize,
    /// The most memory this process has had; Linux only.
    pub process_bytes: Option<u64>,
}

/// From the start of a process to its first embedding, in seconds.
#[derive(Serialize)]
pub struct ColdStart {
    /// The median of three.
    pub seconds: f64,
    /// Kernels compiled anew, not taken from the pipeline cache.
    pub without_pipeline_cache_seconds: f64,
}

/// One text of eight tokens at a time, in milliseconds.
#[derive(Serialize)]
pub struct Latency {
    pub texts: usize,
    pub p50_ms: f64,
    pub p95_ms: f64,
}

/// End to end: texts in, embeddings out.
#[derive(Serialize)]
pub struct MixSpeed {
    pub mix: String,
    pub texts: usize,
    pub tokens: u64,
    /// The median of the passes.
    pub seconds: f64,
    pub passes: usize,
    pub texts_per_second: f64,
    pub tokens_per_second: f64,
    pub gflops: f64,
    pub real_of_computed_tokens: f64,
}

const COLD_STARTS: usize = 3;
const LATENCY_SECONDS: f64 = 2.0;
const LATENCY_TEXTS: std::ops::Range<usize> = 5..200;
/// Texts of the pass that tells how many texts fill the wanted time.
const FIRST_TEXTS: usize = 8;
const MOST_TEXTS: usize = 100_000;

/// Starts this program anew to embed one text. `None` where the program cannot be started.
pub fn cold_start(folder: &Path, engine: &EngineArgs) -> Result<Option<ColdStart>> {
    let Ok(program) = std::env::current_exe() else { return Ok(None) };
    let once = |cache: bool| -> Result<f64> {
        let mut command = Command::new(&program);
        command.args(["embed", "--offline", "--text", "How long does the first one take?", "--model"]);
        command.arg(folder).args(["--device", &engine.device.to_string()]);
        command.args(["--dtype", &engine.dtype.to_string()]);
        if let Some(threads) = engine.threads {
            command.args(["--threads", &threads.to_string()]);
        }
        if !cache {
            command.env("FROSTBERT_PIPELINE_CACHE", "off");
        }
        let failed = || Error::device("starting frostbert embed to see how long a cold start takes failed");
        let start = Instant::now();
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        let seconds = start.elapsed().as_secs_f64();
        match status {
            Ok(status) if status.success() => Ok(seconds),
            Ok(status) => Err(failed().with_source(format!("it ended with {status}; run it to see why"))),
            Err(error) => Err(failed().with_source(error)),
        }
    };
    let median = |cache: bool| -> Result<f64> {
        Ok(middle((0..COLD_STARTS).map(|_| once(cache)).collect::<Result<Vec<f64>>>()?))
    };
    let without_pipeline_cache_seconds = median(false)?;
    // The first run with it fills it.
    once(true)?;
    Ok(Some(ColdStart { seconds: median(true)?, without_pipeline_cache_seconds }))
}

/// Loads the model and embeds one text, so that kernels are compiled and weights are in place.
pub fn load(folder: &Path, engine: &EngineArgs) -> Result<(Measured, Encoder)> {
    let start = Instant::now();
    let encoder = engine.load(&folder.to_string_lossy())?;
    encoder.embed(["warm up"], &EmbedOptions::default())?;
    let load_seconds = start.elapsed().as_secs_f64();
    let config = encoder.config();
    let summary = encoder.checkpoint().summary(encoder.batch_tokens());
    let name =
        folder.file_name().map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into());
    let measured = Measured {
        model: name,
        family: config.family.name().to_owned(),
        layers: config.layers,
        hidden: config.hidden,
        parameters: summary.parameters as u64,
        device: encoder.device().clone(),
        weights: encoder.weight_type(),
        batch_tokens: encoder.batch_tokens(),
        load_seconds,
        cold_start: None,
        latency: None,
        mixes: Vec::new(),
        profile: None,
        peak: None,
        device_bytes: 0,
        process_bytes: None,
    };
    Ok((measured, encoder))
}

/// Longest text in tokens under these options.
pub fn longest(encoder: &Encoder, options: &EmbedOptions) -> usize {
    let most = encoder.tokenizer().max_tokens();
    options.max_tokens.map_or(most, |asked| asked.min(most))
}

pub fn latency(encoder: &Encoder, options: &EmbedOptions) -> Result<Latency> {
    let texts = Mix::Long.texts(LATENCY_TEXTS.end, 8);
    encoder.embed([texts[0].clone()], options)?;
    let begin = Instant::now();
    let mut times = Vec::new();
    for text in texts {
        if times.len() >= LATENCY_TEXTS.start && begin.elapsed().as_secs_f64() > LATENCY_SECONDS {
            break;
        }
        let start = Instant::now();
        encoder.embed([text], options)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let quantile = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    Ok(Latency { texts: times.len(), p50_ms: quantile(0.5), p95_ms: quantile(0.95) })
}

/// So many texts of a mix that one pass over them takes about a third of the time.
pub fn enough(
    encoder: &Encoder,
    options: &EmbedOptions,
    mix: Mix,
    longest: usize,
    seconds: f64,
) -> Result<Vec<Text>> {
    let mut count = FIRST_TEXTS;
    loop {
        let texts = mix.texts(count, longest);
        let start = Instant::now();
        encoder.embed(texts.iter().cloned(), options)?;
        let taken = start.elapsed().as_secs_f64();
        if taken > seconds / 6.0 || count >= MOST_TEXTS {
            let wanted = (count as f64 * seconds / 3.0 / taken) as usize;
            return Ok(mix.texts(wanted.clamp(FIRST_TEXTS, MOST_TEXTS), longest));
        }
        count = (count * 4).min(MOST_TEXTS);
    }
}

pub fn mix(
    encoder: &Encoder,
    options: &EmbedOptions,
    name: &str,
    texts: &[Text],
    seconds: f64,
) -> Result<MixSpeed> {
    let begin = Instant::now();
    let mut times = Vec::new();
    let mut report = frostbert::EncodeReport::default();
    let mut lens = Vec::new();
    while times.is_empty() || begin.elapsed().as_secs_f64() < seconds {
        let texts: Vec<Result<Text>> = texts.iter().cloned().map(Ok).collect();
        lens.clear();
        let start = Instant::now();
        report = encoder.embed_stream(texts, options, |rows| {
            lens.extend(rows.tokens);
            Ok(())
        })?;
        times.push(start.elapsed().as_secs_f64());
    }
    let passes = times.len();
    let median = middle(times);
    let longest = longest(encoder, options);
    let lens = lens.iter().map(|len| (*len as usize).min(longest));
    Ok(MixSpeed {
        mix: name.to_owned(),
        texts: report.texts as usize,
        tokens: report.real_tokens,
        seconds: median,
        passes,
        texts_per_second: report.texts as f64 / median,
        tokens_per_second: report.real_tokens as f64 / median,
        gflops: encoder.flops(lens, options)? as f64 / median / 1e9,
        real_of_computed_tokens: report.real_tokens as f64 / report.computed_tokens.max(1) as f64,
    })
}

/// `None` where the adapter cannot time kernels.
pub fn profile(encoder: &Encoder, options: &EmbedOptions, texts: &[Text]) -> Result<Option<Profile>> {
    match encoder.profile(texts.iter().cloned(), options) {
        Ok(profile) => Ok(Some(profile)),
        Err(error) if error.is_device() => {
            eprintln!("note: {error:#}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The most memory this process has had, in bytes.
pub fn process_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
