//! Builds a [`Plan`]: families say what a layer does, the builder hands out buffers and weights and adds what the
//! [`Request`] asks for after each layer. The time is linear in the number of layers.

use super::{
    BufferId, BufferSpec, Norm, Output, OutputKind, Plan, RelativeBias, Request, RowIndex, Rows, Step,
    WeightId,
};
use crate::error::{Error, Result};
use crate::model::{Activation, Config};
use crate::model::{
    EmbeddingRequest, LayerMix, PooledModule, PooledNorm, Pooling, WeightKind, WeightPart, WeightSpec,
};
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

/// Hands out ids and collects steps. One builder makes one plan.
pub struct PlanBuilder<'a> {
    config: &'a Config,
    request: &'a Request,
    steps: Vec<Step>,
    buffers: Vec<BufferSpec>,
    weights: Vec<WeightSpec>,
    outputs: Vec<Output>,
    /// Where each weight is in `weights`.
    known_weights: HashMap<WeightSpec, WeightId>,
    /// Buffers whose contents nobody needs any more: reused for the next request of the same shape.
    free: Vec<BufferId>,
    /// Buffers that are outputs: never reused.
    pinned: HashSet<BufferId>,
    /// `[texts, layers * poolings * hidden]`, allotted at the first pooled layer.
    pooled: Option<BufferId>,
    /// Layers whose hidden state is read back.
    hidden_states: HashSet<usize>,
    /// Layers whose attention probabilities are read back.
    attentions: HashSet<usize>,
    /// Places of each pooled layer in the embedding.
    pooled_layers: HashMap<usize, Vec<usize>>,
    /// The last layer (0 = embeddings) whose hidden state anything asked for needs.
    last_layer_needed: usize,
}

/// The attention of one layer, as [`PlanBuilder::attention`] takes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttentionSettings {
    /// See [`Step::Attention`].
    pub window: Option<usize>,
    /// See [`Step::Attention`].
    pub relative_bias: Option<RelativeBias>,
}

impl<'a> PlanBuilder<'a> {
    /// Starts a plan, after checking the request against the config.
    ///
    /// # Errors
    /// A layer that the model does not have, or `pooler` of another layer than the last.
    pub fn new(config: &'a Config, request: &'a Request) -> Result<Self> {
        let check = |layer: usize, most: usize, what: &str| -> Result<()> {
            if layer > most {
                return Err(Error::input(format!(
                    "{what} {layer} was asked for, but the model has {what}s 0 to {most}"
                )));
            }
            Ok(())
        };
        for &layer in &request.hidden_states {
            check(layer, config.layers, "layer")?;
        }
        if config.layers == 0 && !request.attentions.is_empty() {
            return Err(Error::input(format!(
                "attention probabilities were asked for, but a {} model has no attention",
                config.family.name()
            )));
        }
        for &layer in &request.attentions {
            check(layer, config.layers.saturating_sub(1), "attention layer")?;
        }
        if let Some(embeddings) = &request.embeddings {
            if embeddings.layers.is_empty() || embeddings.pooling.is_empty() {
                return Err(Error::input("embeddings need at least one layer and one pooling"));
            }
            for &layer in &embeddings.layers {
                check(layer, config.layers, "layer")?;
            }
            if embeddings.pooling.contains(&Pooling::Pooler)
                && embeddings.layers.iter().any(|&layer| layer != config.layers)
            {
                return Err(Error::input(format!(
                    "pooling `pooler` exists for the last layer ({}) only; choose cls or mean for the others",
                    config.layers
                )));
            }
        }
        let mut pooled_layers: HashMap<usize, Vec<usize>> = HashMap::new();
        for (at, &layer) in request.embeddings.iter().flat_map(|embeddings| &embeddings.layers).enumerate() {
            pooled_layers.entry(layer).or_default().push(at);
        }
        Ok(PlanBuilder {
            config,
            request,
            steps: vec![],
            buffers: vec![],
            weights: vec![],
            outputs: vec![],
            known_weights: HashMap::new(),
            free: vec![],
            pinned: HashSet::new(),
            pooled: None,
            hidden_states: request.hidden_states.iter().copied().collect(),
            attentions: request.attentions.iter().copied().collect(),
            pooled_layers,
            last_layer_needed: last_layer_needed(config, request),
        })
    }

