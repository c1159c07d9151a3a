//! Every kernel against its twin on the CPU engine, with the kernels for CPUs and for GPUs: on a software adapter, or on the device that
//! `FROSTBERT_TEST_DEVICE` names.
#![cfg(feature = "gpu")]
#![allow(clippy::unwrap_used)] // Helpers of tests may.

mod support;

use std::sync::OnceLock;

use frostbert::engine::cpu::CpuEngine;
use frostbert::engine::gpu::{AdapterSelector, GpuEngine, GpuOptions, GpuPlan};
use frostbert::model::{Activation, Config, EmbeddingRequest, LayerMix, Pooling, WeightSource, WeightSpec};
use frostbert::plan::kernels::{Class, Tile, WeightType};
use frostbert::plan::{HeadOutput, Outputs, Plan, RandomWeights, Request, families};
use frostbert::text::PackedBatch;
use frostbert::{Error, Result};
use support::{POSITIONS, VOCAB};

/// Which kernels run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kernels {
    Software,
    /// Software, with subgroups of four, which are part of larger ones.
    Quads,
    /// And of eight, where there are such.
    Octets,
    Gpu,
    /// With f16 in shaders.
    Half,
    /// And with subgroups of eight.
    HalfOctets,
    Tensor,
}

const ALL: [Kernels; 4] = [Kernels::Software, Kernels::Quads, Kernels::Octets, Kernels::Gpu];

fn options(kernels: Kernels) -> GpuOptions {
    GpuOptions {
        selector: support::selector(),
        class: Some(match kernels {
            Kernels::Software | Kernels::Quads | Kernels::Octets => Class::Software,
            Kernels::Gpu => Class::Gpu,
            Kernels::Half | Kernels::HalfOctets => Class::Half,
            Kernels::Tensor => Class::Tensor,
        }),
        subgroup: Some(match kernels {
            Kernels::Quads => 4,
            Kernels::Octets | Kernels::HalfOctets => 8,
            _ => 0,
        }),
        poison: true,
        ..GpuOptions::default()
    }
}

fn open(options: GpuOptions) -> GpuEngine {
    GpuEngine::with_options(options).unwrap_or_else(|error| {
        panic!(
            "these tests need the adapter {}; for a software one on Debian or Ubuntu install mesa-vulkan-drivers: {error:#}",
            support::device()
        )
    })
}

/// One engine of each for all tests: opening a device takes longer than most of them.
fn engine(kernels: Kernels) -> &'static GpuEngine {
    static ENGINES: [OnceLock<GpuEngine>; 7] = [const { OnceLock::new() }; 7];
    ENGINES[kernels as usize].get_or_init(|| open(options(kernels)))
}

const WEIGHTS: RandomWeights = RandomWeights { seed: 5 };

/// Weights that are f16 numbers: stored as f16 they are what they are.
struct HalfWeights;

impl WeightSource for HalfWeights {
    fn load(&self, spec: &WeightSpec) -> Result<Vec<f32>> {
        Ok(WEIGHTS.load(spec)?.into_iter().map(|value| half::f16::from_f32(value).to_f32()).collect())
    }
}

fn prepare(engine: &GpuEngine, plan: &Plan) -> GpuPlan {
    engine.prepare(plan, &WEIGHTS).unwrap()
}

fn run(engine: &GpuEngine, prepared: &GpuPlan, batch: &PackedBatch) -> Outputs {
    engine.submit(prepared, batch).unwrap().outputs().unwrap()
}

/// Ids that depend on nothing but the text's number and the place in it.
fn text(number: usize, len: usize) -> Vec<u32> {
    (0..len).map(|at| ((at * 7919 + number * 104_729 + 13) % VOCAB) as u32).collect()
}

fn push(batch: &mut PackedBatch, number: usize, len: usize) {
    let types: Vec<u32> = (0..len).map(|at| u32::from(at > len / 2)).collect();
    batch.push(&text(number, len), &types, number % 3);
}

fn batch(lens: &[usize]) -> PackedBatch {
    let mut batch = PackedBatch::new();
    for (number, len) in lens.iter().enumerate() {
        push(&mut batch, number, *len);
    }
    let tokens = batch.tokens() as u32;
    batch.selected = (0..tokens).rev().step_by(3).collect();
    batch
}

/// One token; around the tiles of 8, 16, 32 and 64 rows; longer than a tile; many short ones.
fn batches() -> Vec<PackedBatch> {
    let lens: [&[usize]; 5] = [&[1], &[7, 8, 9, 1], &[15, 33, 31, 17], &[130, 64, 2, 63, 65], &[3; 21]];
    lens.into_iter().map(batch).collect()
}

