//! Two heads on the same rows: whether one is better, or luck made it look so.
//!
//! Rows are paired, so what both get right or wrong says nothing; the tests look at the differences row by row.
//!
//! Sources: McNemar (1947), in the exact form of a binomial test; Efron and Tibshirani (1993), percentile bootstrap; Holm (1979).

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::metrics::argmax;
use crate::error::{Error, Result};
use crate::head::data::split::below;
use crate::head::data::targets::Targets;

/// Two heads compared on the same rows.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// Rows compared.
    pub rows: usize,
    /// Rows that both, only the first, only the second and neither head gets right: the class, the whole set of labels. None for numbers.
    pub right: Option<RightCounts>,
    /// Measures that are means over rows, and their differences.
    pub measures: Vec<MeasureDifference>,
    /// The same on parts of the rows; their p-values hold together (Holm).
    pub slices: Vec<Slice>,
}

/// How often who is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct RightCounts {
    /// Rows that both get right.
    pub both: u64,
    /// Rows that only the first gets right.
    pub only_first: u64,
    /// Rows that only the second gets right.
    pub only_second: u64,
    /// Rows that both get wrong.
    pub neither: u64,
}

/// A measure of both heads.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct MeasureDifference {
    /// Its name.
    pub name: &'static str,
    /// Whether more is better.
    pub more_is_better: bool,
    /// Of the first head.
    pub first: f64,
    /// Of the second head.
    pub second: f64,
    /// Second less first, and the ends of its 95% interval over bootstrapped rows.
    pub difference: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Probability of such a difference, in either direction, between heads that are equally good: McNemar's exact test where rows are right or
    /// wrong, otherwise from the bootstrap.
    pub p: f64,
}

/// Both heads on the rows that have one value in a column.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Slice {
    /// The value.
    pub name: String,
    /// Rows that have it.
    pub rows: usize,
    /// The first measure there; `p` is corrected for looking at so many slices.
    pub measure: MeasureDifference,
}

/// Rows drawn with replacement so often.
const RESAMPLES: usize = 2000;

/// Compares two heads' probabilities (of a regression, values) on rows with known targets.
///
/// Shapes: `first`, `second` `[rows, names]`; `thresholds` of each head `[names]` for multi-label; `slices` names one slice for each row.
///
/// # Errors
/// The input: shapes that do not agree, no rows.
pub fn compare(
    targets: &Targets,
    [first, second]: [&[f64]; 2],
    thresholds: [&[f64]; 2],
    slices: Option<&[String]>,
    seed: u64,
) -> Result<Comparison> {
    let rows = targets.rows();
    let width = if let Targets::Values { .. } = targets { 1 } else { targets.names().len() };
    let fits = |p: &[f64]| p.len() == rows * width && p.iter().all(|p| p.is_finite());
    if rows == 0 || !fits(first) || !fits(second) || slices.is_some_and(|slices| slices.len() != rows) {
        return Err(Error::input(format!(
            "comparing heads: expected {width} finite numbers of each head for each of {rows} rows (one or more), found {} and {}",
            first.len(),
            second.len()
        )));
    }
    let measures =
        [row_values(targets, first, thresholds[0], width), row_values(targets, second, thresholds[1], width)];
    let right = match targets {
        Targets::Values { .. } => None,
        _ => Some(counts(&measures[0][0].values, &measures[1][0].values)),
    };
    let all: Vec<u32> = (0..rows as u32).collect();
    let differences =
        measures[0].iter().zip(&measures[1]).map(|(a, b)| difference(a, b, &all, seed)).collect();
    Ok(Comparison {
        rows,
        right,
        measures: differences,
        slices: slices
            .map_or_else(Vec::new, |slices| by_slice(slices, &measures[0][0], &measures[1][0], seed)),
    })
}

/// A measure that is a mean over rows.
struct RowValues {
    name: &'static str,
    more_is_better: bool,
    /// Whether rows are right (1) or wrong (0).
    binary: bool,
    values: Vec<f64>,
}

