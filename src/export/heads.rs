//! From parts to a head and back.

use super::LinearHeadParts;
use crate::error::{Error, Result};
use crate::head::{Head, Problem};
use crate::model::ProblemType;

impl LinearHeadParts {
    /// The parts of a linear head: standardisation and calibration folded into weights and bias.
    ///
    /// # Errors
    /// [`is_input`](Error::is_input): the head is not linear.
    pub fn of_head(head: &Head) -> Result<Self> {
        let Some((mut weights, mut bias)) = head.coefficients() else {
            return Err(Error::input(format!(
                "only a linear head can be written as weights and a bias; this one is of kind {}",
                head.kind()
            )));
        };
        head.calibration().apply(&mut bias);
        for (row, scale) in weights.chunks_exact_mut(head.dimension()).zip(&head.calibration().scale) {
            row.iter_mut().for_each(|weight| *weight *= scale);
        }
        Ok(LinearHeadParts {
            weights,
            bias,
            mean: None,
            scale: None,
            labels: head.names().to_vec(),
            temperature: None,
            problem: match head.problem() {
                Problem::SingleLabel => ProblemType::SingleLabel,
                Problem::MultiLabel => ProblemType::MultiLabel,
                Problem::Regression => ProblemType::Regression,
            },
            one_vs_rest: head.is_one_vs_rest(),
        })
    }

    /// A head of these parts, not bound to an encoder yet; see [`bind_head`](crate::bind_head).
    ///
    /// # Errors
    /// As [`check`](Self::check); a regression of several numbers.
    pub fn into_head(self) -> Result<Head> {
        let (features, folded) = (self.features(), self.folded()?);
        let problem = match self.problem {
            ProblemType::SingleLabel => Problem::SingleLabel,
            ProblemType::MultiLabel => Problem::MultiLabel,
            ProblemType::Regression if self.labels.len() == 1 => Problem::Regression,
            ProblemType::Regression => {
                return Err(Error::input(format!(
                    "a head predicts one number, and these parts predict {}",
                    self.labels.len()
                )));
            }
        };
        if problem == Problem::SingleLabel && self.labels.len() == 2 {
            // Two classes have one logit: the second's against the first's.
            let (first, second) = folded.weights.split_at(features);
            let weights = first.iter().zip(second).map(|(first, second)| second - first).collect();
            return Ok(Head::linear(weights, vec![folded.bias[1] - folded.bias[0]], problem, self.labels));
        }
        let mut head = Head::linear(folded.weights, folded.bias, problem, self.labels);
        head.one_vs_rest = self.one_vs_rest;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Matrix;

    fn parts(labels: usize, rows: usize, problem: ProblemType) -> LinearHeadParts {
        let number = |at: usize| ((at * 37 % 11) as f64 - 5.0) / 3.0;
        LinearHeadParts {
            weights: (0..rows * 4).map(number).collect(),
            bias: (0..rows).map(|row| number(row + 3)).collect(),
            mean: Some(vec![0.1, -0.2, 0.3, 0.0]),
            scale: Some(vec![2.0, 0.5, 1.0, 1.5]),
            labels: (0..labels).map(|label| format!("label {label}")).collect(),
            temperature: Some(1.3),
            problem,
            one_vs_rest: false,
        }
    }

    /// The parts' own formula, and softmax or sigmoid by hand.
    fn expected(parts: &LinearHeadParts, x: &[f32]) -> Vec<f64> {
        let (mean, scale) = (parts.mean.as_ref().unwrap(), parts.scale.as_ref().unwrap());
        let logits: Vec<f64> = parts
            .weights
            .chunks_exact(4)
            .zip(&parts.bias)
            .map(|(row, bias)| {
                let sum: f64 = (0..4).map(|at| row[at] * (f64::from(x[at]) - mean[at]) / scale[at]).sum();
                (sum + bias) / 1.3
            })
            .collect();
        match (parts.problem, logits.len(), parts.labels.len()) {
            (ProblemType::SingleLabel, 1, 2) => {
                let p = 1.0 / (1.0 + (-logits[0]).exp());
                vec![1.0 - p, p]
            }
            (ProblemType::SingleLabel, ..) => {
                let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
                logits.iter().map(|logit| logit.exp() / sum).collect()
            }
            (ProblemType::MultiLabel, ..) => {
                logits.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).collect()
            }
            (ProblemType::Regression, ..) => logits,
        }
    }

    #[test]
    fn a_head_of_parts_predicts_as_they_say_and_gives_them_back() {
        let x = [0.4_f32, -1.2, 0.7, 2.0];
        for (labels, rows, problem) in [
            (2, 1, ProblemType::SingleLabel),
            (2, 2, ProblemType::SingleLabel),
            (4, 4, ProblemType::SingleLabel),
            (3, 3, ProblemType::MultiLabel),
            (1, 1, ProblemType::Regression),
        ] {
            let parts = parts(labels, rows, problem);
            let expected = expected(&parts, &x);
            let head = parts.into_head().unwrap();
            let again = LinearHeadParts::of_head(&head).unwrap().into_head().unwrap();
            for head in [&head, &again] {
                let found = head.predict_proba(&Matrix::new(1, 4, x.to_vec()).unwrap()).unwrap();
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().zip(&expected) {
                    assert!((found - expected).abs() <= 1e-12, "{labels} {rows}: {found} for {expected}");
                }
            }
        }
        let two = parts(2, 2, ProblemType::Regression).into_head().unwrap_err();
        assert!(two.is_input() && two.to_string().contains("one number"));
    }
}