/// The largest difference, NaN if there is one anywhere, as a share of the largest value and at least of 1.
fn difference(got: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(got.len(), expected.len());
    let largest = expected.iter().fold(1f32, |most, value| most.max(value.abs()));
    let worst = got.iter().zip(expected).map(|(a, b)| (a - b).abs());
    worst.fold(0.0, |most: f32, next| if next.is_nan() || most.is_nan() { f32::NAN } else { most.max(next) })
        / largest
}

fn check_against_twins(kernels: Kernels) {
    compare(kernels, engine(kernels), &WEIGHTS, 4e-6);
}

fn compare(kernels: Kernels, engine: &GpuEngine, weights: &dyn WeightSource, tolerance: f32) {
    let twin = CpuEngine::new(None).unwrap();
    let mut failures = vec![];
    let mut worst = 0f32;
    for case in support::cases() {
        let expected = twin.prepare(&case.plan, weights).unwrap();
        let prepared = engine.prepare(&case.plan, weights).unwrap();
        for batch in batches() {
            let got = run(engine, &prepared, &batch);
            let expected = twin.run(&expected, &batch).unwrap();
            for (got, expected) in got.buffers.iter().zip(&expected.buffers) {
                let error = difference(got, expected);
                if !(error <= tolerance) {
                    failures.push(format!("{} with {} tokens: {error:e}", case.name, batch.tokens()));
                }
                worst = worst.max(error);
            }
        }
    }
    println!("{kernels:?}: worst difference {worst:e}");
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn software_kernels_equal_their_twins() {
    check_against_twins(Kernels::Software);
}

#[test]
fn kernels_for_quads_equal_their_twins() {
    check_against_twins(Kernels::Quads);
}

#[test]
fn kernels_for_octets_equal_their_twins() {
    let report = engine(Kernels::Octets).report();
    if report.subgroup < 8 {
        support::not_tested(&format!("{} has no subgroups of eight", report.name));
    }
    check_against_twins(Kernels::Octets);
}

#[test]
fn gpu_kernels_equal_their_twins() {
    check_against_twins(Kernels::Gpu);
}

#[test]
fn kernels_with_f16_weights_equal_their_twins() {
    for kernels in ALL {
        let engine = open(GpuOptions { weights: WeightType::F16, ..options(kernels) });
        compare(kernels, &engine, &HalfWeights, 4e-6);
    }
}

/// An engine with the kernels for f16 in shaders, with subgroups or without, where the adapter has both.
fn halves(kernels: Kernels) -> Option<GpuEngine> {
    let engine = open(GpuOptions { weights: WeightType::F16, ..options(kernels) });
    let report = engine.report();
    if !report.features.contains(&"f16") || kernels == Kernels::HalfOctets && report.subgroup < 8 {
        support::not_tested(&format!("{} has no f16 in shaders, or no subgroups of eight", report.name));
        return None;
    }
    assert_eq!(engine.class(), Class::Half, "the self-check fails on {}", report.driver);
    Some(engine)
}

/// What an adapter multiplies as f16 with plain multiply-adds is rounded as cooperative matrices round it.
#[test]
fn half_kernels_equal_their_twins_but_for_f16_inputs() {
    for kernels in [Kernels::Half, Kernels::HalfOctets] {
        if let Some(engine) = halves(kernels) {
            compare(kernels, &engine, &HalfWeights, 2e-3);
        }
    }
}

/// Tiles sum in the same order there as well, and are each in step with what they read and write.
#[test]
fn half_tiles_equal_their_twins_and_each_other() {
    for kernels in [Kernels::Half, Kernels::HalfOctets] {
        let Some(mut engine) = halves(kernels) else { return };
        let twin = CpuEngine::new(None).unwrap();
        let batch = batch(&[130, 64, 2, 63, 65]);
        for case in support::cases().into_iter().filter(|case| case.name.contains("product")) {
            let expected =
                twin.run(&twin.prepare(&case.plan, &HalfWeights).unwrap(), &batch).unwrap().buffers;
            let mut first: Option<Outputs> = None;
            for tile in [Tile::Small, Tile::Medium, Tile::Large] {
                engine.set_tuning(support::only(&case.plan, tile));
                let got = run(&engine, &engine.prepare(&case.plan, &HalfWeights).unwrap(), &batch);
                let error = difference(&got.buffers[0], &expected[0]);
                assert!(error <= 2e-3, "{} with {tile:?}: {error:e}", case.name);
                assert!(first.get_or_insert_with(|| got.clone()) == &got, "{} with {tile:?}", case.name);
            }
        }
    }
}

/// An engine with the kernels for cooperative matrices, where the adapter has them: lavapipe does since Mesa 26.
fn tensor() -> Option<GpuEngine> {
    let engine = open(GpuOptions { weights: WeightType::F16, ..options(Kernels::Tensor) });
    let cooperative = engine.report().cooperative;
    if cooperative.is_none() {
        support::not_tested(&format!("{} has no cooperative matrices", engine.report().name));
        return None;
    }
    assert_eq!(engine.class(), Class::Tensor, "the self-check fails on {}", engine.report().driver);
    Some(engine)
}

/// Inputs are rounded to f16: what that costs is no rounding of f32.
#[test]
fn tensor_kernels_equal_their_twins_but_for_f16_inputs() {
    if let Some(engine) = tensor() {
        compare(Kernels::Tensor, &engine, &HalfWeights, 2e-3);
    }
}

/// Where the check at start-up finds them wrong, the plain kernels run, and the engine says so. This runs on every adapter: one without
/// cooperative matrices has plain kernels in their place, which are found wrong as well.
#[test]
fn kernels_for_f16_that_are_wrong_are_not_used() {
    let half = |kernels, spoil_self_check| {
        open(GpuOptions { weights: WeightType::F16, spoil_self_check, ..options(kernels) })
    };
    let plain = half(Kernels::Gpu, false);
    assert!(plain.halves_refused().is_none());
    let (plan, batch) = (bert(), batch(&[130, 64, 2]));
    let outputs = |engine: &GpuEngine| run(engine, &prepare(engine, &plan), &batch);
    let expected = outputs(&plain);
    for kernels in [Kernels::Tensor, Kernels::HalfOctets] {
        if kernels == Kernels::HalfOctets && halves(kernels).is_none() {
            continue;
        }
        let engine = half(kernels, true);
        assert_eq!(engine.class(), Class::Gpu);
        assert!(engine.halves_refused().is_some());
        assert!(half(kernels, false).halves_refused().is_none());
        assert!(outputs(&engine) == expected);
    }
}

/// A text of a batch has the bits that it has alone, where a kernel for few rows multiplies it: with every tile that may take the others.
fn few_rows_have_the_bits_of_every_tile(engine: &mut GpuEngine, tiles: &[Tile]) {
    // As wide as several tiles, and no multiple of any step through k.
    let mut config = Config::bert(192, 2, 3, 420, VOCAB);
    config.max_positions = POSITIONS;
    let request = Request { hidden_states: vec![0, 1, 2], ..Request::default() };
    let plan = families::plan(&config, &request).unwrap();
    let (lens, short) = ([130, 40, 70, 129], 1);
    let alone = {
        let mut batch = PackedBatch::new();
        push(&mut batch, short, lens[short]);
        run(engine, &prepare(engine, &plan), &batch)
    };
    let together = batch(&lens);
    let rows = together.rows(short);
    for tile in tiles {
        engine.set_tuning(support::only(&plan, *tile));
        let outputs = run(engine, &prepare(engine, &plan), &together);
        for (found, expected) in outputs.buffers.iter().zip(&alone.buffers) {
            let cols = expected.len() / rows.len();
            let found = &found[rows.start * cols..rows.end * cols];
            assert!(
                found.iter().map(|value| value.to_bits()).eq(expected.iter().map(|value| value.to_bits())),
                "{tile:?}"
            );
        }
    }
}

#[test]
fn few_rows_have_the_bits_of_many() {
    let plain = [Tile::Small, Tile::Medium, Tile::Large];
    few_rows_have_the_bits_of_every_tile(&mut open(options(Kernels::Gpu)), &plain);
    for mut engine in [halves(Kernels::Half), halves(Kernels::HalfOctets)].into_iter().flatten() {
        few_rows_have_the_bits_of_every_tile(&mut engine, &plain);
    }
    if let Some(mut engine) = tensor() {
        few_rows_have_the_bits_of_every_tile(&mut engine, &[Tile::Cooperative, Tile::CooperativeLarge]);
    }
}

/// Tiles of cooperative matrices sum in the same order: which one runs shows in no bit.
#[test]
fn every_cooperative_tile_gives_the_same_bits() {
    let Some(mut engine) = tensor() else { return };
    let plan = bert();
    let batch = batch(&[130, 64, 2, 63, 65, 590]);
    let mut all = vec![];
    for tile in [Tile::Cooperative, Tile::CooperativeLarge] {
        engine.set_tuning(support::only(&plan, tile));
        all.push(run(&engine, &prepare(&engine, &plan), &batch));
    }
    assert!(all[0] == all[1]);
}

/// Every case with every tile of cooperative matrices.
#[test]
fn cooperative_tiles_equal_their_twins() {
    let Some(mut engine) = tensor() else { return };
    let twin = CpuEngine::new(None).unwrap();
    let batches = [batch(&[130, 64, 2, 63, 65]), batch(&[1_100, 70])];
    for case in support::cases().into_iter().filter(|case| case.name.contains("product")) {
        let expected = twin.prepare(&case.plan, &HalfWeights).unwrap();
        for tile in [Tile::Cooperative, Tile::CooperativeLarge] {
            engine.set_tuning(support::only(&case.plan, tile));
            let prepared = engine.prepare(&case.plan, &HalfWeights).unwrap();
            for batch in &batches {
                let got = run(&engine, &prepared, batch);
                let expected = twin.run(&expected, batch).unwrap();
                let error = difference(&got.buffers[0], &expected.buffers[0]);
                assert!(error <= 2e-3, "{} with {tile:?}: {error:e}", case.name);
            }
        }
    }
}

/// Tiles sum in the same order: which one a device was found to be fastest with shows in no bit.
#[test]
fn every_tile_gives_the_same_bits() {
    let mut engine = open(options(Kernels::Gpu));
    let plan = bert();
    let batch = batch(&[130, 64, 2, 63, 65]);
    let expected = run(&engine, &prepare(&engine, &plan), &batch);
    for tile in [Tile::Small, Tile::Medium, Tile::Large] {
        engine.set_tuning(support::only(&plan, tile));
        assert!(run(&engine, &prepare(&engine, &plan), &batch) == expected, "{tile:?}");
    }
}

#[test]
fn what_was_measured_is_kept_for_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let open =
        |kernels| open(GpuOptions { pipeline_cache: Some(folder.path().to_path_buf()), ..options(kernels) });
    let mut engine = open(Kernels::Gpu);
    assert_eq!(engine.tuning().iter().count(), 0);
    let mut tuning = engine.tune(&bert()).unwrap();
    // A call begins at least one matrix, and on a busy machine no more.
    for _ in 0..3 {
        tuning = engine.tune(&bert()).unwrap();
    }
    // q k v as one, attention's output, and the two of the feed-forward part.
    let shapes: Vec<_> = tuning.iter().map(|(shape, _)| shape).collect();
    assert_eq!(shapes, [(64, 64), (64, 136), (64, 192), (136, 64)]);
    assert!(tuning.iter().all(|(_, tile)| tile != Tile::Software && !tile.is_cooperative()));
    assert_eq!(*open(Kernels::Gpu).tuning(), tuning);

    let mut software = open(Kernels::Software);
    assert_eq!(software.tune(&bert()).unwrap().iter().count(), 0);
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "json") {
            std::fs::write(path, "[[64,").unwrap();
        }
    }
    assert_eq!(open(Kernels::Gpu).tuning().iter().count(), 0, "a damaged file is nothing kept");
}

