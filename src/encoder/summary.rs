//! What a checkpoint holds, in words: `frostbert inspect`.

use crate::checkpoint::is_encoder;
use crate::checkpoint::{Checkpoint, Heads, PretrainedHead};
use crate::model::{Family, HeadKind};
use crate::model::{PooledModule, Pooling, WeightKind};
use crate::plan::{Plan, Request, families};
use crate::text::PackedBatch;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// What was understood of a checkpoint. `Display` prints it for people, `Serialize` for programs.
///
/// ```no_run
/// println!("{}", frostbert::Checkpoint::open("all-MiniLM-L6-v2")?.summary(16_384));
/// # Ok::<(), frostbert::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Where it is.
    pub location: String,
    /// `model_type`.
    pub family: &'static str,
    /// `architectures` of config.json.
    pub architectures: Vec<String>,
    /// The class of transformers that loads all of it: `BertForPreTraining`.
    pub class: String,
    /// What to make of that, in a sentence or two.
    pub advice: String,
    /// Number of layers.
    pub layers: usize,
    /// Width of a hidden state.
    pub hidden: usize,
    /// Attention heads per layer.
    pub attention_heads: usize,
    /// Width inside the feed-forward network.
    pub intermediate: usize,
    /// Rows of the word-embedding table.
    pub vocab: usize,
    /// Longest input in tokens, special tokens included.
    pub max_tokens: usize,
    /// Tokens for which the encoder has positions.
    pub max_positions: usize,
    /// The activation inside the feed-forward network.
    pub activation: &'static str,
    /// Numbers in the checkpoint.
    pub parameters: usize,
    /// Numbers in encoder, pooler and Dense modules.
    pub encoder_parameters: usize,
    /// `f32`, `f16`, `bf16` or `f64`; none: stored in a way that is not read here.
    pub stored_type: Option<&'static str>,
    /// The heads that are there.
    pub heads: Heads,
    /// Names of a classifier's outputs.
    pub labels: Vec<String>,
    /// What a classifier's logits mean, where the config says.
    pub problem_type: Option<&'static str>,
    /// Whether there is a modules.json of sentence-transformers.
    pub sentence_transformers: bool,
    /// Poolings of the checkpoint's own embedding, side by side.
    pub pooling: Vec<Pooling>,
    /// Widths of the Dense modules after it.
    pub dense: Vec<usize>,
    /// What follows it, in order: `dense to 20`, `layer norm`.
    pub after_pooling: Vec<String>,
    /// The first of the layers whose weighted mean is pooled, up to the last; none where it is the last layer alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weighted_layers_from: Option<usize>,
    /// Whether the embedding has unit length.
    pub normalize: bool,
    /// Numbers in one embedding.
    pub dimensions: usize,
    /// Prompts by name.
    pub prompts: BTreeMap<String, String>,
    /// The prompt that is put before every input.
    pub default_prompt_name: Option<String>,
    /// Whether a prompt's tokens are pooled.
    pub include_prompt: bool,
    /// Memory of the device; none for a family whose steps are not built.
    pub memory: Option<Memory>,
    /// What is odd about it.
    pub notes: Vec<String>,
}

/// Memory that the checkpoint's own embedding needs on the device, in bytes: weights, and one batch's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Tokens in a batch.
    pub batch_tokens: usize,
    /// Weights as f32.
    pub weights_f32_bytes: u64,
    /// Weights with matrices and tables as f16 and vectors as f32.
    pub weights_f16_bytes: u64,
    /// Buffers of one batch, f32 in either case; each batch in flight has its own.
    pub batch_bytes: u64,
}

impl Memory {
    fn of(plan: &Plan, batch_tokens: usize, max_tokens: usize) -> Self {
        let mut batch = PackedBatch::new();
        let mut left = batch_tokens;
        while left > 0 {
            let len = left.min(max_tokens);
            batch.push(&vec![0; len], &vec![0; len], 0);
            left -= len;
        }
        let weights = |half: bool| -> u64 {
            let bytes = plan.weights().iter().map(|spec| {
                let size = if half && spec.kind != WeightKind::Vector { 2 } else { 4 };
                (spec.len() * size) as u64
            });
            bytes.sum()
        };
        let buffers: usize =
            plan.buffers().iter().map(|buffer| buffer.rows.count(&batch) * buffer.cols).sum::<usize>() * 4;
        // Ids, types, positions and cumulative lengths.
        let inputs = (3 * batch.tokens() + batch.cu_seqlens.len()) * 4;
        Memory {
            batch_tokens,
            weights_f32_bytes: weights(false),
            weights_f16_bytes: weights(true),
            batch_bytes: (buffers + inputs) as u64,
        }
    }
}

