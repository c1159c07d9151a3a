//! How numbers are spelled where they become names.
//!
//! A label is the text of its cell, and a CSV cell is text. The numbers of JSON and Parquet are spelled as Python, and with it
//! pandas, writes them into a CSV file, whoever wrote them and however: an integer with all its digits, a float as `1.0`.

use std::collections::HashMap;
use std::fmt::{Display, LowerExp};

/// A float as Python's `repr` has it: the shortest digits that read back as the same number.
pub(super) fn float<T: Display + LowerExp>(value: T) -> String {
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        // NaN and the infinities.
        return scientific.to_lowercase();
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = value.to_string();
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

/// A number of JSON. One that no float is exactly, such as 0.1234567890123456789, stays as it is written.
pub(super) fn json(written: &str) -> String {
    if !written.contains(['.', 'e', 'E']) {
        return written.to_owned();
    }
    let spelled = written.parse().map_or_else(|_| written.to_owned(), float::<f64>);
    if canonical(&spelled) == canonical(written) { spelled } else { written.to_owned() }
}

/// Names of numbers of one column: the same number written in two ways has the name it had first.
#[derive(Default)]
pub(super) struct Spellings {
    known: HashMap<String, String>,
}

impl Spellings {
    /// The name of a number that is written so.
    pub(super) fn name(&mut self, written: String) -> String {
        self.known.entry(canonical(&written)).or_insert(written).clone()
    }
}

/// The exact value of a decimal number as text: equal for equal numbers, however they are written.
fn canonical(written: &str) -> String {
    let (sign, number) = written.strip_prefix('-').map_or(("", written), |number| ("-", number));
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all: String = [whole, fraction].concat();
    let Ok(exponent) = exponent.parse::<i64>() else { return written.to_owned() };
    let digits = all.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return "0".to_owned();
    }
    // The power of ten of the last significant digit.
    let power = exponent
        .saturating_sub(fraction.len() as i64)
        .saturating_add((digits.len() - significant.len()) as i64);
    format!("{sign}{significant}e{power}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_spelled_as_python_does() {
        // repr() of Python 3.13.
        let table = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-3.0, "-3.0"),
            (0.1, "0.1"),
            (1000.0, "1000.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (9007199254740993.0, "9007199254740992.0"),
            (1.2345678901234568e17, "1.2345678901234568e+17"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e300, "1e+300"),
            (f64::NAN, "nan"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (value, written) in table {
            assert_eq!(float(value), written);
        }
        assert_eq!(float(0.1_f32), "0.1");
    }

    #[test]
    fn json_numbers_are_spelled_like_floats_where_they_are_one() {
        let table = [
            ("1", "1"),
            ("9007199254740993", "9007199254740993"),
            ("18446744073709551617", "18446744073709551617"),
            ("1.0", "1.0"),
            ("1.10", "1.1"),
            ("1e3", "1000.0"),
            ("0.00000015", "1.5e-07"),
            ("10000000000000000.0", "1e+16"),
            ("9007199254740993.0", "9007199254740993.0"),
            ("0.1234567890123456789", "0.1234567890123456789"),
            ("1e400", "1e400"),
            ("-0.0", "-0.0"),
        ];
        for (written, name) in table {
            assert_eq!(json(written), name);
        }
    }

    #[test]
    fn equal_numbers_have_one_name() {
        for same in [
            &["1", "1.0", "1e0", "10e-1", "0.1E+1", "1.000"][..],
            &["1000", "1e3", "1000.0"],
            &["0", "0.0", "-0", "0e5"],
            &["-2.50", "-2.5"],
            &["9007199254740993", "9007199254740993.0"],
        ] {
            let mut spellings = Spellings::default();
            for written in same {
                assert_eq!(spellings.name((*written).to_owned()), same[0]);
            }
        }
        let different =
            ["9007199254740992", "9007199254740993", "1", "-1", "10", "0.1", "0", "1e400", "1e401"];
        let mut spellings = Spellings::default();
        for written in different {
            assert_eq!(spellings.name(written.to_owned()), written);
        }
    }
}
