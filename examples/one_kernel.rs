//! One kernel, dispatched and checked: a linear layer with GELU as WGSL, against its twin on the CPU engine.
//!
//! `cargo run --example one_kernel -- [software]`; without an argument it takes the best GPU.

use frostbert::engine::cpu::CpuEngine;
use frostbert::engine::gpu::{AdapterSelector, GpuEngine};
use frostbert::model::{Activation, Config};
use frostbert::plan::{Norm, OutputKind, PlanBuilder, RandomWeights, Request, Rows, Step};
use frostbert::text::PackedBatch;
use frostbert::{Error, Result};

fn main() -> Result<()> {
    // A plan is data: buffers and weights by id, row counts symbolic. This one has two steps. The first makes rows of numbers
    // out of token ids; the second is the kernel we look at.
    let (config, request) = (Config::bert(384, 1, 12, 1536, 1000), Request::default());
    let mut b = PlanBuilder::new(&config, &request)?;
    let words = b.table("words", 1000, 384);
    let norm = Norm { eps: 1e-5, ..b.norm("norm", 384, true) };
    let x = b.buffer(Rows::Tokens, 384, "x");
    b.step(Step::EmbedLayerNorm { words, positions: None, types: None, norm, out: x });
    let y = b.linear(x, &["dense".into()], 1536, true, Some(Activation::Gelu), "y");
    b.output(OutputKind::HiddenState(0), y);
    let plan = b.finish(None)?;

    // 3 texts of 5, 17 and 40 tokens, end to end: 62 rows, and no tile divides that.
    let mut batch = PackedBatch::new();
    for len in [5, 17, 40] {
        let ids: Vec<u32> = (0..len).map(|at| at * 37 % 1000).collect();
        batch.push(&ids, &vec![0; ids.len()], 0);
    }

    // Three phases: prepare (weights laid out for the kernel, pipelines built), submit, read back.
    let weights = RandomWeights { seed: 1 };
    let selector = match std::env::args().nth(1).as_deref() {
        Some("software") => AdapterSelector::Software,
        Some(name) => AdapterSelector::Name(name.into()),
        None => AdapterSelector::Gpu,
    };
    let gpu = GpuEngine::new(selector)?;
    let prepared = gpu.prepare(&plan, &weights)?;
    let found = gpu.submit(&prepared, &batch)?.outputs()?;

    // The twin computes the same step in plain Rust.
    let cpu = CpuEngine::new(None)?;
    let expected = cpu.run(&cpu.prepare(&plan, &weights)?, &batch)?;

    let pairs = found.buffers[0].iter().zip(&expected.buffers[0]);
    let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("{} rows of {} on {}: largest difference {worst:.2e}", batch.tokens(), 1536, gpu.report().name);
    for time in gpu.profile(&prepared, &batch).unwrap_or_default() {
        println!("{:<28} {:>9.1} µs", time.kernel, time.nanoseconds / 1e3);
    }
    // NaN must fail too: hence the negation.
    if !(worst <= 1e-5) { Err(Error::device("the kernel and its twin disagree")) } else { Ok(()) }
}
