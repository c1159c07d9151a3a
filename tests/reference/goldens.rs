//! Reads a golden checkpoint straight from its files, so that this test leans on the engine alone.

use frostbert::checkpoint::{Activation, Config};
use frostbert::plan::{OutputKind, Request, WeightSource, WeightSpec, families};
use frostbert::reference::CpuEngine;
use frostbert::text::PackedBatch;
use safetensors::SafeTensors;
use serde_json::Value;
use std::collections::HashMap;
use std::path::PathBuf;

pub struct Golden {
    config: Config,
    tensors: HashMap<String, Vec<f32>>,
    expected: HashMap<String, (Vec<usize>, Vec<f32>)>,
    cases: Value,
}

pub struct Error {
    pub tensor: String,
    pub found: f64,
    pub allowed: f64,
    pub torch: f64,
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

impl Golden {
    pub fn open(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens").join(name);
        let bytes = |file: &str| std::fs::read(folder.join(file)).unwrap();
        let json = |file: &str| -> Value { serde_json::from_slice(&bytes(file)).unwrap() };

        let sizes = json("config.json");
        let size = |key: &str| sizes[key].as_u64().unwrap() as usize;
        let mut config = Config::bert(
            size("hidden_size"),
            size("num_hidden_layers"),
            size("num_attention_heads"),
            size("intermediate_size"),
            size("vocab_size"),
        );
        config.max_positions = size("max_position_embeddings");
        config.layer_norm_eps = sizes["layer_norm_eps"].as_f64().unwrap() as f32;
        config.activation = match sizes["hidden_act"].as_str().unwrap() {
            "gelu" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
            "relu" => Activation::Relu,
            "silu" => Activation::Silu,
            other => panic!("hidden_act {other}"),
        };

        let model = bytes("model.safetensors");
        let tensors = SafeTensors::deserialize(&model)
            .unwrap()
            .iter()
            .map(|(name, tensor)| {
                let name = name.strip_prefix("bert.").unwrap_or(name);
                let name = name.replace("LayerNorm.gamma", "LayerNorm.weight");
                (name.replace("LayerNorm.beta", "LayerNorm.bias"), floats(tensor.data()))
            })
            .collect();
        let cases = bytes("cases.safetensors");
        let expected = SafeTensors::deserialize(&cases)
            .unwrap()
            .iter()
            .map(|(name, tensor)| (name.to_owned(), (tensor.shape().to_vec(), floats(tensor.data()))))
            .collect();
        Golden { config, tensors, expected, cases: json("cases.json") }
    }

    pub fn cases(&self) -> Vec<String> {
        self.cases["cases"].as_object().unwrap().keys().cloned().collect()
    }

    /// The largest error of each of these outputs that the case has.
    pub fn errors(&self, case: &str, outputs: &[OutputKind]) -> Vec<Error> {
        let mut request = Request::default();
        for output in outputs {
            match *output {
                OutputKind::HiddenState(layer) => request.hidden_states.push(layer),
                OutputKind::Attentions(layer) => request.attentions.push(layer),
                OutputKind::PoolerOutput => request.pooler_output = true,
                other => panic!("{other:?}"),
            }
        }
        let plan = families::plan(&self.config, &request).unwrap();
        let engine = CpuEngine::new(None).unwrap();
        let prepared = engine.prepare(&plan, self).unwrap();
        let rows = self.rows(case);
        let mut batch = PackedBatch::new();
        for (ids, types) in &rows {
            batch.push(ids, types, self.config.position_offset);
        }
        let found = engine.run(&prepared, &batch).unwrap();
        let lens: Vec<usize> = rows.iter().map(|(ids, _)| ids.len()).collect();
        let mut errors = vec![];
        for (output, found) in plan.outputs.iter().zip(&found.buffers) {
            let names = match output.kind {
                OutputKind::HiddenState(layer) if layer == self.config.layers => {
                    vec!["last_hidden_state".into(), format!("hidden_states.{layer}")]
                }
                OutputKind::HiddenState(layer) => vec![format!("hidden_states.{layer}")],
                OutputKind::Attentions(layer) => vec![format!("attentions.{layer}")],
                _ => vec!["pooler_output".to_owned()],
            };
            for name in names {
                let tensor = format!("{case}/{name}");
                let Some((shape, expected)) = self.expected.get(&tensor) else { continue };
                let expected = unpadded(output.kind, shape, expected, &lens);
                assert_eq!(expected.len(), found.len(), "{tensor}");
                let largest = expected.iter().fold(1.0_f64, |most, &x| most.max(f64::from(x).abs()));
                let torch = self.cases["torch_float32_error"][&tensor].as_f64().unwrap();
                let mut worst = 0.0_f64;
                for (&expected, &found) in expected.iter().zip(found) {
                    let error = (f64::from(expected) - f64::from(found)).abs();
                    // NaN must win.
                    if !(error <= worst) {
                        worst = error;
                    }
                }
                errors.push(Error {
                    tensor: name,
                    found: worst,
                    allowed: (4.0 * torch).max(4e-6 * largest),
                    torch,
                });
            }
        }
        assert!(!errors.is_empty(), "{case} has none of {outputs:?}");
        errors
    }

    /// Ids and type ids of each text, without padding.
    fn rows(&self, case: &str) -> Vec<(Vec<u32>, Vec<u32>)> {
        let case = &self.cases["cases"][case];
        let numbers = |row: &Value| -> Vec<u32> {
            row.as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as u32).collect()
        };
        let table =
            |key: &str| -> Vec<Vec<u32>> { case[key].as_array().unwrap().iter().map(numbers).collect() };
        let (ids, mask, types) = (table("input_ids"), table("attention_mask"), table("token_type_ids"));
        (0..ids.len())
            .map(|row| {
                let len = mask[row].iter().filter(|&&mask| mask == 1).count();
                (ids[row][..len].to_vec(), types[row][..len].to_vec())
            })
            .collect()
    }
}

/// Drops the padding of an expected tensor, so that it has the order of the packed output.
fn unpadded(kind: OutputKind, shape: &[usize], values: &[f32], lens: &[usize]) -> Vec<f32> {
    let mut out = vec![];
    match kind {
        OutputKind::Attentions(_) => {
            let (heads, size) = (shape[1], shape[2]);
            for (text, &len) in lens.iter().enumerate() {
                for row in 0..heads * len {
                    let (head, query) = (row / len, row % len);
                    let start = ((text * heads + head) * size + query) * size;
                    out.extend_from_slice(&values[start..start + len]);
                }
            }
        }
        OutputKind::HiddenState(_) => {
            let (size, cols) = (shape[1], shape[2]);
            for (text, &len) in lens.iter().enumerate() {
                out.extend_from_slice(&values[text * size * cols..][..len * cols]);
            }
        }
        _ => out.extend_from_slice(values),
    }
    out
}

impl WeightSource for Golden {
    fn load(&self, spec: &WeightSpec) -> frostbert::Result<Vec<f32>> {
        let mut values = vec![];
        for part in &spec.parts {
            let tensor = self.tensors.get(&part.name);
            values.extend(tensor.unwrap_or_else(|| panic!("no tensor {}", part.name)));
        }
        Ok(values)
    }
}
