//! How a head is trained.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::head::data::split::Folds;
use crate::names::named;

/// How a head is trained. The defaults suit most data.
///
/// ```
/// use frostbert::head::{ClassWeight, Strength, TrainOptions};
/// let options = TrainOptions { c: Strength::Fixed(1.0), class_weight: ClassWeight::Balanced, ..Default::default() };
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainOptions {
    /// What kind of model.
    pub kind: Kind,
    /// How much the data counts against the penalty (`C` of scikit-learn; a regression's `1 / alpha`).
    pub c: Strength,
    /// What cross-validation chooses `C` by.
    pub select_by: SelectBy,
    /// Whether the smallest `C` that is as good as the best one within a standard error is taken.
    ///
    /// The standard error is that of the differences to the best `C`, fold by fold: folds differ more from each
    /// other than values of `C` do, and what they have in common must not widen the margin.
    pub one_standard_error: bool,
    /// How classes are weighted.
    pub class_weight: ClassWeight,
    /// Whether features are brought to mean zero and variance one first. An MLP always does.
    pub standardise: bool,
    /// Whether cross-validation runs even when nothing has to be chosen by it, for its measures.
    pub cross_validate: bool,
    /// Folds of the cross-validation, and the seed of everything random.
    pub folds: Folds,
    /// How logits are calibrated, on out-of-fold predictions.
    pub calibration: CalibrationKind,
    /// Largest distance of the coefficients to the optimum.
    pub tolerance: f64,
    /// Where an MLP's last fit keeps its state after every epoch. When the file is there, training goes on from it, to
    /// the same bits as if it had never stopped; it is removed in the end.
    #[serde(skip)]
    pub checkpoint: Option<std::path::PathBuf>,
}

impl Default for TrainOptions {
    fn default() -> Self {
        TrainOptions {
            kind: Kind::Linear,
            checkpoint: None,
            c: Strength::Auto,
            select_by: SelectBy::LogLoss,
            one_standard_error: false,
            class_weight: ClassWeight::None,
            standardise: false,
            cross_validate: false,
            folds: Folds::default(),
            calibration: CalibrationKind::None,
            tolerance: 1e-5,
        }
    }
}

impl TrainOptions {
    /// Values of `C` that are tried, all of them: two a decade from 1e-4 to 1e4, ascending. They are meant for rows of weight one
    /// and features that vary by about one altogether, as vectors of length one do: the grid is divided by the mean weight, and
    /// moved by whole decades where features without standardisation vary by 30 times more or less than that.
    pub const GRID: [f64; 17] =
        [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4];

    pub(crate) fn check(&self) -> Result<()> {
        let bad = |what: &str, value: f64| {
            Err(Error::input(format!("training a head: expected {what} above zero, found {value}")))
        };
        if let Strength::Fixed(c) = self.c
            && !(c > 0.0 && c.is_finite())
        {
            return bad("C", c);
        }
        if !(self.tolerance > 0.0 && self.tolerance.is_finite()) {
            return bad("a tolerance", self.tolerance);
        }
        match &self.kind {
            Kind::ElasticNet { l1_ratio } if !(0.0..=1.0).contains(l1_ratio) => Err(Error::input(format!(
                "training a head: expected a share of the L1 norm between 0 and 1, found {l1_ratio}"
            ))),
            Kind::Neighbours { k: 0 } => {
                Err(Error::input("training a head: expected 1 or more neighbours, found 0"))
            }
            Kind::Mlp(options) => options.check(),
            _ => Ok(()),
        }
    }

    /// The same with a given `C` that does to weights divided by `unit` what this one does to them as they are.
    pub(crate) fn in_weight_unit(&self, unit: f64) -> Result<TrainOptions> {
        let Strength::Fixed(c) = self.c else { return Ok(self.clone()) };
        let own = c * unit;
        if !(1e-100..=1e100).contains(&own) {
            return Err(Error::input(format!(
                "training a head: C = {c} on sample weights of about {unit:e} leaves the range of numbers; use weights of about 1"
            )));
        }
        Ok(TrainOptions { c: Strength::Fixed(own), ..self.clone() })
    }

    /// Whether something is chosen, fitted or measured on out-of-fold predictions.
    pub(crate) fn needs_folds(&self) -> bool {
        let chooses = self.kind == Kind::Auto || (self.kind.has_strength() && self.c == Strength::Auto);
        self.cross_validate || chooses || self.calibration != CalibrationKind::None
    }
}

/// What kind of model a head is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// Logistic regression (of numbers: linear regression) with an L2 penalty.
    #[default]
    Linear,
    /// The same with a share of the L1 norm in the penalty: `(1 - l1_ratio) / 2 * ||W||² + l1_ratio * ||W||₁`.
    ElasticNet {
        /// Share of the L1 norm, 0 to 1.
        l1_ratio: f64,
    },
    /// A multilayer perceptron.
    Mlp(MlpOptions),
    /// Each class is its mean. For a handful of examples.
    NearestCentroid,
    /// The training rows vote. For a handful of examples, or odd shapes.
    Neighbours {
        /// How many vote.
        k: usize,
    },
    /// The kind that cross-validates best: of the nearest centroid, linear, 15 neighbours and an MLP with default options;
    /// a simpler one within a standard error of the best is taken. Neighbours are left out where sample weights differ.
    Auto,
}

