//! Words weighted by how rare they are: the features of a text that any encoder has to beat.
//!
//! Source: scikit-learn's `TfidfVectorizer` with its defaults (words of two or more letters or digits, lower case,
//! smoothed inverse document frequency, rows of length one).

use std::collections::BTreeMap;

use crate::head::numeric::lbfgs;
use crate::head::numeric::lbfgs::{Objective, Stop};
use crate::head::numeric::loss::Loss;

/// How often each word occurs in each text, one sparse row a text.
pub(crate) struct Counts {
    starts: Vec<usize>,
    words: Vec<u32>,
    counts: Vec<f64>,
    vocabulary: usize,
}

impl Counts {
    pub(crate) fn new<S: AsRef<str>>(texts: &[S]) -> Self {
        let mut vocabulary: BTreeMap<String, u32> = BTreeMap::new();
        let (mut starts, mut words, mut counts) = (vec![0], vec![], vec![]);
        for text in texts {
            let mut row: BTreeMap<u32, f64> = BTreeMap::new();
            let lower = text.as_ref().to_lowercase();
            for word in lower.split(|c: char| !c.is_alphanumeric() && c != '_') {
                if word.chars().nth(1).is_some() {
                    let next = vocabulary.len() as u32;
                    let index = match vocabulary.get(word) {
                        Some(&index) => index,
                        None => *vocabulary.entry(word.to_owned()).or_insert(next),
                    };
                    *row.entry(index).or_default() += 1.0;
                }
            }
            words.extend(row.keys());
            counts.extend(row.values());
            starts.push(words.len());
        }
        Counts { starts, words, counts, vocabulary: vocabulary.len() }
    }

    fn row(&self, row: u32) -> impl Iterator<Item = (usize, f64)> + '_ {
        let range = self.starts[row as usize]..self.starts[row as usize + 1];
        self.words[range.clone()].iter().map(|&word| word as usize).zip(self.counts[range].iter().copied())
    }

    /// Inverse document frequencies as counted over `rows`; zero for words that none of them has.
    fn rarity(&self, rows: &[u32]) -> Vec<f64> {
        let mut texts = vec![0.0f64; self.vocabulary];
        rows.iter().for_each(|&row| self.row(row).for_each(|(word, _)| texts[word] += 1.0));
        let n = rows.len() as f64;
        let smooth = |with: &f64| if *with == 0.0 { 0.0 } else { libm::log((1.0 + n) / (1.0 + with)) + 1.0 };
        texts.iter().map(smooth).collect()
    }

    /// The row times the rarities, scaled to length one.
    fn weighted(&self, row: u32, rarity: &[f64]) -> Vec<(usize, f64)> {
        let values: Vec<(usize, f64)> =
            self.row(row).map(|(word, count)| (word, count * rarity[word])).collect();
        let length = values.iter().map(|(_, v)| v * v).sum::<f64>().sqrt();
        let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
        values.into_iter().map(|(word, value)| (word, value * scale)).collect()
    }
}

/// A linear model of weighted words.
pub(crate) struct TfIdf {
    rarity: Vec<f64>,
    /// `[outputs, vocabulary]`, then `[outputs]`.
    parameters: Vec<f64>,
    outputs: usize,
}

impl TfIdf {
    /// Minimises `C * sum_i w_i * loss_i + 0.5 * ||W||²` over `rows`, whose weights are `weights`.
    pub(crate) fn fit(
        counts: &Counts,
        rows: &[u32],
        weights: &[f64],
        loss: &Loss,
        c: f64,
        start: Option<&TfIdf>,
    ) -> Self {
        let rarity = counts.rarity(rows);
        let features: Vec<Vec<(usize, f64)>> =
            rows.iter().map(|&row| counts.weighted(row, &rarity)).collect();
        let outputs = loss.outputs();
        let objective = Sparse { features: &features, rows, weights, loss, c, vocabulary: counts.vocabulary };
        let start = start.map_or_else(
            || {
                let mut start = vec![0.0; outputs * (counts.vocabulary + 1)];
                let total: f64 = weights.iter().sum();
                for output in 0..outputs {
                    let target = |(&row, weight): (&u32, &f64)| weight * loss.target(row as usize, output);
                    let mean = rows.iter().zip(weights).map(target).sum::<f64>() / total;
                    start[outputs * counts.vocabulary + output] = loss.bias_of(mean, 0.5 / rows.len() as f64);
                }
                start
            },
            |fit| fit.parameters.clone(),
        );
        let stop = Stop { gradient: 1e-2 * (outputs as f64).sqrt(), iterations: 1000 };
        TfIdf { rarity, parameters: lbfgs::minimise(&objective, start, stop).x, outputs }
    }