impl Checkpoint {
    /// What it holds. `batch_tokens` is the budget that the memory is told for.
    pub fn summary(&self, batch_tokens: usize) -> Summary {
        let config = self.config();
        let embedding = self.embedding_request();
        let modules = self.modules();
        let request = Request { embeddings: Some(embedding.clone()), ..Request::default() };
        let plan = families::plan(config, &request).ok();
        let classifier =
            [HeadKind::Sequence, HeadKind::Token].into_iter().find(|kind| self.heads().has(*kind));
        let mut notes = self.notes();
        let labels = classifier.map(|kind| self.labels(kind)).transpose().unwrap_or_else(|error| {
            notes.push(error.to_string());
            None
        });
        Summary {
            location: self.location(),
            family: config.family.name(),
            architectures: config.architectures.clone(),
            class: self.class(),
            advice: self.advice(),
            layers: config.layers,
            hidden: config.hidden,
            attention_heads: config.heads,
            intermediate: config.intermediate,
            vocab: config.vocab,
            max_tokens: self.max_tokens(),
            max_positions: config.max_tokens,
            activation: config.activation.name(),
            parameters: self.weights().parameters(),
            encoder_parameters: self.weights().parameters_of(is_encoder),
            stored_type: self.weights().stored_type().map(crate::checkpoint::StoredType::name),
            heads: self.heads().clone(),
            labels: labels.unwrap_or_default(),
            problem_type: config.problem_type.map(crate::model::ProblemType::name),
            sentence_transformers: modules.is_some(),
            dimensions: {
                let pooled = embedding.pooling.len() * config.hidden;
                let width = embedding.modules.last().map_or(pooled, PooledModule::out_features);
                let kept = modules.and_then(|modules| modules.truncate_dim);
                kept.map_or(width, |kept| kept.min(width))
            },
            dense: (embedding.modules.iter())
                .filter_map(|module| match module {
                    PooledModule::Dense(dense) => Some(dense.out_features),
                    _ => None,
                })
                .collect(),
            after_pooling: (embedding.modules.iter())
                .map(|module| match module {
                    PooledModule::Dense(dense) => format!("dense to {}", dense.out_features),
                    PooledModule::LayerNorm(_) => "layer norm".to_owned(),
                })
                .collect(),
            weighted_layers_from: embedding.layer_weights.is_some().then(|| embedding.layers[0]),
            pooling: embedding.pooling,
            normalize: embedding.normalize,
            prompts: modules.map(|modules| modules.prompts.clone()).unwrap_or_default(),
            default_prompt_name: modules.and_then(|modules| modules.default_prompt_name.clone()),
            include_prompt: modules.is_none_or(|modules| modules.include_prompt),
            memory: plan.map(|plan| Memory::of(&plan, batch_tokens, self.max_tokens())),
            notes,
        }
    }

    /// The class of transformers that loads every tensor.
    fn class(&self) -> String {
        if self.config().family == Family::Static {
            return self.config().family.class_prefix().to_owned();
        }
        let has = |kind| self.heads().has(kind);
        let named = self.config().architectures.first();
        let suffix = match (has(HeadKind::MaskedLm), has(HeadKind::NextSentence)) {
            (true, true) => "ForPreTraining",
            (true, false) => "ForMaskedLM",
            (false, true) => "ForNextSentencePrediction",
            _ if has(HeadKind::Sequence) => "ForSequenceClassification",
            _ if has(HeadKind::Token) => "ForTokenClassification",
            // A head that is not known here: the config knows better.
            _ if !self.heads().other.is_empty() && named.is_some() => {
                return named.cloned().unwrap_or_default();
            }
            _ => "Model",
        };
        format!("{}{suffix}", self.config().family.class_prefix())
    }

