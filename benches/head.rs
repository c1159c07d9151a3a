//! Seconds that a linear head takes on 8,530 x 384 synthetic embeddings, or on real ones, beside scikit-learn on the same
//! matrix.
//!
//! `cargo bench --profile dev --bench head [-- [WORDS] [--sklearn PYTHON] [--rows STEM]]`: only the lines whose name holds
//! WORDS; PYTHON is an interpreter that has scikit-learn; STEM.x holds embeddings (f32, row after row), STEM.y their classes
//! (u32).

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use frostbert::head::{Head, Matrix, Strength, Targets, TrainData, TrainOptions};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ROWS: usize = 8530;
const COLUMNS: usize = 384;
const REPEATS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| {
        arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1))
    };
    let python = option("--sklearn");
    let words = arguments.get(1).filter(|word| !word.starts_with("--")).map_or("", String::as_str);
    let folder = tempfile::tempdir()?;
    let problems = match option("--rows") {
        Some(stem) => vec![real(Path::new(stem))?],
        None => vec![synthetic(2), synthetic(5)],
    };
    for (x, labels) in problems {
        let classes = labels.iter().max().map_or(0, |last| last + 1);
        let columns = x.len() / labels.len();
        let data = TrainData::new(
            Matrix::new(labels.len(), columns, &x[..])?,
            Targets::Classes { labels: labels.clone(), names: (0..classes).map(|k| k.to_string()).collect() },
        );
        for c in [1.0, 100.0] {
            let options = TrainOptions { c: Strength::Fixed(c), ..TrainOptions::default() };
            report(words, &format!("frostbert, {classes} classes, C = {c}"), || {
                let training = Head::train(&data, &options, &mut |_| {})?;
                Ok(format!("{} passes, objective {:.6}", training.passes, training.objective))
            })?;
        }
        report(words, &format!("frostbert, {classes} classes, C by 5 folds"), || {
            let training = Head::train(&data, &TrainOptions::default(), &mut |_| {})?;
            let tried = training.cross_validation.map_or(0, |folds| folds.path.len());
            Ok(format!("C = {:?} of {tried} tried", training.head.record.c))
        })?;
        if let Some(python) = python {
            let path = folder.path().join(format!("{classes}"));
            fs::write(path.with_extension("x"), bytemuck::cast_slice(&x))?;
            fs::write(path.with_extension("y"), bytemuck::cast_slice(&labels))?;
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/head_sklearn.py");
            let status = Command::new(python).arg(script).arg(&path).arg(columns.to_string()).status()?;
            if !status.success() {
                return Err("scikit-learn's run failed".into());
            }
        }
    }
    Ok(())
}

fn report(
    words: &str,
    what: &str,
    mut work: impl FnMut() -> frostbert::Result<String>,
) -> Result<(), Box<dyn Error>> {
    if !what.contains(words) {
        return Ok(());
    }
    let mut seconds = Vec::new();
    let mut note = String::new();
    for _ in 0..REPEATS {
        let start = Instant::now();
        note = work()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    println!("{what}: {:.4} s (best), {:.4} s (median); {note}", seconds[0], seconds[REPEATS / 2]);
    Ok(())
}

fn real(stem: &Path) -> Result<(Vec<f32>, Vec<u32>), Box<dyn Error>> {
    let x = fs::read(stem.with_extension("x"))?;
    let labels = fs::read(stem.with_extension("y"))?;
    Ok((bytemuck::pod_collect_to_vec(&x), bytemuck::pod_collect_to_vec(&labels)))
}

/// Unit vectors whose variance falls along the columns, as sentence embeddings' does, and noisy linear labels.
fn synthetic(classes: usize) -> (Vec<f32>, Vec<u32>) {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut normal = || -> f64 { (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0 };
    let directions: Vec<f64> = (0..classes * COLUMNS).map(|_| 4.0 * normal()).collect();
    let (mut x, mut labels) = (Vec::with_capacity(ROWS * COLUMNS), Vec::with_capacity(ROWS));
    for _ in 0..ROWS {
        let row: Vec<f64> =
            (0..COLUMNS).map(|j| normal() / (1.0 + j as f64).sqrt() + 0.3 / (1.0 + j as f64)).collect();
        let length = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        let row: Vec<f32> = row.iter().map(|v| (v / length) as f32).collect();
        let scores: Vec<f64> = (directions.chunks(COLUMNS))
            .map(|w| w.iter().zip(&row).map(|(w, x)| w * f64::from(*x)).sum::<f64>() + 1.5 * normal())
            .collect();
        let best = (1..classes).fold(0, |best, k| if scores[k] > scores[best] { k } else { best });
        labels.push(best as u32);
        x.extend(row);
    }
    (x, labels)
}
