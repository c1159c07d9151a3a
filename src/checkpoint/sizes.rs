//! The sizes in config.json against the tensors: whatever is planned or allocated by a size has been found in the weights.

use super::Weights;
use crate::error::{Error, Result};
use crate::model::{Config, Family};

/// Checks every size that a plan of the encoder is made from. What else a plan asks for is checked tensor by tensor when
/// it is loaded.
///
/// # Errors
/// A tensor of another size than config.json says, or fewer layers than it says. A tensor that is not there at all is left
/// to the loading of a plan, which says which it is: some outputs do without.
pub(super) fn check(config: &Config, weights: &Weights, file: &str) -> Result<()> {
    let names = Names::of(config.family);
    let stored = stored_layers(weights, names.layers);
    if config.layer_groups > stored {
        let key = match config.family {
            Family::DistilBert => "n_layers",
            Family::Albert => "num_hidden_groups",
            _ => "num_hidden_layers",
        };
        return Err(Error::model_file(format!(
            "cannot read {file}: `{key}` is {}, but the weights in {} are those of {stored}; config and weights do not \
             belong together",
            config.layer_groups,
            weights.files().location()
        )));
    }
    let (hidden, inner) = (config.hidden, config.heads * config.head_dim);
    let width = config.embedding_size;
    let mut expected = vec![(names.words.to_owned(), vec![config.vocab, width])];
    if let Some(positions) = names.positions {
        expected.push((positions.to_owned(), vec![config.max_positions, width]));
    }
    if let Some(types) = names.types {
        expected.push((types.to_owned(), vec![config.type_vocab, width]));
    }
    if let Some(projection) = names.projection {
        expected.push((projection.to_owned(), vec![hidden, width]));
    }
    if let Some(buckets) = config.relative_attention_buckets {
        let name = "encoder.relative_attention_bias.weight".to_owned();
        expected.push((name, vec![buckets, config.heads]));
    }
    if stored > 0 {
        let gated = config.family == Family::ModernBert;
        let (query, up) =
            if gated { (3 * inner, 2 * config.intermediate) } else { (inner, config.intermediate) };
        let first = format!("{}0.{}", names.layers, names.inside);
        expected.push((format!("{first}{}", names.query), vec![query, hidden]));
        expected.push((format!("{first}{}", names.up), vec![up, hidden]));
    }
    for (name, shape) in expected {
        match weights.shape(&name) {
            Some(found) if found != shape => {
                return Err(Error::model_file(format!(
                    "cannot read {file}: it calls for the tensor {name} of shape {shape:?}, found {found:?} in {}; config \
                     and weights do not belong together",
                    weights.files().location()
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Names of the tensors that have a size of the config in their shape.
struct Names {
    words: &'static str,
    positions: Option<&'static str>,
    types: Option<&'static str>,
    /// From the embeddings' width to the hidden state's.
    projection: Option<&'static str>,
    /// Before a layer's number.
    layers: &'static str,
    /// Between a layer's number and the names below.
    inside: &'static str,
    query: &'static str,
    up: &'static str,
}

impl Names {
    fn of(family: Family) -> Self {
        let bert = Names {
            words: "embeddings.word_embeddings.weight",
            positions: Some("embeddings.position_embeddings.weight"),
            types: Some("embeddings.token_type_embeddings.weight"),
            projection: None,
            layers: "encoder.layer.",
            inside: "",
            query: "attention.self.query.weight",
            up: "intermediate.dense.weight",
        };
        match family {
            Family::Bert | Family::Roberta | Family::Camembert | Family::XlmRoberta => bert,
            Family::Static => Names { positions: None, types: None, ..bert },
            Family::Electra => Names { projection: Some("embeddings_project.weight"), ..bert },
            Family::DistilBert => Names {
                types: None,
                layers: "transformer.layer.",
                query: "attention.q_lin.weight",
                up: "ffn.lin1.weight",
                ..bert
            },
            Family::Albert => Names {
                projection: Some("encoder.embedding_hidden_mapping_in.weight"),
                layers: "encoder.albert_layer_groups.",
                inside: "albert_layers.0.",
                query: "attention.query.weight",
                up: "ffn.weight",
                ..bert
            },
            Family::MpNet => Names { types: None, query: "attention.attn.q.weight", ..bert },
            Family::ModernBert => Names {
                words: "embeddings.tok_embeddings.weight",
                positions: None,
                types: None,
                layers: "layers.",
                query: "attn.Wqkv.weight",
                up: "mlp.Wi.weight",
                ..bert
            },
        }
    }
}

/// How many layers the weights have, by the numbers in the names: layer 0 without a gap.
fn stored_layers(weights: &Weights, prefix: &str) -> usize {
    let mut numbers: Vec<usize> = weights
        .names()
        .filter_map(|name| name.strip_prefix(prefix)?.split('.').next()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.iter().enumerate().take_while(|(at, number)| at == *number).count()
}
