//! The encoder: a frozen checkpoint on a device, ready to embed.

mod builder;
mod dtype;
mod options;
mod outputs;
mod profile;
#[cfg(not(target_arch = "wasm32"))]
mod random_model;
mod recipe;
mod request;
mod session;
mod stages;
mod summary;
mod text;

pub use builder::EncoderBuilder;
pub use dtype::Dtype;
pub use options::{CancelToken, EmbedOptions, EncodeProgress, Layers, ProgressFn, Prompt};
pub use outputs::classify::Classification;
pub use outputs::cloze::{ClassWords, Cloze, ClozeCalibration};
pub use outputs::fill_mask::{FilledMasks, MaskCandidate, PseudoPerplexity};
pub use outputs::next_sentence::NextSentence;
pub use outputs::rerank::Ranked;
pub use outputs::sparse::SparseEmbedding;
pub use outputs::tag::{Aggregation, Entity, Tagged};
pub use outputs::tokens::{TokenOutputs, TokenRequest};
pub use profile::{KernelProfile, Profile};
#[cfg(not(target_arch = "wasm32"))]
pub use random_model::RandomModel;
pub use recipe::EmbeddingRecipe;
pub use session::EncodeReport;
#[cfg(feature = "cache")]
pub use stages::cache::CachedEmbeddings;
pub use summary::{Memory, Summary};
pub use text::Text;

use std::sync::{Arc, Mutex};

use crate::checkpoint::Checkpoint;
use crate::engine::{DeviceReport, Engine, Prepared};
use crate::error::Result;
use crate::model::Config;
use crate::model::WeightSource;
use crate::plan::kernels::WeightType;
use crate::plan::{Plan, Request, families};
use crate::text::Tokenizer;

/// A frozen BERT on a device.
///
/// Cheap to share behind an [`Arc`]; every method takes `&self`.
///
/// ```no_run
/// use frostbert::{Device, EmbedOptions, Encoder};
///
/// let encoder = Encoder::load("models/all-MiniLM-L6-v2").device(Device::Auto).build()?;
/// let embeddings = encoder.embed(["A fine film.", "A dull one."], &EmbedOptions::default())?;
/// assert_eq!(embeddings.row(0).len(), encoder.config().hidden);
/// # Ok::<(), frostbert::Error>(())
/// ```
pub struct Encoder {
    checkpoint: Checkpoint,
    tokenizer: Arc<Tokenizer>,
    engine: Engine,
    device: DeviceReport,
    weights: WeightType,
    batch_tokens: usize,
    /// Plans whose weights are on the device, by what they compute; the one used last stands last.
    plans: Mutex<Vec<(Request, Arc<PlannedPass>)>>,
}

/// So many plans are kept. Weights are shared between them and leave the device with the last plan that uses them.
const PLANS_KEPT: usize = 16;

/// A plan and its weights on the engine.
pub(crate) struct PlannedPass {
    pub(crate) plan: Plan,
    pub(crate) prepared: Prepared,
}

impl Encoder {
    /// Starts loading a checkpoint: a folder, or the id of a model on the Hugging Face hub.
    pub fn load(model: impl Into<String>) -> EncoderBuilder {
        EncoderBuilder::from_model(model.into())
    }

    /// Starts with a checkpoint that is already open (files in memory, say).
    pub fn from_checkpoint(checkpoint: Checkpoint) -> EncoderBuilder {
        EncoderBuilder::from_checkpoint(checkpoint)
    }

    /// The model's sizes.
    pub fn config(&self) -> &Config {
        self.checkpoint.config()
    }

    /// The checkpoint behind this encoder.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// What computes.
    pub fn device(&self) -> &DeviceReport {
        &self.device
    }

    /// How matrices and word tables are kept on the device.
    pub fn weight_type(&self) -> WeightType {
        self.weights
    }

    /// Most tokens in one packed batch.
    pub fn batch_tokens(&self) -> usize {
        self.batch_tokens
    }

    /// The pass for this request, built and loaded once.
    async fn pass(&self, request: &Request) -> Result<Arc<PlannedPass>> {
        if let Some(pass) = self.known_pass(request) {
            return Ok(pass);
        }
        let plan = families::plan(self.config(), request)?;
        let weights: &dyn WeightSource = self.checkpoint.weights();
        let prepared = self.engine.prepare(&plan, weights, self.weights).await?;
        let pass = Arc::new(PlannedPass { plan, prepared });
        let mut plans = self.plans.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // Two callers may have built the same pass at once: the weights are shared, so the loser costs little.
        plans.retain(|(known, _)| known != request);
        plans.push((request.clone(), pass.clone()));
        let surplus = plans.len().saturating_sub(PLANS_KEPT);
        plans.drain(..surplus);
        Ok(pass)
    }

    fn known_pass(&self, request: &Request) -> Option<Arc<PlannedPass>> {
        let mut plans = self.plans.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let at = plans.iter().position(|(known, _)| known == request)?;
        let found = plans.remove(at);
        let pass = found.1.clone();
        plans.push(found);
        Some(pass)
    }
}
