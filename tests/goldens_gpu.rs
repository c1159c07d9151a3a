//! The WGSL engine against what transformers computed in float64.
#![cfg(feature = "gpu")]

use frostbert::checkpoint::Config;
use frostbert::gpu::{AdapterSelector, GpuEngine};
use frostbert::plan::kernels::Class;
use frostbert::plan::{Request, WeightSource, WeightSpec, families};
use frostbert::text::PackedBatch;
use frostbert::{Error, Result};
use safetensors::SafeTensors;

struct Checkpoint(Vec<u8>);

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Option<Vec<f32>> {
    let tensor = tensors.tensor(name).ok()?;
    Some(match tensor.dtype() {
        safetensors::Dtype::F32 => {
            tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
        }
        safetensors::Dtype::F64 => {
            tensor.data().chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap()) as f32).collect()
        }
        other => panic!("{name} is {other:?}"),
    })
}

impl WeightSource for Checkpoint {
    fn load(&self, spec: &WeightSpec) -> Result<Vec<f32>> {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let mut values = vec![];
        for part in &spec.parts {
            let found =
                floats(&tensors, &format!("bert.{}", part.name)).or_else(|| floats(&tensors, &part.name));
            values.extend(found.ok_or_else(|| Error::model_file(part.name.clone()))?);
        }
        Ok(values)
    }
}

fn check(class: Class) {
    let folder = format!("{}/tests/fixtures/goldens/bert-pretraining", env!("CARGO_MANIFEST_DIR"));
    let cases: serde_json::Value =
        serde_json::from_slice(&std::fs::read(format!("{folder}/cases.json")).unwrap()).unwrap();
    let expected = std::fs::read(format!("{folder}/cases.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&expected).unwrap();
    let mut config = Config::bert(48, 3, 4, 100, 368);
    config.max_positions = 64;
    let source = Checkpoint(std::fs::read(format!("{folder}/model.safetensors")).unwrap());
    let engine = pollster::block_on(GpuEngine::new(AdapterSelector::Software))
        .expect("a software adapter; install mesa-vulkan-drivers")
        .with_class(class);
    let request = Request {
        hidden_states: vec![0, 1, 2, 3],
        pooler_output: true,
        attentions: vec![0, 1, 2],
        ..Request::default()
    };
    let plan = families::plan(&config, &request).unwrap();
    let prepared = pollster::block_on(engine.prepare(&plan, &source)).unwrap();
    for (name, case) in cases["cases"].as_object().unwrap() {
        let rows = |key: &str| -> Vec<Vec<u32>> { serde_json::from_value(case[key].clone()).unwrap() };
        let (ids, types, mask) = (rows("input_ids"), rows("token_type_ids"), rows("attention_mask"));
        if mask.iter().any(|m| m.windows(2).any(|w| w[0] < w[1])) {
            println!("skip {name}");
            continue;
        }
        let mut batch = PackedBatch::new();
        for ((ids, types), mask) in ids.iter().zip(&types).zip(&mask) {
            let len = mask.iter().sum::<u32>() as usize;
            batch.push(&ids[..len], &types[..len], 0);
        }
        let outputs = pollster::block_on(engine.submit(&prepared, &batch).unwrap().outputs()).unwrap();
        let width = ids[0].len();
        for (output, values) in plan.outputs.iter().zip(&outputs.buffers) {
            let key = match output.kind {
                frostbert::plan::OutputKind::HiddenState(3) => "last_hidden_state".to_owned(),
                frostbert::plan::OutputKind::HiddenState(i) => format!("hidden_states.{i}"),
                frostbert::plan::OutputKind::PoolerOutput => "pooler_output".into(),
                frostbert::plan::OutputKind::Attentions(i) => format!("attentions.{i}"),
                _ => panic!(),
            };
            let Some(want) = floats(&expected, &format!("{name}/{key}")) else { continue };
            let mut at = 0;
            let mut worst = 0f64;
            let mut largest = 0f64;
            let mut see = |got: f32, want: f32| {
                worst =
                    if (got - want).is_nan() { f64::NAN } else { worst.max(f64::from((got - want).abs())) };
                largest = largest.max(f64::from(want.abs()));
            };
            for (text, len) in batch.seqlens().enumerate() {
                match output.kind {
                    frostbert::plan::OutputKind::PoolerOutput => {
                        for c in 0..48 {
                            see(values[text * 48 + c], want[text * 48 + c])
                        }
                    }
                    frostbert::plan::OutputKind::Attentions(_) => {
                        for h in 0..4 {
                            for i in 0..len {
                                for j in 0..len {
                                    see(values[at], want[((text * 4 + h) * width + i) * width + j]);
                                    at += 1;
                                }
                            }
                        }
                    }
                    _ => {
                        for i in 0..len {
                            for c in 0..48 {
                                see(values[at], want[(text * width + i) * 48 + c]);
                                at += 1;
                            }
                        }
                    }
                }
            }
            let torch = cases["torch_float32_error"][format!("{name}/{key}")].as_f64().unwrap();
            println!("{name}/{key}: {worst:.2e}, torch {torch:.2e}");
            let tol = (4.0 * torch).max(4e-6 * largest.max(1.0));
            if !(worst <= tol) {
                panic!("{name}/{key}: error {worst:.3e}, torch's {torch:.3e}");
            }
        }
    }
}

#[test]
fn software() {
    check(Class::Software);
}
