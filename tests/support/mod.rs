//! Small plans, one step each, at sizes that do not fit tiles; shared by tests/shaders.rs and tests/kernels.rs.

#![allow(dead_code)] // Each test program uses what it needs.
#![allow(clippy::unwrap_used)] // Helpers of tests may.

use frostbert::Device;
#[cfg(feature = "gpu")]
use frostbert::engine::gpu::AdapterSelector;
use frostbert::model::Pooling;
use frostbert::model::{Activation, Config};
use frostbert::plan::kernels::{Tile, Tuning};
use frostbert::plan::{
    BufferId, Norm, OutputKind, Plan, PlanBuilder, RelativeBias, Request, RowIndex, Rows, Step,
};

/// Rows of the word table of every case.
pub const VOCAB: usize = 211;
/// Rows of the position table of every case.
pub const POSITIONS: usize = 600;

/// The device that tests of kernels, goldens and bits run on: `FROSTBERT_TEST_DEVICE`, as `--device` takes it; the software adapter
/// where it says nothing. `cargo xtask test-device` sets it.
pub fn device() -> Device {
    let Ok(name) = std::env::var("FROSTBERT_TEST_DEVICE") else { return Device::Software };
    let device = name.parse().unwrap_or_else(|error| panic!("FROSTBERT_TEST_DEVICE is {name:?}: {error}"));
    assert!(
        !matches!(device, Device::Auto | Device::Cpu),
        "FROSTBERT_TEST_DEVICE is {name:?}; say gpu, software, a number or part of an adapter's name"
    );
    device
}

/// The same as the GPU engine takes it.
#[cfg(feature = "gpu")]
pub fn selector() -> AdapterSelector {
    match device() {
        Device::Index(index) => AdapterSelector::Index(index),
        Device::Name(part) => AdapterSelector::Name(part),
        Device::Gpu => AdapterSelector::Gpu,
        _ => AdapterSelector::Software,
    }
}

/// A plan with one step to look at.
pub struct Case {
    pub name: String,
    pub plan: Plan,
}

const ACTIVATIONS: [Activation; 12] = [
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Relu,
    Activation::Silu,
    Activation::QuickGelu,
    Activation::Tanh,
    Activation::Sigmoid,
    Activation::Mish,
    Activation::Relu6,
    Activation::LeakyRelu,
    Activation::Laplace,
    Activation::Relu2,
];

/// Says so past the test harness, which shows nothing that a passing test prints, and notes it for `cargo xtask test`.
#[expect(clippy::explicit_write, reason = "eprintln! is what the harness swallows")]
pub fn not_tested(why: &str) {
    use std::io::Write;
    writeln!(std::io::stderr(), "NOT TESTED: {why}").unwrap();
    if let Some(path) = std::env::var_os("FROSTBERT_NOT_TESTED") {
        let mut notes = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        notes.write_all(format!("{why}\n").as_bytes()).unwrap();
    }
}

/// The same tile for every matrix of a plan.
pub fn only(plan: &Plan, tile: Tile) -> Tuning {
    let mut tuning = Tuning::default();
    for step in plan.steps() {
        if let Step::MatMul { x, out, .. } = step {
            tuning.set(plan.buffer(*x).cols, plan.buffer(*out).cols, tile);
        }
    }
    tuning
}

/// Collects cases. Inputs of a step come from `EmbedLayerNorm`: rows of random numbers with unit variance.
struct Cases(Vec<Case>);

