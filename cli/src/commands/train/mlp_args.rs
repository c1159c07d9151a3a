//! How an MLP is built and trained, on the command line.

use frostbert::head::{HeadActivation, MlpOptions};

use crate::args::{at_most, choice, share};

/// What is not given is as the library has it.
#[derive(clap::Args)]
#[command(next_help_heading = "MLP")]
pub struct MlpArgs {
    /// Widths of an MLP's hidden layers [default: 128]
    #[arg(long, value_name = "N,M", value_delimiter = ',', value_parser = at_most::<65536>)]
    hidden: Vec<usize>,
    /// The function between its layers [default: gelu]
    #[arg(long, value_parser = choice::<HeadActivation>(HeadActivation::CHOICES))]
    activation: Option<HeadActivation>,
    /// Share of its hidden values that is zeroed while it learns [default: 0.2]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    dropout: Option<f64>,
    /// Its largest learning rate [default: 0.001]
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f64>,
    /// Rows of a step [default: 64]
    #[arg(long, value_name = "N", value_parser = at_most::<1_000_000>)]
    batch_rows: Option<usize>,
    /// Most passes over the rows [default: 20]
    #[arg(long, value_name = "N", value_parser = at_most::<100_000>)]
    epochs: Option<usize>,
    /// Epochs without a lower loss on the rows it watches after which it stops [default: 4]
    #[arg(long, value_name = "N", value_parser = at_most::<100_000>)]
    patience: Option<usize>,
}

impl MlpArgs {
    pub fn options(&self) -> MlpOptions {
        let usual = MlpOptions::default();
        MlpOptions {
            hidden: if self.hidden.is_empty() { usual.hidden } else { self.hidden.clone() },
            activation: self.activation.unwrap_or(usual.activation),
            dropout: self.dropout.unwrap_or(usual.dropout),
            learning_rate: self.learning_rate.unwrap_or(usual.learning_rate),
            batch: self.batch_rows.unwrap_or(usual.batch),
            epochs: self.epochs.unwrap_or(usual.epochs),
            patience: self.patience.unwrap_or(usual.patience),
            ..usual
        }
    }
}
