//! f16 weights: within their contract of f32, and the same on every device.

#![allow(clippy::unwrap_used)] // Helpers of tests may.

mod support;

use std::path::Path;

use frostbert::plan::kernels::{Class, WeightType};
use frostbert::{Device, Dtype, EmbedOptions, Encoder};

const TEXTS: [&str; 4] = [
    "the quick fox",
    "measure twice, cut once",
    "jumps over the lazy dog",
    "a film that never ends and never begins",
];

fn path(golden: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens").join(golden);
    folder.to_str().unwrap().to_owned()
}

fn load(golden: &str, device: Device, dtype: Dtype) -> Encoder {
    Encoder::load(path(golden)).device(device).dtype(dtype).build().unwrap()
}

fn embed(encoder: &Encoder) -> Vec<Vec<f32>> {
    let options = EmbedOptions { normalize: Some(true), ..EmbedOptions::default() };
    encoder.embed(TEXTS, &options).unwrap().rows().map(<[f32]>::to_vec).collect()
}

fn largest_difference(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    let all = a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| (a - b).abs());
    // f32::max would drop a NaN.
    all.fold(0.0, |most, next| if next.is_nan() || next > most { next } else { most })
}

#[test]
fn f16_weights_keep_their_contract_on_every_device() {
    for golden in ["sentence-mean", "modernbert", "mpnet", "roberta-masked-lm", "electra"] {
        let exact = embed(&load(golden, Device::Cpu, Dtype::F32));
        let cpu = embed(&load(golden, Device::Cpu, Dtype::F16));
        let adapter = load(golden, support::device(), Dtype::F16);
        let gpu = embed(&adapter);
        for (half, exact) in gpu.iter().zip(&exact) {
            let cosine: f64 = half.iter().zip(exact).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            assert!(cosine >= 0.9999, "{golden}: cosine {cosine}");
        }
        let lost = largest_difference(&gpu, &exact);
        assert!(lost <= 2e-3, "{golden}: {lost:e} lost to f16");
        assert!(lost > 1e-7, "{golden}: {lost:e}: were the weights f16 at all?");
        // The same rounded weights: the devices agree as they do with f32, unless one rounds what it multiplies with them as well.
        let between = largest_difference(&gpu, &cpu);
        let allowed = if adapter.device().multiplies_f16() { 2e-3 } else { 4e-6 };
        assert!(between <= allowed, "{golden}: {between:e} between the devices");
    }
}

/// Where there are cooperative matrices x is rounded to f16 too: the same contract.
#[test]
fn cooperative_matrices_keep_the_contract_of_f16() {
    keeps_the_contract_of_f16(Class::Tensor, "cooperative matrices");
}

/// And where shaders know f16 without them.
#[test]
fn f16_in_shaders_keeps_the_contract_of_f16() {
    keeps_the_contract_of_f16(Class::Half, "f16 in shaders");
}

fn keeps_the_contract_of_f16(class: Class, feature: &str) {
    for golden in ["sentence-mean", "modernbert", "mpnet", "roberta-masked-lm", "electra"] {
        let builder = Encoder::load(path(golden)).device(support::device()).dtype(Dtype::F16);
        let encoder = builder.kernels(class).build().unwrap();
        if encoder.device().class != class.name() {
            support::not_tested(&format!("{} has no {feature}", encoder.device().name));
            return;
        }
        let exact = embed(&load(golden, Device::Cpu, Dtype::F32));
        let found = embed(&encoder);
        for (half, exact) in found.iter().zip(&exact) {
            let cosine: f64 = half.iter().zip(exact).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            assert!(cosine >= 0.9999, "{golden}: cosine {cosine}");
        }
        let lost = largest_difference(&found, &exact);
        println!("{golden} with {}: {lost:e}", class.name());
        assert!(lost <= 2e-3, "{golden}: {lost:e} lost to f16");
    }
}

/// What is stored as f16 is kept as f16, and loses nothing by it.
#[test]
fn auto_keeps_what_the_checkpoint_stores() {
    for (golden, expected) in [
        ("bert-float16", WeightType::F16),
        ("bert-bfloat16", WeightType::F32),
        ("sentence-mean", WeightType::F32),
    ] {
        let auto = load(golden, support::device(), Dtype::Auto);
        assert_eq!(auto.weight_type(), expected, "{golden}");
        // f32 is exact whatever the checkpoint stores; f16 is, where products are not rounded.
        let exact = embed(&load(golden, support::device(), Dtype::F32));
        let cpu = embed(&load(golden, Device::Cpu, Dtype::F32));
        assert!(largest_difference(&exact, &cpu) <= 4e-6, "{golden}");
        let rounded = auto.device().multiplies_f16() && expected == WeightType::F16;
        let allowed = if rounded { 2e-3 } else { 4e-6 };
        assert!(largest_difference(&embed(&auto), &exact) <= allowed, "{golden}");
    }
}

#[test]
fn f16_weights_take_half_the_memory() {
    let bytes = |dtype| {
        // The same kernels for both: with those that multiply f16 activations are f16 as well.
        let builder = Encoder::load(path("sentence-mean")).device(support::device()).dtype(dtype);
        let encoder = builder.kernels(Class::Gpu).build().unwrap();
        embed(&encoder);
        encoder.device_bytes() as f64
    };
    let saved = bytes(Dtype::F32) - bytes(Dtype::F16);
    let parameters = load("sentence-mean", Device::Cpu, Dtype::F32).checkpoint().summary(1).parameters as f64;
    // Two bytes of four for nearly every parameter, and for the padding of small matrices.
    assert!(saved > 1.5 * parameters, "{saved} bytes of {parameters} parameters");
}