impl Cases {
    fn add(&mut self, name: impl Into<String>, build: impl FnOnce(&mut PlanBuilder<'_>) -> BufferId) {
        let config = Config::bert(48, 1, 4, 96, VOCAB);
        let request = Request::default();
        let mut b = PlanBuilder::new(&config, &request).unwrap();
        let out = build(&mut b);
        b.output(OutputKind::HiddenState(0), out);
        self.0.push(Case { name: name.into(), plan: b.finish(None).unwrap() });
    }
}

/// `[tokens, cols]` of random numbers.
fn tokens(b: &mut PlanBuilder<'_>, cols: usize) -> BufferId {
    embed(b, cols, false, false, false)
}

/// `[texts, cols]` or `[selected, cols]` of random numbers.
fn rows(b: &mut PlanBuilder<'_>, rows: Rows, cols: usize) -> BufferId {
    let x = tokens(b, cols);
    match rows {
        Rows::Texts => b.first_tokens(x),
        Rows::Selected => b.selected_rows(x),
        _ => x,
    }
}

fn embed(b: &mut PlanBuilder<'_>, cols: usize, positions: bool, types: bool, bias: bool) -> BufferId {
    let words = b.table("words", VOCAB, cols);
    let positions = positions.then(|| b.table("positions", POSITIONS, cols));
    let types = types.then(|| b.table("types", 2, cols));
    let norm = Norm { eps: 1e-5, ..b.norm("embed.norm", cols, bias) };
    let out = b.buffer(Rows::Tokens, cols, "x");
    b.step(Step::EmbedLayerNorm { words, positions, types, norm, out });
    out
}

/// Every step, with every option, at ragged sizes.
pub fn cases() -> Vec<Case> {
    let mut cases = Cases(vec![]);
    for cols in [1, 5, 63, 64, 65, 384, 772, 4100] {
        cases.add(format!("embed_layernorm {cols}"), |b| embed(b, cols, true, true, true));
    }
    for options in 0..8 {
        let on = |bit| options & bit != 0;
        cases.add(format!("embed_layernorm options {options}"), |b| embed(b, 48, on(1), on(2), on(4)));
    }
    for cols in [1, 63, 64, 65, 300] {
        cases.add(format!("embed_tokens {cols}"), |b| {
            let words = b.tables(&[("words", VOCAB - 1), ("last word", 1)], cols);
            let out = b.buffer(Rows::Tokens, cols, "x");
            b.step(Step::EmbedTokens { words, out });
            out
        });
    }
    // Rows that stay in registers: of one vector an invocation, of all four, of more invocations, and those one vector too wide.
    let norms = [
        (1, true, true),
        (63, true, false),
        (64, false, true),
        (129, false, false),
        (260, true, true),
        (768, true, false),
        (1024, false, true),
        (1028, true, true),
        (4096, true, true),
        (4100, false, false),
    ];
    for (cols, residual, bias) in norms {
        cases.add(format!("add_layernorm {cols} {residual} {bias}"), |b| {
            let x = tokens(b, cols);
            let other = embed(b, cols, true, false, false);
            let norm = b.norm("norm", cols, bias);
            b.add_layer_norm(x, residual.then_some(other), norm, "out")
        });
    }
    matmuls(&mut cases);
    attentions(&mut cases);
    chains(&mut cases);
    for (heads, head_dim) in [(1, 2), (3, 10), (2, 64)] {
        cases.add(format!("rotary {heads} {head_dim}"), |b| {
            let qkv = tokens(b, 3 * heads * head_dim);
            b.step(Step::Rotary { qkv, heads, head_dim, theta: 10_000.0 });
            qkv
        });
    }
    for activation in ACTIVATIONS {
        cases.add(format!("gated_activation {activation:?}"), |b| {
            let x = tokens(b, 2 * 67);
            let out = b.buffer(Rows::Tokens, 67, "out");
            b.step(Step::GatedActivation { x, activation, out });
            out
        });
    }
    for index in [RowIndex::FirstToken, RowIndex::Selected] {
        cases.add(format!("gather_rows {index:?}"), |b| {
            let x = tokens(b, 65);
            match index {
                RowIndex::FirstToken => b.first_tokens(x),
                RowIndex::Selected => b.selected_rows(x),
            }
        });
    }
    for pooling in Pooling::ALL {
        cases.add(format!("pool {pooling:?}"), |b| {
            let x = if pooling == Pooling::Pooler { rows(b, Rows::Texts, 65) } else { tokens(b, 65) };
            let out = b.buffer(Rows::Texts, 3 * 65, "out");
            for (index, pooling) in [Pooling::Cls, pooling, Pooling::Mean].into_iter().enumerate() {
                let x = if index == 1 { x } else { tokens(b, 65) };
                b.step(Step::Pool { x, pooling, column: 65 * index, out });
            }
            out
        });
    }
    for (blocks, cols, weighted) in [(1, 1, false), (3, 65, false), (2, 1, true), (5, 65, true)] {
        cases.add(format!("mean_blocks {blocks} {cols} {weighted}"), |b| {
            let x = rows(b, Rows::Texts, blocks * cols);
            let out = b.buffer(Rows::Texts, cols, "out");
            let weights = weighted.then(|| b.vector(&[("layer_weights".into(), blocks)]));
            b.step(Step::MeanBlocks { x, blocks, weights, out });
            out
        });
    }
    for (wide, cols) in [(1, 1), (65, 65), (384, 100)] {
        cases.add(format!("normalize_rows {wide} {cols}"), |b| {
            let x = rows(b, Rows::Texts, wide);
            let out = b.buffer(Rows::Texts, cols, "out");
            b.step(Step::NormalizeRows { x, out });
            out
        });
    }
    cases.0
}

fn matmuls(cases: &mut Cases) {
    let sizes = [
        (1, 1),
        (4, 4),
        (3, 63),
        (15, 64),
        (16, 65),
        (17, 127),
        (48, 128),
        (100, 132),
        (130, 260),
        (384, 257),
    ];
    for (k, n) in sizes {
        for kind in [Rows::Tokens, Rows::Texts, Rows::Selected] {
            cases.add(format!("matmul {k} {n} {kind:?}"), |b| {
                let x = rows(b, kind, k);
                b.linear(x, &["linear".into()], n, k % 2 == 0, None, "out")
            });
        }
    }
    for activation in ACTIVATIONS {
        for k in [20, 21] {
            cases.add(format!("matmul {k} {activation:?}"), |b| {
                let x = tokens(b, k);
                b.linear(x, &["linear".into()], 36, true, Some(activation), "out")
            });
        }
    }
    for (k, n) in [(20, 36), (21, 37), (32, 300)] {
        for bias in [false, true] {
            cases.add(format!("matmul {k} {n} residual, bias {bias}"), |b| {
                let (x, residual) = (tokens(b, k), tokens(b, n));
                let out = b.buffer(Rows::Tokens, n, "out");
                b.linear_into(x, "linear", bias, residual, out);
                out
            });
        }
    }
}

/// Steps that hand values to each other, which some devices store as f16.
fn chains(cases: &mut Cases) {
    let gated = |b: &mut PlanBuilder<'_>, cols: usize| {
        let x = tokens(b, 2 * cols);
        let out = b.buffer(Rows::Tokens, cols, "gated");
        b.step(Step::GatedActivation { x, activation: Activation::Gelu, out });
        out
    };
    for (k, n) in [(20, 300), (132, 68), (64, 1028), (160, 33)] {
        cases.add(format!("two products {k} {n}"), |b| {
            let x = tokens(b, k);
            let inner = b.linear(x, &["up".into()], n, true, Some(Activation::Gelu), "inner");
            b.linear(inner, &["down".into()], k, true, None, "out")
        });
        cases.add(format!("gated, product {k} {n}"), |b| {
            let x = gated(b, k);
            b.linear(x, &["linear".into()], n, true, None, "out")
        });
        cases.add(format!("gated, two products {k} {n}"), |b| {
            let x = gated(b, k);
            let inner = b.linear(x, &["up".into()], n, false, None, "inner");
            b.linear(inner, &["down".into()], k, true, None, "out")
        });
        cases.add(format!("product of what is added as well {k} {n}"), |b| {
            let x = tokens(b, n);
            let inner = b.linear(x, &["first".into()], n, true, None, "inner");
            let out = b.buffer(Rows::Tokens, n, "out");
            b.linear_into(inner, "second", true, inner, out);
            let norm = b.norm("norm", n, true);
            let normed = b.add_layer_norm(out, Some(inner), norm, "normed");
            b.linear(normed, &["third".into()], k, true, None, "last")
        });
    }
    for (heads, head_dim) in [(2, 32), (2, 64), (3, 20)] {
        for (rotary, project) in [(false, true), (true, true), (true, false)] {
            cases.add(format!("product, attention {heads} {head_dim} {rotary} {project}"), |b| {
                let inner = heads * head_dim;
                let hidden = tokens(b, 48);
                let qkv = b.linear(hidden, &["q".into(), "k".into(), "v".into()], inner, true, None, "qkv");
                if rotary {
                    b.step(Step::Rotary { qkv, heads, head_dim, theta: 10_000.0 });
                }
                let out = b.buffer(Rows::Tokens, inner, "context");
                let scale = 1.0 / (head_dim as f32).sqrt();
                b.step(Step::Attention {
                    qkv,
                    heads,
                    head_dim,
                    scale,
                    window: None,
                    relative_bias: None,
                    out,
                });
                if !project {
                    return out;
                }
                let projected = b.buffer(Rows::Tokens, 48, "projected");
                b.linear_into(out, "project", true, hidden, projected);
                projected
            });
        }
    }
}

