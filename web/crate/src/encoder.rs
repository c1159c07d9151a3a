//! The encoder.

use frostbert::checkpoint::Fingerprint;
use frostbert::model::{Config, HeadKind};
use frostbert::plan::kernels::{Class, WeightType};
use frostbert::{
    CancelToken, Checkpoint, Device, Dtype, EmbedOptions, Embeddings, Encoder, EncoderBuilder, Error, Text,
    TokenOutputs, TokenRequest,
};
use js_sys::{Array, Float32Array, Function, Uint8Array, Uint32Array};
use send_wrapper::SendWrapper;
use serde::{Deserialize, Serialize};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::error::{from_js, to_js};
use crate::files::BlobFiles;
use crate::options::WebEmbedOptions;

/// Says whether this config.json can be computed with, before anything large is fetched.
///
/// # Errors
/// It is damaged, or of a family that is not computed here.
#[wasm_bindgen(js_name = checkConfig)]
pub fn check_config(bytes: &[u8]) -> Result<(), JsValue> {
    Config::from_json(bytes, "config.json").map(drop).map_err(to_js)
}

/// Stops a pass from outside.
#[wasm_bindgen]
#[derive(Default)]
pub struct Stop(pub(crate) CancelToken);

#[wasm_bindgen]
impl Stop {
    /// Not used yet.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every pass that was given this stops before its next batch.
    pub fn stop(&self) {
        self.0.cancel();
    }
}

/// Where to compute, as `web/src/types.ts` names it.
#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WebDevice {
    #[default]
    Auto,
    Webgpu,
    Cpu,
}

/// How weights are stored, as `web/src/types.ts` names it.
#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WebDtype {
    #[default]
    Auto,
    F32,
    F16,
}

