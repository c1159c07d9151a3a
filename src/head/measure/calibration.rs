//! Calibration: logits rescaled so that a confidence of 0.8 is right eight times in ten.
//!
//! Source: Guo et al., *On Calibration of Modern Neural Networks* (2017), temperature and vector scaling.

use crate::error::{Error, Result};
use crate::head::numeric::lbfgs;
use crate::head::numeric::lbfgs::{Objective, Stop};
use crate::head::numeric::loss::Loss;
use crate::head::options::CalibrationKind;

/// Calibrated logits are `scale * logit + bias`, output by output.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Calibration {
    /// How it was found.
    pub kind: CalibrationKind,
    /// Factor of each logit.
    pub scale: Vec<f64>,
    /// Shift of each logit.
    pub bias: Vec<f64>,
}

impl Calibration {
    /// Leaves logits as they are.
    pub fn identity(outputs: usize) -> Self {
        Calibration { kind: CalibrationKind::None, scale: vec![1.0; outputs], bias: vec![0.0; outputs] }
    }

    /// The temperature, of a temperature calibration.
    pub fn temperature(&self) -> Option<f64> {
        (self.kind == CalibrationKind::Temperature).then(|| 1.0 / self.scale[0])
    }

    /// Rescales logits `[rows, outputs]`.
    pub fn apply(&self, logits: &mut [f64]) {
        for row in logits.chunks_exact_mut(self.scale.len().max(1)) {
            for ((logit, scale), bias) in row.iter_mut().zip(&self.scale).zip(&self.bias) {
                *logit = scale * *logit + bias;
            }
        }
    }

    /// Minimises the log loss over logits `[rows, classes]` of rows that the model did not learn from.
    ///
    /// # Errors
    /// The input, when the logits are not whole rows of finite numbers, or a label is out of range.
    pub fn of_classes(kind: CalibrationKind, logits: &[f64], labels: &[u32]) -> Result<Self> {
        let classes = logits.len().checked_div(labels.len()).unwrap_or(0);
        let fits =
            classes * labels.len() == logits.len() && labels.iter().all(|&label| (label as usize) < classes);
        if classes == 0 || !fits || !logits.iter().all(|logit| logit.is_finite()) {
            return Err(Error::input(format!(
                "calibrating: expected finite logits [rows, classes] and labels below classes, found {} logits for {} \
                 labels",
                logits.len(),
                labels.len()
            )));
        }
        Ok(Self::fit(kind, logits, &Loss::Softmax { labels, classes }, None))
    }

    /// Minimises the loss over logits `[rows, outputs]` that the head did not see while it learnt, each row by its weight.
    pub(crate) fn fit(kind: CalibrationKind, logits: &[f64], loss: &Loss, weights: Option<&[f64]>) -> Self {
        // Rows that all weigh nothing say as much as others.
        let weights = weights.filter(|weights| weights.iter().any(|weight| *weight > 0.0));
        let outputs = loss.outputs();
        let rows = logits.len() / outputs;
        match kind {
            CalibrationKind::None => Self::identity(outputs),
            CalibrationKind::Temperature => {
                let scale = best_scale(rows, logits, loss, weights);
                Calibration { kind, scale: vec![scale; outputs], bias: vec![0.0; outputs] }
            }
            CalibrationKind::Vector => {
                let start: Vec<f64> =
                    (0..2 * outputs).map(|at| if at < outputs { 1.0 } else { 0.0 }).collect();
                // Numbers to predict have any size, logits of classes are of size one already.
                let unit = if let Loss::Squared { .. } = loss { root_mean_square(logits) } else { 1.0 };
                let total = weights.map_or(rows as f64, |weights| weights.iter().sum());
                let objective = VectorScaling { total, logits, loss, weights, outputs, unit };
                // Separable logits have no optimum: a bounded number of steps stops there with bounded factors.
                let minimum = lbfgs::minimise(&objective, start, Stop { gradient: 1e-8, iterations: 300 });
                let (scale, bias) = minimum.x.split_at(outputs);
                Calibration { kind, scale: scale.to_vec(), bias: bias.iter().map(|b| b * unit).collect() }
            }
        }
    }
}

