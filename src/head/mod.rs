//! Heads: small models on frozen embeddings, trained on the CPU in seconds.
//!
//! A head knows nothing of the encoder: it sees a [`Matrix`] of embeddings and [`Targets`]. The same seed gives
//! the same bits on every machine, in a browser too.

// Numeric code over several arrays reads better with indices.
#![allow(clippy::needless_range_loop)]

mod adamw;
mod baselines;
mod calibrate;
mod checks;
mod cross;
mod curvature;
mod curves;
mod data;
mod dense;
#[cfg_attr(not(target_arch = "wasm32"), path = "disk_native.rs")]
#[cfg_attr(target_arch = "wasm32", path = "disk_web.rs")]
mod disk;
mod elastic;
mod evaluate;
mod explain;
mod file;
mod fingerprint;
mod fit;
mod layers;
mod lbfgs;
mod learning;
mod linear;
mod loss;
mod mlp;
mod mlp_checkpoint;
mod mlp_train;
mod model;
mod neighbours;
mod options;
#[cfg_attr(not(target_arch = "wasm32"), path = "parallel_native.rs")]
#[cfg_attr(target_arch = "wasm32", path = "parallel_web.rs")]
mod parallel;
mod split;
mod standardise;
mod stream;
mod support;
mod tfidf;
mod train;

pub use baselines::{Baseline, baselines};
pub use calibrate::{Calibration, CalibrationKind};
pub use checks::{LabelIssue, Warning, check_data, check_predictions, label_issues};
pub use cross::{CrossValidation, PathPoint};
pub use curves::{ReliabilityBin, precision_recall_curve, reliability, roc_curve, thin};
pub use data::{Matrix, Problem, Targets, TrainData};
pub use evaluate::{
    ClassMetrics, ClassRow, Estimate, LabelMetrics, Metrics, ValueMetrics, average_precision, roc_auc,
};
pub use explain::TokenShares;
pub use file::FORMAT_VERSION;
pub use fingerprint::EncoderFingerprint;
pub use layers::{LayerCandidate, LayerChoice, choose_layers};
pub use learning::{LearningPoint, learning_curve};
pub use mlp::HeadActivation;
pub use model::{Decision, Head, Record};
pub use options::{ClassWeight, Kind, MlpOptions, SelectBy, Strength, TrainOptions};
pub use split::{Folds, Split, train_test_split};
pub use stream::{RowSource, StreamRows};
pub use train::{Choice, Progress, Training};
