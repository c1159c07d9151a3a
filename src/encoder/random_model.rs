//! Checkpoints with random weights: any size of BERT, for measurements, without a download.

use crate::error::{Error, Result};
use crate::model::Config;
use crate::model::{WeightPart, WeightSource, WeightSpec};
use crate::plan::{RandomWeights, Request, families};
use safetensors::{Dtype, View};
use serde_json::json;
use std::borrow::Cow;
use std::path::Path;
use std::str::FromStr;

/// The sizes of a BERT.
///
/// ```
/// use frostbert::RandomModel;
/// let base: RandomModel = "bert-base".parse()?;
/// assert_eq!((base.hidden, base.layers, base.heads), (768, 12, 12));
/// # Ok::<(), frostbert::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomModel {
    /// Width of the hidden states.
    pub hidden: usize,
    /// Number of layers.
    pub layers: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// Width of the feed-forward layer.
    pub intermediate: usize,
    /// Seeds the weights.
    pub seed: u64,
}

/// Sizes by name: hidden, layers, heads. The feed-forward layer is four times as wide as the hidden states.
const SIZES: [(&str, usize, usize, usize); 8] = [
    ("bert-tiny", 128, 2, 2),
    ("bert-mini", 256, 4, 4),
    ("bert-small", 512, 4, 8),
    ("bert-medium", 512, 8, 8),
    ("minilm-l6", 384, 6, 12),
    ("minilm-l12", 384, 12, 12),
    ("bert-base", 768, 12, 12),
    ("bert-large", 1024, 24, 16),
];

const VOCAB: usize = 30_522;

/// Words of the vocabulary, each one token, so that a text of them has as many tokens as words.
const WORDS: &str = "the a of and to in is it that this film movie story was with as for but on one not you be an are by all \
    from more like about so has if there what can much when good time even just best great little no do see way \
    life people make work new love well world every never real old big funny long end lost found house music night";

impl RandomModel {
    /// Names of the sizes.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SIZES.iter().map(|(name, ..)| *name)
    }

    /// English words that are one token each, here and in the vocabularies of most English models.
    pub fn words() -> impl Iterator<Item = &'static str> {
        WORDS.split_whitespace()
    }

    /// Writes a checkpoint as sentence-transformers lays it out (mean pooling, unit length) into an empty folder. Flat
    /// memory: one tensor at a time.
    ///
    /// # Errors
    /// The folder is not empty, or cannot be written.
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        let failed = |what: &str, error: std::io::Error| {
            Error::io(format!("cannot write {}", folder.join(what).display())).with_source(error)
        };
        std::fs::create_dir_all(folder).map_err(|error| failed("", error))?;
        if std::fs::read_dir(folder).map_err(|error| failed("", error))?.next().is_some() {
            return Err(Error::input(format!(
                "{} is not empty; name a new folder for the random model",
                folder.display()
            )));
        }
        let tensors = self.tensors()?;
        // config.json comes last: without it a folder is no checkpoint.
        safetensors::serialize_to_file(tensors, None, &folder.join("model.safetensors")).map_err(
            |error| {
                Error::io(format!("cannot write {}", folder.join("model.safetensors").display()))
                    .with_source(error)
            },
        )?;
        for (name, text) in self.texts() {
            let path = folder.join(name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(|error| failed(name, error))?;
            }
            std::fs::write(path, text).map_err(|error| failed(name, error))?;
        }
        Ok(())
    }

    fn tensors(&self) -> Result<Vec<(String, RandomTensor)>> {
        let mut config = Config::bert(self.hidden, self.layers, self.heads, self.intermediate, VOCAB);
        config.has_pooler = true;
        let request = Request { hidden_states: vec![self.layers], pooler_output: true, ..Request::default() };
        let plan = families::plan(&config, &request)?;
        let weights = RandomWeights { seed: self.seed };
        let tensor = |kind, part: &WeightPart| {
            (
                part.name.clone(),
                RandomTensor { weights, spec: WeightSpec { kind, parts: vec![part.clone()] } },
            )
        };
        Ok(plan
            .weights()
            .iter()
            .flat_map(|spec| spec.parts.iter().map(|part| tensor(spec.kind, part)))
            .collect())
    }

    fn texts(&self) -> [(&'static str, String); 6] {
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
        let letters = ('!'..='~').flat_map(|letter| [letter.to_string(), format!("##{letter}")]);
        let mut vocab: Vec<String> = special.iter().map(|token| (*token).to_owned()).chain(letters).collect();
        vocab.extend(Self::words().filter(|word| word.len() > 1).map(str::to_owned));
        let unused = VOCAB - vocab.len();
        vocab.extend((0..unused).map(|number| format!("[unused{number}]")));
        let module = |number: usize, path: &str, kind: &str| {
            json!({"idx": number, "name": number.to_string(), "path": path,
                   "type": format!("sentence_transformers.models.{kind}")})
        };
        let modules = json!([
            module(0, "", "Transformer"),
            module(1, "1_Pooling", "Pooling"),
            module(2, "2_Normalize", "Normalize")
        ]);
        let config = json!({
            "architectures": ["BertModel"], "model_type": "bert", "vocab_size": VOCAB,
            "hidden_size": self.hidden, "num_hidden_layers": self.layers, "num_attention_heads": self.heads,
            "intermediate_size": self.intermediate, "hidden_act": "gelu", "max_position_embeddings": 512,
            "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0
        });
        let pooling = json!({"word_embedding_dimension": self.hidden, "pooling_mode_mean_tokens": true});
        let tokenizer =
            json!({"tokenizer_class": "BertTokenizer", "do_lower_case": true, "model_max_length": 512});
        [
            ("vocab.txt", vocab.join("\n") + "\n"),
            ("tokenizer_config.json", tokenizer.to_string()),
            ("modules.json", modules.to_string()),
            ("1_Pooling/config.json", pooling.to_string()),
            ("sentence_bert_config.json", json!({"max_seq_length": 512}).to_string()),
            ("config.json", config.to_string()),
        ]
    }
}