fn row_values(targets: &Targets, p: &[f64], thresholds: &[f64], width: usize) -> Vec<RowValues> {
    // As in the log loss of metrics.rs: a probability of zero for what happened is not the end of the world.
    let log = |p: f64| -libm::log(p.clamp(f64::EPSILON, 1.0 - f64::EPSILON));
    let rows = p.chunks_exact(width.max(1));
    let make = |name, more_is_better, binary, values| RowValues { name, more_is_better, binary, values };
    match targets {
        Targets::Classes { labels, .. } => {
            let right = |(row, label): (&[f64], &u32)| f64::from(u8::from(argmax(row) == *label as usize));
            let loss = |(row, label): (&[f64], &u32)| log(row[*label as usize]);
            vec![
                make("accuracy", true, true, rows.clone().zip(labels).map(right).collect()),
                make("log loss", false, false, rows.zip(labels).map(loss).collect()),
            ]
        }
        Targets::MultiLabel { marks, .. } => {
            let threshold = |j: usize| thresholds.get(j).copied().unwrap_or(0.5);
            let wrong = |(row, marks): (&[f64], &[bool])| {
                (0..row.len()).filter(|j| (row[*j] > threshold(*j)) != marks[*j]).count() as f64
            };
            let paired = rows.zip(marks.chunks_exact(width.max(1)));
            let loss = |(row, marks): (&[f64], &[bool])| {
                let each = row.iter().zip(marks).map(|(p, mark)| log(if *mark { *p } else { 1.0 - p }));
                each.sum::<f64>() / row.len() as f64
            };
            vec![
                make(
                    "subset accuracy",
                    true,
                    true,
                    paired.clone().map(|row| f64::from(u8::from(wrong(row) == 0.0))).collect(),
                ),
                make(
                    "hamming loss",
                    false,
                    false,
                    paired.clone().map(|row| wrong(row) / width as f64).collect(),
                ),
                make("log loss", false, false, paired.map(loss).collect()),
            ]
        }
        Targets::Values { values, .. } => {
            let error = |(p, value): (&f64, &f64)| (p - value).abs();
            vec![
                make("mean absolute error", false, false, p.iter().zip(values).map(error).collect()),
                make(
                    "mean squared error",
                    false,
                    false,
                    p.iter().zip(values).map(|row| error(row).powi(2)).collect(),
                ),
            ]
        }
    }
}

fn counts(first: &[f64], second: &[f64]) -> RightCounts {
    let mut counts = RightCounts::default();
    for (a, b) in first.iter().zip(second) {
        match (*a > 0.5, *b > 0.5) {
            (true, true) => counts.both += 1,
            (true, false) => counts.only_first += 1,
            (false, true) => counts.only_second += 1,
            (false, false) => counts.neither += 1,
        }
    }
    counts
}

fn difference(first: &RowValues, second: &RowValues, rows: &[u32], seed: u64) -> MeasureDifference {
    let n = rows.len() as f64;
    let mean = |of: &RowValues| rows.iter().map(|row| of.values[*row as usize]).sum::<f64>() / n;
    let by_row: Vec<f64> =
        rows.iter().map(|row| second.values[*row as usize] - first.values[*row as usize]).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            (0..rows.len()).map(|_| by_row[below(&mut rng, rows.len() as u32) as usize]).sum::<f64>() / n
        })
        .collect();
    drawn.sort_by(f64::total_cmp);
    let at = |share: f64| drawn[((share * RESAMPLES as f64) as usize).min(RESAMPLES - 1)];
    let p = if first.binary {
        let (mut only_first, mut only_second) = (0, 0);
        by_row.iter().for_each(|d| {
            only_first += u64::from(*d < 0.0);
            only_second += u64::from(*d > 0.0);
        });
        mcnemar(only_first, only_second)
    } else {
        let beyond =
            |below: bool| drawn.iter().filter(|d| if below { **d <= 0.0 } else { **d >= 0.0 }).count();
        let tail = beyond(true).min(beyond(false));
        (2.0 * (tail + 1) as f64 / (RESAMPLES + 1) as f64).min(1.0)
    };
    let (first_mean, second_mean) = (mean(first), mean(second));
    MeasureDifference {
        name: first.name,
        more_is_better: first.more_is_better,
        first: first_mean,
        second: second_mean,
        difference: second_mean - first_mean,
        low: at(0.025),
        high: at(0.975),
        p,
    }
}

/// Each slice, largest first, with p-values after Holm.
fn by_slice(names: &[String], first: &RowValues, second: &RowValues, seed: u64) -> Vec<Slice> {
    let mut members: std::collections::BTreeMap<&str, Vec<u32>> = std::collections::BTreeMap::new();
    names.iter().zip(0u32..).for_each(|(name, row)| members.entry(name).or_default().push(row));
    let mut slices: Vec<Slice> = members
        .into_iter()
        .map(|(name, rows)| Slice {
            name: name.to_owned(),
            rows: rows.len(),
            measure: difference(first, second, &rows, seed),
        })
        .collect();
    let mut order: Vec<usize> = (0..slices.len()).collect();
    order.sort_by(|a, b| slices[*a].measure.p.total_cmp(&slices[*b].measure.p));
    let mut before = 0.0f64;
    for (rank, &at) in order.iter().enumerate() {
        let corrected = (slices[at].measure.p * (order.len() - rank) as f64).min(1.0);
        before = before.max(corrected);
        slices[at].measure.p = before;
    }
    slices.sort_by_key(|slice| std::cmp::Reverse(slice.rows));
    slices
}

