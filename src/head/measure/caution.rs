//! What a head does when it is unsure: it says nothing, or names several classes. Both are chosen on predictions for rows that the model had not
//! seen.
//!
//! Sources: selective classification, Geifman and El-Yaniv (2017), with Wilson's bound (1927); conformal prediction, Sadinle, Lei and
//! Wasserman (2019) for the sets, Vovk (2015) for scores from cross-validation.

use serde::{Deserialize, Serialize};

use super::abstain::{Abstain, Step};
use super::hierarchy::{Hierarchy, Levels};
use super::metrics::argmax;
use crate::error::{Error, Result};
use crate::head::data::targets::Targets;

/// What a head was told to do when it is unsure; part of its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Caution {
    /// Leave undecided what is less sure than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abstain: Option<Abstain>,
    /// Name every class that may be the right one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conformal: Option<Conformal>,
    /// Read class names as paths, and stop at the level that is sure enough: at least as likely as [`Abstain::below`], or likelier than all
    /// others together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub levels: Option<Levels>,
}

/// Sets of classes that hold the right one with a given probability.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conformal {
    /// The share of texts whose set holds the right class.
    pub coverage: f64,
    /// Classes at least this likely are in the set.
    pub at_least: f64,
    /// Mean size of the sets of out-of-fold rows.
    pub mean_size: f64,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CautionOptions {
    /// Decide only where decisions are right at this rate.
    pub abstain_precision: Option<f64>,
    /// Give sets of classes that hold the right one at this rate.
    pub conformal: Option<f64>,
    /// Read class names as paths with this between their parts: answers stop at the level that is sure enough, and a precision of decisions is one
    /// of such answers.
    pub levels: Option<char>,
}

impl CautionOptions {
    /// Finds out before any work whether they can be followed.
    ///
    /// # Errors
    /// The input: not one class a row, a rate that is not between 0 and 1.
    pub(crate) fn check(&self, targets: &Targets) -> Result<()> {
        if *self == CautionOptions::default() {
            return Ok(());
        }
        let Targets::Classes { names, .. } = targets else {
            return Err(Error::input(
                "a precision of decisions, sets of classes and levels of classes are for one class a text: labels have thresholds of their own, and \
                 numbers have no classes",
            ));
        };
        for (what, rate) in [("precision", self.abstain_precision), ("coverage", self.conformal)] {
            if let Some(rate) = rate.filter(|rate| !(*rate > 0.0 && *rate < 1.0)) {
                return Err(Error::input(format!("expected a {what} above 0 and below 1, found {rate}")));
            }
        }
        self.levels.map_or(Ok(()), |separator| Hierarchy::of(names, separator).map(drop))
    }
}

impl CautionOptions {
    /// Whether there is no rate to be kept, and so nothing to be chosen on predictions.
    pub(crate) fn promises_nothing(&self) -> bool {
        self.abstain_precision.is_none() && self.conformal.is_none()
    }
}

impl Caution {
    /// What needs no predictions.
    pub(crate) fn without_promises(options: CautionOptions) -> Caution {
        Caution { levels: options.levels.map(|separator| Levels { separator }), ..Caution::default() }
    }

    /// Chooses both from out-of-fold predictions.
    ///
    /// Shapes: `predictions` `[rows, names]`.
    ///
    /// # Errors
    /// The input: no single-label targets, a rate that is not between 0 and 1, a precision that no threshold reaches.
    pub(crate) fn choose(targets: &Targets, predictions: &[f64], options: CautionOptions) -> Result<Caution> {
        options.check(targets)?;
        let Targets::Classes { labels, names } = targets else { return Ok(Caution::default()) };
        let width = names.len();
        if labels.is_empty() || predictions.len() != labels.len() * width {
            return Err(Error::input(format!(
                "choosing when to be unsure: expected {width} probabilities for each of {} rows, found {}",
                labels.len(),
                predictions.len()
            )));
        }
        let rows = || predictions.chunks_exact(width).zip(labels);
        let tree = options.levels.map(|separator| Hierarchy::of(names, separator)).transpose()?;
        let abstain = options.abstain_precision.map(|precision| match &tree {
            Some(tree) => tree.abstain(labels, predictions, precision),
            None => abstain(rows(), precision),
        });
        let conformal = options.conformal.map(|coverage| {
            let mut own: Vec<f64> = rows().map(|(p, label)| p[*label as usize]).collect();
            own.sort_by(f64::total_cmp);
            // The rank that makes the guarantee hold for finitely many rows; with too few, every class is in the set.
            let rank = libm::ceil((own.len() + 1) as f64 * coverage) as usize;
            let at_least = own.len().checked_sub(rank).map_or(0.0, |at| own[at]);
            let sizes = rows().map(|(p, _)| members(p, at_least).len() as f64).sum::<f64>();
            Conformal { coverage, at_least, mean_size: sizes / own.len() as f64 }
        });
        let levels = options.levels.map(|separator| Levels { separator });
        Ok(Caution { abstain: abstain.transpose()?, conformal, levels })
    }

    /// Whether its numbers can be those of a head.
    pub(crate) fn is_sound(&self) -> bool {
        let share = |value: f64| (0.0..=1.0).contains(&value);
        self.abstain.is_none_or(|a| [a.precision, a.below, a.coverage, a.reached].into_iter().all(share))
            && self
                .conformal
                .is_none_or(|c| share(c.coverage) && share(c.at_least) && c.mean_size.is_finite())
    }

    /// Whether it says anything.
    pub(crate) fn is_none(&self) -> bool {
        self.abstain.is_none() && self.conformal.is_none() && self.levels.is_none()
    }
}

