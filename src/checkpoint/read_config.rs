//! Reads config.json.

use super::json::Object;
use crate::error::{Error, Result};
use crate::model::{Activation, ClassifierPooling, Config, Family, LayerAttention, ProblemType};
use serde_json::Value;

impl Config {
    /// Reads config.json. `file` names it in messages. Defaults are those of the family's config class in transformers.
    /// [`has_pooler`](Self::has_pooler) is left false: only the tensors tell.
    ///
    /// # Errors
    /// Not JSON, an unknown `model_type`, a size that is missing or impossible, or a variant of the family that is not
    /// computed here (relative positions, a decoder, scaled rotary positions).
    pub fn from_json(bytes: &[u8], file: &str) -> Result<Self> {
        let config = Object::from_value(super::json::parse(bytes, file)?, file)?;
        let family = read_family(&config)?;
        refuse_variants(&config)?;
        let [hidden_key, layers_key, heads_key, intermediate_key] = match family {
            Family::DistilBert => ["dim", "n_layers", "n_heads", "hidden_dim"],
            _ => ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"],
        };
        let hidden = size(&config, hidden_key)?;
        let layers = size(&config, layers_key)?;
        let heads = size(&config, heads_key)?;
        let intermediate = size(&config, intermediate_key)?;
        let vocab = size(&config, "vocab_size")?;
        if hidden % heads != 0 {
            return Err(config.wrong(heads_key, &format!("a divisor of `{hidden_key}` ({hidden})")));
        }
        if layers > MOST_LAYERS {
            return Err(config.wrong(layers_key, &format!("between 1 and {MOST_LAYERS}")));
        }
        let head_dim = hidden / heads;
        if family == Family::ModernBert && head_dim % 2 != 0 {
            let expected = format!("heads of an even width, for rotary positions; {hidden} / {heads} is odd");
            return Err(config.wrong(heads_key, &expected));
        }
        let embedding_size = match family {
            Family::Electra | Family::Albert => size_or(&config, "embedding_size", 128)?,
            _ => hidden,
        };
        let positions_default = if family == Family::ModernBert { 8192 } else { 512 };
        let max_positions = size_or(&config, "max_position_embeddings", positions_default)?;
        let pad_default = match family {
            Family::Roberta | Family::Camembert | Family::XlmRoberta | Family::MpNet => 1,
            Family::ModernBert => 50283,
            _ => 0,
        };
        // As torch's Embedding, which takes it for a row of the table.
        let pad_token_id = match config.usize("pad_token_id")? {
            Some(id) if id >= vocab => {
                return Err(config.wrong("pad_token_id", &format!("below `vocab_size` ({vocab})")));
            }
            id => id.unwrap_or(pad_default),
        };
        let position_offset = match family {
            Family::Roberta | Family::Camembert | Family::XlmRoberta => pad_token_id + 1,
            // MPNet's embeddings fix their padding row at 1, whatever the config's pad_token_id is.
            Family::MpNet => 2,
            _ => 0,
        };
        let max_tokens = max_positions
            .checked_sub(position_offset)
            .filter(|tokens| *tokens > 0)
            .ok_or_else(|| config.wrong("max_position_embeddings", &format!("over {position_offset}")))?;
        let layer_norm_eps = match family {
            Family::DistilBert => 1e-12,
            Family::ModernBert => config.f64("norm_eps")?.unwrap_or(1e-5),
            _ => config.f64("layer_norm_eps")?.unwrap_or(1e-12),
        };
        if !(0.0..1.0).contains(&layer_norm_eps) {
            return Err(config.wrong("layer_norm_eps", "between 0 and 1"));
        }
        let (activation_key, activation_default) = match family {
            Family::DistilBert => ("activation", "gelu"),
            Family::ModernBert => ("hidden_activation", "gelu"),
            Family::Albert => ("hidden_act", "gelu_new"),
            _ => ("hidden_act", "gelu"),
        };
        let modern = family == Family::ModernBert;
        let flag = |key: &str, modern_default: bool| -> Result<bool> {
            if modern { Ok(config.bool(key)?.unwrap_or(modern_default)) } else { Ok(true) }
        };
        let mut classifier = ClassifierSettings::default();
        let labels = classifier.or_default(labels(&config));
        let problem_type = classifier.or_default(problem_type(&config));
        let classifier_pooling = match config.get("classifier_pooling").filter(|_| modern).map(Value::as_str)
        {
            None | Some(Some("cls")) => ClassifierPooling::Cls,
            Some(Some("mean")) => ClassifierPooling::Mean,
            Some(_) => {
                classifier.problem(config.wrong("classifier_pooling", "cls or mean"));
                ClassifierPooling::Cls
            }
        };
        let classifier_activation = match family {
            Family::ModernBert => {
                let read = activation(&config, "classifier_activation", "gelu");
                read.unwrap_or_else(|error| {
                    classifier.problem(error);
                    Activation::Gelu
                })
            }
            // What ElectraClassificationHead and DistilBertForSequenceClassification have in their code.
            Family::Electra => Activation::Gelu,
            Family::DistilBert => Activation::Relu,
            _ => Activation::Tanh,
        };
        Ok(Config {
            family,
            architectures: names(&config, "architectures"),
            hidden,
            embedding_size,
            layers,
            heads,
            head_dim,
            intermediate,
            vocab,
            max_positions,
            position_offset,
            type_vocab: match family {
                Family::DistilBert | Family::MpNet | Family::ModernBert => 0,
                _ => match config.usize("type_vocab_size")? {
                    Some(0) => 0,
                    _ => size_or(&config, "type_vocab_size", 2)?,
                },
            },
            layer_norm_eps: layer_norm_eps as f32,
            activation: activation(&config, activation_key, activation_default)?,
            has_pooler: false,
            pad_token_id: u32::try_from(pad_token_id)
                .map_err(|_| config.wrong("pad_token_id", "a number of 32 bits"))?,
            max_tokens,
            attention: layer_attention(&config, family, layers)?,
            relative_attention_buckets: match family {
                Family::MpNet => match size_or(&config, "relative_attention_num_buckets", 32)? {
                    // Half of them for either direction, half of those for exact distances.
                    0..4 => return Err(config.wrong("relative_attention_num_buckets", "at least 4")),
                    buckets => Some(buckets),
                },
                _ => None,
            },
            layer_groups: layer_groups(&config, family, layers)?,
            norm_bias: flag("norm_bias", false)?,
            attention_bias: flag("attention_bias", false)?,
            mlp_bias: flag("mlp_bias", false)?,
            classifier_pooling,
            classifier_bias: flag("classifier_bias", false)?,
            classifier_activation,
            decoder_bias: flag("decoder_bias", true)?,
            tie_word_embeddings: config.bool("tie_word_embeddings")?.unwrap_or(true),
            labels,
            problem_type,
            classifier_problems: classifier.problems,
        })
    }
}