/// A weight that f16 cannot hold is refused with its name, not computed with as infinity.
#[test]
fn weights_too_large_for_f16_are_refused() {
    struct Large;
    impl WeightSource for Large {
        fn load(&self, spec: &WeightSpec) -> Result<Vec<f32>> {
            Ok(vec![70_000.0; spec.len()])
        }
    }
    let engine = open(GpuOptions { weights: WeightType::F16, ..options(Kernels::Software) });
    let error = engine.prepare(&bert(), &Large).map(drop).unwrap_err();
    assert!(error.is_limit() && error.to_string().contains("too large for f16"), "{error}");
}

/// Angles of thousands of radians, where a shader's own sin and cos are of no use.
#[test]
fn rotary_holds_at_large_positions() {
    let twin = CpuEngine::new(None).unwrap();
    let engine = engine(Kernels::Software);
    for case in support::cases().into_iter().filter(|case| case.name.starts_with("rotary")) {
        let mut batch = batch(&[40]);
        for (row, position) in batch.position_ids.iter_mut().enumerate() {
            *position = 8_191 - 201 * row as u32;
        }
        let expected = twin.run(&twin.prepare(&case.plan, &WEIGHTS).unwrap(), &batch).unwrap();
        let got = run(engine, &prepare(engine, &case.plan), &batch);
        // Both sides round the angle to f32: that is part of the definition.
        let error = difference(&got.buffers[0], &expected.buffers[0]);
        assert!(error <= 4e-6, "{}: {error:e}", case.name);
    }
}

