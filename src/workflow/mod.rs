//! An encoder and a head together: what the command line, the page and other front ends call.
//!
//! [`Dataset`] reads labelled texts, [`Trainer`] makes a head of them and a [`TrainingRecord`] of all it found out, and a
//! [`Classifier`] predicts, explains and is evaluated.

mod binding;
mod classifier;
mod compare;
mod dataset;
mod description;
mod embed;
mod evaluate;
mod explanation;
mod long;
mod long_texts;
mod predict;
mod record;
#[cfg(not(target_arch = "wasm32"))]
mod row_file;
mod split;
#[cfg(not(target_arch = "wasm32"))]
mod stream;
mod train;
#[cfg(not(target_arch = "wasm32"))]
pub mod verify;
mod words;

pub use binding::bind_head;
pub use classifier::{Classifier, Prediction};
pub use dataset::Dataset;
pub use description::Description;
pub use embed::{EmbedRun, EmbeddedRows, EmbeddingSummary};
pub use evaluate::Evaluation;
pub use explanation::Explanation;
pub use long_texts::{LongCandidate, LongChoice, LongTexts};
pub use predict::{Answer, PredictOptions};
pub use record::{DataRecord, EncoderRecord, Misprediction, Trained, TrainingRecord};
#[cfg(not(target_arch = "wasm32"))]
pub use row_file::{RowReader, RowWriter, row_file};
pub use split::{HoldOut, hold_out};
pub use train::{Event, FitSettings, Trainer, train_embedded};
