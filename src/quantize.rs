//! Embeddings in fewer bytes: half precision, 8 bits a column, 1 bit a column.
//!
//! The meaning is sentence-transformers' (`quantize_embeddings`), so that what is written here can be searched with what was
//! written there.

use crate::error::{Error, Result};
use half::f16;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The numbers that an embedding is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats: as computed.
    #[default]
    F32,
    /// 16-bit floats, rounded to nearest.
    F16,
    /// A signed byte a column: 256 steps between the column's smallest and largest value ([`Ranges`]).
    Int8,
    /// A bit a column, whether the value is above zero; eight columns a byte, the first one highest.
    Ubinary,
}

impl Precision {
    /// Every precision.
    pub const ALL: [Precision; 4] = [Precision::F32, Precision::F16, Precision::Int8, Precision::Ubinary];

    /// The name used by sentence-transformers (`float32` is `f32` here) and the command line.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::Int8 => "int8",
            Precision::Ubinary => "ubinary",
        }
    }

    /// Numbers a row of `dim` columns becomes.
    pub fn columns(self, dim: usize) -> usize {
        match self {
            Precision::Ubinary => dim.div_ceil(8),
            _ => dim,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|precision| precision.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Precision::name).join(", ");
            Error::input(format!("no such type of numbers: {name:?}; known are {known}"))
        })
    }
}

/// The smallest and largest value of each column: what [`Precision::Int8`] spreads its 256 steps over.
///
/// Rows that are to be compared (documents and queries) must be quantised with the same ranges.
///
/// ```
/// use frostbert::quantize::Ranges;
/// let mut ranges = Ranges::new(2);
/// ranges.include(&[0.0, -255.0, 255.0, 255.0]); // two rows
/// assert_eq!(ranges.int8(&[100.0, -255.0, 255.0, 1.0]), [-28, -128, 127, 0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Ranges {
    low: Vec<f32>,
    high: Vec<f32>,
}

impl Ranges {
    /// Ranges of `dim` columns that nothing is in yet.
    pub fn new(dim: usize) -> Self {
        Ranges { low: vec![f32::INFINITY; dim], high: vec![f32::NEG_INFINITY; dim] }
    }

    /// Ranges from numbers, row-major `[2, dim]`: the smallest values, then the largest.
    ///
    /// # Errors
    /// An odd count, a number that is not finite, or a smallest value above the largest.
    pub fn from_values(values: &[f32]) -> Result<Self> {
        let (low, high) = values.split_at(values.len() / 2);
        if low.len() != high.len() || low.is_empty() {
            return Err(Error::input(format!(
                "ranges need two rows, the smallest and the largest value of each column; found {} numbers",
                values.len()
            )));
        }
        if let Some(column) =
            low.iter().zip(high).position(|(low, high)| !(low <= high && low.is_finite() && high.is_finite()))
        {
            return Err(Error::input(format!(
                "the range of column {column} is {} to {}; expected two numbers, the smaller first",
                low[column], high[column]
            )));
        }
        Ok(Ranges { low: low.to_vec(), high: high.to_vec() })
    }

    /// Number of columns.
    pub fn dim(&self) -> usize {
        self.low.len()
    }

    /// Row-major `[2, dim]`: the smallest values, then the largest.
    pub fn values(&self) -> Vec<f32> {
        [&self.low[..], &self.high].concat()
    }

    /// Widens the ranges to these rows, `[rows, dim]`.
    pub fn include(&mut self, values: &[f32]) {
        for row in values.chunks_exact(self.dim().max(1)) {
            for ((low, high), value) in self.low.iter_mut().zip(&mut self.high).zip(row) {
                *low = low.min(*value);
                *high = high.max(*value);
            }
        }
    }

    /// `[rows, dim]` as signed bytes: `floor((x - low) / ((high - low) / 255)) - 128`. What lies outside of its range (numbers
    /// from elsewhere) is put at its end. A column whose range is empty has steps of one.
    ///
    /// Source: `quantize_embeddings` of sentence-transformers 6. Before, it cut off towards zero after taking 128 away: about a
    /// quarter of the numbers were larger by one, and what lay outside of its range wrapped around.
    pub fn int8(&self, values: &[f32]) -> Vec<i8> {
        let rows = values.chunks_exact(self.dim().max(1));
        rows.flat_map(|row| row.iter().zip(self.low.iter().zip(&self.high)))
            .map(|(value, (low, high))| {
                let step = (high - low) / 255.0;
                let step = if step == 0.0 { 1.0 } else { step };
                (((value - low) / step).floor().clamp(0.0, 255.0) - 128.0) as i8
            })
            .collect()
    }
}

/// `[rows, dim]` as 16-bit floats, rounded to nearest.
pub fn f16s(values: &[f32]) -> Vec<f16> {
    values.iter().map(|value| f16::from_f32(*value)).collect()
}

/// `[rows, dim]` as bits, `[rows, dim / 8]` rounded up: NumPy's `packbits(values > 0)`, row by row.
pub fn ubinary(values: &[f32], dim: usize) -> Vec<u8> {
    let byte = |eight: &[f32]| {
        eight.iter().enumerate().fold(0, |byte, (at, value)| byte | u8::from(*value > 0.0) << (7 - at))
    };
    values.chunks_exact(dim.max(1)).flat_map(|row| row.chunks(8).map(byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the formulas of sentence-transformers 6.2's `quantize_embeddings` give in NumPy 2, "int8" and "ubinary".
    #[test]
    fn as_sentence_transformers() {
        let x = [0.1, -0.5, 0.3, -0.2, 0.4, -0.9, 0.05, 0.0, -0.3, 0.2, 0.25, -0.1];
        let mut ranges = Ranges::new(4);
        ranges.include(&x);
        assert_eq!(ranges.values(), [-0.3, -0.9, 0.05, -0.2, 0.4, 0.2, 0.3, 0.0]);
        assert_eq!(ranges.int8(&x), [17, -36, 126, -128, 127, -128, -128, 127, -128, 127, 75, -1]);
        assert_eq!(ubinary(&x, 4), [0b1010_0000, 0b1010_0000, 0b0110_0000]);
        assert_eq!(ubinary(&[1.0; 10], 10), [0b1111_1111, 0b1100_0000]);
    }

    #[test]
    fn values_outside_of_the_ranges_stay_at_their_ends() {
        let ranges = Ranges::from_values(&[-1.0, 0.0, 1.0, 0.0]).unwrap();
        assert_eq!(ranges.int8(&[-7.0, 3.0]), [-128, -125]);
        assert_eq!(ranges.int8(&[7.0, -3.0]), [127, -128]);
    }

    #[test]
    fn ranges_that_are_none_are_refused() {
        for values in [&[][..], &[1.0], &[1.0, 0.0], &[f32::NAN, 1.0], &[0.0, f32::INFINITY]] {
            assert!(Ranges::from_values(values).unwrap_err().is_input(), "{values:?}");
        }
    }

    #[test]
    fn names_read_back() {
        for precision in Precision::ALL {
            assert_eq!(precision.name().parse::<Precision>().unwrap(), precision);
        }
        assert!("int4".parse::<Precision>().unwrap_err().is_input());
    }
}