/// A small BERT with every kind of output that grows with the batch.
fn bert() -> Plan {
    let mut config = Config::bert(64, 2, 2, 136, VOCAB);
    config.max_positions = POSITIONS;
    let embeddings = EmbeddingRequest {
        layers: vec![1, 2],
        mix: LayerMix::Concat,
        layer_weights: None,
        pooling: vec![Pooling::Cls, Pooling::Mean],
        modules: vec![],
        dimensions: None,
        normalize: true,
    };
    let request = Request {
        embeddings: Some(embeddings),
        hidden_states: vec![0, 1, 2],
        pooler_output: true,
        ..Request::default()
    };
    families::plan(&config, &request).unwrap()
}

#[test]
fn a_whole_bert_equals_its_twin() {
    let twin = CpuEngine::new(None).unwrap();
    let plan = bert();
    let expected = twin.prepare(&plan, &WEIGHTS).unwrap();
    for kernels in ALL {
        let prepared = prepare(engine(kernels), &plan);
        for batch in batches() {
            let expected = twin.run(&expected, &batch).unwrap();
            let got = run(engine(kernels), &prepared, &batch);
            for ((output, got), expected) in plan.outputs().iter().zip(&got.buffers).zip(&expected.buffers) {
                let error = difference(got, expected);
                assert!(error <= 4e-6, "{kernels:?} {:?}, {} tokens: {error:e}", output.kind, batch.tokens());
            }
        }
    }
}