impl From<WebDtype> for Dtype {
    fn from(dtype: WebDtype) -> Self {
        match dtype {
            WebDtype::Auto => Dtype::Auto,
            WebDtype::F32 => Dtype::F32,
            WebDtype::F16 => Dtype::F16,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LoadOptions {
    device: WebDevice,
    dtype: WebDtype,
    batch_tokens: Option<usize>,
    /// Kernels of another class than the adapter's own; for tests.
    kernels: Option<Class>,
    /// What `WebEncoder::fingerprint` said of these files before.
    fingerprint: Option<Fingerprint>,
}

/// `ModelInfo` of the npm package.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModelInfo<'a> {
    location: String,
    family: &'a str,
    hidden: usize,
    layers: usize,
    heads: usize,
    vocab: usize,
    parameters: usize,
    max_tokens: usize,
    dim: usize,
    pooling: Vec<frostbert::model::Pooling>,
    normalize: bool,
    dtype: &'a str,
    masked: bool,
}

/// `Check` of the npm package.
#[derive(Serialize)]
struct Check {
    name: String,
    error: f64,
    limit: f64,
    pass: bool,
}

/// An encoder on a device.
#[wasm_bindgen]
pub struct WebEncoder {
    pub(crate) encoder: Encoder,
    note: Option<String>,
}

#[wasm_bindgen]
impl WebEncoder {
    /// Opens a checkpoint and a device. `files` is a `BlobReader`.
    ///
    /// # Errors
    /// A file is missing or damaged; there is no such device.
    pub async fn load(files: JsValue, options: String) -> Result<WebEncoder, JsValue> {
        let mut options: LoadOptions = parse(&options)?;
        let mut checkpoint = Checkpoint::from_files(BlobFiles::new(files)).map_err(to_js)?;
        if let Some(known) = options.fingerprint.take() {
            checkpoint = checkpoint.with_fingerprint(known);
        }
        Self::open(checkpoint, &options).await.map_err(to_js)
    }

    /// What tells this encoder from others, as JSON. Reads every weight, unless it was given to `load`.
    ///
    /// # Errors
    /// Reading failed.
    pub fn fingerprint(&self) -> Result<String, JsValue> {
        json(self.encoder.checkpoint().fingerprint().map_err(to_js)?)
    }

    /// `DeviceInfo` of the npm package, as JSON.
    pub fn device(&self) -> Result<String, JsValue> {
        let mut device = self.encoder.device().clone();
        let notes: Vec<String> = self.note.iter().cloned().chain(device.note.take()).collect();
        device.note = (!notes.is_empty()).then(|| notes.join(" "));
        json(&device)
    }

    /// `ModelInfo` of the npm package, as JSON.
    pub fn model(&self) -> Result<String, JsValue> {
        let checkpoint = self.encoder.checkpoint();
        let config = self.encoder.config();
        let embedding = checkpoint.embedding_request();
        json(&ModelInfo {
            location: checkpoint.location(),
            family: config.family.name(),
            hidden: config.hidden,
            layers: config.layers,
            heads: config.heads,
            vocab: config.vocab,
            parameters: checkpoint.weights().parameters(),
            max_tokens: checkpoint.max_tokens(),
            dim: self.encoder.dim(&EmbedOptions::default()).map_err(to_js)?,
            pooling: embedding.pooling,
            normalize: embedding.normalize,
            dtype: self.encoder.weight_type().name(),
            masked: checkpoint.heads().has(HeadKind::MaskedLm),
        })
    }

    /// Embeds texts. `sink(data, tokens, truncated)` gets rows in input order, a few thousand at a time;
    /// `progress(texts, tokens)` is called after each batch.
    ///
    /// # Errors
    /// As the library's `embed_stream`.
    pub async fn embed(
        &self,
        texts: Vec<String>,
        options: String,
        stop: &Stop,
        sink: Function,
        progress: Function,
    ) -> Result<(), JsValue> {
        let progress = SendWrapper::new(progress);
        let mut options = WebEmbedOptions::parse(&options).map_err(to_js)?.with_progress(move |done| {
            // What the worker's own callback throws has nowhere to go.
            let _ = progress.call2(&JsValue::NULL, &(done.texts as f64).into(), &(done.tokens as f64).into());
        });
        options.cancel = Some(stop.0.clone());
        let texts: Vec<_> = texts.into_iter().map(|text| Ok(Text::from(text))).collect();
        let hand_over = |rows: Embeddings| hand_over(&sink, &rows);
        self.encoder.embed_stream(texts, &options, hand_over).await.map(drop).map_err(to_js)
    }

    /// What makes embeddings under these options comparable, as JSON.
    ///
    /// # Errors
    /// Options that the model cannot fulfil.
    pub fn recipe(&self, options: &str) -> Result<String, JsValue> {
        let options = WebEmbedOptions::parse(options).map_err(to_js)?;
        json(&self.encoder.recipe(&options).map_err(to_js)?)
    }

    /// Columns of an embedding under these options.
    ///
    /// # Errors
    /// Options that the model cannot fulfil.
    pub fn dim(&self, options: &str) -> Result<usize, JsValue> {
        self.encoder.dim(&WebEmbedOptions::parse(options).map_err(to_js)?).map_err(to_js)
    }

    /// Tokens of each text before anything is cut.
    ///
    /// # Errors
    /// The tokenizer fails.
    #[wasm_bindgen(js_name = countTokens)]
    pub fn count_tokens(&self, texts: Vec<String>) -> Result<Vec<u32>, JsValue> {
        let encodings = self.encoder.encode(texts, &EmbedOptions::default()).map_err(to_js)?;
        Ok(encodings.iter().map(|encoding| encoding.tokens as u32).collect())
    }

    /// `MaskCandidate[][]` of the npm package, as JSON.
    ///
    /// # Errors
    /// The checkpoint has no masked-language-model head, the text has no mask.
    #[wasm_bindgen(js_name = fillMask)]
    pub async fn fill_mask(&self, text: String, top: usize) -> Result<String, JsValue> {
        let options = EmbedOptions::default();
        json(&self.encoder.fill_mask(text, top, &[], &options).await.map_err(to_js)?.masks)
    }

    /// Runs the model's kernels on a few texts, and compares every layer with the CPU engine: `Check[]`, as JSON.
    ///
    /// # Errors
    /// One of the two engines fails.
    pub async fn verify(&self) -> Result<String, JsValue> {
        json(&self.compare_layers().await.map_err(to_js)?)
    }
}

impl WebEncoder {
    /// Tries the devices that the options allow, the best first.
    async fn open(checkpoint: Checkpoint, options: &LoadOptions) -> frostbert::Result<Self> {
        let slower = "so the CPU computes: the same results, slower.";
        let (attempts, nothing): (&[(Device, &str)], _) = match options.device {
            WebDevice::Cpu => (&[(Device::Cpu, "")], ""),
            WebDevice::Auto => (&[(Device::Gpu, ""), (Device::Cpu, slower)], ""),
            WebDevice::Webgpu => (
                &[
                    (Device::Gpu, ""),
                    (
                        Device::Software,
                        "This is a software adapter: WebGPU without a graphics card. The CPU engine is faster.",
                    ),
                ],
                "this browser offers no WebGPU adapter: use a current Chrome, Edge, Firefox or Safari with hardware acceleration \
                 switched on, or choose the CPU",
            ),
        };
        let mut failed: Option<Error> = None;
        for (device, note) in attempts {
            let tokens = options.batch_tokens.unwrap_or_else(|| batch_tokens(checkpoint.config(), device));
            match Self::ready(checkpoint.clone(), device.clone(), tokens, options).await {
                Ok(encoder) => {
                    let note = match &failed {
                        Some(limit) if limit.is_limit() => {
                            Some(format!("The model does not fit the graphics adapter ({limit}), {note}"))
                        }
                        _ if *note == slower => {
                            Some(format!("This browser offers no WebGPU on a graphics adapter, {note}"))
                        }
                        _ => Some((*note).to_owned()).filter(|note| !note.is_empty()),
                    };
                    return Ok(WebEncoder { encoder, note });
                }
                Err(error) if error.is_device() || error.is_limit() => failed = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(match failed {
            Some(error) if error.is_device() && !nothing.is_empty() => {
                Error::device(nothing).with_source(error)
            }
            Some(error) => error,
            None => Error::device("no device was tried"),
        })
    }

    /// An encoder whose weights are on the device and whose kernels are compiled: what is wrong with them is known at load.
    async fn ready(
        checkpoint: Checkpoint,
        device: Device,
        tokens: usize,
        options: &LoadOptions,
    ) -> frostbert::Result<Encoder> {
        let open = async |dtype: Dtype| {
            let builder = Encoder::from_checkpoint(checkpoint.clone())
                .device(device.clone())
                .dtype(dtype)
                .batch_tokens(tokens);
            let encoder = options.kernels.into_iter().fold(builder, EncoderBuilder::kernels).build().await?;
            encoder.embed([""], &EmbedOptions::default()).await?;
            Ok::<_, Error>(encoder)
        };
        match open(options.dtype.into()).await {
            // Its values may be too large for a device that multiplies f16, which nobody has asked for.
            Err(error) if error.is_model_file() && options.dtype == WebDtype::Auto => open(Dtype::F32).await,
            opened => opened,
        }
    }

    async fn compare_layers(&self) -> frostbert::Result<Vec<Check>> {
        let texts = [
            "A quiet, well made film.",
            "Nothing in it works: two hours that I shall not get back, and a sequel is threatened!",
        ];
        // With the same weights, rounded or not: it is the device that is held to something.
        let dtype = match self.encoder.weight_type() {
            WeightType::F32 => Dtype::F32,
            WeightType::F16 => Dtype::F16,
        };
        let halves = dtype == Dtype::F16 && self.encoder.device().multiplies_f16();
        let cpu = Encoder::from_checkpoint(self.encoder.checkpoint().clone())
            .device(Device::Cpu)
            .dtype(dtype)
            .build()
            .await?;
        let (layers, hidden) = (self.encoder.config().layers, self.encoder.config().hidden);
        let request = TokenRequest { hidden_states: (0..=layers).collect(), ..TokenRequest::default() };
        let options = EmbedOptions::default();
        let ours = self.encoder.token_outputs(texts, &request, &options).await?;
        let theirs = cpu.token_outputs(texts, &request, &options).await?;
        let mut checks = Vec::with_capacity(layers + 2);
        for layer in 0..=layers {
            let name = if layer == 0 { "embeddings".to_owned() } else { format!("layer {layer}") };
            let rows = |of: &[TokenOutputs]| -> Vec<Vec<f32>> {
                let values = of.iter().flat_map(|text| text.hidden_states[layer].chunks(hidden));
                values.map(<[f32]>::to_vec).collect()
            };
            checks.push(check(name, &rows(&ours), &rows(&theirs), halves.then_some(0.0)));
        }
        let ours = self.encoder.embed(texts, &options).await?;
        let theirs = cpu.embed(texts, &options).await?;
        let rows = |of: &Embeddings| of.rows().map(<[f32]>::to_vec).collect::<Vec<_>>();
        checks.push(check(
            "text embedding".to_owned(),
            &rows(&ours),
            &rows(&theirs),
            halves.then_some(COORDINATE),
        ));
        Ok(checks)
    }
}

/// Floating-point operations of one batch on a GPU. Browsers and drivers take a device for hung that works on one submission
/// for seconds; a slow one does about 3e11 a second.
const GPU_BATCH: f64 = 1.5e11;
/// The same where a CPU computes: about half a second, after which the worker looks at its messages.
const CPU_BATCH: f64 = 5e9;

/// Tokens of one batch, by how much work a token is for this model.
fn batch_tokens(config: &Config, device: &Device) -> usize {
    let per_token = 24.0 * (config.hidden * config.hidden * config.layers) as f64;
    let (work, least) = if *device == Device::Gpu { (GPU_BATCH, 512.0) } else { (CPU_BATCH, 64.0) };
    (work / per_token).clamp(least, 16_384.0) as usize
}

/// Two engines in f32 differ by the order of their sums: by some millionths of the largest value.
const RELATIVE: f64 = 2e-5;
/// Where one of them rounds what it multiplies to f16, by some thousandths: a cosine of 0.9999 is 1.4e-2 of a row's length.
const RELATIVE_HALVES: f64 = 1.4e-2;
/// Of a text's embedding no coordinate may be off by more than 2e-3 either, which counts as much.
const COORDINATE: f64 = RELATIVE_HALVES / 2e-3;

/// The largest difference of a number; with `halves` the distance of a row, or `halves` times its largest difference if that is more, as a
/// share of its length and at least of 1.
fn check(name: String, ours: &[Vec<f32>], theirs: &[Vec<f32>], halves: Option<f64>) -> Check {
    let (mut error, mut largest, mut finite) = (0.0f64, 1.0f64, ours.len() == theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        finite &= ours.len() == theirs.len();
        let (mut apart, mut length, mut most) = (0.0, 0.0, 0.0f64);
        for (a, b) in ours.iter().zip(theirs) {
            let difference = f64::from((a - b).abs());
            finite &= difference.is_finite();
            most = most.max(difference);
            largest = largest.max(f64::from(b.abs()));
            apart += difference * difference;
            length += f64::from(*b) * f64::from(*b);
        }
        let of_row = halves.map_or(most, |weight| apart.sqrt().max(weight * most) / length.sqrt().max(1.0));
        error = error.max(of_row);
    }
    let limit = if halves.is_some() { RELATIVE_HALVES } else { RELATIVE * largest };
    // `max` skips NaN, so it is counted on its own. JSON has no infinity: a large number stands for it.
    let error = if finite { error } else { f64::MAX };
    Check { name, error, limit, pass: error <= limit }
}

fn hand_over(sink: &Function, rows: &Embeddings) -> frostbert::Result<()> {
    let truncated: Vec<u8> = rows.truncated.iter().map(|cut| u8::from(*cut)).collect();
    let arguments = Array::of3(
        &Float32Array::from(&rows.values[..]),
        &Uint32Array::from(&rows.tokens[..]),
        &Uint8Array::from(&truncated[..]),
    );
    sink.apply(&JsValue::NULL, &arguments)
        .map(drop)
        .map_err(|thrown| from_js(&thrown, "cannot hand over embeddings"))
}

pub(crate) fn json(value: &impl Serialize) -> Result<String, JsValue> {
    serde_json::to_string(value)
        .map_err(|error| to_js(Error::io("cannot write a result as JSON").with_source(error)))
}

pub(crate) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, JsValue> {
    serde_json::from_str(text)
        .map_err(|error| to_js(Error::input(format!("these options are not understood: {error}"))))
}