impl Kind {
    /// Whether `C` matters to it.
    pub(crate) fn has_strength(&self) -> bool {
        matches!(self, Kind::Linear | Kind::ElasticNet { .. })
    }

    /// Its name in messages and reports: its [`ModelKind`]'s, or `auto`.
    pub fn name(&self) -> &'static str {
        self.model().map_or("auto", ModelKind::name)
    }

    /// The kind of the model that comes of it; none where cross-validation has yet to choose.
    pub fn model(&self) -> Option<ModelKind> {
        Some(match self {
            Kind::Linear => ModelKind::Linear,
            Kind::ElasticNet { .. } => ModelKind::ElasticNet,
            Kind::Mlp(_) => ModelKind::Mlp,
            Kind::NearestCentroid => ModelKind::NearestCentroid,
            Kind::Neighbours { .. } => ModelKind::Neighbours,
            Kind::Auto => return None,
        })
    }
}

/// What kind of model a trained head is, without how it was trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ModelKind {
    /// Linear, with an L2 penalty.
    Linear,
    /// Linear, with an L1 penalty beside it.
    ElasticNet,
    /// A multilayer perceptron.
    Mlp,
    /// Each class is its mean.
    NearestCentroid,
    /// The training rows vote.
    Neighbours,
}

impl ModelKind {
    /// Its name in messages and head files.
    pub fn name(self) -> &'static str {
        self.label()
    }
}

/// How an MLP is built and trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MlpOptions {
    /// Columns of each hidden layer.
    pub hidden: Vec<usize>,
    /// The function between layers.
    pub activation: HeadActivation,
    /// Share of hidden values that is zeroed while training.
    pub dropout: f64,
    /// Largest learning rate.
    pub learning_rate: f64,
    /// Pull of AdamW on weights (not on biases) towards zero, times the learning rate, at each step.
    pub weight_decay: f64,
    /// Rows of a step.
    pub batch: usize,
    /// Most passes over the data.
    pub epochs: usize,
    /// Share of the steps over which the learning rate rises; it falls as a cosine after.
    pub warmup: f64,
    /// Largest length of a gradient; longer ones are scaled down.
    pub clip: f64,
    /// Share of the rows on which the loss is watched; the parameters of its least value are kept. 0 keeps the last.
    pub validation: f64,
    /// Epochs without a lower loss after which training ends.
    pub patience: usize,
}

impl Default for MlpOptions {
    fn default() -> Self {
        MlpOptions {
            hidden: vec![128],
            activation: HeadActivation::Gelu,
            dropout: 0.2,
            learning_rate: 1e-3,
            weight_decay: 0.01,
            batch: 64,
            epochs: 20,
            warmup: 0.1,
            clip: 1.0,
            validation: 0.1,
            patience: 4,
        }
    }
}

impl MlpOptions {
    /// The widest hidden layer: two of them take 4 GB with their gradients and moments.
    const MOST_COLUMNS: usize = 16_384;

    pub(crate) fn check(&self) -> Result<()> {
        let share = |value: f64| (0.0..1.0).contains(&value);
        let above = |value: f64| value > 0.0 && value.is_finite();
        let problem = if self.hidden.iter().any(|columns| !(1..=Self::MOST_COLUMNS).contains(columns)) {
            "hidden layers of 1 to 16384 columns"
        } else if !share(self.dropout) || !share(self.validation) {
            "a dropout and a validation share of at least 0 and below 1"
        } else if !(0.0..=1.0).contains(&self.warmup) {
            "a warm-up share between 0 and 1"
        } else if !above(self.learning_rate) || !above(self.clip) {
            "a learning rate and a clip above 0"
        } else if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            "a weight decay of 0 or more"
        } else if self.batch == 0 || self.epochs == 0 {
            "a batch and epochs of 1 or more"
        } else {
            return Ok(());
        };
        Err(Error::input(format!("training an MLP: expected {problem}, found {self:?}")))
    }
}

/// How much the data counts against the penalty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Strength {
    /// Chosen by cross-validation from [`TrainOptions::GRID`].
    #[default]
    Auto,
    /// Given.
    Fixed(f64),
}

/// What cross-validation minimises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SelectBy {
    /// Log loss (a regression: mean squared error). Steadier than accuracy, and good for probabilities.
    #[default]
    LogLoss,
    /// Share of wrong rows (several labels: of wrong decisions; a regression: mean squared error).
    Accuracy,
}

/// How classes are weighted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ClassWeight {
    /// Each row counts the same.
    #[default]
    None,
    /// Each class counts the same: rows are weighted by `rows / (classes * rows of the class)`.
    Balanced,
}