/// A text alone, among others, and in another order: the same bits.
#[test]
fn batches_do_not_change_a_texts_bits() {
    for kernels in ALL {
        texts_keep_their_bits(engine(kernels));
    }
}

#[test]
fn batches_do_not_change_a_texts_bits_with_f16_in_shaders() {
    for kernels in [Kernels::Half, Kernels::HalfOctets] {
        if let Some(engine) = halves(kernels) {
            texts_keep_their_bits(&engine);
        }
    }
}

#[test]
fn batches_do_not_change_a_texts_bits_on_cooperative_matrices() {
    if let Some(engine) = tensor() {
        texts_keep_their_bits(&engine);
    }
}

fn texts_keep_their_bits(engine: &GpuEngine) {
    let plan = bert();
    // 16 and 32 are the longest of the texts that have an attention of their own on cooperative matrices of 8 and of 16.
    let lens = [5, 33, 1, 70, 8, 31, 129, 16, 17, 32];
    let kernels = (engine.class(), engine.report().subgroup);
    let prepared = prepare(engine, &plan);
    let bits = |numbers: &[usize]| -> Vec<Vec<Vec<u32>>> {
        let mut batch = PackedBatch::new();
        for &number in numbers {
            push(&mut batch, number, lens[number]);
        }
        let outputs = run(engine, &prepared, &batch);
        let part = |text: usize| {
            let outputs = plan.outputs().iter().zip(&outputs.buffers);
            let parts = outputs.map(|(output, values)| {
                let spec = plan.buffer(output.buffer);
                let rows = match spec.rows {
                    frostbert::plan::Rows::Tokens => batch.rows(text),
                    _ => text..text + 1,
                };
                values[rows.start * spec.cols..rows.end * spec.cols]
                    .iter()
                    .map(|value| value.to_bits())
                    .collect()
            });
            parts.collect::<Vec<_>>()
        };
        (0..numbers.len()).map(part).collect()
    };
    let forth: Vec<usize> = (0..lens.len()).collect();
    let back: Vec<usize> = (0..lens.len()).rev().collect();
    let (together, reversed) = (bits(&forth), bits(&back));
    for number in 0..lens.len() {
        assert!(bits(&[number])[0] == together[number], "{kernels:?}: text {number} alone");
        assert!(
            reversed[lens.len() - 1 - number] == together[number],
            "{kernels:?}: text {number} in reverse"
        );
    }
}

#[test]
fn several_batches_may_be_in_flight() {
    let plan = bert();
    let engine = engine(Kernels::Software);
    let prepared = prepare(engine, &plan);
    let batches = batches();
    let alone: Vec<_> = batches.iter().map(|batch| run(engine, &prepared, batch)).collect();
    let in_flight: Vec<_> = batches.iter().map(|batch| engine.submit(&prepared, batch).unwrap()).collect();
    // Read back out of order, one of them forgotten.
    for (index, batch) in in_flight.into_iter().enumerate().rev() {
        if index != 2 {
            assert!(batch.outputs().unwrap() == alone[index], "batch {index}");
        }
    }
}

/// Tables and matrices larger than a binding are cut: the same bits, whatever the limit.
#[test]
fn a_low_binding_limit_changes_nothing() {
    let plan = {
        let config = Config::bert(48, 1, 4, 96, VOCAB);
        let request = Request::default();
        let mut b = frostbert::plan::PlanBuilder::new(&config, &request).unwrap();
        let words = b.table("words", VOCAB, 48);
        let norm = b.norm("norm", 48, true);
        let x = b.buffer(frostbert::plan::Rows::Tokens, 48, "x");
        b.step(frostbert::plan::Step::EmbedLayerNorm { words, positions: None, types: None, norm, out: x });
        let out = b.linear(x, &["linear".into()], 300, true, None, "out");
        b.output(frostbert::plan::OutputKind::HiddenState(0), x);
        b.output(frostbert::plan::OutputKind::HiddenState(1), out);
        b.finish(None).unwrap()
    };
    let batch = batch(&[9]);
    for kernels in ALL {
        let whole = run(engine(kernels), &prepare(engine(kernels), &plan), &batch);
        // The table has 40,512 bytes, the matrix 57,600; a tile of 128 columns has 24,576.
        let limited = open(GpuOptions { max_binding_bytes: Some(25_000), ..options(kernels) });
        let prepared = prepare(&limited, &plan);
        assert!(run(&limited, &prepared, &batch) == whole, "{kernels:?}");

        let tight = open(GpuOptions { max_binding_bytes: Some(100), ..options(kernels) });
        let error = tight.prepare(&plan, &WEIGHTS).map(|_| ()).unwrap_err();
        assert!(error.is_limit() && error.to_string().contains("words"), "{error:?}");
    }
}

