//! scratch
use frostbert::checkpoint::Config;
use frostbert::gpu::{AdapterSelector, GpuEngine};
use frostbert::plan::kernels::Class;
use frostbert::plan::*;
use frostbert::text::PackedBatch;
use std::collections::BTreeMap;
#[repr(C)]
struct Ts(i64, i64);
unsafe extern "C" {
    fn clock_gettime(id: i32, t: *mut Ts) -> i32;
}
fn cpu() -> f64 {
    let mut t = Ts(0, 0);
    unsafe { clock_gettime(2, &mut t) };
    t.0 as f64 + t.1 as f64 * 1e-9
}
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let len: usize = args.get(1).map_or(128, |a| a.parse().unwrap());
    let texts: usize = args.get(2).map_or(8, |a| a.parse().unwrap());
    let layers: usize = args.get(3).map_or(2, |a| a.parse().unwrap());
    let class = match args.get(4).map(|s| s.as_str()) {
        Some("gpu") => Class::Gpu,
        _ => Class::Software,
    };
    let config = Config::bert(384, layers, 12, 1536, 30522);
    let request = Request {
        embeddings: Some(EmbeddingRequest {
            layers: vec![layers],
            mix: LayerMix::Concat,
            pooling: vec![Pooling::Mean],
            dense: vec![],
            dimensions: None,
            normalize: true,
        }),
        ..Default::default()
    };
    let plan = families::plan(&config, &request).unwrap();
    let engine = pollster::block_on(GpuEngine::new(AdapterSelector::Software)).unwrap().with_class(class);
    let t = std::time::Instant::now();
    let prepared = pollster::block_on(engine.prepare(&plan, &RandomWeights { seed: 1 })).unwrap();
    println!("{} prepare {:?}", engine.report().driver, t.elapsed());
    let mut batch = PackedBatch::new();
    for t in 0..texts {
        let ids: Vec<u32> = (0..len).map(|i| ((i * 7919 + t * 31) % 30522) as u32).collect();
        batch.push(&ids, &vec![0; len], 0);
    }
    for _ in 0..3 {
        let c0 = cpu();
        let t = std::time::Instant::now();
        let out = pollster::block_on(engine.submit(&prepared, &batch).unwrap().outputs()).unwrap();
        let s = t.elapsed().as_secs_f64();
        println!(
            "{:.2} GF per cpu-second; {:.1} ms, {:.2} GFLOP/s, {:.0} tok/s  {}",
            plan.flops(&batch) as f64 / (cpu() - c0) / 1e9,
            s * 1e3,
            plan.flops(&batch) as f64 / s / 1e9,
            batch.tokens() as f64 / s,
            out.buffers[0][0]
        );
    }
    let times = pollster::block_on(engine.profile(&prepared, &batch)).unwrap();
    let mut by: BTreeMap<String, f64> = BTreeMap::new();
    for t in &times {
        let extra = match &plan.steps[t.step] {
            Step::MatMul { weight, .. } => {
                let s = plan.weight(*weight);
                let f = 2.0 * batch.tokens() as f64 * s.len() as f64;
                println!("   {}x{} {:.2} GF/s", s.rows(), s.cols(), f / t.nanoseconds);
                ""
            }
            _ => "",
        };
        *by.entry(format!("{}{extra}", t.kernel)).or_default() += t.nanoseconds;
    }
    for (k, v) in by {
        println!("{k}: {:.2} ms", v / 1e6);
    }
}
