//! The sentence-transformers layout: modules.json and the folders it names.

use super::Weights;
use super::files::{Files, check_relative};
use super::json::{Object, brief, read_value};
use super::overlay::Overrides;
use super::read_config::size_or;
use crate::error::{Error, Result};
use crate::model::{Activation, Config};
use crate::model::{DenseLayer, PooledModule, PooledNorm, Pooling};
use serde_json::Value;
use std::collections::BTreeMap;

/// The file that makes a checkpoint one of sentence-transformers.
pub(super) const MODULES: &str = "modules.json";

/// Files that carry `max_seq_length`, newest name first. Source: `Transformer.load` of sentence-transformers.
pub(super) const TRANSFORMER_CONFIGS: [&str; 8] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
    "sentence_mpnet_config.json",
];

/// What sentence-transformers does after the encoder, and what it tells the tokenizer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Modules {
    /// The layers whose weighted mean is pooled; none where it is the last layer.
    pub layer_mean: Option<LayerMean>,
    /// Poolings whose results lie side by side, in this order.
    pub pooling: Vec<Pooling>,
    /// Whether the tokens of a prompt are pooled with the text's.
    pub include_prompt: bool,
    /// Dense and LayerNorm modules after the pooling, in order.
    pub after_pooling: Vec<PooledModule>,
    /// Whether the vectors are scaled to unit length at the end.
    pub normalize: bool,
    /// Texts put before an input, by name (`query`, `passage`).
    pub prompts: BTreeMap<String, String>,
    /// The prompt that is put before every input unless another is asked for.
    pub default_prompt_name: Option<String>,
    /// Longest input in tokens, special tokens included, if the checkpoint sets one.
    pub max_seq_length: Option<usize>,
    /// Whether texts are lower-cased before the tokenizer's own normaliser.
    pub lowercase: bool,
    /// The similarity the embeddings were trained for (`cosine`, `dot`), if named.
    pub similarity: Option<String>,
    /// How many columns of the finished vector are kept: the first of it, not scaled again. Source: `truncate_dim` of
    /// sentence-transformers.
    pub truncate_dim: Option<usize>,
    /// Whether the first module is no transformer but a table of token vectors.
    pub(crate) static_embedding: bool,
    /// Folder of the transformer, with a slash at the end; empty as a rule.
    pub(crate) transformer: String,
    /// Settings for config.json and the tokenizer that stand in the transformer's own configuration.
    pub(super) overrides: Overrides,
}

/// A WeightedLayerPooling module: the mean of a layer and all after it, each with a weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerMean {
    /// The first layer; 0 is the output of the embeddings.
    pub first: usize,
    /// The tensor of weights, one a layer.
    pub weights: String,
    /// Layers that the module's configuration counts, the embeddings' output not among them.
    layers: usize,
    /// Columns that it says it takes.
    width: usize,
}

impl Modules {
    /// Reads modules.json and what it names; `None` where the checkpoint is not one of sentence-transformers.
    ///
    /// # Errors
    /// A module that is not computed here, or a damaged file.
    pub(super) fn read(files: &dyn Files) -> Result<Option<Self>> {
        let Some(list) = ModuleEntry::list(files)? else { return Ok(None) };
        let mut modules = Modules { include_prompt: true, ..Self::default() };
        for (at, entry) in list.iter().enumerate() {
            modules.add(files, entry, at)?;
        }
        if !modules.static_embedding {
            modules.read_transformer_config(files)?;
        }
        modules.read_prompts(files)?;
        Ok(Some(modules))
    }