fn read_family(config: &Object) -> Result<Family> {
    let known = || Family::ALL.map(Family::name).join(", ");
    let Some(name) = config.str("model_type")? else {
        return Err(Error::model_file(format!(
            "cannot read {}: there is no `model_type`; add one of {}",
            config.file(),
            known()
        )));
    };
    Family::from_name(name).ok_or_else(|| {
        Error::model_file(format!(
            "cannot read {}: `model_type` is {name:?}, and the families known here are {}",
            config.file(),
            known()
        ))
    })
}

fn refuse_variants(config: &Object) -> Result<()> {
    if !matches!(config.str("position_embedding_type")?, None | Some("absolute")) {
        return Err(config.wrong("position_embedding_type", "absolute (the only kind computed here)"));
    }
    if config.bool("is_decoder")?.unwrap_or(false) {
        return Err(config.wrong("is_decoder", "false: decoders are not computed here"));
    }
    Ok(())
}

/// What belongs to a checkpoint's own classifier. What cannot be read there is kept for those who need it: embeddings do not.
#[derive(Default)]
struct ClassifierSettings {
    problems: Vec<String>,
}

impl ClassifierSettings {
    fn problem(&mut self, error: Error) {
        self.problems.push(error.to_string());
    }

    fn or_default<T: Default>(&mut self, read: Result<T>) -> T {
        read.unwrap_or_else(|error| {
            self.problem(error);
            T::default()
        })
    }
}

/// More layers than any encoder of these families has; the largest have 48.
const MOST_LAYERS: usize = 1024;

/// No size is larger: their products stay far from overflow. What a size may be beyond that, the tensors say
/// ([`sizes`](super::sizes)).
const LARGEST: usize = 1 << 24;

