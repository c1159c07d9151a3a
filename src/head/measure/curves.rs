//! Curves behind the measures, for plots.

use super::metrics::argmax;
use super::ranking::by_score;

/// Predictions whose confidence falls into one bin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReliabilityBin {
    /// Where the bin begins.
    pub from: f64,
    /// Mean confidence of its rows.
    pub confidence: f64,
    /// Share of them that is right.
    pub accuracy: f64,
    /// Its rows.
    pub rows: usize,
}

/// Confidence against accuracy of the likeliest class, in bins of equal width; empty bins are left out.
///
/// Shapes: `probabilities` `[rows, classes]`.
///
/// # Panics
/// When the shapes do not fit, or there are no bins.
pub fn reliability(labels: &[u32], probabilities: &[f64], bins: usize) -> Vec<ReliabilityBin> {
    assert!(bins > 0, "at least one bin");
    let classes = probabilities.len().checked_div(labels.len()).unwrap_or(0);
    assert_eq!(classes * labels.len(), probabilities.len(), "probabilities are [rows, classes]");
    let mut sums = vec![(0usize, 0usize, 0.0f64); bins];
    for (&label, p) in labels.iter().zip(probabilities.chunks_exact(classes.max(1))) {
        let best = argmax(p);
        let (rows, right, confidence) = &mut sums[((p[best] * bins as f64) as usize).min(bins - 1)];
        *rows += 1;
        *right += usize::from(best == label as usize);
        *confidence += p[best];
    }
    let bin = |(at, &(rows, right, confidence)): (usize, &(usize, usize, f64))| {
        (rows > 0).then(|| ReliabilityBin {
            from: at as f64 / bins as f64,
            confidence: confidence / rows as f64,
            accuracy: right as f64 / rows as f64,
            rows,
        })
    };
    sums.iter().enumerate().filter_map(bin).collect()
}

/// `[false positive rate, true positive rate]` from (0, 0) to (1, 1), one point a distinct score; empty unless both
/// answers occur.
pub fn roc_curve(scores: &[f64], truth: &[bool]) -> Vec<[f64; 2]> {
    let (all, none) = totals(truth);
    if all == 0.0 || none == 0.0 {
        return vec![];
    }
    let (mut positives, mut negatives) = (0.0, 0.0);
    let mut points = vec![[0.0, 0.0]];
    for (positive, negative) in by_score(scores, truth) {
        positives += positive;
        negatives += negative;
        points.push([negatives / none, positives / all]);
    }
    points
}

/// `[recall, precision]` by rising recall, one point a distinct score; empty unless both answers occur.
pub fn precision_recall_curve(scores: &[f64], truth: &[bool]) -> Vec<[f64; 2]> {
    let (all, none) = totals(truth);
    if all == 0.0 || none == 0.0 {
        return vec![];
    }
    let (mut positives, mut taken) = (0.0, 0.0);
    (by_score(scores, truth).into_iter())
        .map(|(positive, negative)| {
            positives += positive;
            taken += positive + negative;
            [positives / all, positives / taken]
        })
        .collect()
}

/// Keeps at most `most` points of a curve, or of what else is in order, the ends among them: a plot needs no more.
pub fn thin<T: Copy>(points: &[T], most: usize) -> Vec<T> {
    if points.len() <= most || most < 2 {
        return points.to_vec();
    }
    (0..most).map(|at| points[at * (points.len() - 1) / (most - 1)]).collect()
}

fn totals(truth: &[bool]) -> (f64, f64) {
    let positives = truth.iter().filter(|&&is| is).count();
    (positives as f64, (truth.len() - positives) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::measure::ranking::{average_precision, roc_auc};

    #[test]
    fn areas_under_the_curves_are_the_measures() {
        let scores: Vec<f64> = (0..60).map(|row| f64::from(row * row % 23) / 23.0).collect();
        let truth: Vec<bool> = (0..60).map(|row| row * row % 23 + row % 7 > 14).collect();
        let roc = roc_curve(&scores, &truth);
        assert_eq!((roc[0], roc[roc.len() - 1]), ([0.0, 0.0], [1.0, 1.0]));
        let area: f64 = roc.windows(2).map(|p| (p[1][0] - p[0][0]) * (p[1][1] + p[0][1]) / 2.0).sum();
        assert!((area - roc_auc(&scores, &truth).unwrap()).abs() <= 1e-12);
        let pr = precision_recall_curve(&scores, &truth);
        let mut before = 0.0;
        let area: f64 = pr
            .iter()
            .map(|p| {
                let step = (p[0] - before) * p[1];
                before = p[0];
                step
            })
            .sum();
        assert!((area - average_precision(&scores, &truth).unwrap()).abs() <= 1e-12);
        assert!(roc_curve(&scores, &[true; 60]).is_empty());
        let thinned = thin(&roc, 5);
        assert_eq!((thinned.len(), thinned[0], thinned[4]), (5, roc[0], roc[roc.len() - 1]));
    }

    #[test]
    fn bins_hold_every_row_once() {
        let p = [0.95, 0.05, 0.45, 0.55, 0.6, 0.4, 1.0, 0.0];
        let bins = reliability(&[0, 0, 0, 1], &p, 10);
        assert_eq!(bins.iter().map(|bin| bin.rows).sum::<usize>(), 4);
        assert_eq!(bins[0], ReliabilityBin { from: 0.5, confidence: 0.55, accuracy: 0.0, rows: 1 });
        assert_eq!((bins[2].rows, bins[2].accuracy), (2, 0.5), "a confidence of one is in the last bin");
    }
}