impl Conformal {
    /// The classes of one row's set, likeliest first; never none.
    pub fn set(&self, probabilities: &[f64]) -> Vec<usize> {
        members(probabilities, self.at_least)
    }
}

fn members(p: &[f64], at_least: f64) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..p.len()).filter(|class| p[*class] >= at_least).collect();
    if classes.is_empty() && !p.is_empty() {
        classes.push(argmax(p));
    }
    classes.sort_by(|a, b| p[*b].total_cmp(&p[*a]));
    classes
}

/// The threshold for the likeliest class of each row.
fn abstain<'a>(rows: impl Iterator<Item = (&'a [f64], &'a u32)>, precision: f64) -> Result<Abstain> {
    let step = |(row, (p, label)): (usize, (&[f64], &u32))| {
        let class = argmax(p);
        Step { probability: p[class], row, is_right: class == *label as usize }
    };
    let steps: Vec<Step> = rows.enumerate().map(step).collect();
    let rows = steps.len();
    Abstain::choose(steps, rows, precision).map_err(|highest| {
        Error::input(format!(
            "a precision of {precision} cannot be promised: however sure the head is, its precision on the {rows} out-of-fold rows is \
             shown to be {highest:.3} at most; ask for less, or give more rows"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::measure::abstain::lower_bound;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Calibrated predictions of three classes and labels drawn from them.
    fn drawn(rows: usize, seed: u64) -> (Targets, Vec<f64>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut labels, mut predictions) = (vec![], vec![]);
        for _ in 0..rows {
            let mut p: Vec<f64> = (0..3).map(|_| rng.random::<f64>().powi(3) + 1e-3).collect();
            let sum: f64 = p.iter().sum();
            p.iter_mut().for_each(|p| *p /= sum);
            let at = rng.random::<f64>();
            labels.push(if at < p[0] {
                0
            } else if at < p[0] + p[1] {
                1
            } else {
                2
            });
            predictions.extend(p);
        }
        (Targets::Classes { labels, names: ["a", "b", "c"].map(String::from).to_vec() }, predictions)
    }

    fn labels(targets: &Targets) -> &[u32] {
        let Targets::Classes { labels, .. } = targets else { unreachable!() };
        labels
    }

    #[test]
    fn sets_hold_the_right_class_as_often_as_was_asked_for() {
        // Below the share that the likeliest class alone holds, sets would be empty for some rows; none is, so they hold more.
        for coverage in [0.8, 0.9, 0.99] {
            let (mut held, mut all) = (0, 0);
            for seed in 0..30 {
                let (targets, p) = drawn(200, seed);
                let options = CautionOptions { conformal: Some(coverage), ..CautionOptions::default() };
                let sets = Caution::choose(&targets, &p, options).unwrap().conformal.unwrap();
                let (fresh, p) = drawn(1000, 1000 + seed);
                held += p
                    .chunks(3)
                    .zip(labels(&fresh))
                    .filter(|(p, label)| sets.set(p).contains(&(**label as usize)))
                    .count();
                all += 1000;
            }
            let found = held as f64 / all as f64;
            // Thirty choices on 200 rows each: their mean coverage lies between the rate and a little above.
            assert!(found > coverage - 0.02 && found < coverage + 0.15, "{coverage}: {found}");
        }
        let (targets, p) = drawn(5, 1);
        let options = CautionOptions { conformal: Some(0.95), ..CautionOptions::default() };
        let sets = Caution::choose(&targets, &p, options).unwrap().conformal.unwrap();
        assert_eq!((sets.at_least, sets.set(&p[..3]).len()), (0.0, 3), "five rows can promise nothing else");
    }

    #[test]
    fn what_is_decided_is_as_precise_as_was_asked_for() {
        let mut kept = 0;
        for seed in 0..40 {
            let (targets, p) = drawn(400, seed);
            let options = CautionOptions { abstain_precision: Some(0.8), ..CautionOptions::default() };
            let rule = Caution::choose(&targets, &p, options).unwrap().abstain.unwrap();
            assert!(rule.reached >= 0.8 && rule.coverage > 0.1 && rule.coverage < 1.0, "{rule:?}");
            let (fresh, p) = drawn(4000, 5000 + seed);
            let decided: Vec<bool> = (p.chunks(3).zip(labels(&fresh)))
                .filter(|(p, _)| p[argmax(p)] >= rule.below)
                .map(|(p, label)| argmax(p) == *label as usize)
                .collect();
            kept += usize::from(
                decided.iter().filter(|right| **right).count() as f64 >= 0.8 * decided.len() as f64,
            );
        }
        assert!(kept >= 34, "{kept} of 40");
        // Wilson's formula in Python.
        assert!((lower_bound(90, 100) - 0.8396444903889079).abs() < 1e-12);
    }

    #[test]
    fn promises_that_cannot_be_kept_are_refused() {
        let (targets, p) = drawn(30, 1);
        let with = |abstain_precision, conformal| {
            Caution::choose(&targets, &p, CautionOptions { abstain_precision, conformal, levels: None })
                .unwrap_err()
                .to_string()
        };
        assert!(with(Some(0.99), None).contains("cannot be promised"));
        for wrong in [0.0, 1.0, f64::NAN] {
            assert!(
                with(Some(wrong), None).contains("precision") && with(None, Some(wrong)).contains("coverage")
            );
        }
        let numbers = Targets::values(vec![1.0], "stars");
        let options = CautionOptions { conformal: Some(0.9), ..CautionOptions::default() };
        assert!(Caution::choose(&numbers, &[1.0], options).unwrap_err().is_input());
    }
}