    fn add(&mut self, files: &dyn Files, entry: &ModuleEntry, at: usize) -> Result<()> {
        let ModuleEntry { class, path } = entry;
        let refuse = |why: &str| {
            Err(Error::model_file(format!(
                "cannot compute the sentence embeddings of {}: module {at} is a {class}, {why}",
                files.location()
            )))
        };
        let out_of_order = "which stands in a place where it is not computed here; expected Transformer, Pooling \
                            (perhaps WeightedLayerPooling before it), or StaticEmbedding in the place of both, any \
                            Dense and LayerNorm modules, Normalize";
        match class.as_str() {
            "Transformer" if at == 0 => {
                if !path.is_empty() {
                    self.transformer = format!("{path}/");
                }
                Ok(())
            }
            "StaticEmbedding" if at == 0 => {
                if !path.is_empty() {
                    self.transformer = format!("{path}/");
                }
                self.static_embedding = true;
                self.pooling.push(Pooling::Mean);
                Ok(())
            }
            "WeightedLayerPooling" if at > 0 && self.pooling.is_empty() && self.layer_mean.is_none() => {
                self.read_layer_mean(files, path)
            }
            "Pooling" if at > 0 && self.pooling.is_empty() => self.read_pooling(files, path),
            "Dense" if !self.pooling.is_empty() && !self.normalize => self.read_dense(files, path),
            "LayerNorm" if !self.pooling.is_empty() && !self.normalize => self.read_layer_norm(files, path),
            "Normalize" if !self.pooling.is_empty() => {
                // Written since sentence-transformers 5.2; before, there was nothing to say.
                if let Some(config) = read_in(files, path)? {
                    sentence_embedding_alone(&config)?;
                }
                self.normalize = true;
                Ok(())
            }
            // Nothing happens in it after training.
            "Dropout" => Ok(()),
            "Transformer"
            | "StaticEmbedding"
            | "WeightedLayerPooling"
            | "Pooling"
            | "Dense"
            | "LayerNorm"
            | "Normalize" => refuse(out_of_order),
            _ => refuse(
                "which is not computed here; known are Transformer, StaticEmbedding, WeightedLayerPooling, Pooling, Dense, \
                 LayerNorm and Normalize",
            ),
        }
    }

    fn read_layer_mean(&mut self, files: &dyn Files, path: &str) -> Result<()> {
        let config = require(files, path)?;
        let layers = size_or(&config, "num_hidden_layers", 12)?;
        let first = config.usize("layer_start")?.unwrap_or(4);
        if first > layers {
            return Err(config.wrong("layer_start", &format!("at most `num_hidden_layers`, {layers}")));
        }
        // The older name of the key, as sentence-transformers reads it.
        let width = if config.get("embedding_dimension").is_some() {
            "embedding_dimension"
        } else {
            "word_embedding_dimension"
        };
        config.require_usize(width)?;
        let width = size_or(&config, width, 0)?;
        self.layer_mean = Some(LayerMean { first, weights: format!("{path}/layer_weights"), layers, width });
        Ok(())
    }

    fn read_pooling(&mut self, files: &dyn Files, path: &str) -> Result<()> {
        let config = require(files, path)?;
        self.include_prompt = config.bool("include_prompt")?.unwrap_or(true);
        let unknown = || {
            config.wrong(
                "pooling_mode",
                "cls, max, mean, mean_sqrt_len_tokens, weightedmean or lasttoken, or a list of them",
            )
        };
        // `pooler` is this program's own name, not one of sentence-transformers.
        let known = |name: &str| Pooling::from_name(name).filter(|pooling| *pooling != Pooling::Pooler);
        self.pooling = match config.get("pooling_mode") {
            Some(Value::String(names)) => {
                names.split('+').map(|name| known(name.trim())).collect::<Option<_>>().ok_or_else(unknown)?
            }
            Some(Value::Array(names)) => names
                .iter()
                .map(|name| name.as_str().and_then(known))
                .collect::<Option<_>>()
                .ok_or_else(unknown)?,
            Some(_) => return Err(unknown()),
            None => {
                let mut found = vec![];
                for (key, pooling) in POOLING_FLAGS {
                    if config.bool(key)?.unwrap_or(false) {
                        found.push(pooling);
                    }
                }
                found
            }
        };
        if self.pooling.is_empty() {
            // What sentence-transformers falls back to.
            self.pooling.push(Pooling::Mean);
        }
        Ok(())
    }