fn attentions(cases: &mut Cases) {
    let mut add = |heads: usize, head_dim: usize, window: Option<usize>, has_bias: bool| {
        for probabilities in [false, true] {
            let name = format!("attention {heads} {head_dim} {window:?} {has_bias} {probabilities}");
            cases.add(name, |b| {
                let qkv = tokens(b, 3 * heads * head_dim);
                let weight = has_bias.then(|| b.table("relative", 32, heads));
                let relative_bias =
                    weight.map(|weight| RelativeBias { weight, buckets: 32, max_distance: 128 });
                let scale = 1.0 / (head_dim as f32).sqrt();
                if probabilities {
                    let out = b.buffer(Rows::TokenPairs, heads, "out");
                    b.step(Step::AttentionProbabilities {
                        qkv,
                        heads,
                        head_dim,
                        scale,
                        window,
                        relative_bias,
                        out,
                    });
                    out
                } else {
                    let out = b.buffer(Rows::Tokens, heads * head_dim, "out");
                    b.step(Step::Attention { qkv, heads, head_dim, scale, window, relative_bias, out });
                    out
                }
            });
        }
    };
    for head_dim in [1, 12, 31, 32, 33, 64, 65, 72] {
        add(2, head_dim, None, false);
    }
    for window in [0, 1, 5, 40] {
        add(1, 16, Some(window), false);
    }
    add(3, 16, None, true);
    add(3, 16, Some(9), true);
}
