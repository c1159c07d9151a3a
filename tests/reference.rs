//! The CPU engine: every kernel against the naive evaluator in float64, and what it promises of its bits.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use frostbert::engine::cpu::CpuEngine;
use frostbert::model::{Activation, Config};
use frostbert::model::{EmbeddingRequest, LayerMix, Pooling, WeightSource, WeightSpec};
use frostbert::plan::builder::AttentionSettings;
use frostbert::plan::{
    BufferId, OutputKind, Outputs, Plan, PlanBuilder, RandomWeights, RelativeBias, Request, RowIndex, Rows,
    Step, families,
};
use frostbert::text::PackedBatch;
use proptest::prelude::*;
use std::num::NonZeroUsize;

#[path = "reference/naive.rs"]
mod naive;

const WEIGHTS: RandomWeights = RandomWeights { seed: 7 };

/// Around the widths of vectors, panels, tiles, jobs and blocks of k.
const LENGTHS: [usize; 14] = [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 63, 96, 97, 193];

// Kernels against the naive evaluator.

fn engine(threads: usize) -> CpuEngine {
    CpuEngine::new(NonZeroUsize::new(threads)).unwrap()
}

/// Texts of these lengths; what text `i` holds depends on `i` alone.
fn batch(config: &Config, lengths: &[usize]) -> PackedBatch {
    texts(config, &lengths.iter().copied().enumerate().collect::<Vec<_>>())
}

/// Texts of (number, length).
fn texts(config: &Config, texts: &[(usize, usize)]) -> PackedBatch {
    let mut batch = PackedBatch::new();
    for &(number, len) in texts {
        let ids: Vec<u32> = (0..len).map(|at| ((number * 31 + at * 7 + 1) % config.vocab) as u32).collect();
        let types: Vec<u32> = (0..len).map(|at| u32::from(at > len / 2)).collect();
        batch.push(&ids, &types, config.position_offset);
    }
    batch.selected = (0..batch.tokens() as u32).rev().step_by(3).collect();
    batch
}

fn config(hidden: usize, heads: usize) -> Config {
    Config::bert(hidden, 2, heads, 2 * hidden + 3, 50)
}

/// Runs a plan on the engine and naively, and holds every output to `tolerance` times its largest value.
fn check_plan(plan: &Plan, batch: &PackedBatch, tolerance: f64, what: &str) {
    let engine = engine(2);
    let prepared = engine.prepare(plan, &WEIGHTS).unwrap();
    let found = engine.run(&prepared, batch).unwrap();
    let expected = naive::run(plan, &WEIGHTS, batch);
    for ((output, found), expected) in plan.outputs().iter().zip(&found.buffers).zip(&expected) {
        assert_eq!(found.len(), expected.len(), "{what}: {:?}", output.kind);
        let largest = expected.iter().fold(1.0_f64, |most, x| most.max(x.abs()));
        for (at, (&found, &expected)) in found.iter().zip(expected).enumerate() {
            let error = (f64::from(found) - expected).abs();
            assert!(
                error <= tolerance * largest,
                "{what}: {:?} at {at}: {found}, expected {expected}, error {error:e}",
                output.kind
            );
        }
    }
}

