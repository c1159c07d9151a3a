//! Tokens per second of the engines by length of text, on a model of all-MiniLM-L6-v2's shape with random weights:
//! `cargo bench --bench engines`. Prints, and gates nothing.

use frostbert::engine::cpu::CpuEngine;
use frostbert::model::Config;
use frostbert::model::{EmbeddingRequest, LayerMix, Pooling};
use frostbert::plan::{Plan, RandomWeights, Request, families};
use frostbert::text::PackedBatch;
use std::time::{Duration, Instant};

/// Name, shortest and longest text, tokens of a batch.
const MIXES: [(&str, usize, usize, usize); 5] = [
    ("one text of 8", 8, 8, 8),
    ("mixed 5 to 60", 5, 60, 2048),
    ("all 128", 128, 128, 2048),
    ("all 256", 256, 256, 4096),
    ("all 512", 512, 512, 4096),
];

/// Long enough for several batches of the slowest mix.
const MEASURE: Duration = Duration::from_millis(1500);

fn main() -> frostbert::Result<()> {
    let config = Config::bert(384, 6, 12, 1536, 30522);
    let embeddings = EmbeddingRequest {
        layers: vec![config.layers],
        mix: LayerMix::Concat,
        layer_weights: None,
        pooling: vec![Pooling::Mean],
        modules: vec![],
        dimensions: None,
        normalize: true,
    };
    let plan = families::plan(&config, &Request { embeddings: Some(embeddings), ..Request::default() })?;
    let engine = CpuEngine::new(None)?;
    let prepared = engine.prepare(&plan, &RandomWeights { seed: 1 })?;
    println!("cpu: {} threads, {}", engine.threads(), engine.instruction_set());
    for (name, shortest, longest, tokens) in MIXES {
        let batch = batch(&config, shortest, longest, tokens);
        report("cpu", name, &plan, &batch, || engine.run(&prepared, &batch).map(drop))?;
    }
    Ok(())
}

/// Texts of lengths spread evenly from `shortest` to `longest`, up to `tokens` in all.
fn batch(config: &Config, shortest: usize, longest: usize, tokens: usize) -> PackedBatch {
    let mut batch = PackedBatch::new();
    let spread = longest - shortest + 1;
    for text in 0.. {
        let len = shortest + text * 7919 % spread;
        if batch.tokens() + len > tokens {
            break;
        }
        let ids: Vec<u32> = (0..len).map(|at| ((text * 131 + at * 7) % config.vocab) as u32).collect();
        batch.push(&ids, &vec![0; len], config.position_offset);
    }
    batch
}

fn report(
    engine: &str,
    name: &str,
    plan: &Plan,
    batch: &PackedBatch,
    mut run: impl FnMut() -> frostbert::Result<()>,
) -> frostbert::Result<()> {
    run()?;
    let start = Instant::now();
    let mut times = vec![];
    while start.elapsed() < MEASURE {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed());
    }
    times.sort();
    let seconds = times[times.len() / 2].as_secs_f64();
    println!(
        "{engine}: {name:14} {:5} texts {:5} tokens  {:9.0} tokens/s  {:6.1} GFLOP/s  best {:.2} ms",
        batch.texts(),
        batch.tokens(),
        batch.tokens() as f64 / seconds,
        plan.flops(batch) as f64 / seconds / 1e9,
        times[0].as_secs_f64() * 1e3
    );
    Ok(())
}
