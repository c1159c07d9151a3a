//! All that a head says of a row: its decision, how sure it is, what else it may be, and whether the row is like any before.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::decision::Decision;
use super::head::Head;
use super::sample::{NovelBy, Novelty};
use crate::error::{Error, Result};
use crate::head::data::matrix::Matrix;
use crate::head::data::targets::Problem;
use crate::head::measure::hierarchy::Level;

/// When an answer is withheld, beside what the head was trained to withhold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AnswerOptions {
    /// Leave undecided what is less sure than this probability.
    pub abstain: Option<f64>,
    /// Leave undecided what is as strange as this share of the training rows: 0.01 is one in a hundred. For heads that [keep a
    /// sample](Head::keep_sample).
    pub novel: Option<f64>,
    /// The score that `novel` goes by.
    pub novel_by: NovelBy,
}

/// What a head says of one row.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HeadAnswer {
    /// The decision.
    pub decision: Decision,
    /// Probability of each class or label (of a regression: the value), in the order of [`Head::names`].
    pub probabilities: Vec<f64>,
    /// Classes of which one is right at the rate that the head was trained for, likeliest first; none unless the head has
    /// [conformal sets](crate::head::Conformal).
    pub set: Option<Vec<usize>>,
    /// The path from the top down as far as it is sure enough; empty where not even the first level is. None unless the head [reads class names as
    /// paths](crate::head::Caution::levels).
    pub levels: Option<Vec<Level>>,
    /// How far the row is from those that the head learnt from; none unless it [keeps some](Head::keep_sample).
    pub novelty: Option<Novelty>,
}

/// An answer with the head's names in it, as JSON says it: `label` (null where undecided), `labels` or `value`, `probabilities` by name,
/// and `levels`, `set` and `novelty` where the head has them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AnswerRecord<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probabilities: Option<ByName<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    levels: Option<&'a [Level]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    novelty: Option<Novelty>,
}

/// Probabilities as a map, in the head's order.
#[derive(Clone, Debug, PartialEq)]
struct ByName<'a>(Vec<(&'a str, f64)>);

impl Serialize for ByName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(name, p)| map.serialize_entry(name, p))?;
        map.end()
    }
}

impl AnswerOptions {
    /// Whether a head can follow them.
    ///
    /// # Errors
    /// The input: what is no share, `abstain` for a head that decides on no single class, and for `novel` a head that keeps no sample, or cannot tell what is strange by this score.
    pub fn check(&self, head: &Head) -> Result<()> {
        for (name, share) in [("abstain", self.abstain), ("novel", self.novel)] {
            if let Some(share) = share.filter(|share| !(0.0..=1.0).contains(share)) {
                return Err(Error::input(format!("{name}: expected a share from 0 to 1, found {share}")));
            }
        }
        if self.abstain.is_some() && head.problem() != Problem::SingleLabel {
            return Err(Error::input(
                "abstain: a head that gives numbers or any number of labels leaves nothing undecided; leave it out",
            ));
        }
        match (self.novel, head.sample()) {
            (None, _) => Ok(()),
            (Some(_), Some(sample)) => sample.check_score(self.novel_by),
            (Some(_), None) => Err(Error::input(
                "this head keeps no sample of its training texts, so it cannot say which texts are unlike them; train it with \
                 --keep-sample",
            )),
        }
    }
}

impl Head {
    /// All that the head says of rows.
    ///
    /// # Errors
    /// The input: other columns, options that the head cannot follow, and for heads that keep a sample a row of zeros.
    pub fn answers(&self, embeddings: &Matrix, options: &AnswerOptions) -> Result<Vec<HeadAnswer>> {
        options.check(self)?;
        let probabilities = self.predict_proba(embeddings)?;
        let novelty = self.novelty(embeddings, &probabilities)?;
        let tree = self.hierarchy();
        let sure = options.abstain.or(self.sure_enough());
        let of_row = |(at, row): (usize, &[f64])| {
            let mut answer = HeadAnswer {
                novelty: novelty.as_ref().map(|found| found[at]),
                decision: self.decide(row, options.abstain),
                levels: tree.as_ref().map(|tree| tree.answer(row, sure)),
                set: self.caution.conformal.map(|sets| sets.set(row)),
                probabilities: row.to_vec(),
            };
            if options.novel.is_some_and(|share| answer.is_novel(options.novel_by, share)) {
                answer.withhold();
            }
            answer
        };
        Ok(probabilities.chunks_exact(self.names.len()).enumerate().map(of_row).collect())
    }
}

impl HeadAnswer {
    /// Whether the row is by this score as strange as this share of the training rows, or stranger.
    pub fn is_novel(&self, by: NovelBy, share: f64) -> bool {
        self.novelty.and_then(|found| found.share_by(by)).is_some_and(|own| own <= share)
    }

    /// Whether nothing was decided, not even the first level of a path.
    pub fn is_undecided(&self) -> bool {
        match &self.levels {
            Some(path) => path.is_empty(),
            None => matches!(self.decision, Decision::Abstained { .. }),
        }
    }

    /// The one class, or the part of a path, that the answer names; none where it leaves that undecided, and of heads for labels or numbers.
    /// `names` are the head's.
    pub fn label<'a>(&'a self, names: &'a [String]) -> Option<&'a str> {
        match (&self.levels, &self.decision) {
            (Some(path), _) => path.last().map(|level| level.name.as_str()),
            (None, Decision::Class { class, .. }) => names.get(*class).map(String::as_str),
            _ => None,
        }
    }

    /// How likely [`label`](Self::label) is; where it is undecided, the likeliest class.
    pub fn probability(&self) -> Option<f64> {
        match (self.levels.as_ref().and_then(|path| path.last()), &self.decision) {
            (Some(level), _) => Some(level.probability),
            (None, Decision::Class { probability, .. } | Decision::Abstained { probability, .. }) => {
                Some(*probability)
            }
            _ => None,
        }
    }

    /// The answer with the names of the head that gave it.
    pub fn record<'a>(&'a self, head: &'a Head) -> AnswerRecord<'a> {
        let name = |class: &usize| head.names.get(*class).map_or("", String::as_str);
        let all = || head.names.iter().map(String::as_str).zip(self.probabilities.iter().copied()).collect();
        AnswerRecord {
            label: (head.problem == Problem::SingleLabel).then(|| self.label(&head.names)),
            labels: match &self.decision {
                Decision::Labels(labels) => Some(labels.iter().map(name).collect()),
                _ => None,
            },
            value: match self.decision {
                Decision::Value(value) => Some(value),
                _ => None,
            },
            probabilities: (head.problem != Problem::Regression).then(|| ByName(all())),
            levels: self.levels.as_deref(),
            set: self.set.as_ref().map(|set| set.iter().map(name).collect()),
            novelty: self.novelty,
        }
    }

    /// Takes back the decision for a class, or a path of classes; labels and numbers stay.
    fn withhold(&mut self) {
        if let Decision::Class { class, probability } = self.decision {
            self.decision = Decision::Abstained { class, probability };
        }
        self.levels.iter_mut().for_each(Vec::clear);
    }
}