/// A size that must be there and must not be zero.
fn size(config: &Object, key: &str) -> Result<usize> {
    config.require_usize(key)?;
    size_or(config, key, 0)
}

/// A size that must not be zero; without one, `default`.
pub(super) fn size_or(config: &Object, key: &str, default: usize) -> Result<usize> {
    match config.usize(key)?.unwrap_or(default) {
        value @ 1..=LARGEST => Ok(value),
        _ => Err(config.wrong(key, &format!("between 1 and {LARGEST}"))),
    }
}

/// The strings of a list that nothing depends on but what a head is called.
fn names(config: &Object, key: &str) -> Vec<String> {
    let list = config.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn layer_groups(config: &Object, family: Family, layers: usize) -> Result<usize> {
    if family != Family::Albert {
        return Ok(layers);
    }
    if config.usize("inner_group_num")?.unwrap_or(1) != 1 {
        return Err(config.wrong("inner_group_num", "1 (the only kind computed here)"));
    }
    let groups = config.usize("num_hidden_groups")?.unwrap_or(1);
    if groups == 0 || groups > layers {
        return Err(config.wrong("num_hidden_groups", &format!("between 1 and the {layers} layers")));
    }
    Ok(groups)
}

/// Which layers of ModernBERT see everything and which a window, and their rotary bases: the newer `layer_types` and
/// `rope_parameters`, or the older `global_attn_every_n_layers`, `global_rope_theta`, `local_rope_theta`.
fn layer_attention(config: &Object, family: Family, layers: usize) -> Result<Vec<LayerAttention>> {
    if family != Family::ModernBert {
        return Ok(vec![LayerAttention::default(); layers]);
    }
    let every = config.usize("global_attn_every_n_layers")?.unwrap_or(3).max(1);
    let is_global: Vec<bool> = match config.strings("layer_types")? {
        None => (0..layers).map(|layer| layer % every == 0).collect(),
        Some(kinds) if kinds.len() == layers => kinds
            .iter()
            .map(|kind| match kind.as_str() {
                "full_attention" => Ok(true),
                "sliding_attention" => Ok(false),
                _ => Err(config.wrong("layer_types", "a list of full_attention and sliding_attention")),
            })
            .collect::<Result<_>>()?,
        Some(_) => return Err(config.wrong("layer_types", &format!("a list of {layers} names"))),
    };
    if config.get("rope_scaling").is_some() {
        return Err(config.wrong("rope_scaling", "absent: scaled rotary positions are not computed here"));
    }
    let parameters = config.object("rope_parameters")?;
    let theta = |kind: &str, old_key: &str, default: f64| -> Result<f32> {
        let parameters = parameters.as_ref().map(|all| all.object(kind)).transpose()?.flatten();
        let mut theta = None;
        if let Some(parameters) = parameters {
            if !matches!(parameters.str("rope_type")?, None | Some("default")) {
                return Err(parameters.wrong("rope_type", "default (the only kind computed here)"));
            }
            theta = parameters.f64("rope_theta")?;
        }
        let theta = match theta {
            Some(theta) => theta,
            None => config.f64(old_key)?.unwrap_or(default),
        };
        let theta = theta as f32;
        if !(theta > 0.0 && theta.is_finite()) {
            return Err(config.wrong(old_key, "a positive number"));
        }
        Ok(theta)
    };
    let global = theta("full_attention", "global_rope_theta", 160_000.0)?;
    let local = theta("sliding_attention", "local_rope_theta", 10_000.0)?;
    // `local_attention` is the whole window: half of it to each side.
    let window = match config.usize("local_attention")? {
        Some(window) if window > LARGEST => {
            return Err(config.wrong("local_attention", &format!("at most {LARGEST}")));
        }
        window => window.unwrap_or(128) / 2,
    };
    Ok(is_global
        .into_iter()
        .map(|is_global| match is_global {
            true => LayerAttention { window: None, rope_theta: Some(global) },
            false => LayerAttention { window: Some(window), rope_theta: Some(local) },
        })
        .collect())
}

/// `id2label`, a name for each output. Values that are no strings are named as transformers prints them, and `null` as it
/// names an output without a name; without a map, `num_labels` outputs have no names.
fn labels(config: &Object) -> Result<Vec<String>> {
    let Some(map) = config.get("id2label") else {
        let count = config.usize("num_labels")?.unwrap_or(0);
        return match count {
            0..=LARGEST => Ok((0..count).map(unnamed).collect()),
            _ => Err(config.wrong("num_labels", &format!("at most {LARGEST}"))),
        };
    };
    let expected = "an object from 0, 1, 2, ... to names";
    let wrong = || config.wrong("id2label", expected);
    let name = |id: usize, label: &Value| match label {
        Value::String(label) => Some(label.clone()),
        Value::Null => Some(unnamed(id)),
        Value::Bool(label) => Some(if *label { "True" } else { "False" }.to_owned()),
        Value::Number(label) => Some(label.to_string()),
        Value::Array(_) | Value::Object(_) => None,
    };
    let map = map.as_object().ok_or_else(wrong)?;
    let mut labels: Vec<(usize, String)> = map
        .iter()
        .map(|(id, label)| {
            let id = id.trim().parse().ok()?;
            Some((id, name(id, label)?))
        })
        .collect::<Option<_>>()
        .ok_or_else(wrong)?;
    // The file's order says nothing: "10" may stand before "2".
    labels.sort();
    if labels.iter().enumerate().any(|(at, (id, _))| at != *id) {
        return Err(wrong());
    }
    Ok(labels.into_iter().map(|(_, label)| label).collect())
}

/// What transformers calls an output without a name.
pub(super) fn unnamed(id: usize) -> String {
    format!("LABEL_{id}")
}

fn problem_type(config: &Object) -> Result<Option<ProblemType>> {
    let all = [ProblemType::SingleLabel, ProblemType::MultiLabel, ProblemType::Regression];
    let Some(name) = config.str("problem_type")? else { return Ok(None) };
    let known = all.into_iter().find(|problem| problem.name() == name);
    known.map(Some).ok_or_else(|| config.wrong("problem_type", &all.map(ProblemType::name).join(", ")))
}

fn activation(config: &Object, key: &str, default: &str) -> Result<Activation> {
    let name = config.str(key)?.unwrap_or(default);
    Activation::from_name(name).ok_or_else(|| {
        config.wrong(
            key,
            "an activation this program has: gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, relu, silu, swish, \
             quick_gelu, tanh, sigmoid, mish, relu6, leaky_relu, laplace or relu2",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(changes: Value) -> Result<Config> {
        let mut config = json!({"model_type": "bert", "hidden_size": 48, "num_hidden_layers": 4,
            "num_attention_heads": 4, "intermediate_size": 100, "vocab_size": 368});
        for (key, value) in changes.as_object().unwrap() {
            config[key] = value.clone();
        }
        Config::from_json(config.to_string().as_bytes(), "config.json")
    }

    #[test]
    fn an_unknown_family_lists_the_known_ones() {
        let message = read(json!({"model_type": "gpt2"})).unwrap_err().to_string();
        for name in ["gpt2", "bert", "xlm-roberta", "modernbert"] {
            assert!(message.contains(name), "{message}");
        }
        assert!(read(json!({"model_type": null})).unwrap_err().is_model_file());
    }

    #[test]
    fn impossible_sizes_are_named() {
        for (key, value) in [
            ("hidden_size", json!(0)),
            ("hidden_size", json!(50)),
            ("num_hidden_layers", json!("six")),
            ("vocab_size", json!(-1)),
            ("vocab_size", Value::Null),
            ("layer_norm_eps", json!(2)),
            ("hidden_act", json!("gelu_10")),
            ("position_embedding_type", json!("relative_key")),
            ("is_decoder", json!(true)),
            ("hidden_size", json!(1u64 << 40)),
            ("num_hidden_layers", json!(20_000)),
            ("num_attention_heads", json!(0)),
            ("intermediate_size", json!((1 << 24) + 1)),
            ("max_position_embeddings", json!(0)),
            ("type_vocab_size", json!(1u64 << 33)),
            ("pad_token_id", json!(1u64 << 32)),
            ("pad_token_id", json!(368)),
            ("layer_norm_eps", json!(-1e-12)),
        ] {
            let error = read(json!({key: value.clone()})).unwrap_err();
            assert!(error.is_model_file());
            let named = if value == json!(50) { "num_attention_heads" } else { key };
            assert!(error.to_string().contains(named), "{error}");
        }
    }

    #[test]
    fn sizes_of_one_family_are_bounded_too() {
        for (family, key, value) in [
            ("mpnet", "relative_attention_num_buckets", json!(0)),
            ("mpnet", "relative_attention_num_buckets", json!(1)),
            ("mpnet", "relative_attention_num_buckets", json!(1u64 << 40)),
            ("electra", "embedding_size", json!(0)),
            ("albert", "embedding_size", json!(1u64 << 25)),
            ("albert", "num_hidden_groups", json!(5)),
            ("roberta", "max_position_embeddings", json!(2)),
            ("modernbert", "num_attention_heads", json!(16)),
            ("modernbert", "local_attention", json!(u64::MAX)),
            ("modernbert", "global_rope_theta", json!(1e300)),
            ("modernbert", "local_rope_theta", json!(0)),
        ] {
            let error = read(json!({"model_type": family, key: value})).unwrap_err();
            assert!(error.to_string().contains(key), "{family} {key}: {error}");
        }
    }

    #[test]
    fn what_belongs_to_a_classifier_is_an_error_for_those_alone_who_need_it() {
        for (changes, labels) in [
            (json!({"id2label": {"0": 0, "1": 1}}), vec!["0", "1"]),
            (json!({"id2label": {"0": null, " 1": true}}), vec!["LABEL_0", "True"]),
            (json!({"num_labels": 3}), vec!["LABEL_0", "LABEL_1", "LABEL_2"]),
            (json!({"architectures": "BertModel"}), vec![]),
        ] {
            let config = read(changes).unwrap();
            assert_eq!(config.labels, labels);
            assert!(config.classifier_problems.is_empty());
        }
        for (key, value) in [
            ("id2label", json!({"0": "a", "2": "b"})),
            ("id2label", json!({"1": "a", "2": "b"})),
            ("id2label", json!({"a": 0})),
            ("id2label", json!({"0": ["a"]})),
            ("id2label", json!(["a", "b"])),
            ("id2label", json!("a")),
            ("num_labels", json!("two")),
            ("num_labels", json!(u64::MAX)),
            ("problem_type", json!("ranking")),
            ("problem_type", json!(3)),
        ] {
            let config = read(json!({key: value})).unwrap();
            assert_eq!(config.classifier_problems.len(), 1, "{key}");
            assert!(config.classifier_problems[0].contains(key), "{key}");
        }
        let modern =
            json!({"model_type": "modernbert", "classifier_pooling": "max", "classifier_activation": 1});
        assert_eq!(read(modern).unwrap().classifier_problems.len(), 2);
    }

    #[test]
    fn labels_come_in_numeric_order() {
        let map: Value = (0..12).rev().map(|id| (id.to_string(), json!(format!("l{id}")))).collect();
        let labels = read(json!({"id2label": map})).unwrap().labels;
        assert_eq!(labels[2], "l2");
        assert_eq!(labels[11], "l11");
    }

    #[test]
    fn roberta_positions_start_after_the_padding_row() {
        let config = read(json!({"model_type": "roberta", "max_position_embeddings": 514})).unwrap();
        assert_eq!((config.position_offset, config.max_tokens), (2, 512));
        assert!(read(json!({"model_type": "roberta", "max_position_embeddings": 2})).is_err());
    }

    #[test]
    fn modernbert_reads_old_and_new_layouts() {
        let old = read(json!({"model_type": "modernbert", "global_attn_every_n_layers": 3,
            "local_attention": 16, "global_rope_theta": 160000.0, "local_rope_theta": 10000.0}))
        .unwrap();
        let new = read(json!({"model_type": "modernbert", "local_attention": 16,
            "layer_types": ["full_attention", "sliding_attention", "sliding_attention", "full_attention"],
            "rope_parameters": {"full_attention": {"rope_theta": 160000.0, "rope_type": "default"},
                                "sliding_attention": {"rope_theta": 10000.0}}}))
        .unwrap();
        assert_eq!(old, new);
        assert_eq!(new.attention[0], LayerAttention { window: None, rope_theta: Some(160_000.0) });
        assert_eq!(new.attention[1], LayerAttention { window: Some(8), rope_theta: Some(10_000.0) });
        let scaled = json!({"full_attention": {"rope_type": "yarn"}});
        assert!(read(json!({"model_type": "modernbert", "rope_parameters": scaled})).is_err());
    }
}
