//! Options that several subcommands share.

mod embed;
mod model;
mod rows;

pub use embed::{EmbedArgs, LengthArgs};
pub use model::{CacheArgs, EngineArgs, HeadArgs, ModelArgs, locate, open_cache};
pub use rows::{LabelArgs, RowArgs, Texts};

use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use frostbert::Error;

/// Takes the names of one of the library's enums, and shows them with their meanings in the help.
pub fn choice<T>(choices: &'static [(&'static str, &'static str)]) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = Error> + Clone + Send + Sync + 'static,
{
    let values = choices.iter().map(|(name, meaning)| PossibleValue::new(*name).help(*meaning));
    PossibleValuesParser::new(values).try_map(|name| name.parse::<T>())
}

/// A whole number from 1 to `MOST`: beyond it a run would not end, or not fit into memory.
pub fn at_most<const MOST: usize>(text: &str) -> std::result::Result<usize, String> {
    match text.parse::<usize>() {
        Ok(number) if (1..=MOST).contains(&number) => Ok(number),
        _ => Err(format!("expected a number from 1 to {MOST}")),
    }
}

/// A share: from 0 to 1.
pub fn share(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a number from 0 to 1".into()),
    }
}
