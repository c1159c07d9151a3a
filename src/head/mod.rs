//! Heads: small models on frozen embeddings, trained on the CPU in seconds.
//!
//! A head knows nothing of the encoder: it sees a [`Matrix`] of embeddings and [`Targets`]. The same seed gives
//! the same bits on every machine, in a browser too.

// Numeric code over several arrays reads better with indices.
#![allow(clippy::needless_range_loop)]

mod baselines;
mod data;
mod linear;
mod measure;
mod mlp;
mod model;
mod numeric;
mod options;
mod progress;
mod select;
mod tensors;

pub use baselines::compare::{Baseline, BaselineKind, baselines};
pub use data::matrix::Matrix;
pub use data::split::{Folds, Split, train_test_split};
pub use data::targets::{Problem, Targets, TrainData};
pub use measure::abstain::Abstain;
pub use measure::calibration::Calibration;
pub use measure::caution::{Caution, CautionOptions, Conformal};
pub use measure::curves::{ReliabilityBin, precision_recall_curve, reliability, roc_curve, thin};
pub use measure::estimate::Estimate;
pub use measure::hierarchy::{Hierarchy, HierarchyMeasures, Level, LevelMeasures, Levels};
pub use measure::label_issues::{LabelIssue, label_issues};
pub(crate) use measure::metrics::argmax;
pub use measure::metrics::{ClassMetrics, ClassRow, LabelMetrics, Metrics, ValueMetrics};
pub use measure::paired::{Comparison, MeasureDifference, RightCounts, Slice, compare};
pub use measure::ranking::{average_precision, roc_auc};
pub use measure::warnings::{Warning, check_data, check_predictions};
pub use model::answer::{AnswerOptions, AnswerRecord, HeadAnswer};
pub use model::decision::Decision;
pub use model::encoder_binding::EncoderBinding;
pub use model::explain::TokenShares;
pub use model::file::FORMAT_VERSION;
pub use model::head::{Head, Record};
pub use model::sample::{NovelBy, Novelty, Sample, Strangeness};
pub use options::{
    CalibrationKind, ClassWeight, HeadActivation, Kind, MlpOptions, ModelKind, SelectBy, Strength,
    TrainOptions,
};
pub use progress::Progress;
pub use select::cross_validation::CrossValidation;
pub use select::embeddings::{EmbeddingChoice, choose_embeddings};
pub use select::layers::{LayerCandidate, LayerChoice, choose_layers};
pub use select::learning_curve::{LearningPoint, learning_curve};
pub use select::regularization_path::PathPoint;
pub use select::score::LossKind;
pub use select::stream::{RowSource, StreamRows};
pub use select::train::{Choice, Training};
pub use select::words_choice::{WordsCandidate, WordsChoice};