/// The factor `1 / T` of least loss, by bisection: the loss is convex in it. It lies between 1/100 and 100, or beyond while logits
/// are so large or small that they need it.
fn best_scale(rows: usize, logits: &[f64], loss: &Loss, weights: Option<&[f64]>) -> f64 {
    let outputs = loss.outputs();
    let mut scaled = vec![0.0; outputs];
    let mut slope = |scale: f64| -> f64 {
        let mut sum = 0.0;
        for (row, logits) in logits.chunks_exact(outputs).enumerate().take(rows) {
            scaled.iter_mut().zip(logits).for_each(|(s, z)| *s = scale * z);
            loss.row(row, &mut scaled);
            let weight = weights.map_or(1.0, |weights| weights[row]);
            sum += weight * scaled.iter().zip(logits).map(|(g, z)| g * z).sum::<f64>();
        }
        sum
    };
    let (mut low, mut high) = (0.01, 100.0);
    let size = root_mean_square(logits);
    while high * size < 100.0 && high < 1e100 && slope(high) < 0.0 {
        (low, high) = (high, 100.0 * high);
    }
    while low * size > 0.01 && low > 1e-100 && slope(low) > 0.0 {
        (low, high) = (0.01 * low, low);
    }
    while high - low > 4.0 * f64::EPSILON * high {
        let middle = 0.5 * (low + high);
        if slope(middle) > 0.0 { high = middle } else { low = middle }
    }
    0.5 * (low + high)
}

