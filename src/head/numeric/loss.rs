//! Losses of one row: the value, and the gradient in the logits.

/// Targets of all rows, with the loss that fits them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loss<'a> {
    /// Cross entropy of a softmax over `classes` logits.
    Softmax { labels: &'a [u32], classes: usize },
    /// Cross entropy of one logit for the second of two classes.
    Logistic { labels: &'a [u32] },
    /// Sum of the cross entropies of `outputs` independent labels.
    Sigmoid { marks: &'a [bool], outputs: usize },
    /// Cross entropy of label `label` of `outputs` alone.
    OneLabel { marks: &'a [bool], outputs: usize, label: usize },
    /// Half the squared error.
    Squared { values: &'a [f64] },
}

impl Loss<'_> {
    /// Number of logits a row.
    pub(crate) fn outputs(&self) -> usize {
        match *self {
            Loss::Softmax { classes, .. } => classes,
            Loss::Sigmoid { outputs, .. } => outputs,
            Loss::Logistic { .. } | Loss::OneLabel { .. } | Loss::Squared { .. } => 1,
        }
    }

    /// The loss of `row`; its logits are replaced by the gradient in them.
    pub(crate) fn row(&self, row: usize, logits: &mut [f64]) -> f64 {
        match *self {
            Loss::Softmax { labels, .. } => {
                let label = labels[row] as usize;
                let own = logits[label];
                let log_sum = softmax(logits);
                logits[label] -= 1.0;
                log_sum - own
            }
            Loss::Logistic { labels } => logistic(labels[row] == 1, &mut logits[0]),
            Loss::Sigmoid { marks, outputs } => {
                let marks = &marks[row * outputs..(row + 1) * outputs];
                marks.iter().zip(logits).map(|(&mark, logit)| logistic(mark, logit)).sum()
            }
            Loss::OneLabel { marks, outputs, label } => {
                logistic(marks[row * outputs + label], &mut logits[0])
            }
            Loss::Squared { values } => {
                logits[0] -= values[row];
                0.5 * logits[0] * logits[0]
            }
        }
    }

    /// How much of the row's target lies on output `output`: one or zero, or the number of a regression.
    pub(crate) fn target(&self, row: usize, output: usize) -> f64 {
        match *self {
            Loss::Softmax { labels, .. } => f64::from(u8::from(labels[row] as usize == output)),
            Loss::Logistic { labels } => f64::from(u8::from(labels[row] == 1)),
            Loss::Sigmoid { marks, outputs } => f64::from(u8::from(marks[row * outputs + output])),
            Loss::OneLabel { marks, outputs, label } => f64::from(u8::from(marks[row * outputs + label])),
            Loss::Squared { values } => values[row],
        }
    }

    /// The logit of an output whose mean target is `mean`, taken as no closer to certainty than `least`.
    pub(crate) fn bias_of(&self, mean: f64, least: f64) -> f64 {
        if let Loss::Squared { .. } = self {
            return mean;
        }
        let share = mean.clamp(least, 1.0 - least);
        match self {
            Loss::Softmax { .. } => libm::log(share),
            _ => libm::log(share / (1.0 - share)),
        }
    }

    /// The second derivative in output `output`'s logit for a model that knows only the targets' mean.
    pub(crate) fn curvature(&self, mean: f64) -> f64 {
        match self {
            Loss::Squared { .. } => 1.0,
            _ => mean * (1.0 - mean),
        }
    }
}

/// The logistic loss of one logit, which is replaced by its gradient.
#[inline]
fn logistic(positive: bool, logit: &mut f64) -> f64 {
    let z = if positive { *logit } else { -*logit };
    // log(1 + exp(-z)) without overflow on either side.
    let small = libm::exp(-z.abs());
    let loss = libm::log1p(small) + if z < 0.0 { -z } else { 0.0 };
    let missed = if z < 0.0 { 1.0 } else { small } / (1.0 + small);
    *logit = if positive { -missed } else { missed };
    loss
}

/// Replaces logits by probabilities and returns the logarithm of the sum of their exponentials.
pub(crate) fn softmax(logits: &mut [f64]) -> f64 {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for logit in logits.iter_mut() {
        *logit = libm::exp(*logit - max);
        sum += *logit;
    }
    for logit in logits.iter_mut() {
        *logit /= sum;
    }
    max + libm::log(sum)
}

/// `1 / (1 + exp(-z))` without overflow.
pub(crate) fn sigmoid(z: f64) -> f64 {
    let small = libm::exp(-z.abs());
    if z < 0.0 { small / (1.0 + small) } else { 1.0 / (1.0 + small) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_match_finite_differences() {
        let labels = [2, 0, 1];
        let binary = [0, 1, 1];
        let marks = [true, false, true, false, true, false, false, false, true];
        let values = [0.3, -2.0, 11.0];
        for loss in [
            Loss::Softmax { labels: &labels, classes: 3 },
            Loss::Logistic { labels: &binary },
            Loss::Sigmoid { marks: &marks, outputs: 3 },
            Loss::OneLabel { marks: &marks, outputs: 3, label: 1 },
            Loss::Squared { values: &values },
        ] {
            for scale in [0.1, 3.0, 30.0] {
                for row in 0..3 {
                    let at: Vec<f64> =
                        (0..loss.outputs()).map(|o| scale * (0.7 - o as f64 + row as f64 * 0.3)).collect();
                    let mut gradient = at.clone();
                    let value = loss.row(row, &mut gradient);
                    for o in 0..at.len() {
                        let moved = |step: f64| {
                            let mut at = at.clone();
                            at[o] += step;
                            loss.row(row, &mut at)
                        };
                        let want = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                        let error = (gradient[o] - want).abs();
                        assert!(
                            error <= 1e-8 * value.abs().max(1.0),
                            "{loss:?} row {row} output {o}: {error}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn extreme_logits_stay_finite() {
        for z in [-1e4, -800.0, 800.0, 1e4] {
            let mut logits = [z, 0.0, -z];
            let value = Loss::Softmax { labels: &[0], classes: 3 }.row(0, &mut logits);
            assert!(value.is_finite() && logits.iter().all(|g| g.is_finite()));
            let mut logit = [z];
            let value = Loss::Logistic { labels: &[1] }.row(0, &mut logit);
            assert_eq!(value, if z < 0.0 { -z } else { 0.0 });
            assert_eq!(logit[0], if z < 0.0 { -1.0 } else { 0.0 });
            assert_eq!(sigmoid(z), if z < 0.0 { 0.0 } else { 1.0 });
        }
    }
}
