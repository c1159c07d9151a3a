//! A linear head as plain numbers.

use crate::error::{Error, Result};
use crate::model::ProblemType;

/// A linear head: `logits = (W ((x - mean) / scale) + bias) / temperature`.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearHeadParts {
    /// W, `[rows, features]`. Rows are labels; one row over two labels is a binary classifier, whose logit is the second
    /// label's against the first's.
    pub weights: Vec<f64>,
    /// `[rows]`.
    pub bias: Vec<f64>,
    /// Subtracted from the features, `[features]`.
    pub mean: Option<Vec<f64>>,
    /// The features are divided by this, `[features]`.
    pub scale: Option<Vec<f64>>,
    /// Names of the labels, or of the numbers predicted.
    pub labels: Vec<String>,
    /// Divides the logits.
    pub temperature: Option<f64>,
    /// What the logits mean.
    pub problem: ProblemType,
    /// Whether probabilities of three or more classes are sigmoids scaled to a sum of one instead of a softmax.
    pub one_vs_rest: bool,
}

/// `y = W x + b`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Affine {
    /// `[rows, features]`.
    pub weights: Vec<f64>,
    /// `[rows]`.
    pub bias: Vec<f64>,
}

impl LinearHeadParts {
    /// Width of the embeddings it takes.
    pub fn features(&self) -> usize {
        self.weights.len().checked_div(self.bias.len()).unwrap_or(0)
    }