/// A plan of one kernel (whatever `add` makes) on LayerNormed embeddings of `cols` columns.
fn kernel_plan(config: &Config, add: impl FnOnce(&mut PlanBuilder<'_>, BufferId) -> BufferId) -> Plan {
    let request = Request::default();
    let mut b = PlanBuilder::new(config, &request).unwrap();
    let x = embeddings(&mut b);
    let out = add(&mut b, x);
    b.output(OutputKind::Logits, out);
    b.finish(None).unwrap()
}

fn embeddings(b: &mut PlanBuilder<'_>) -> BufferId {
    let config = b.config();
    let words = b.table("words.weight", config.vocab, config.hidden);
    let positions = b.table("positions.weight", config.max_positions, config.hidden);
    let types = b.table("types.weight", config.type_vocab, config.hidden);
    let norm = b.norm("embeddings.norm", config.hidden, true);
    let out = b.buffer(Rows::Tokens, config.hidden, "embeddings");
    b.step(Step::EmbedLayerNorm { words, positions: Some(positions), types: Some(types), norm, out });
    out
}

#[test]
fn embed_layernorm_matches_the_naive_evaluator() {
    for hidden in LENGTHS {
        let config = config(hidden, 1);
        let plan = kernel_plan(&config, |_, x| x);
        // One or two columns are normalised to about ±1 whatever they held: there eps and rounding decide.
        let tolerance = if hidden <= 2 { 2e-5 } else { 1e-6 };
        check_plan(&plan, &batch(&config, &[1, 2, 33]), tolerance, &format!("{hidden} columns"));
    }
}

#[test]
fn matmul_matches_the_naive_evaluator() {
    for k in LENGTHS.into_iter().skip(2).chain([384, 385]) {
        for n in LENGTHS.into_iter().chain([400]) {
            let config = config(k, 1);
            let plan = kernel_plan(&config, |b, x| b.linear(x, &["dense".into()], n, true, None, "dense"));
            check_plan(&plan, &batch(&config, &[1, 7, 33]), 2e-6, &format!("[{n}, {k}]"));
        }
    }
}

#[test]
fn matmul_rows_activations_and_residual_match_the_naive_evaluator() {
    let config = config(48, 1);
    let kinds = [
        None,
        Some(Activation::Gelu),
        Some(Activation::GeluTanh),
        Some(Activation::Relu),
        Some(Activation::Silu),
        Some(Activation::QuickGelu),
        Some(Activation::Tanh),
        Some(Activation::Sigmoid),
        Some(Activation::Mish),
        Some(Activation::Relu6),
        Some(Activation::LeakyRelu),
        Some(Activation::Laplace),
        Some(Activation::Relu2),
    ];
    for activation in kinds {
        for rows in LENGTHS {
            let plan = kernel_plan(&config, |b, x| {
                let weight = b.matrix(&[("dense.weight".into(), 48)], 48);
                let bias = Some(b.vector(&[("dense.bias".into(), 48)]));
                let out = b.buffer(Rows::Tokens, 48, "out");
                b.step(Step::MatMul { x, weight, bias, activation, residual: Some(x), out });
                out
            });
            check_plan(&plan, &batch(&config, &[rows]), 2e-6, &format!("{activation:?}, {rows} rows"));
        }
    }
}

/// Attention over a random qkv.
fn attention_plan(config: &Config, settings: AttentionSettings, rotary: bool) -> Plan {
    let request = Request { attentions: vec![0], ..Request::default() };
    let mut b = PlanBuilder::new(config, &request).unwrap();
    let x = embeddings(&mut b);
    let inner = config.heads * config.head_dim;
    let qkv = b.linear(x, &["q".into(), "k".into(), "v".into()], inner, true, None, "qkv");
    if rotary {
        b.step(Step::Rotary { qkv, heads: config.heads, head_dim: config.head_dim, theta: 1e4 });
    }
    let out = b.attention(0, qkv, settings);
    b.output(OutputKind::HiddenState(1), out);
    b.finish(None).unwrap()
}

#[test]
fn attention_matches_the_naive_evaluator() {
    for (heads, head_dim) in [(3, 5), (2, 12), (2, 16), (1, 32), (2, 33), (1, 64), (1, 200)] {
        let config = config(heads * head_dim, heads);
        let plan = attention_plan(&config, AttentionSettings::default(), false);
        check_plan(&plan, &batch(&config, &LENGTHS), 4e-6, &format!("{heads} heads of {head_dim}"));
    }
}

#[test]
fn local_attention_matches_the_naive_evaluator() {
    let config = config(32, 2);
    for window in [0, 1, 8, 31, 32, 64, 1000, usize::MAX] {
        let settings = AttentionSettings { window: Some(window), ..AttentionSettings::default() };
        let plan = attention_plan(&config, settings, true);
        check_plan(&plan, &batch(&config, &LENGTHS), 4e-6, &format!("window {window}"));
    }
}

#[test]
fn relative_bias_matches_the_naive_evaluator() {
    let config = config(32, 2);
    let request = Request { attentions: vec![0], ..Request::default() };
    for (buckets, max_distance) in [(32, 128), (8, 20)] {
        let mut b = PlanBuilder::new(&config, &request).unwrap();
        let x = embeddings(&mut b);
        let qkv = b.linear(x, &["q".into(), "k".into(), "v".into()], 32, true, None, "qkv");
        let weight = b.table("relative.weight", buckets, 2);
        let relative_bias = Some(RelativeBias { weight, buckets, max_distance });
        let out = b.attention(0, qkv, AttentionSettings { relative_bias, window: None });
        b.output(OutputKind::HiddenState(1), out);
        let plan = b.finish(None).unwrap();
        check_plan(&plan, &batch(&config, &LENGTHS), 4e-6, &format!("{buckets} buckets"));
    }
}

#[test]
fn gated_activation_and_gathered_rows_match_the_naive_evaluator() {
    for hidden in LENGTHS.into_iter().skip(2) {
        let config = config(hidden, 1);
        let plan = kernel_plan(&config, |b, x| {
            let wide = b.linear(x, &["wide".into()], 2 * hidden, false, None, "wide");
            let gated = b.buffer(Rows::Tokens, hidden, "gated");
            b.step(Step::GatedActivation { x: wide, activation: Activation::Gelu, out: gated });
            let first = b.first_tokens(gated);
            b.output(OutputKind::PoolerOutput, first);
            let selected = b.buffer(Rows::Selected, hidden, "selected");
            b.step(Step::GatherRows { x: gated, index: RowIndex::Selected, out: selected });
            selected
        });
        check_plan(&plan, &batch(&config, &[1, 2, 33]), 4e-6, &format!("{hidden} columns"));
    }
}

#[test]
fn whole_models_with_every_pooling_match_the_naive_evaluator() {
    for (hidden, heads) in [(24, 2), (33, 3), (64, 1)] {
        let config = config(hidden, heads);
        for (layers, mix, pooling) in [
            (vec![0, 1, 2], LayerMix::Mean, Pooling::ALL[..6].to_vec()),
            (vec![1, 2], LayerMix::Concat, vec![Pooling::Mean]),
            (vec![2], LayerMix::Concat, Pooling::ALL.to_vec()),
        ] {
            let embeddings = EmbeddingRequest {
                layers,
                mix,
                layer_weights: None,
                pooling,
                modules: vec![],
                dimensions: Some(hidden - 1),
                normalize: true,
            };
            let request = Request {
                embeddings: Some(embeddings),
                hidden_states: vec![0, 1, 2],
                pooler_output: true,
                ..Request::default()
            };
            let plan = families::plan(&config, &request).unwrap();
            check_plan(&plan, &batch(&config, &LENGTHS), 2e-5, &format!("{heads} heads, {mix:?}"));
        }
    }
}

// Properties.

/// Outputs of a small model, with rows by token and by text.
fn invariance_plan(config: &Config) -> Plan {
    let embeddings = EmbeddingRequest {
        layers: vec![1, 2],
        mix: LayerMix::Concat,
        layer_weights: None,
        pooling: vec![Pooling::Mean, Pooling::Max],
        modules: vec![],
        dimensions: None,
        normalize: true,
    };
    let request = Request { embeddings: Some(embeddings), hidden_states: vec![2], ..Request::default() };
    families::plan(config, &request).unwrap()
}

/// The part of each output that belongs to a text, as bits.
fn bits_of_text(plan: &Plan, batch: &PackedBatch, outputs: &Outputs, text: usize) -> Vec<Vec<u32>> {
    let part = |(output, values): (&frostbert::plan::Output, &Vec<f32>)| {
        let spec = plan.buffer(output.buffer);
        let rows = match spec.rows {
            Rows::Tokens => batch.rows(text),
            Rows::Texts => text..text + 1,
            other => panic!("{other:?}"),
        };
        values[rows.start * spec.cols..rows.end * spec.cols].iter().map(|x| x.to_bits()).collect()
    };
    plan.outputs().iter().zip(&outputs.buffers).map(part).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_text_has_the_same_bits_alone_in_any_batch_and_with_any_threads(
        lengths in prop::collection::vec(1_usize..230, 1..9),
        order in any::<u64>(),
        threads in 2_usize..4,
    ) {
        let config = config(48, 3);
        let plan = invariance_plan(&config);
        let (one, many) = (engine(1), engine(threads));
        let prepared_one = one.prepare(&plan, &WEIGHTS).unwrap();
        let prepared_many = many.prepare(&plan, &WEIGHTS).unwrap();

        let mut shuffled: Vec<(usize, usize)> = lengths.iter().copied().enumerate().collect();
        shuffled.sort_by_key(|(number, _)| (*number as u64 + 1).wrapping_mul(order | 1) >> 7);
        let together = texts(&config, &shuffled);
        let outputs = many.run(&prepared_many, &together).unwrap();
        for (at, &text) in shuffled.iter().enumerate() {
            let alone = texts(&config, &[text]);
            let expected = one.run(&prepared_one, &alone).unwrap();
            prop_assert_eq!(
                bits_of_text(&plan, &together, &outputs, at),
                bits_of_text(&plan, &alone, &expected, 0)
            );
        }
    }
}

#[test]
fn a_repeated_run_gives_the_same_bits_whatever_ran_between() {
    let config = config(48, 3);
    let plan = invariance_plan(&config);
    let engine = engine(2);
    let prepared = engine.prepare(&plan, &WEIGHTS).unwrap();
    let small = batch(&config, &[5, 17]);
    let first = engine.run(&prepared, &small).unwrap();
    engine.run(&prepared, &batch(&config, &LENGTHS)).unwrap();
    assert_eq!(engine.run(&prepared, &small).unwrap(), first);
}

// Bad input.

#[test]
fn batches_that_do_not_fit_the_model_are_refused() {
    let config = config(16, 1);
    let plan = invariance_plan(&config);
    let engine = engine(1);
    let prepared = engine.prepare(&plan, &WEIGHTS).unwrap();
    let refused = |change: &dyn Fn(&mut PackedBatch), words: &str| {
        let mut batch = batch(&config, &[3, 4]);
        change(&mut batch);
        let error = engine.run(&prepared, &batch).unwrap_err();
        assert!(error.is_input() && error.to_string().contains(words), "{error}");
    };
    refused(&|batch| batch.ids[5] = 50, "row 1: token id 50");
    refused(&|batch| batch.position_ids[2] = 512, "row 0: position 512");
    refused(&|batch| batch.type_ids[0] = 2, "row 0: token type 2");
    refused(&|batch| batch.cu_seqlens[1] = 0, "row 0: the text has no tokens");
    refused(&|batch| batch.cu_seqlens[1] = 7, "row 1: the text has no tokens");
    refused(&|batch| batch.cu_seqlens[1] = 9, "row 1: the text has no tokens");
    refused(&|batch| batch.cu_seqlens[0] = 1, "must agree");
    refused(&|batch| batch.cu_seqlens = vec![0, 3], "must agree");
    refused(&|batch| batch.cu_seqlens.clear(), "must agree");
    refused(&|batch| batch.type_ids.truncate(6), "must agree");
    refused(&|batch| batch.position_ids.push(0), "must agree");
    refused(&|batch| batch.pool_from.clear(), "must agree");
    refused(&|batch| batch.pool_from[1] = 4, "row 1: pooling starts at token 4 of 4");
    refused(&|batch| batch.selected = vec![7], "token row 7");
}

/// Random weights, one of them with values that overflow.
struct Overflowing(&'static str);

impl WeightSource for Overflowing {
    fn load(&self, spec: &WeightSpec) -> frostbert::Result<Vec<f32>> {
        let mut values = WEIGHTS.load(spec)?;
        if spec.label() == self.0 {
            values.iter_mut().for_each(|x| *x *= 3e38);
        }
        Ok(values)
    }
}

#[test]
fn an_output_that_is_not_finite_names_the_first_step_that_was() {
    let config = config(16, 1);
    let plan = invariance_plan(&config);
    let engine = engine(1);
    let culprit = "encoder.layer.1.intermediate.dense.weight";
    let prepared = engine.prepare(&plan, &Overflowing(culprit)).unwrap();
    let error = engine.run(&prepared, &batch(&config, &[3, 4])).unwrap_err();
    assert!(error.is_model_file() && error.to_string().contains(culprit), "{error}");
}

#[test]
fn plans_of_one_engine_share_weights() {
    let config = config(16, 1);
    let plan = invariance_plan(&config);
    let engine = engine(1);
    let _living = engine.prepare(&plan, &WEIGHTS).unwrap();
    struct None;
    impl WeightSource for None {
        fn load(&self, spec: &WeightSpec) -> frostbert::Result<Vec<f32>> {
            panic!("{} was loaded twice", spec.label())
        }
    }
    engine.prepare(&plan, &None).unwrap();
}