    fn read_dense(&mut self, files: &dyn Files, path: &str) -> Result<()> {
        let config = require(files, path)?;
        if config.bool("use_residual")?.unwrap_or(false) {
            return Err(config.wrong("use_residual", "false: residual Dense modules are not computed here"));
        }
        sentence_embedding_alone(&config)?;
        let class = config.str("activation_function")?.unwrap_or("torch.nn.modules.activation.Tanh");
        let activation = TORCH_ACTIVATIONS
            .into_iter()
            // sentence-transformers does not load functions of other packages unless told to trust them.
            .find(|(name, _)| class.starts_with("torch.") && last_part(class) == *name)
            .ok_or_else(|| {
                let known = TORCH_ACTIVATIONS.map(|(name, _)| name).join(", ");
                config.wrong("activation_function", &format!("one of torch.nn's {known}"))
            })?
            .1;
        config.require_usize("in_features")?;
        config.require_usize("out_features")?;
        self.after_pooling.push(PooledModule::Dense(DenseLayer {
            name: format!("{path}/linear"),
            in_features: size_or(&config, "in_features", 0)?,
            out_features: size_or(&config, "out_features", 0)?,
            bias: config.bool("bias")?.unwrap_or(true),
            activation,
        }));
        Ok(())
    }

    fn read_layer_norm(&mut self, files: &dyn Files, path: &str) -> Result<()> {
        let config = require(files, path)?;
        config.require_usize("dimension")?;
        let width = size_or(&config, "dimension", 0)?;
        self.after_pooling.push(PooledModule::LayerNorm(PooledNorm { name: format!("{path}/norm"), width }));
        Ok(())
    }

    fn read_transformer_config(&mut self, files: &dyn Files) -> Result<()> {
        for name in TRANSFORMER_CONFIGS {
            if let Some(config) = Object::read(files, &format!("{}{name}", self.transformer))? {
                self.max_seq_length = config.usize("max_seq_length")?.filter(|len| *len > 0);
                self.lowercase = config.bool("do_lower_case")?.unwrap_or(false);
                self.overrides = Overrides::read(&config)?;
                // The length that it is asked for itself goes before max_seq_length.
                if self.overrides.tokenizer.contains_key("model_max_length") {
                    self.max_seq_length = None;
                }
                refuse_processing(&config)?;
                return Ok(());
            }
        }
        Ok(())
    }

    fn read_prompts(&mut self, files: &dyn Files) -> Result<()> {
        let Some(config) = Object::read(files, "config_sentence_transformers.json")? else { return Ok(()) };
        if let Some(prompts) = config.object("prompts")? {
            for (name, prompt) in prompts.entries() {
                // As sentence-transformers, for which a prompt of null is none.
                let prompt = match prompt {
                    Value::Null => "",
                    other => other.as_str().ok_or_else(|| prompts.wrong(name, "a string"))?,
                };
                self.prompts.insert(name.clone(), prompt.to_owned());
            }
        }
        self.default_prompt_name = config.str("default_prompt_name")?.map(str::to_owned);
        // Nothing here depends on it, so that nothing it may be is an error.
        self.similarity = config.get("similarity_fn_name").and_then(Value::as_str).map(str::to_owned);
        self.truncate_dim = config.usize("truncate_dim")?;
        if self.truncate_dim == Some(0) {
            return Err(config.wrong("truncate_dim", "at least 1"));
        }
        if let Some(name) = &self.default_prompt_name
            && !self.prompts.contains_key(name)
        {
            return Err(config.wrong("default_prompt_name", "one of the names in `prompts`"));
        }
        Ok(())
    }

