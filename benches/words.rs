//! Accuracy with few labels, with descriptions of the classes and without.
//!
//! `cargo bench --profile dev --bench words -- STEM WORDS [SEEDS [LABELS]]`: STEM.x holds embeddings (f32, row after row), STEM.y their classes (u32);
//! WORDS holds the classes' prototypes in their order (f32). Half of the rows, drawn once, measure; examples are drawn from the rest for each seed. Prints
//! mean accuracy and a 95 % interval of the mean over seeds.

use std::error::Error;
use std::fs;
use std::path::Path;

use frostbert::head::{Folds, Head, Matrix, Metrics, Targets, TrainData, TrainOptions, train_test_split};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const LABELS: [usize; 7] = [0, 1, 2, 4, 8, 16, 64];
/// Unlabelled texts that are looked at.
const UNLABELLED: usize = 500;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let [stem, words, ..] = &arguments[..] else {
        println!("NOT TESTED: this bench wants STEM and WORDS");
        return Ok(());
    };
    let seeds: u64 = arguments.get(2).map_or(Ok(20), |seeds| seeds.parse())?;
    let numbers = arguments
        .get(3)
        .map_or(Ok(LABELS.to_vec()), |numbers| numbers.split(',').map(str::parse).collect())?;
    let stem = Path::new(stem);
    let x: Vec<f32> = bytemuck::pod_collect_to_vec(&fs::read(stem.with_extension("x"))?);
    let labels: Vec<u32> = bytemuck::pod_collect_to_vec(&fs::read(stem.with_extension("y"))?);
    let words: Vec<f32> = bytemuck::pod_collect_to_vec(&fs::read(words)?);
    let columns = x.len() / labels.len();
    let classes = words.len() / columns;
    let names = || (0..classes).map(|k| k.to_string()).collect::<Vec<String>>();
    let x = Matrix::new(labels.len(), columns, x)?;
    let words = Matrix::new(classes, columns, words)?;
    let halves = train_test_split(&labels, None, 0.5, 0)?;
    let of = |rows: &[u32]| Targets::Classes {
        labels: rows.iter().map(|row| labels[*row as usize]).collect(),
        names: names(),
    };
    let (test, truth) = (x.select_rows(&halves.test), of(&halves.test));
    let accuracy = |head: &Head| -> Result<f64, Box<dyn Error>> {
        match head.evaluate(&test, &truth)? {
            Metrics::SingleLabel(found) => Ok(found.accuracy),
            _ => Err("one class a row was expected".into()),
        }
    };
    println!("{} rows measure; {classes} classes, {columns} columns, {seeds} seeds", halves.test.len());
    println!(
        "| labels a class | examples alone | words and examples | and {UNLABELLED} unlabelled texts |\n|---|---|---|---|"
    );
    for each in numbers {
        let mut found: [Vec<f64>; 3] = Default::default();
        for seed in 0..if each == 0 { 1 } else { seeds } {
            let mut order = halves.train.clone();
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            (1..order.len()).rev().for_each(|last| order.swap(last, rng.random_range(0..=last)));
            let mut counts = vec![0; classes];
            let (mut rows, mut rest) = (vec![], vec![]);
            for row in order {
                let class = labels[row as usize] as usize;
                if counts[class] < each {
                    counts[class] += 1;
                    rows.push(row);
                } else {
                    rest.push(row);
                }
            }
            rest.truncate(UNLABELLED);
            let unlabelled = x.select_rows(&rest);
            let data = TrainData::new(x.select_rows(&rows), of(&rows));
            let options = TrainOptions {
                folds: Folds { folds: rows.len().clamp(2, 5), ..Folds::default() },
                ..TrainOptions::default()
            };
            if each > 0 {
                // One example a class leaves nothing to choose C by.
                let fixed = TrainOptions { c: frostbert::head::Strength::Fixed(1.0), ..options.clone() };
                let own = if each == 1 { &fixed } else { &options };
                let head =
                    Head::train(&data, own, &mut |_| {}).or_else(|_| Head::train(&data, &fixed, &mut |_| {}));
                found[0].push(accuracy(&head?.head)?);
            }
            for (at, unlabelled) in [(1, None), (2, Some(&unlabelled))] {
                let head = Head::train_from_words(&data, &words, unlabelled, &options, &mut |_| {})?.head;
                found[at].push(accuracy(&head)?);
            }
        }
        let shown = found.iter().map(|values| match values.len() {
            0 => String::new(),
            1 => format!("{:.3}", values[0]),
            n => {
                let mean = values.iter().sum::<f64>() / n as f64;
                let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
                format!("{mean:.3} ± {:.3}", 1.96 * (variance / n as f64).sqrt())
            }
        });
        println!("| {each} | {} |", shown.collect::<Vec<_>>().join(" | "));
    }
    Ok(())
}