    /// Logits `[rows, outputs]`.
    pub(crate) fn logits(&self, counts: &Counts, rows: &[u32]) -> Vec<f64> {
        let mut out = Vec::with_capacity(rows.len() * self.outputs);
        for &row in rows {
            let features = counts.weighted(row, &self.rarity);
            out.extend(
                (0..self.outputs).map(|output| logit(&self.parameters, self.outputs, output, &features)),
            );
        }
        out
    }
}

fn logit(parameters: &[f64], outputs: usize, output: usize, features: &[(usize, f64)]) -> f64 {
    let (coefficients, biases) = parameters.split_at(parameters.len() - outputs);
    let words = coefficients.len() / outputs;
    let own = &coefficients[output * words..(output + 1) * words];
    biases[output] + features.iter().map(|&(word, value)| own[word] * value).sum::<f64>()
}

struct Sparse<'a> {
    features: &'a [Vec<(usize, f64)>],
    rows: &'a [u32],
    weights: &'a [f64],
    loss: &'a Loss<'a>,
    c: f64,
    vocabulary: usize,
}

impl Objective for Sparse<'_> {
    fn evaluate(&self, x: &[f64], gradient: &mut [f64]) -> f64 {
        let outputs = self.loss.outputs();
        let coefficients = outputs * self.vocabulary;
        gradient[..coefficients].copy_from_slice(&x[..coefficients]);
        gradient[coefficients..].fill(0.0);
        let mut value = 0.5 * crate::head::numeric::dense::dot(&x[..coefficients], &x[..coefficients]);
        let mut logits = vec![0.0; outputs];
        for ((features, &row), weight) in self.features.iter().zip(self.rows).zip(self.weights) {
            for (output, z) in logits.iter_mut().enumerate() {
                *z = logit(x, outputs, output, features);
            }
            let strength = self.c * weight;
            value += strength * self.loss.row(row as usize, &mut logits);
            for (output, g) in logits.iter().enumerate() {
                let pull = strength * g;
                gradient[coefficients + output] += pull;
                let own = &mut gradient[output * self.vocabulary..(output + 1) * self.vocabulary];
                features.iter().for_each(|&(word, value)| own[word] += pull * value);
            }
        }
        value
    }

    /// Words are rare, so the penalty is most of their curvature; the intercept has all of its rows'.
    fn precondition(&self, gradient: &mut [f64]) {
        let coefficients = self.loss.outputs() * self.vocabulary;
        let strength = (0.25 * self.c * self.weights.iter().sum::<f64>()).max(1.0);
        gradient[coefficients..].iter_mut().for_each(|g| *g /= strength);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::numeric::lbfgs::tests::gradient_and_differences;

    #[test]
    fn weights_are_scikit_learns() {
        let counts = Counts::new(&["The cat sat.", "the dog sat, SAT", "a bird"]);
        assert_eq!(counts.vocabulary, 5, "one-letter words do not count");
        let rarity = counts.rarity(&[0, 1, 2]);
        // the: 2 of 3 texts; cat: 1 of 3. ln(4/3) + 1 and ln(4/2) + 1.
        assert!((rarity[0] - 1.287_682_072_451_781).abs() <= 1e-12);
        assert!((rarity[1] - 1.693_147_180_559_945).abs() <= 1e-12);
        let row = counts.weighted(1, &rarity);
        assert!((row.iter().map(|(_, v)| v * v).sum::<f64>() - 1.0).abs() <= 1e-12);
        let value = |word: usize| row.iter().find(|(w, _)| *w == word).unwrap().1;
        assert!((value(2) / value(0) - 2.0).abs() <= 1e-12, "sat occurs twice");
        assert_eq!(counts.rarity(&[2])[0], 0.0, "a word that no training text has");
    }

    #[test]
    fn gradient_matches_finite_differences() {
        let counts = Counts::new(&["red apple", "green apple pie", "blue sky", "green sky", "red red wine"]);
        let rows = [0, 1, 2, 3, 4];
        let rarity = counts.rarity(&rows);
        let features: Vec<_> = rows.iter().map(|&row| counts.weighted(row, &rarity)).collect();
        let labels = [0, 1, 2, 2, 0];
        let loss = Loss::Softmax { labels: &labels, classes: 3 };
        let objective = Sparse {
            features: &features,
            rows: &rows,
            weights: &[1.0, 0.5, 2.0, 0.0, 1.5],
            loss: &loss,
            c: 2.0,
            vocabulary: counts.vocabulary,
        };
        let at: Vec<f64> =
            (0..3 * (counts.vocabulary + 1)).map(|i| ((i * 7 % 5) as f64) / 3.0 - 0.6).collect();
        for (i, (gradient, want)) in gradient_and_differences(&objective, &at).into_iter().enumerate() {
            assert!((gradient - want).abs() <= 1e-7, "{i}: {gradient} {want}");
        }
    }
}