/// One where there is nothing but zeros.
fn root_mean_square(values: &[f64]) -> f64 {
    let largest = values.iter().fold(0.0f64, |most, v| most.max(v.abs()));
    if !(largest > 0.0) {
        return 1.0;
    }
    largest * (values.iter().map(|v| (v / largest).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

/// Mean loss as a function of factors and shifts, with a little pull towards the identity so that a logit that
/// decides nothing keeps its factor.
struct VectorScaling<'a> {
    /// Sum of the weights.
    total: f64,
    logits: &'a [f64],
    loss: &'a Loss<'a>,
    weights: Option<&'a [f64]>,
    outputs: usize,
    /// What shifts are counted in, and the loss in the square of.
    unit: f64,
}

impl Objective for VectorScaling<'_> {
    fn evaluate(&self, x: &[f64], gradient: &mut [f64]) -> f64 {
        const PULL: f64 = 1e-6;
        let (scale, bias) = x.split_at(self.outputs);
        let mut value = 0.0;
        gradient.fill(0.0);
        let mut scaled = vec![0.0; self.outputs];
        for (row, logits) in self.logits.chunks_exact(self.outputs).enumerate() {
            for j in 0..self.outputs {
                scaled[j] = scale[j] * logits[j] + bias[j] * self.unit;
            }
            let weight = self.weights.map_or(1.0, |weights| weights[row]);
            value += weight * self.loss.row(row, &mut scaled) / self.total / self.unit / self.unit;
            for j in 0..self.outputs {
                let slope = weight * scaled[j] / self.unit;
                gradient[j] += slope * (logits[j] / self.unit) / self.total;
                gradient[self.outputs + j] += slope / self.total;
            }
        }
        for (at, (g, x)) in gradient.iter_mut().zip(x).enumerate() {
            let off = x - if at < self.outputs { 1.0 } else { 0.0 };
            value += 0.5 * PULL * off * off;
            *g += PULL * off;
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits of three classes whose truth follows `softmax(factor * z + shift)` as evenly as a grid allows.
    fn rows(factor: [f64; 3], shift: [f64; 3]) -> (Vec<f64>, Vec<u32>) {
        let (mut logits, mut labels) = (Vec::new(), Vec::new());
        for i in 0..400 {
            let z = [f64::from(i % 7) - 3.0, f64::from(i % 11) * 0.4 - 2.0, f64::from(i % 5) - 1.5];
            let mut p: Vec<f64> = (0..3).map(|j| factor[j] * z[j] + shift[j]).collect();
            crate::head::numeric::loss::softmax(&mut p);
            for draw in 0..20 {
                let at = (f64::from(draw) + 0.5) / 20.0;
                labels.push(if at < p[0] { 0 } else { 1 + u32::from(at >= p[0] + p[1]) });
                logits.extend(z);
            }
        }
        (logits, labels)
    }

    #[test]
    fn temperature_and_vector_scaling_recover_what_was_applied() {
        let (logits, labels) = rows([0.4; 3], [0.0; 3]);
        let loss = Loss::Softmax { labels: &labels, classes: 3 };
        let fitted = Calibration::fit(CalibrationKind::Temperature, &logits, &loss, None);
        let temperature = fitted.temperature().unwrap();
        assert!((temperature - 2.5).abs() <= 0.05, "{temperature}");
        let (logits, labels) = rows([0.5, 1.2, 0.8], [0.3, 0.0, -0.3]);
        let loss = Loss::Softmax { labels: &labels, classes: 3 };
        let fitted = Calibration::fit(CalibrationKind::Vector, &logits, &loss, None);
        for (got, want) in fitted.scale.iter().zip([0.5, 1.2, 0.8]) {
            assert!((got - want).abs() <= 0.05, "{fitted:?}");
        }
        assert!((fitted.bias[0] - fitted.bias[2] - 0.6).abs() <= 0.05, "{fitted:?}");
    }

    #[test]
    fn a_weight_counts_as_repeated_rows() {
        let (logits, labels) = rows([0.5, 1.2, 0.8], [0.3, 0.0, -0.3]);
        let weights: Vec<f64> = (0..labels.len()).map(|row| ((row * 7) % 3) as f64).collect();
        let (mut many, mut of_many) = (vec![], vec![]);
        for (row, (own, &label)) in logits.chunks_exact(3).zip(&labels).enumerate() {
            for _ in 0..(row * 7) % 3 {
                many.extend_from_slice(own);
                of_many.push(label);
            }
        }
        let loss = Loss::Softmax { labels: &labels, classes: 3 };
        let repeated = Loss::Softmax { labels: &of_many, classes: 3 };
        for kind in [CalibrationKind::Temperature, CalibrationKind::Vector] {
            let weighted = Calibration::fit(kind, &logits, &loss, Some(&weights));
            let wanted = Calibration::fit(kind, &many, &repeated, None);
            let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-6);
            assert!(
                near(&weighted.scale, &wanted.scale) && near(&weighted.bias, &wanted.bias),
                "{weighted:?} {wanted:?}"
            );
            assert_ne!(weighted, Calibration::fit(kind, &logits, &loss, None));
        }
    }

    #[test]
    fn the_unit_of_logits_and_numbers_does_not_matter() {
        let (logits, labels) = rows([0.4; 3], [0.0; 3]);
        let loss = Loss::Softmax { labels: &labels, classes: 3 };
        let wanted = Calibration::fit(CalibrationKind::Temperature, &logits, &loss, None).scale[0];
        let guesses: Vec<f64> = (0..60).map(|row| f64::from(row % 13) - 4.0).collect();
        let truth: Vec<f64> =
            guesses.iter().zip(0..).map(|(z, row)| 0.7 * z + 0.2 + f64::from(row % 3)).collect();
        let of_numbers = |unit: f64| {
            let scaled = |values: &[f64]| values.iter().map(|v| v * unit).collect::<Vec<f64>>();
            let (guesses, truth) = (scaled(&guesses), scaled(&truth));
            let fitted =
                Calibration::fit(CalibrationKind::Vector, &guesses, &Loss::Squared { values: &truth }, None);
            [fitted.scale[0], fitted.bias[0] / unit]
        };
        let numbers = of_numbers(1.0);
        assert!((numbers[0] - 0.7).abs() <= 0.05, "{numbers:?}");
        for unit in [1e-9, 1e-6, 1e-3, 1e3, 1e6, 1e9] {
            let other: Vec<f64> = logits.iter().map(|z| z * unit).collect();
            let found = Calibration::fit(CalibrationKind::Temperature, &other, &loss, None).scale[0] * unit;
            assert!((found / wanted - 1.0).abs() <= 1e-9, "{unit}: {found} {wanted}");
            for (found, wanted) in of_numbers(unit).iter().zip(&numbers) {
                assert!((found - wanted).abs() <= 1e-6, "{unit}: {found} {wanted}");
            }
        }
    }
}
