//! A measure over folds.

use serde::{Deserialize, Serialize};

use super::ranking::mean;

/// A mean over folds with a 95% interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Mean over folds.
    pub mean: f64,
    /// Half the width of the 95% interval, by Student's t over the folds; zero with one fold.
    ///
    /// Folds share training rows, so the interval is somewhat too narrow; it is a guide, not a proof.
    pub half_width: f64,
}

impl Estimate {
    /// Over one value a fold.
    pub fn over(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = mean(values.iter().copied()).unwrap_or(f64::NAN);
        let half_width = if values.len() < 2 {
            0.0
        } else {
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
            student_t_975(values.len() - 1) * (variance / n).sqrt()
        };
        Estimate { mean, half_width }
    }
}

/// The 97.5% point of Student's t.
fn student_t_975(freedom: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706_205, 4.302_653, 3.182_446, 2.776_445, 2.570_582, 2.446_912, 2.364_624, 2.306_004, 2.262_157,
        2.228_139, 2.200_985, 2.178_813, 2.160_369, 2.144_787, 2.131_450, 2.119_905, 2.109_816, 2.100_922,
        2.093_024, 2.085_963, 2.079_614, 2.073_873, 2.068_658, 2.063_899, 2.059_539, 2.055_529, 2.051_831,
        2.048_407, 2.045_230, 2.042_272,
    ];
    // Beyond the table the expansion in 1/freedom is good to four digits.
    let f = freedom as f64;
    TABLE.get(freedom - 1).copied().unwrap_or(1.959_964 + 2.372_3 / f + 2.822_5 / (f * f))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_follow_students_t() {
        let estimate = Estimate::over(&[0.7, 0.8, 0.75, 0.72, 0.78]);
        assert!((estimate.mean - 0.75).abs() <= 1e-12);
        // Standard deviation 0.04123, over the root of 5, times 2.7764.
        assert!((estimate.half_width - 0.051_194).abs() <= 1e-5, "{}", estimate.half_width);
        assert_eq!(Estimate::over(&[0.5]).half_width, 0.0);
        assert!((student_t_975(31) - 2.0395).abs() <= 1e-3 && (student_t_975(100) - 1.984).abs() <= 1e-3);
    }
}