    /// The model's sizes.
    pub fn config(&self) -> &'a Config {
        self.config
    }

    /// What the caller wants.
    pub fn request(&self) -> &'a Request {
        self.request
    }

    /// The last layer (0 = embeddings) whose hidden state anything asked for needs.
    pub fn last_layer_needed(&self) -> usize {
        self.last_layer_needed
    }

    /// A buffer's shape. One of another builder has no columns here: its step is refused when the plan is finished.
    fn spec(&self, id: BufferId) -> BufferSpec {
        let unknown = BufferSpec { rows: Rows::Tokens, cols: 0, label: "unknown" };
        self.buffers.get(id.index()).copied().unwrap_or(unknown)
    }

    /// A buffer of this shape, recycled where one was released.
    pub fn buffer(&mut self, rows: Rows, cols: usize, label: &'static str) -> BufferId {
        let same = |id: &BufferId| {
            let spec = self.spec(*id);
            spec.rows == rows && spec.cols == cols
        };
        if let Some(at) = self.free.iter().position(same) {
            return self.free.swap_remove(at);
        }
        let id = BufferId::new(self.buffers.len() as u32);
        self.buffers.push(BufferSpec { rows, cols, label });
        id
    }

    /// Says that nothing later reads this buffer.
    pub fn release(&mut self, buffer: BufferId) {
        if !self.pinned.contains(&buffer) && !self.free.contains(&buffer) {
            self.free.push(buffer);
        }
    }

    fn weight(&mut self, kind: WeightKind, parts: Vec<WeightPart>) -> WeightId {
        let spec = WeightSpec { kind, parts };
        if let Some(known) = self.known_weights.get(&spec) {
            return *known;
        }
        let id = WeightId::new(self.weights.len() as u32);
        self.weights.push(spec.clone());
        self.known_weights.insert(spec, id);
        id
    }

    /// A matrix `[sum of rows, k]` from these tensors, one after another.
    pub fn matrix(&mut self, parts: &[(String, usize)], k: usize) -> WeightId {
        let parts =
            parts.iter().map(|(name, n)| WeightPart { name: name.clone(), shape: vec![*n, k] }).collect();
        self.weight(WeightKind::Matrix, parts)
    }

    /// A vector from these tensors, one after another.
    pub fn vector(&mut self, parts: &[(String, usize)]) -> WeightId {
        let parts =
            parts.iter().map(|(name, len)| WeightPart { name: name.clone(), shape: vec![*len] }).collect();
        self.weight(WeightKind::Vector, parts)
    }

    /// A table `[rows, cols]` of which rows are gathered.
    pub fn table(&mut self, name: impl Into<String>, rows: usize, cols: usize) -> WeightId {
        self.weight(WeightKind::Table, vec![WeightPart { name: name.into(), shape: vec![rows, cols] }])
    }

    /// A table of these tensors' rows, one tensor after another.
    pub fn tables(&mut self, parts: &[(&str, usize)], cols: usize) -> WeightId {
        let part =
            |(name, rows): &(&str, usize)| WeightPart { name: (*name).into(), shape: vec![*rows, cols] };
        self.weight(WeightKind::Table, parts.iter().map(part).collect())
    }

    /// A LayerNorm whose tensors are `PREFIX.weight` and, with `bias`, `PREFIX.bias`.
    pub fn norm(&mut self, prefix: &str, cols: usize, bias: bool) -> Norm {
        let weight = self.vector(&[(format!("{prefix}.weight"), cols)]);
        let bias = bias.then(|| self.vector(&[(format!("{prefix}.bias"), cols)]));
        Norm { weight, bias, eps: self.config.layer_norm_eps }
    }

    /// Adds a step.
    pub fn step(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// `activation(x Wᵀ + b)` with tensors `PREFIX.weight` `[n, k]` and, with `bias`, `PREFIX.bias`; several
    /// prefixes are computed as one matrix. k is the width of `x`.
    pub fn linear(
        &mut self,
        x: BufferId,
        prefixes: &[String],
        n: usize,
        bias: bool,
        activation: Option<Activation>,
        label: &'static str,
    ) -> BufferId {
        let BufferSpec { rows, cols: k, .. } = self.spec(x);
        let name = |suffix: &str| -> Vec<(String, usize)> {
            prefixes.iter().map(|prefix| (format!("{prefix}.{suffix}"), n)).collect()
        };
        let weight = self.matrix(&name("weight"), k);
        let bias = bias.then(|| self.vector(&name("bias")));
        let out = self.buffer(rows, n * prefixes.len(), label);
        self.step(Step::MatMul { x, weight, bias, activation, residual: None, out });
        out
    }

    /// `x Wᵀ [+ b] + residual` into `out`, with tensors as in [`linear`](Self::linear).
    pub fn linear_into(&mut self, x: BufferId, prefix: &str, bias: bool, residual: BufferId, out: BufferId) {
        let k = self.spec(x).cols;
        let n = self.spec(out).cols;
        let weight = self.matrix(&[(format!("{prefix}.weight"), n)], k);
        let bias = bias.then(|| self.vector(&[(format!("{prefix}.bias"), n)]));
        self.step(Step::MatMul { x, weight, bias, activation: None, residual: Some(residual), out });
    }

    /// `LayerNorm(x + residual)` into a fresh buffer.
    pub fn add_layer_norm(
        &mut self,
        x: BufferId,
        residual: Option<BufferId>,
        norm: Norm,
        label: &'static str,
    ) -> BufferId {
        let BufferSpec { rows, cols, .. } = self.spec(x);
        let out = self.buffer(rows, cols, label);
        self.step(Step::AddLayerNorm { x, residual, norm, out });
        out
    }

    /// Attention of layer `layer` (0 = first) over `qkv`, and its probabilities where they were asked for.
    pub fn attention(&mut self, layer: usize, qkv: BufferId, settings: AttentionSettings) -> BufferId {
        let Config { heads, head_dim, .. } = *self.config;
        let scale = 1.0 / (head_dim as f32).sqrt();
        let AttentionSettings { window, relative_bias } = settings;
        if self.attentions.contains(&layer) {
            let out = self.buffer(Rows::TokenPairs, heads, "attentions");
            self.step(Step::AttentionProbabilities {
                qkv,
                heads,
                head_dim,
                scale,
                window,
                relative_bias,
                out,
            });
            self.output(OutputKind::Attentions(layer), out);
        }
        let out = self.buffer(Rows::Tokens, heads * head_dim, "context");
        self.step(Step::Attention { qkv, heads, head_dim, scale, window, relative_bias, out });
        out
    }

    /// Marks a buffer as an output: it is read back and never reused.
    pub fn output(&mut self, kind: OutputKind, buffer: BufferId) {
        self.pinned.insert(buffer);
        self.outputs.push(Output { kind, buffer });
    }

    /// Called by a family with the hidden state of every layer (0 = embeddings): reads it back or pools it as the
    /// request says, and tells whether to go on.
    pub fn hidden_state(&mut self, layer: usize, hidden: BufferId) -> ControlFlow<()> {
        if self.hidden_states.contains(&layer) {
            self.output(OutputKind::HiddenState(layer), hidden);
        }
        if let Some(embeddings) = &self.request.embeddings {
            self.pool_layer(embeddings, layer, hidden);
        }
        if layer >= self.last_layer_needed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn pool_layer(&mut self, embeddings: &EmbeddingRequest, layer: usize, hidden: BufferId) {
        let width = self.spec(hidden).cols;
        let per_layer = embeddings.pooling.len() * width;
        for at in self.pooled_layers.remove(&layer).unwrap_or_default() {
            let out = match self.pooled {
                Some(out) => out,
                None => {
                    let out = self.buffer(Rows::Texts, embeddings.layers.len() * per_layer, "pooled");
                    self.pinned.insert(out);
                    *self.pooled.insert(out)
                }
            };
            for (index, &pooling) in embeddings.pooling.iter().enumerate() {
                // The pooler's row is copied in by `finish`, once the family has computed it.
                if pooling != Pooling::Pooler {
                    self.step(Step::Pool { x: hidden, pooling, column: at * per_layer + index * width, out });
                }
            }
        }
    }

    /// Whether `pooler_output` is needed, for itself, as a pooling or by a head.
    pub fn needs_pooler(&self) -> bool {
        let pooled = |embeddings: &EmbeddingRequest| embeddings.pooling.contains(&Pooling::Pooler);
        self.request.pooler_output || self.request.embeddings.as_ref().is_some_and(pooled)
    }

    /// The rows of the first tokens, `[texts, cols]`.
    pub fn first_tokens(&mut self, hidden: BufferId) -> BufferId {
        let cols = self.spec(hidden).cols;
        let out = self.buffer(Rows::Texts, cols, "first_tokens");
        self.step(Step::GatherRows { x: hidden, index: RowIndex::FirstToken, out });
        out
    }

    /// The rows in [`PackedBatch::selected`](crate::text::PackedBatch::selected), `[selected, cols]`.
    pub fn selected_rows(&mut self, hidden: BufferId) -> BufferId {
        let cols = self.spec(hidden).cols;
        let out = self.buffer(Rows::Selected, cols, "selected_rows");
        self.step(Step::GatherRows { x: hidden, index: RowIndex::Selected, out });
        out
    }

    /// Ends the plan: pooler output, mixing of layers, modules, normalisation.
    ///
    /// `pooler` is the family's pooler output, if it has one and [`needs_pooler`](Self::needs_pooler) said so.
    ///
    /// # Errors
    /// The pooler was asked for and the family or checkpoint has none; or the steps do not agree (see [`Plan::new`]).
    pub fn finish(mut self, pooler: Option<BufferId>) -> Result<Plan> {
        if self.needs_pooler() && pooler.is_none() {
            return Err(Error::input(format!(
                "pooler_output was asked for, but {} has no pooler; choose pooling cls or mean",
                self.config.family.name()
            )));
        }
        if let Some(pooler) = pooler
            && self.request.pooler_output
        {
            self.output(OutputKind::PoolerOutput, pooler);
        }
        if let Some(embeddings) = &self.request.embeddings {
            self.finish_embeddings(embeddings, pooler)?;
        }
        Plan::new(self.steps, self.buffers, self.weights, self.outputs)
    }

    fn finish_embeddings(&mut self, embeddings: &EmbeddingRequest, pooler: Option<BufferId>) -> Result<()> {
        let Some(mut x) = self.pooled else {
            return Err(Error::input("embeddings were asked for, but no layer was pooled"));
        };
        let blocks = embeddings.layers.len();
        let per_layer = self.spec(x).cols / blocks;
        if let Some(pooler) = pooler {
            let width = self.spec(pooler).cols;
            for (index, &pooling) in embeddings.pooling.iter().enumerate() {
                if pooling == Pooling::Pooler {
                    // Every layer asked for is the last one, however often.
                    for block in 0..blocks {
                        let column = block * per_layer + index * width;
                        self.step(Step::Pool { x: pooler, pooling, column, out: x });
                    }
                }
            }
        }
        if embeddings.mix == LayerMix::Mean && blocks > 1 {
            let out = self.buffer(Rows::Texts, per_layer, "mean_of_layers");
            let weights =
                embeddings.layer_weights.as_ref().map(|name| self.vector(&[(name.clone(), blocks)]));
            self.step(Step::MeanBlocks { x, blocks, weights, out });
            x = out;
        }
        for module in &embeddings.modules {
            let width = self.spec(x).cols;
            if width != module.in_features() {
                return Err(Error::input(format!(
                    "the module {} takes {} columns, but what stands before it gives {width}; pool as the checkpoint \
                     does, or leave its modules out",
                    module.name(),
                    module.in_features()
                )));
            }
            x = match module {
                PooledModule::Dense(dense) => self.linear(
                    x,
                    std::slice::from_ref(&dense.name),
                    dense.out_features,
                    dense.bias,
                    dense.activation,
                    "dense",
                ),
                PooledModule::LayerNorm(PooledNorm { name, .. }) => {
                    let norm = Norm { eps: PooledNorm::EPS, ..self.norm(name, width, true) };
                    self.add_layer_norm(x, None, norm, "layer_norm")
                }
            };
        }
        let width = self.spec(x).cols;
        let dimensions = embeddings.dimensions.unwrap_or(width);
        if dimensions == 0 || dimensions > width {
            return Err(Error::input(format!(
                "{dimensions} dimensions were asked for, but the embedding has {width}"
            )));
        }
        if embeddings.normalize {
            let out = self.buffer(Rows::Texts, dimensions, "normalized");
            self.step(Step::NormalizeRows { x, out });
            x = out;
        }
        self.output(OutputKind::Embeddings, x);
        Ok(())
    }
}

fn last_layer_needed(config: &Config, request: &Request) -> usize {
    if request.pooler_output || request.head.is_some() {
        return config.layers;
    }
    let pooled = request.embeddings.iter().flat_map(|embeddings| embeddings.layers.iter().copied());
    let attentions = request.attentions.iter().map(|layer| layer + 1);
    pooled.chain(request.hidden_states.iter().copied()).chain(attentions).max().unwrap_or(0)
}
