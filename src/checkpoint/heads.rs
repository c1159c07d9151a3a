//! Which heads a checkpoint has, told from its tensors.

use super::Weights;
use crate::model::HeadKind;
use crate::model::{Config, Family};

/// A head that is there.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PretrainedHead {
    /// Which.
    pub kind: HeadKind,
    /// The tensor that shows it.
    pub evidence: String,
    /// Number of outputs: labels of a classifier, the vocabulary of a language model.
    pub outputs: usize,
}

/// The heads of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Heads {
    heads: Vec<PretrainedHead>,
    /// Tensors outside the encoder that belong to no head known here, without `.weight` and `.bias`: those of a
    /// question-answering head, say.
    pub other: Vec<String>,
}

impl Heads {
    /// The head of this kind, if it is there.
    pub fn get(&self, kind: HeadKind) -> Option<&PretrainedHead> {
        self.heads.iter().find(|head| head.kind == kind)
    }

    /// Whether there is a head of this kind.
    pub fn has(&self, kind: HeadKind) -> bool {
        self.get(kind).is_some()
    }

    /// All of them, in the order of [`HeadKind`].
    pub fn iter(&self) -> impl Iterator<Item = &PretrainedHead> {
        self.heads.iter()
    }

    pub(super) fn detect(config: &Config, weights: &Weights) -> Self {
        let mut heads = Heads::default();
        let mut add = |kind: HeadKind, evidence: &str, outputs: Option<usize>| {
            let rows = weights.shape(evidence).and_then(|shape| shape.first().copied());
            if let Some(outputs) = rows.map(|rows| outputs.unwrap_or(rows)) {
                heads.heads.push(PretrainedHead { kind, evidence: evidence.to_owned(), outputs });
            }
        };
        let pooler = if config.family == Family::Albert { "pooler.weight" } else { "pooler.dense.weight" };
        add(HeadKind::Pooler, pooler, None);
        if let Some(evidence) = masked_lm(config, weights) {
            add(HeadKind::MaskedLm, evidence, Some(config.vocab));
        }
        if config.family == Family::Bert {
            add(HeadKind::NextSentence, "cls.seq_relationship.weight", None);
        }
        if let Some((kind, evidence)) = classifier(config, weights) {
            add(kind, evidence, None);
        }
        heads.other = heads.unclaimed(weights);
        heads
    }

    fn unclaimed(&self, weights: &Weights) -> Vec<String> {
        let known = |name: &str| {
            is_encoder(name)
                || match name.split('.').next().unwrap_or_default() {
                    "cls" => {
                        let nsp = name.starts_with("cls.seq_relationship");
                        self.has(if nsp { HeadKind::NextSentence } else { HeadKind::MaskedLm })
                    }
                    "lm_head"
                    | "vocab_transform"
                    | "vocab_layer_norm"
                    | "vocab_projector"
                    | "predictions"
                    | "generator_predictions"
                    | "generator_lm_head"
                    | "decoder" => self.has(HeadKind::MaskedLm),
                    "pre_classifier" => self.has(HeadKind::Sequence),
                    "classifier" => self.has(HeadKind::Sequence) || self.has(HeadKind::Token),
                    // ModernBERT's heads share this layer.
                    "head" => self.heads.iter().any(|head| head.kind != HeadKind::Pooler),
                    _ => false,
                }
        };
        let mut other: Vec<String> = weights
            .names()
            .filter(|name| !known(name))
            .map(|name| name.rsplit_once('.').map_or(name, |(layer, _)| layer).to_owned())
            .collect();
        other.dedup();
        other
    }
}

/// Whether a tensor belongs to the encoder, its pooler, or a sentence-transformers module.
pub(crate) fn is_encoder(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or_default();
    let parts =
        ["embeddings", "embeddings_project", "encoder", "transformer", "layers", "final_norm", "pooler"];
    parts.contains(&first) || name.contains('/')
}

/// The tensor that shows a masked-language-model head.
fn masked_lm(config: &Config, weights: &Weights) -> Option<&'static str> {
    let evidence = match config.family {
        Family::Bert => "cls.predictions.transform.dense.weight",
        Family::Roberta | Family::Camembert | Family::XlmRoberta | Family::MpNet => "lm_head.dense.weight",
        Family::DistilBert => "vocab_transform.weight",
        Family::Electra => "generator_predictions.dense.weight",
        Family::Albert => "predictions.dense.weight",
        Family::Static => return None,
        // A classifier of ModernBERT has `head.dense` too; the decoder's bias is tied to nothing, so it is saved,
        // and only a config that turned it off needs the class name.
        Family::ModernBert => {
            let decodes = weights.has("decoder.bias") || weights.has("decoder.weight");
            let named = names_class(config, "ForMaskedLM") && !weights.has("classifier.weight");
            return (decodes || named).then_some("head.dense.weight");
        }
    };
    Some(evidence)
}

/// The classifier, told apart by its tensors where they differ and by the class name where they do not.
fn classifier(config: &Config, weights: &Weights) -> Option<(HeadKind, &'static str)> {
    if ["ForMultipleChoice", "ForQuestionAnswering"].iter().any(|class| names_class(config, class)) {
        return None;
    }
    if weights.has("classifier.out_proj.weight") {
        return Some((HeadKind::Sequence, "classifier.out_proj.weight"));
    }
    let by_name = if names_class(config, "ForTokenClassification") {
        Some(HeadKind::Token)
    } else if names_class(config, "ForSequenceClassification") {
        Some(HeadKind::Sequence)
    } else {
        None
    };
    let by_tensors = || match config.family {
        Family::DistilBert if weights.has("pre_classifier.weight") => HeadKind::Sequence,
        // Their sequence classifiers have an `out_proj`.
        Family::Roberta | Family::Camembert | Family::XlmRoberta | Family::Electra | Family::MpNet => {
            HeadKind::Token
        }
        Family::ModernBert => HeadKind::Sequence,
        // BertForTokenClassification is built without a pooler, BertForSequenceClassification reads it.
        Family::Bert | Family::Albert
            if weights.has("pooler.dense.weight") || weights.has("pooler.weight") =>
        {
            HeadKind::Sequence
        }
        _ => HeadKind::Token,
    };
    weights.has("classifier.weight").then(|| (by_name.unwrap_or_else(by_tensors), "classifier.weight"))
}

fn names_class(config: &Config, class: &str) -> bool {
    config.architectures.iter().any(|architecture| architecture.ends_with(class))
}