#[test]
fn a_batch_that_is_too_large_is_refused() {
    let engine = open(GpuOptions { max_binding_bytes: Some(160_000), ..options(Kernels::Software) });
    let prepared = prepare(&engine, &bert());
    // The widest buffer with a row a token is qkv: 192 columns.
    assert_eq!(prepared.max_tokens(), 160_000 / (4 * 192));
    run(&engine, &prepared, &batch(&[170]));
    let error = engine.submit(&prepared, &batch(&[170, 40])).map(|_| ()).unwrap_err();
    assert!(error.is_limit() && error.to_string().contains("qkv"), "{error:?}");
    run(&engine, &prepared, &batch(&[170]));
}

#[test]
fn batches_that_do_not_fit_the_model_are_refused() {
    let engine = engine(Kernels::Software);
    let prepared = prepare(engine, &bert());
    let good = batch(&[3, 4]);
    let refused = |change: &dyn Fn(&mut PackedBatch), what: &str| {
        let mut batch = good.clone();
        change(&mut batch);
        let error = engine.submit(&prepared, &batch).map(|_| ()).unwrap_err();
        assert!(error.is_input() && error.to_string().contains(what), "{error:?}");
    };
    refused(&|batch| batch.ids[2] = VOCAB as u32, "token id 211");
    refused(&|batch| batch.type_ids[2] = 2, "token type 2");
    refused(&|batch| batch.position_ids[2] = POSITIONS as u32, "position 600");
    refused(&|batch| batch.selected = vec![7], "token row 7");
    refused(&|batch| batch.cu_seqlens = vec![0, 3], "inconsistent");
    run(engine, &prepared, &good);
}

/// Weights that are not there.
struct NoWeights;

impl WeightSource for NoWeights {
    fn load(&self, spec: &WeightSpec) -> Result<Vec<f32>> {
        Err(Error::model_file(format!("{} is missing", spec.label())))
    }
}

#[test]
fn a_missing_weight_is_an_error() {
    // An engine of its own: others have uploaded weights of these specs.
    let engine = open(options(Kernels::Software));
    let error = engine.prepare(&bert(), &NoWeights).map(|_| ()).unwrap_err();
    assert!(error.is_model_file(), "{error:?}");
    prepare(&engine, &bert());
}

/// One number of one weight replaced.
struct Spoilt {
    label: &'static str,
    at: usize,
    value: f32,
}

impl WeightSource for Spoilt {
    fn load(&self, spec: &WeightSpec) -> Result<Vec<f32>> {
        let mut values = WEIGHTS.load(spec)?;
        if spec.label() == self.label {
            values[self.at] = self.value;
        }
        Ok(values)
    }
}

/// Both engines refuse weights that are not finite, in the same words.
#[test]
fn weights_that_are_not_finite_are_refused_by_both_engines() {
    // Engines of their own: living plans share weights, whatever their source.
    let (twin, engine) = (CpuEngine::new(None).unwrap(), open(options(Kernels::Software)));
    let plan = everything();
    for spec in plan.weights() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let label: &'static str = spec.label().to_owned().leak();
            let spoilt = Spoilt { label, at: spec.len() - 1, value };
            let expected = twin.prepare(&plan, &spoilt).map(drop).unwrap_err();
            let error = engine.prepare(&plan, &spoilt).map(drop).unwrap_err();
            assert!(error.is_model_file() && error.to_string().contains(label), "{error}");
            assert_eq!(error.to_string(), expected.to_string());
        }
    }
}

/// A BERT with every activation that hides infinities, every head and pooling, and outputs that come after them.
fn everything() -> Plan {
    plan_of(Activation::Gelu, HeadOutput::MaskedLm, Pooling::Max)
}

fn plan_of(activation: Activation, head: HeadOutput, pooling: Pooling) -> Plan {
    let mut config = Config::bert(64, 2, 2, 136, VOCAB);
    config.max_positions = POSITIONS;
    config.activation = activation;
    let embeddings = EmbeddingRequest {
        layers: vec![2],
        mix: LayerMix::Concat,
        layer_weights: None,
        pooling: vec![pooling],
        modules: vec![],
        dimensions: None,
        normalize: true,
    };
    let request = Request { embeddings: Some(embeddings), head: Some(head), ..Request::default() };
    families::plan(&config, &request).unwrap()
}