    /// Checks the sizes of the modules after the pooling against their tensors, and what goes into each.
    ///
    /// # Errors
    /// They disagree.
    pub(super) fn check_sizes(&self, config: &Config, weights: &Weights) -> Result<()> {
        self.check_layer_mean(config, weights)?;
        let mut width = config.hidden * self.pooling.len();
        for module in &self.after_pooling {
            let (name, in_features) = (module.name(), module.in_features());
            let (expected, key) = match module {
                PooledModule::Dense(dense) => (vec![dense.out_features, in_features], "in_features"),
                PooledModule::LayerNorm(_) => (vec![in_features], "dimension"),
            };
            let weight = format!("{name}.weight");
            if let Some(found) = weights.shape(&weight).filter(|found| **found != expected) {
                return Err(Error::model_file(format!(
                    "cannot read the module {name}: its config.json calls for {weight} of shape {expected:?}, found \
                     {found:?}"
                )));
            }
            if in_features != width {
                return Err(Error::model_file(format!(
                    "cannot read the module {name}: `{key}` in its config.json is {in_features}, but what stands before \
                     it gives {width} columns"
                )));
            }
            width = module.out_features();
        }
        Ok(())
    }

    fn check_layer_mean(&self, config: &Config, weights: &Weights) -> Result<()> {
        let Some(LayerMean { first, weights: name, layers, width }) = &self.layer_mean else { return Ok(()) };
        let folder = name.trim_end_matches("/layer_weights");
        let wrong = |what: String| Err(Error::model_file(format!("cannot read the module {folder}: {what}")));
        if (*layers, *width) != (config.layers, config.hidden) {
            return wrong(format!(
                "its config.json is for {layers} layers of {width} columns, but the encoder has {} of {}",
                config.layers, config.hidden
            ));
        }
        let expected = [layers + 1 - first];
        if let Some(found) = weights.shape(name).filter(|found| *found != expected) {
            return wrong(format!("expected layer_weights of shape {expected:?}, found {found:?}"));
        }
        // The other poolings are linear: the mean of pooled layers is the pooled mean. The largest value is not.
        if self.pooling.contains(&Pooling::Max) {
            return wrong("max pooling of a weighted mean of layers is not computed here".to_owned());
        }
        Ok(())
    }

    /// The folders whose tensors the modules need.
    pub(super) fn tensor_folders(&self) -> impl Iterator<Item = &str> {
        let names = self.after_pooling.iter().map(PooledModule::name);
        let all = names.chain(self.layer_mean.as_ref().map(|mean| &*mean.weights));
        all.filter_map(|name| name.rsplit_once('/')).map(|(folder, _)| folder)
    }
}

/// One entry of modules.json.
pub(super) struct ModuleEntry {
    /// `Pooling` of `sentence_transformers.models.Pooling`.
    pub(super) class: String,
    /// Its folder, without a slash at the end; empty for the checkpoint's own.
    pub(super) path: String,
}

impl ModuleEntry {
    /// Whether the module, not the first, is read from tensors of its own.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn has_tensors(&self) -> bool {
        ["Dense", "LayerNorm", "WeightedLayerPooling"].contains(&&*self.class)
    }

    /// Whether the checkpoint is a table of token vectors, which has neither config.json nor other files of a tokenizer than
    /// tokenizer.json.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn is_static_embedding(entries: &[Self]) -> bool {
        entries.first().is_some_and(|first| first.class == "StaticEmbedding")
    }

    /// The entries in their order; `None` where there is no modules.json.
    pub(super) fn list(files: &dyn Files) -> Result<Option<Vec<Self>>> {
        let Some(list) = read_value(files, MODULES)? else { return Ok(None) };
        let file = files.describe(MODULES);
        let Value::Array(list) = list else {
            return Err(Error::model_file(format!(
                "cannot read {file}: expected a list of modules, found {}",
                brief(&list)
            )));
        };
        let entry = |value: Value| {
            let entry = Object::from_value(value, &file)?;
            let path = entry.str("path")?.unwrap_or_default();
            let folder = path.strip_suffix('/').unwrap_or(path);
            // Empty as a whole it is the checkpoint's own folder; "/" is not.
            if !path.is_empty() && path != "." {
                check_relative(folder, &file)?;
            }
            Ok(ModuleEntry {
                class: last_part(entry.require_str("type")?).to_owned(),
                // model2vec writes the checkpoint's own folder as a dot.
                path: if folder == "." { String::new() } else { folder.to_owned() },
            })
        };
        list.into_iter().map(entry).collect::<Result<_>>().map(Some)
    }
}