/// How logits are calibrated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CalibrationKind {
    /// Not at all.
    #[default]
    None,
    /// One divisor for all logits: confidences change, predictions do not.
    Temperature,
    /// A factor and a shift for each logit: predictions may change too.
    Vector,
}

/// The function between layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum HeadActivation {
    /// `x * Phi(x)`, by the error function.
    #[default]
    Gelu,
    /// `max(x, 0)`.
    Relu,
}

named! { Kind, "kind of head",
    "linear", "Logistic regression (of numbers: ridge regression)" => Kind::Linear, Kind::Linear,
    "elastic", "The same with an L1 penalty beside the L2 one: many coefficients are zero"
        => Kind::ElasticNet { l1_ratio: 0.5 }, Kind::ElasticNet { .. },
    "mlp", "Multilayer perceptron" => Kind::Mlp(MlpOptions::default()), Kind::Mlp(_),
    "centroid", "Each class is its mean" => Kind::NearestCentroid, Kind::NearestCentroid,
    "neighbours", "The nearest training rows vote" => Kind::Neighbours { k: 15 }, Kind::Neighbours { .. },
    "auto", "Whichever cross-validates best" => Kind::Auto, Kind::Auto,
}

named! { ModelKind, "kind of model",
    "linear", "Linear" => ModelKind::Linear, ModelKind::Linear,
    "elastic-net", "Linear, with many coefficients at zero" => ModelKind::ElasticNet, ModelKind::ElasticNet,
    "mlp", "Multilayer perceptron" => ModelKind::Mlp, ModelKind::Mlp,
    "nearest-centroid", "Each class is its mean" => ModelKind::NearestCentroid, ModelKind::NearestCentroid,
    "neighbours", "The nearest training rows vote" => ModelKind::Neighbours, ModelKind::Neighbours,
}

named! { SelectBy, "score to choose by",
    "log-loss", "Log loss: steadier, and good for probabilities" => SelectBy::LogLoss, SelectBy::LogLoss,
    "accuracy", "Accuracy" => SelectBy::Accuracy, SelectBy::Accuracy,
}

named! { ClassWeight, "weighting of classes",
    "none", "Every row counts the same" => ClassWeight::None, ClassWeight::None,
    "balanced", "Every class counts the same" => ClassWeight::Balanced, ClassWeight::Balanced,
}

named! { CalibrationKind, "calibration",
    "none", "Leave the probabilities as they are" => CalibrationKind::None, CalibrationKind::None,
    "temperature", "One temperature" => CalibrationKind::Temperature, CalibrationKind::Temperature,
    "vector", "A scale and a shift for each class" => CalibrationKind::Vector, CalibrationKind::Vector,
}

named! { HeadActivation, "activation",
    "gelu", "x * Phi(x), by the error function" => HeadActivation::Gelu, HeadActivation::Gelu,
    "relu", "max(x, 0)" => HeadActivation::Relu, HeadActivation::Relu,
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Strength::Auto => f.write_str("auto"),
            Strength::Fixed(c) => write!(f, "{c}"),
        }
    }
}

impl FromStr for Strength {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "auto" {
            return Ok(Strength::Auto);
        }
        match text.parse() {
            Ok(c) if c > 0.0 && f64::is_finite(c) => Ok(Strength::Fixed(c)),
            _ => Err(Error::input(format!("expected auto or a number above 0 for C, found {text:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        fn check<T: FromStr<Err = Error> + fmt::Display + PartialEq + fmt::Debug>(names: &[&str]) {
            for name in names {
                let value: T = name.parse().unwrap();
                assert_eq!(value.to_string(), *name);
                assert_eq!(value.to_string().parse::<T>().unwrap(), value);
            }
            for wrong in ["", "Linear", "other", " none", "NaN", "0", "-1", "inf"] {
                let error = wrong.parse::<T>().unwrap_err();
                assert!(error.is_input() && error.to_string().contains(&format!("{wrong:?}")), "{error}");
            }
        }
        macro_rules! check_choices {
            ($($type:ident: $($name:literal)+;)+) => { $(
                assert_eq!($type::CHOICES.iter().map(|(name, _)| *name).collect::<Vec<_>>(), [$($name),+]);
                check::<$type>(&[$($name),+]);
            )+ };
        }
        check_choices! {
            Kind: "linear" "elastic" "mlp" "centroid" "neighbours" "auto";
            ModelKind: "linear" "elastic-net" "mlp" "nearest-centroid" "neighbours";
            SelectBy: "log-loss" "accuracy";
            ClassWeight: "none" "balanced";
            CalibrationKind: "none" "temperature" "vector";
            HeadActivation: "gelu" "relu";
        }
        for (name, _) in ModelKind::CHOICES {
            assert_eq!(name.parse::<ModelKind>().unwrap().name(), *name);
            assert_eq!(
                serde_json::to_value(name.parse::<ModelKind>().unwrap()).unwrap(),
                *name,
                "in a head's file"
            );
        }
        check::<Strength>(&["auto", "1", "0.0003", "10000"]);
    }
}
