//! Measures of an order: of scores, of ranks.

/// None of nothing.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0usize);
    values.for_each(|value| {
        sum += value;
        count += 1;
    });
    (count > 0).then(|| sum / count as f64)
}

/// Rows by falling score: (positives, negatives) of each distinct score.
pub(crate) fn by_score(scores: &[f64], truth: &[bool]) -> Vec<(f64, f64)> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let same = |a: &usize, b: &usize| scores[*a] == scores[*b];
    order
        .chunk_by(same)
        .map(|rows| {
            let positives = rows.iter().filter(|&&row| truth[row]).count();
            (positives as f64, (rows.len() - positives) as f64)
        })
        .collect()
}

/// Area under the ROC curve; none unless both answers occur.
pub fn roc_auc(scores: &[f64], truth: &[bool]) -> Option<f64> {
    let (mut positives, mut negatives, mut area) = (0.0, 0.0, 0.0);
    for (positive, negative) in by_score(scores, truth) {
        area += negative * (positives + 0.5 * positive);
        positives += positive;
        negatives += negative;
    }
    (positives > 0.0 && negatives > 0.0).then(|| area / (positives * negatives))
}

/// Average precision, without interpolation; none unless both answers occur.
pub fn average_precision(scores: &[f64], truth: &[bool]) -> Option<f64> {
    let (mut positives, mut negatives, mut sum) = (0.0, 0.0, 0.0);
    for (positive, negative) in by_score(scores, truth) {
        positives += positive;
        negatives += negative;
        sum += positive * positives / (positives + negatives);
    }
    (positives > 0.0 && negatives > 0.0).then(|| sum / positives)
}

/// For each true label: the share of labels ranked as high that are true; one where there is nothing to rank.
pub(super) fn ranking_precision(marks: &[bool], scores: &[f64]) -> f64 {
    let count = marks.iter().filter(|&&mark| mark).count();
    if count == 0 || count == marks.len() {
        return 1.0;
    }
    let own = (0..marks.len()).filter(|&j| marks[j]);
    own.map(|j| {
        let ahead = |i: &usize| scores[*i] >= scores[j];
        let all = (0..marks.len()).filter(ahead).count();
        let right = (0..marks.len()).filter(ahead).filter(|&i| marks[i]).count();
        right as f64 / all as f64
    })
    .sum::<f64>()
        / count as f64
}

/// Ranks from one; equals share their mean rank.
pub(super) fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for rows in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = before as f64 + (rows.len() as f64 + 1.0) / 2.0;
        rows.iter().for_each(|&row| ranks[row] = rank);
        before += rows.len();
    }
    ranks
}

/// Pearson's correlation; none when either side does not vary.
pub(super) fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let (mean_a, mean_b) = (mean(a.iter().copied())?, mean(b.iter().copied())?);
    let sum =
        |of: fn(f64, f64) -> f64| -> f64 { a.iter().zip(b).map(|(a, b)| of(a - mean_a, b - mean_b)).sum() };
    let scale = sum(|a, _| a * a) * sum(|_, b| b * b);
    (scale > 0.0).then(|| sum(|a, b| a * b) / scale.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_their_place() {
        assert_eq!(roc_auc(&[0.5, 0.5, 0.5, 0.5], &[true, false, true, false]), Some(0.5));
        // By hand: thresholds 0.9 (1 of 1), 0.5 (2 of 3), 0.1 (3 of 4) -> (1 + 2/3 + 3/4) / 3.
        let ap = average_precision(&[0.9, 0.5, 0.5, 0.1], &[true, true, false, true]).unwrap();
        assert!((ap - (1.0 + 2.0 / 3.0 + 0.75) / 3.0).abs() <= 1e-15);
        assert_eq!(ranks(&[3.0, 1.0, 3.0]), [2.5, 1.0, 2.5]);
    }
}