/// The flags that came before `pooling_mode`, in the order in which their results are concatenated.
const POOLING_FLAGS: [(&str, Pooling); 6] = [
    ("pooling_mode_cls_token", Pooling::Cls),
    ("pooling_mode_max_tokens", Pooling::Max),
    ("pooling_mode_mean_tokens", Pooling::Mean),
    ("pooling_mode_mean_sqrt_len_tokens", Pooling::MeanSqrtLenTokens),
    ("pooling_mode_weightedmean_tokens", Pooling::WeightedMean),
    ("pooling_mode_lasttoken", Pooling::LastToken),
];

/// `Pooling` of `sentence_transformers.models.Pooling`: class names are compared by this part, which outlived every move.
fn last_part(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or(class)
}

/// Refuses a module that works on anything but the text's one vector.
fn sentence_embedding_alone(config: &Object) -> Result<()> {
    for key in ["module_input_name", "module_output_name"] {
        if !matches!(config.str(key)?, None | Some("sentence_embedding")) {
            return Err(config.wrong(key, "sentence_embedding (the only kind computed here)"));
        }
    }
    Ok(())
}

/// Refuses settings of the tokenizer's calls that change the tokens. Source: `processing_kwargs` of sentence-transformers.
fn refuse_processing(config: &Object) -> Result<()> {
    let Some(processing) = config.object("processing_kwargs")? else { return Ok(()) };
    for kind in ["text", "common"] {
        let Some(settings) = processing.object(kind)? else { continue };
        // How a batch is filled up moves no vector here.
        let harmless = ["padding", "pad_to_multiple_of", "return_tensors", "verbose"];
        if let Some((key, _)) =
            settings.entries().find(|(key, value)| !value.is_null() && !harmless.contains(&key.as_str()))
        {
            return Err(settings
                .wrong(key, "left out: what is said to the tokenizer at each call is not computed here"));
        }
    }
    Ok(())
}

/// A module's own config.json; none where its folder has none, or where it has no folder of its own.
fn read_in(files: &dyn Files, folder: &str) -> Result<Option<Object>> {
    if folder.is_empty() {
        return Ok(None);
    }
    Object::read(files, &format!("{folder}/config.json"))
}

fn require(files: &dyn Files, folder: &str) -> Result<Object> {
    read_in(files, folder)?.ok_or_else(|| {
        Error::model_file(match folder {
            "" => format!("cannot read {}: a module of it has no folder of its own", files.describe(MODULES)),
            _ => format!(
                "cannot read {}: modules.json names its folder, but there is no such file",
                files.describe(&format!("{folder}/config.json"))
            ),
        })
    })
}

