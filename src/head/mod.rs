//! Heads: small models on frozen embeddings, trained on the CPU in seconds.
//!
//! A head knows nothing of the encoder: it sees a [`Matrix`] of embeddings and [`Targets`]. The same seed gives
//! the same bits on every machine, in a browser too.

mod calibrate;
mod data;
mod dense;
mod evaluate;
mod file;
mod fingerprint;
mod lbfgs;
mod linear;
mod loss;
mod model;
mod options;
#[cfg_attr(not(target_arch = "wasm32"), path = "parallel_native.rs")]
#[cfg_attr(target_arch = "wasm32", path = "parallel_web.rs")]
mod parallel;
mod split;
mod standardise;
mod train;

pub use calibrate::{Calibration, CalibrationKind};
pub use data::{Matrix, Problem, Targets, TrainData};
pub use evaluate::{
    ClassMetrics, ClassRow, Estimate, LabelMetrics, Metrics, ValueMetrics, average_precision, roc_auc,
};
pub use file::FORMAT_VERSION;
pub use fingerprint::EncoderFingerprint;
pub use model::{Decision, Head, Record};
pub use options::{ClassWeight, SelectBy, Strength, TrainOptions};
pub use split::{Folds, Split, train_test_split};
pub use train::{CrossValidation, PathPoint, Progress, Training};