/// Values that overflow inside the pass are refused by both engines, whatever comes after them: an attention that looks for a
/// maximum, a maximum over tokens, an activation with a limit.
#[test]
fn what_overflows_inside_never_comes_out() {
    let twin = CpuEngine::new(None).unwrap();
    let layer = |name: &str| -> &'static str { format!("encoder.layer.0.{name}.weight").leak() };
    let culprits = [
        layer("attention.self.query"),
        layer("attention.output.dense"),
        layer("intermediate.dense"),
        layer("output.dense"),
        layer("output.LayerNorm"),
    ];
    let activations = [Activation::Gelu, Activation::GeluTanh, Activation::Silu, Activation::QuickGelu];
    let mut refused = 0;
    for kernels in ALL {
        // Of its own: living plans share weights, whatever their source.
        let engine = open(options(kernels));
        for (at, culprit) in culprits.into_iter().enumerate() {
            for head in
                [HeadOutput::NextSentence, HeadOutput::Sequence, HeadOutput::Token, HeadOutput::MaskedLm]
            {
                let plan = plan_of(activations[at % activations.len()], head, Pooling::ALL[at % 6]);
                for (at, value) in [(0, 3e38), (6, -3e38), (0, 1e38)] {
                    let source = Spoilt { label: culprit, at, value };
                    let batch = batch(&[5, 17, 40]);
                    let expected = twin.run(&twin.prepare(&plan, &source).unwrap(), &batch);
                    let got =
                        engine.submit(&engine.prepare(&plan, &source).unwrap(), &batch).unwrap().outputs();
                    let what = format!("{kernels:?}, {culprit} {value:e}, {head:?}");
                    match (got, expected) {
                        (Err(got), Err(expected)) => {
                            refused += 1;
                            assert!(got.is_model_file() && got.row().is_some(), "{what}: {got}");
                            assert_eq!(got.row(), expected.row(), "{what}");
                        }
                        (Ok(got), Ok(_)) => {
                            let numbers = got.buffers.iter().flatten();
                            assert!(numbers.copied().all(f32::is_finite), "{what}");
                        }
                        (got, expected) => {
                            panic!("{what}: {:?}, but the CPU engine {:?}", got.map(drop), expected.map(drop))
                        }
                    }
                }
            }
        }
    }
    println!("{refused} of {} were refused", 4 * 5 * 4 * 3);
    assert!(refused >= 4 * 4 * 3 * 3);
}

/// What a layer hands on as f16 has a smaller range than f32: past it, the text is refused as well.
#[test]
fn what_overflows_f16_never_comes_out() {
    for engine in [tensor(), halves(Kernels::Half), halves(Kernels::HalfOctets)].into_iter().flatten() {
        let plan = bert();
        let batch = batch(&[5, 17, 40]);
        let spoilt = |value| Spoilt { label: "encoder.layer.0.output.LayerNorm.weight", at: 0, value };
        let outputs = |value| {
            // Of its own: living plans share weights, whatever their source.
            let prepared = engine.prepare(&plan, &spoilt(value)).unwrap();
            engine.submit(&prepared, &batch).unwrap().outputs()
        };
        let error = outputs(1e8).map(drop).unwrap_err();
        assert!(error.is_model_file() && error.row().is_some(), "{error}");
        assert!(outputs(1.0).is_ok());
    }
}

/// One text of a batch overflows: the error has its number, and the others come through without it.
#[test]
fn the_text_that_overflows_is_named() {
    let plan = plan_of(Activation::Gelu, HeadOutput::Sequence, Pooling::Max);
    let mut good = batch(&[5, 17, 40]);
    // An id that no text has, whose row of the table alone is too large.
    let rare = (0..VOCAB as u32).find(|id| !good.ids.contains(id)).unwrap();
    struct Rare(u32);
    impl WeightSource for Rare {
        fn load(&self, spec: &WeightSpec) -> Result<Vec<f32>> {
            let mut values = WEIGHTS.load(spec)?;
            if spec.label() == "embeddings.word_embeddings.weight" {
                values[self.0 as usize * 64..][..64].fill(3e38);
            }
            Ok(values)
        }
    }
    let twin = CpuEngine::new(None).unwrap();
    for kernels in ALL {
        let engine = open(options(kernels));
        let prepared = engine.prepare(&plan, &Rare(rare)).unwrap();
        run(&engine, &prepared, &good);
        for (text, row) in [(0, 4), (1, 5), (2, 61)] {
            let kept = std::mem::replace(&mut good.ids[row], rare);
            let got = engine.submit(&prepared, &good).unwrap().outputs().map(drop).unwrap_err();
            let expected = twin.run(&twin.prepare(&plan, &Rare(rare)).unwrap(), &good).map(drop).unwrap_err();
            assert_eq!(
                (got.row(), expected.row()),
                (Some(text), Some(text)),
                "{kernels:?}: {got} / {expected}"
            );
            assert!(got.to_string().starts_with(&format!("row {text}: its ")), "{got}");
            good.ids[row] = kept;
        }
        run(&engine, &prepared, &good);
    }
}

