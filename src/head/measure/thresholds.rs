//! From which probability on a label is given.

/// Rows that must bear a label, and rows that must not, before a threshold is chosen on them.
pub(crate) const ENOUGH: usize = 10;

/// The threshold of largest F1 for each label, on out-of-fold probabilities `[rows, labels]`, among those that give it to at most
/// twice the rows that bear it: a label that cannot be told would have its largest F1 near giving it to all. One half where there
/// are too few rows for a choice, or where none is better than giving the label to every row. A row counts by its weight;
/// `counts` are the rows that bear each label and those that do not, each counted once.
pub(crate) fn choose(
    marks: &[bool],
    probabilities: &[f64],
    weights: Option<&[f64]>,
    counts: &[(usize, usize)],
) -> Vec<f64> {
    let labels = counts.len();
    let of_label = |(label, &(with, without)): (usize, &(usize, usize))| {
        let enough = with >= ENOUGH && without >= ENOUGH;
        if enough { best(marks, probabilities, weights, labels, label) } else { 0.5 }
    };
    counts.iter().enumerate().map(of_label).collect()
}

/// Halfway between the two probabilities that the best cut lies between.
fn best(marks: &[bool], probabilities: &[f64], weights: Option<&[f64]>, labels: usize, label: usize) -> f64 {
    let of_label = probabilities.iter().zip(marks).skip(label).step_by(labels);
    let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
    let mut rows: Vec<(f64, bool, f64)> =
        of_label.enumerate().map(|(row, (&p, &mark))| (p, mark, weight(row))).collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let support: f64 = rows.iter().filter(|row| row.1).map(|row| row.2).sum();
    let all: f64 = rows.iter().map(|row| row.2).sum();
    let f1 = |hits: f64, given: f64| 2.0 * hits / (given + support);
    let (mut hits, mut given, mut most, mut threshold) = (0.0, 0.0, f1(support, all), 0.5);
    for (at, &(p, mark, weight)) in rows.iter().enumerate() {
        hits += if mark { weight } else { 0.0 };
        given += weight;
        let next = rows.get(at + 1).map_or(0.0, |row| row.0);
        let here = f1(hits, given);
        if next < p && here > most && given <= 2.0 * support {
            (most, threshold) = (here, 0.5 * (p + next));
        }
    }
    threshold
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_have_the_largest_f1() {
        // Label 0 of two: marked rows have 0.9, 0.6 and 0.2, the others 0.7, 0.1 and 0.05.
        let p = [0.9, 0.5, 0.6, 0.5, 0.2, 0.5, 0.7, 0.5, 0.1, 0.5, 0.05, 0.5];
        let marks = [true, false, true, true, true, false, false, true, false, false, false, true];
        let threshold = best(&marks, &p, None, 2, 0);
        assert!((threshold - 0.15).abs() <= 1e-12, "{threshold}: four taken, three of them right");
        // Where the row at 0.7 weighs much, it is better left out.
        let weights = [1.0, 1.0, 1.0, 9.0, 1.0, 1.0];
        let threshold = best(&marks, &p, Some(&weights), 2, 0);
        assert!((threshold - 0.8).abs() <= 1e-12, "{threshold}: the first alone");
        // Equal probabilities cannot be parted: nothing is better than yes to all, which is no choice.
        assert_eq!(best(&marks, &p, None, 2, 1), 0.5);
    }

    #[test]
    fn too_few_rows_choose_nothing() {
        // The one row that bears the label has the least probability of all.
        for (with, expected_half) in [(1, true), (9, true), (10, false), (40, false), (41, true), (49, true)]
        {
            let p: Vec<f64> = (0..50).map(|row| f64::from(row) / 100.0 + 0.01).collect();
            let marks: Vec<bool> = (0..50).map(|row| row >= 50 - with).collect();
            let threshold = choose(&marks, &p, None, &[(with, 50 - with)])[0];
            assert_eq!(threshold == 0.5, expected_half, "{with}: {threshold}");
        }
    }
}