impl FromStr for RandomModel {
    type Err = Error;

    /// A name, or `HIDDENxLAYERSxHEADS`.
    fn from_str(name: &str) -> Result<Self> {
        let model = |(hidden, layers, heads): (usize, usize, usize)| RandomModel {
            hidden,
            layers,
            heads,
            intermediate: 4 * hidden,
            seed: 1,
        };
        if let Some((_, hidden, layers, heads)) = SIZES.iter().find(|(known, ..)| *known == name) {
            return Ok(model((*hidden, *layers, *heads)));
        }
        let numbers: Option<Vec<usize>> = name.split('x').map(|part| part.parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[hidden, layers, heads])
                if (1..=8192).contains(&hidden)
                    && (1..=256).contains(&layers)
                    && heads > 0
                    && hidden % heads == 0 =>
            {
                Ok(model((hidden, layers, heads)))
            }
            _ => Err(Error::input(format!(
                "no random model is called {name:?}; known are {}, or HIDDENxLAYERSxHEADS such as 384x6x12 (the hidden \
                 size a multiple of the heads)",
                Self::names().collect::<Vec<_>>().join(", ")
            ))),
        }
    }
}

/// A tensor whose numbers are made when they are written.
struct RandomTensor {
    weights: RandomWeights,
    spec: WeightSpec,
}

impl View for RandomTensor {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.spec.parts[0].shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        // Random numbers are always there; an empty tensor would make the file unreadable, which its reader says.
        let values = self.weights.load(&self.spec).unwrap_or_default();
        Cow::Owned(values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        4 * self.spec.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Encoder;

    #[test]
    fn a_random_model_is_a_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let model: RandomModel = "32x2x4".parse().unwrap();
        model.write(folder.path()).unwrap();
        assert!(model.write(folder.path()).unwrap_err().is_input());
        let path = folder.path().to_str().unwrap();
        let encoder = Encoder::load(path).device(crate::Device::Cpu).build().unwrap();
        assert_eq!(encoder.config().hidden, 32);
        let text = RandomModel::words().collect::<Vec<_>>().join(" ");
        let embeddings = encoder.embed([text.as_str()], &Default::default()).unwrap();
        assert_eq!(embeddings.tokens[0] as usize, RandomModel::words().count() + 2);
        let norm: f32 = embeddings.row(0).iter().map(|x| x * x).sum();
        assert!((norm - 1.0).abs() <= 1e-5, "{norm}");
    }

    #[test]
    fn sizes_that_make_no_model_are_refused() {
        for name in ["", "bert-huge", "384", "384x6", "384x6x7", "0x6x1", "384x6x0", "384x6x12x2", "-1x2x3"] {
            assert!(name.parse::<RandomModel>().unwrap_err().is_input(), "{name}");
        }
        for name in RandomModel::names() {
            assert!(name.parse::<RandomModel>().is_ok(), "{name}");
        }
    }
}