/// The activations of a Dense module by torch's class names; none for identity.
const TORCH_ACTIVATIONS: [(&str, Option<Activation>); 9] = [
    ("Identity", None),
    ("Tanh", Some(Activation::Tanh)),
    ("Sigmoid", Some(Activation::Sigmoid)),
    ("ReLU", Some(Activation::Relu)),
    ("GELU", Some(Activation::Gelu)),
    ("SiLU", Some(Activation::Silu)),
    ("Mish", Some(Activation::Mish)),
    ("ReLU6", Some(Activation::Relu6)),
    ("LeakyReLU", Some(Activation::LeakyRelu)),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::MemoryFiles;
    use serde_json::json;

    fn layout(modules: &[(&str, &str)], configs: &[(&str, Value)]) -> Result<Option<Modules>> {
        let list: Vec<Value> =
            modules.iter().map(|(path, class)| json!({"path": path, "type": class})).collect();
        let mut files = MemoryFiles::from_iter([("modules.json", json!(list).to_string().into_bytes())]);
        for (name, config) in configs {
            files.insert(*name, config.to_string().into_bytes());
        }
        Modules::read(&files)
    }

    const TRANSFORMER: (&str, &str) = ("", "sentence_transformers.models.Transformer");
    const POOLING: (&str, &str) = ("1_Pooling", "sentence_transformers.models.Pooling");

    #[test]
    fn poolings_old_and_new_and_several() {
        let read = |config: Value| {
            layout(&[TRANSFORMER, POOLING], &[("1_Pooling/config.json", config)]).map(|m| m.unwrap().pooling)
        };
        // Flags: in sentence-transformers' order, whatever the file's.
        let flags = json!({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true});
        assert_eq!(read(flags).unwrap(), [Pooling::Cls, Pooling::Mean]);
        assert_eq!(read(json!({"pooling_mode_cls_token": false})).unwrap(), [Pooling::Mean]);
        assert_eq!(read(json!({"pooling_mode": "lasttoken"})).unwrap(), [Pooling::LastToken]);
        // A list: in its own order.
        assert_eq!(read(json!({"pooling_mode": ["mean", "cls"]})).unwrap(), [Pooling::Mean, Pooling::Cls]);
        assert!(read(json!({"pooling_mode": "attention"})).unwrap_err().is_model_file());
        assert!(read(json!({"pooling_mode": 3})).unwrap_err().is_model_file());
    }

    #[test]
    fn what_is_not_computed_is_refused() {
        let pooling = ("1_Pooling/config.json", json!({"pooling_mode": "mean"}));
        let dense = |config: Value| {
            let modules = [TRANSFORMER, POOLING, ("2_Dense", "x.Dense")];
            layout(&modules, &[pooling.clone(), ("2_Dense/config.json", config)])
        };
        let plain = json!({"in_features": 4, "out_features": 2, "activation_function": "torch.nn.Identity"});
        assert_eq!(
            dense(plain.clone()).unwrap().unwrap().after_pooling[0].to_string(),
            "2_Dense/linear: 4 to 2, bias, identity"
        );
        for (key, value) in [
            ("use_residual", json!(true)),
            ("activation_function", json!("my.module.Swoosh")),
            ("module_input_name", json!("token_embeddings")),
            ("activation_function", json!("my.module.Tanh")),
            ("in_features", json!("many")),
            ("in_features", json!(0)),
            ("out_features", json!(u64::MAX)),
        ] {
            let mut config = plain.clone();
            config[key] = value;
            assert!(dense(config).unwrap_err().to_string().contains(key));
        }
        for modules in [
            vec![TRANSFORMER, POOLING, ("2", "sentence_transformers.models.LSTM")],
            vec![POOLING, TRANSFORMER],
            vec![TRANSFORMER, ("2_Normalize", "x.Normalize")],
            vec![("../x", "x.Transformer")],
            vec![TRANSFORMER, ("/", "x.Pooling")],
            vec![TRANSFORMER, ("/etc", "x.Pooling")],
            vec![TRANSFORMER, ("", "x.Pooling")],
            vec![TRANSFORMER, ("1_Pooling/..", "x.Pooling")],
        ] {
            assert!(
                layout(&modules, std::slice::from_ref(&pooling)).unwrap_err().is_model_file(),
                "{modules:?}"
            );
        }
    }

    #[test]
    fn prompts_and_lengths() {
        let configs = [
            ("1_Pooling/config.json", json!({"pooling_mode": "mean", "include_prompt": false})),
            (
                "0_Transformer/sentence_bert_config.json",
                json!({"max_seq_length": 128, "do_lower_case": true}),
            ),
            (
                "config_sentence_transformers.json",
                json!({"prompts": {"query": "q: "}, "default_prompt_name": "query", "similarity_fn_name": "dot"}),
            ),
        ];
        let modules = layout(&[("0_Transformer", "x.Transformer"), POOLING], &configs).unwrap().unwrap();
        assert_eq!(modules.max_seq_length, Some(128));
        assert_eq!(modules.prompts["query"], "q: ");
        assert_eq!(modules.similarity.as_deref(), Some("dot"));
        assert!(modules.lowercase && !modules.include_prompt && !modules.normalize);
        let unknown = json!({"default_prompt_name": "query"});
        let result = layout(
            &[TRANSFORMER, POOLING],
            &[configs[0].clone(), ("config_sentence_transformers.json", unknown)],
        );
        assert!(result.unwrap_err().is_model_file());
    }
}