    fn advice(&self) -> String {
        let class = self.class();
        if self.config().family == Family::Static {
            return format!(
                "{class} of sentence-transformers loads it: a table of token vectors, whose mean is a text's embedding. There \
                 is no transformer."
            );
        }
        let model = format!("{}Model", self.config().family.class_prefix());
        let pooler = match self.heads().has(HeadKind::Pooler) {
            true => " with its pooler",
            false => "",
        };
        if class == model {
            return format!("{model} loads all of it: the encoder{pooler}.");
        }
        let heads: Vec<&str> =
            self.heads().iter().map(|head| head.kind.name()).filter(|name| *name != "pooler").collect();
        let heads = match heads.is_empty() {
            true => "a head that is not known here".to_owned(),
            false => format!("its head for {}", heads.join(" and the one for ")),
        };
        format!(
            "{class} loads all of it: the encoder{pooler}, and {heads}. For embeddings {model} is enough, which leaves \
             the rest out."
        )
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![];
        let heads = self.heads();
        let promised = [
            ("ForPreTraining", HeadKind::MaskedLm),
            ("ForMaskedLM", HeadKind::MaskedLm),
            ("ForNextSentencePrediction", HeadKind::NextSentence),
            ("ForSequenceClassification", HeadKind::Sequence),
            ("ForTokenClassification", HeadKind::Token),
        ];
        for class in &self.config().architectures {
            let missing = |(suffix, kind): &&(&str, HeadKind)| class.ends_with(suffix) && !heads.has(*kind);
            if let Some((_, kind)) = promised.iter().find(missing) {
                notes.push(format!(
                    "config.json names {class}, but the tensors of its {} head are not there",
                    kind.name()
                ));
            }
        }
        if !heads.other.is_empty() {
            notes.push(format!("tensors that are not used here: {}", heads.other.join(", ")));
        }
        if self.modules().is_none() {
            notes.push(
                "no modules.json: how to pool is not said; the mean over all tokens, not normalised, is the default"
                    .to_owned(),
            );
        }
        notes
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: String| writeln!(f, "{name:<12}{value}");
        line("model", self.location.clone())?;
        line("family", format!("{} ({})", self.family, self.class))?;
        line(
            "encoder",
            match self.layers {
                0 => format!("a table of {} token vectors of width {}, no layers", self.vocab, self.hidden),
                _ => format!(
                    "{} layers of width {}, {} attention heads, feed-forward {} ({}), vocabulary {}",
                    self.layers,
                    self.hidden,
                    self.attention_heads,
                    self.intermediate,
                    self.activation,
                    self.vocab
                ),
            },
        )?;
        let stored = self.stored_type.unwrap_or("a type that is not read here");
        line(
            "parameters",
            match self.parameters == self.encoder_parameters {
                true => format!("{}, stored as {stored}", self.parameters),
                false => format!(
                    "{} ({} without heads), stored as {stored}",
                    self.parameters, self.encoder_parameters
                ),
            },
        )?;
        line("heads", self.heads_line())?;
        line("input", format!("{} tokens at most ({} positions)", self.max_tokens, self.max_positions))?;
        line("embedding", self.embedding_line())?;
        for (name, prompt) in &self.prompts {
            let default = if self.default_prompt_name.as_ref() == Some(name) { " (default)" } else { "" };
            line("prompt", format!("{name}: {prompt:?}{default}"))?;
        }
        if let Some(memory) = self.memory {
            line(
                "memory",
                format!(
                    "weights {} as f32, {} as f16; {} for each batch of {} tokens",
                    mebibytes(memory.weights_f32_bytes),
                    mebibytes(memory.weights_f16_bytes),
                    mebibytes(memory.batch_bytes),
                    memory.batch_tokens
                ),
            )?;
        }
        line("class", self.advice.clone())?;
        for note in &self.notes {
            line("note", note.clone())?;
        }
        Ok(())
    }
}

impl Summary {
    fn heads_line(&self) -> String {
        let describe = |head: &PretrainedHead| match head.kind {
            HeadKind::Sequence | HeadKind::Token => {
                let problem = self.problem_type.map(|problem| format!(", {problem}")).unwrap_or_default();
                format!("{} ({}{problem})", head.kind.name(), shorten(&self.labels, 8))
            }
            kind => kind.name().to_owned(),
        };
        match self.heads.iter().map(describe).collect::<Vec<_>>() {
            none if none.is_empty() => "none".to_owned(),
            some => some.join(", "),
        }
    }

    fn embedding_line(&self) -> String {
        let pooling: Vec<&str> = self.pooling.iter().map(|pooling| pooling.name()).collect();
        let modules: String = self.after_pooling.iter().map(|module| format!(", {module}")).collect();
        let unit = if self.normalize { ", unit length" } else { "" };
        let prompt = if self.include_prompt { "" } else { ", prompts not pooled" };
        let layers = self.weighted_layers_from.map_or(String::new(), |first| {
            format!(" of the weighted mean of layers {first} to {}", self.layers)
        });
        format!("{} dimensions: {}{layers}{modules}{unit}{prompt}", self.dimensions, pooling.join(" + "))
    }
}

fn shorten(labels: &[String], most: usize) -> String {
    match labels.len() > most {
        true => format!("{}, … {} labels", labels[..most].join(", "), labels.len()),
        false => labels.join(", "),
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64)
}