/// Two-sided exact p-value: of `a + b` rows on which just one is right, how unlikely a split as uneven as this one is.
fn mcnemar(a: u64, b: u64) -> f64 {
    let (n, least) = (a + b, a.min(b));
    if n == 0 {
        return 1.0;
    }
    let log_choose = |k: u64| {
        libm::lgamma(n as f64 + 1.0) - libm::lgamma(k as f64 + 1.0) - libm::lgamma((n - k) as f64 + 1.0)
    };
    let tail: f64 = (0..=least).map(|k| libm::exp(log_choose(k) - n as f64 * std::f64::consts::LN_2)).sum();
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mcnemar_is_the_binomial_test() {
        // scipy.stats.binomtest(k, n).pvalue
        for (a, b, expected) in [
            (10, 2, 0.03857421875),
            (5, 5, 1.0),
            (0, 0, 1.0),
            (30, 12, 0.007915897334896727),
            (0, 9, 0.00390625),
        ] {
            assert!((mcnemar(a, b) - expected).abs() < 1e-9, "{a} {b}: {}", mcnemar(a, b));
        }
    }

    /// The second head is right wherever the first is, and on `more` rows besides, of 200.
    fn heads(more: usize) -> (Targets, Vec<f64>, Vec<f64>) {
        let labels: Vec<&str> = (0..200).map(|row| if row % 2 == 0 { "a" } else { "b" }).collect();
        let answers = |right: usize| -> Vec<f64> {
            (0..200)
                .flat_map(|row| if (row % 2 == 0) == (row < right) { [0.7, 0.3] } else { [0.3, 0.7] })
                .collect()
        };
        (Targets::classes(&labels), answers(140), answers(140 + more))
    }

    #[test]
    fn a_real_difference_is_seen_and_none_is_not() {
        let (targets, first, second) = heads(30);
        let none: [&[f64]; 2] = [&[], &[]];
        let found = compare(&targets, [&first, &second], none, None, 1).unwrap();
        assert_eq!(found.right, Some(RightCounts { both: 140, only_first: 0, only_second: 30, neither: 30 }));
        let accuracy = &found.measures[0];
        assert!((accuracy.difference - 0.15).abs() < 1e-12 && accuracy.p < 1e-8);
        assert!(accuracy.low > 0.09 && accuracy.low < 0.13 && accuracy.high < 0.21, "{accuracy:?}");
        let loss = &found.measures[1];
        assert!(
            !loss.more_is_better && loss.difference < 0.0 && loss.high < 0.0 && loss.p < 0.01,
            "{loss:?}"
        );
        let same = compare(&targets, [&first, &first], none, None, 1).unwrap();
        assert!(same.measures.iter().all(|m| m.p == 1.0 && m.difference == 0.0 && m.low == 0.0));
    }

    #[test]
    fn slices_are_corrected_for_their_number() {
        let (targets, first, second) = heads(12);
        // All twelve rows lie in the slice "late".
        let slices: Vec<String> =
            (0..200).map(|row| if row < 130 { "early" } else { "late" }.to_owned()).collect();
        let found = compare(&targets, [&first, &second], [&[], &[]], Some(&slices), 1).unwrap();
        let names: Vec<(&str, usize)> = found.slices.iter().map(|slice| (&*slice.name, slice.rows)).collect();
        assert_eq!(names, [("early", 130), ("late", 70)]);
        assert_eq!(found.slices[0].measure.p, 1.0);
        assert!((found.slices[1].measure.p - 2.0 * mcnemar(0, 12)).abs() < 1e-15);
    }

    #[test]
    fn labels_and_numbers_have_measures_of_their_own() {
        let targets = Targets::multi_label(&[vec!["a"], vec!["a", "b"], vec![]]);
        let (first, second) = ([0.9, 0.1, 0.9, 0.4, 0.2, 0.1], [0.9, 0.1, 0.9, 0.6, 0.2, 0.1]);
        let found = compare(&targets, [&first, &second], [&[0.5, 0.5], &[0.5, 0.5]], None, 0).unwrap();
        assert_eq!(
            found.measures.iter().map(|m| m.name).collect::<Vec<_>>(),
            ["subset accuracy", "hamming loss", "log loss"]
        );
        assert!((found.measures[1].first - 1.0 / 6.0).abs() < 1e-12 && found.measures[1].second == 0.0);
        // With its own threshold the first head is as good.
        let found = compare(&targets, [&first, &second], [&[0.5, 0.3], &[0.5, 0.5]], None, 0).unwrap();
        assert_eq!(found.measures[1].difference, 0.0);
        let targets = Targets::values(vec![1.0, 2.0], "stars");
        let found = compare(&targets, [&[1.5, 2.0], &[1.0, 4.0]], [&[], &[]], None, 0).unwrap();
        assert_eq!((found.right, found.measures[0].first, found.measures[1].second), (None, 0.25, 2.0));
        assert!(compare(&targets, [&[1.0], &[1.0, 2.0]], [&[], &[]], None, 0).unwrap_err().is_input());
    }
}