/// Threads share an engine and a plan, and some of their batches hold a command that the driver refuses: whoever sent such a
/// batch gets the error, and nobody gets another's rows.
#[test]
fn an_error_belongs_to_the_batch_that_caused_it() {
    const REFUSED: usize = 23;
    let engine =
        open(GpuOptions { refused_tokens: Some(REFUSED), poison: false, ..options(Kernels::Software) });
    let plan = bert();
    let prepared = prepare(&engine, &plan);
    // Batches of one size but different texts, so that a stale buffer would fit.
    let batch_of = |number: usize, len: usize| {
        let mut batch = PackedBatch::new();
        push(&mut batch, number, len);
        batch
    };
    let lens = [24, REFUSED, 22];
    let expected: Vec<Outputs> =
        (0..12).map(|number| run(&engine, &prepared, &batch_of(number, 24))).collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (engine, prepared, expected, batch_of) = (&engine, &prepared, &expected, &batch_of);
            scope.spawn(move || {
                for round in 0..30 {
                    let number = (thread * 5 + round * 7) % 12;
                    let len = lens[(round + thread) % 3];
                    let outputs =
                        engine.submit(prepared, &batch_of(number, len)).and_then(|batch| batch.outputs());
                    match (len, outputs) {
                        (REFUSED, Err(error)) => assert!(error.is_device(), "{error}"),
                        (24, Ok(outputs)) => {
                            assert!(outputs == expected[number], "thread {thread}, text {number}")
                        }
                        (22, Ok(_)) => {}
                        (len, outputs) => panic!("thread {thread}, {len} tokens: {:?}", outputs.map(drop)),
                    }
                }
            });
        }
    });
}

/// Plans share the buffers of batches, and weights leave the device with the last plan that uses them.
#[test]
fn plans_share_buffers_and_leave_nothing_behind() {
    let engine = open(GpuOptions { poison: false, ..options(Kernels::Software) });
    let batch = batch(&[9, 20]);
    let plans: Vec<Plan> = Pooling::ALL[..6]
        .iter()
        .map(|pooling| plan_of(Activation::Gelu, HeadOutput::Sequence, *pooling))
        .collect();
    let prepared: Vec<_> = plans.iter().map(|plan| prepare(&engine, plan)).collect();
    let outputs: Vec<_> = prepared.iter().map(|prepared| run(&engine, prepared, &batch)).collect();
    let bytes = engine.bytes();
    assert!(bytes >= prepared[0].weight_bytes());
    // Alternating changes nothing, neither bytes nor bits.
    for round in 0..3 {
        for (prepared, outputs) in prepared.iter().zip(&outputs) {
            assert!(run(&engine, prepared, &batch) == *outputs, "round {round}");
        }
        assert_eq!(engine.bytes(), bytes);
    }
    let weights = prepared[0].weight_bytes();
    drop(prepared);
    assert!(engine.bytes() <= bytes - weights, "{} of {bytes}", engine.bytes());
}

/// Devices are opened one after another, however many threads ask.
#[test]
fn threads_may_open_devices_at_once() {
    let plan = bert();
    let batch = batch(&[12]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let engine = open(options(Kernels::Software));
                run(&engine, &prepare(&engine, &plan), &batch);
            });
        }
    });
}

#[test]
fn a_lost_device_is_an_error() {
    let engine = open(options(Kernels::Software));
    let prepared = prepare(&engine, &bert());
    let batch = batch(&[12]);
    let in_flight = engine.submit(&prepared, &batch).unwrap();
    engine.destroy();
    // What was submitted before may still come back; nothing after does.
    let _ = in_flight.outputs();
    let error = match engine.submit(&prepared, &batch) {
        Ok(in_flight) => in_flight.outputs().map(|_| ()).unwrap_err(),
        Err(error) => error,
    };
    assert!(error.is_device(), "{error:?}");
}

#[test]
fn an_adapter_that_is_not_there_is_an_error() {
    for selector in [AdapterSelector::Index(999), AdapterSelector::Name("no such adapter".into())] {
        let error = GpuEngine::new(selector).map(|_| ()).unwrap_err();
        assert!(error.is_device() && error.to_string().contains("frostbert devices"), "{error:?}");
    }
}

#[test]
fn cooperative_matrices_have_a_peak() {
    if let Some(engine) = tensor() {
        let peak = engine.peak().unwrap();
        assert!(peak.cooperative.is_some_and(|flops| flops.is_finite() && flops > 0.0), "{peak:?}");
    }
}

#[test]
fn kernels_can_be_timed() {
    let plan = bert();
    let engine = engine(Kernels::Software);
    let times = engine.profile(&prepare(engine, &plan), &batch(&[20])).unwrap();
    assert!(times.len() >= plan.steps().len());
    assert!(times.iter().all(|time| time.nanoseconds.is_finite() && time.nanoseconds >= 0.0));
    assert!(times.iter().any(|time| time.kernel == "matmul.software" && time.nanoseconds > 0.0));
}