    /// Checks that the parts fit together.
    ///
    /// # Errors
    /// Lengths that disagree, numbers that are not finite, a scale or temperature that is not positive, a label twice, too few
    /// labels.
    pub fn check(&self) -> Result<()> {
        let wrong =
            |problem: String| Err(Error::input(format!("the linear head does not fit together: {problem}")));
        let (rows, features) = (self.bias.len(), self.features());
        if rows == 0 || features == 0 || rows * features != self.weights.len() {
            return wrong(format!("{} weights do not divide into {rows} rows", self.weights.len()));
        }
        for (name, values) in [("mean", &self.mean), ("scale", &self.scale)] {
            if let Some(values) = values.as_ref().filter(|values| values.len() != features) {
                return wrong(format!(
                    "{name} has {} numbers, the weights have {features} columns",
                    values.len()
                ));
            }
        }
        let parts = [&self.weights, &self.bias].into_iter().chain(&self.mean).chain(&self.scale);
        if let Some(value) = parts.flatten().find(|value| !value.is_finite()) {
            return wrong(format!("expected finite numbers, found {value}"));
        }
        let positive = |value: &&f64| !(**value > 0.0 && value.is_finite());
        if let Some(value) = self.scale.iter().flatten().chain(&self.temperature).find(positive) {
            return wrong(format!("scale and temperature must be positive, found {value}"));
        }
        let labels = self.labels.len();
        let fits = match self.problem {
            ProblemType::SingleLabel => labels >= 2 && (rows == labels || (rows == 1 && labels == 2)),
            ProblemType::MultiLabel | ProblemType::Regression => rows == labels,
        };
        if self.one_vs_rest && (self.problem != ProblemType::SingleLabel || rows < 3) {
            return wrong("one-versus-rest probabilities need three or more classes".into());
        }
        if !fits {
            return wrong(format!("{rows} rows do not go with {labels} labels ({})", self.problem.name()));
        }
        let mut sorted: Vec<&String> = self.labels.iter().collect();
        sorted.sort_unstable();
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => wrong(format!("the label {:?} is there twice", pair[0])),
            None => Ok(()),
        }
    }

    /// What whoever made the parts should know about their use.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.problem == ProblemType::SingleLabel && self.bias.len() > 2 && !self.one_vs_rest {
            notes.push(
                "probabilities are the softmax of the margins, as LogisticRegression's are; of a model that learns one class \
                 against the rest (SGDClassifier, OneVsRestClassifier, the solver liblinear), save problem_type=\"ovr\", too"
                    .to_owned(),
            );
        }
        if self.mean.is_some() {
            notes.push(
                "mean_ is taken away from the embeddings; of a StandardScaler(with_mean=False), leave it out or save \
                 with_mean=False, too"
                    .to_owned(),
            );
        }
        notes
    }

    /// Mean, scale and temperature folded into weights and bias, and a row for every label: a binary head's logit z becomes
    /// -z/2 and z/2, which have the same softmax.
    pub(super) fn folded(&self) -> Result<Affine> {
        self.check()?;
        let features = self.features();
        let temperature = self.temperature.unwrap_or(1.0);
        let mut folded = Affine { weights: Vec::with_capacity(self.weights.len()), bias: Vec::new() };
        for (row, bias) in self.weights.chunks_exact(features).zip(&self.bias) {
            let scaled =
                row.iter().enumerate().map(|(at, w)| w / self.scale.as_ref().map_or(1.0, |scale| scale[at]));
            let start = folded.weights.len();
            folded.weights.extend(scaled.map(|w| w / temperature));
            let shift: f64 = match &self.mean {
                Some(mean) => folded.weights[start..].iter().zip(mean).map(|(w, mean)| w * mean).sum(),
                None => 0.0,
            };
            folded.bias.push(bias / temperature - shift);
        }
        if self.problem == ProblemType::SingleLabel && folded.bias.len() == 1 {
            let both = |values: &[f64]| {
                [-0.5, 0.5].iter().flat_map(|half| values.iter().map(move |v| half * v)).collect()
            };
            folded = Affine { weights: both(&folded.weights), bias: both(&folded.bias) };
        }
        Ok(folded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> LinearHeadParts {
        LinearHeadParts {
            weights: vec![1.0, -2.0, 0.5, 3.0, 0.25, -1.0],
            bias: vec![0.5, -0.75],
            mean: Some(vec![0.1, 0.2, -0.3]),
            scale: Some(vec![2.0, 0.5, 1.5]),
            labels: vec!["no".into(), "yes".into()],
            temperature: Some(1.7),
            problem: ProblemType::SingleLabel,
            one_vs_rest: false,
        }
    }

    fn apply(affine: &Affine, x: &[f64]) -> Vec<f64> {
        let rows = affine.weights.chunks_exact(x.len()).zip(&affine.bias);
        rows.map(|(row, bias)| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + bias).collect()
    }

    #[test]
    fn folding_changes_no_logit() {
        let parts = parts();
        let x = [0.7, -1.1, 2.3];
        let (mean, scale) = (parts.mean.clone().unwrap(), parts.scale.clone().unwrap());
        let direct: Vec<f64> = (0..2)
            .map(|row| {
                let sum: f64 = (0..3).map(|c| parts.weights[row * 3 + c] * (x[c] - mean[c]) / scale[c]).sum();
                (sum + parts.bias[row]) / 1.7
            })
            .collect();
        for (folded, direct) in apply(&parts.folded().unwrap(), &x).iter().zip(&direct) {
            assert!((folded - direct).abs() < 1e-14, "{folded} {direct}");
        }
        // One row: the difference of the two labels' logits is the binary logit.
        let binary = LinearHeadParts { weights: parts.weights[..3].to_vec(), bias: vec![0.5], ..parts };
        let both = apply(&binary.folded().unwrap(), &x);
        assert!((both[1] - both[0] - direct[0]).abs() < 1e-14 && (both[0] + both[1]).abs() < 1e-14);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        type Change = fn(&mut LinearHeadParts);
        let cases: [(Change, &str); 11] = [
            (|p| p.bias.clear(), "0 rows"),
            (|p| p.weights.truncate(5), "5 weights"),
            (|p| p.mean = Some(vec![0.0]), "mean has 1"),
            (|p| p.scale = Some(vec![1.0; 4]), "scale has 4"),
            (|p| p.weights[1] = f64::NAN, "NaN"),
            (|p| p.mean = Some(vec![0.0, f64::INFINITY, 0.0]), "inf"),
            (|p| p.scale = Some(vec![1.0, 0.0, 1.0]), "found 0"),
            (|p| p.temperature = Some(-1.0), "found -1"),
            (|p| p.labels.push("maybe".into()), "3 labels"),
            (|p| p.labels[0] = "yes".into(), "\"yes\" is there twice"),
            (|p| p.problem = ProblemType::MultiLabel, ""),
        ];
        for (change, expected) in cases {
            let mut parts = parts();
            change(&mut parts);
            match (parts.check(), expected) {
                (Ok(()), "") => {}
                (Err(error), _) if !expected.is_empty() => {
                    assert!(error.is_input() && error.to_string().contains(expected), "{error} / {expected}");
                }
                (result, _) => panic!("{expected}: {result:?}"),
            }
        }
    }
}
