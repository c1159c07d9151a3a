//! NumPy's `.npy`, format version 1.0.
//!
//! Own code, because the crates for it want the number of rows before the first or cannot write `[rows, dim]` without it.
//!
//! Source: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>

use std::io::{self, Seek, SeekFrom, Write};

use super::{Chunk, Layout, Out, Values};
use crate::quantize::Precision;

/// Header and padding; a multiple of 64, as the format asks, with room for any shape.
const HEADER_BYTES: usize = 128;

pub(super) struct Npy {
    out: Out,
    dim: usize,
    precision: Precision,
}

impl Npy {
    pub(super) fn new(mut out: Out, dim: usize, precision: Precision) -> io::Result<Self> {
        out.write_all(&header(0, dim, precision))?;
        Ok(Npy { out, dim, precision })
    }
}

impl Layout for Npy {
    fn rows(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        write_values(&mut self.out, chunk.values)
    }

    fn finish(&mut self, rows: u64) -> io::Result<()> {
        // The header was written before anyone knew how many rows would come.
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&header(rows, self.dim, self.precision))?;
        self.out.flush()
    }
}

fn header(rows: u64, dim: usize, precision: Precision) -> [u8; HEADER_BYTES] {
    let descr = match precision {
        Precision::F32 => "<f4",
        Precision::F16 => "<f2",
        Precision::Int8 => "|i1",
        Precision::Ubinary => "|u1",
    };
    const PREFIX: &[u8] = b"\x93NUMPY\x01\x00";
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows}, {dim}), }}");
    let start = PREFIX.len() + 2;
    let mut header = [b' '; HEADER_BYTES];
    header[..PREFIX.len()].copy_from_slice(PREFIX);
    header[PREFIX.len()..start].copy_from_slice(&((HEADER_BYTES - start) as u16).to_le_bytes());
    // At most 97 bytes for any two 64-bit numbers, so it fits.
    header[start..start + text.len()].copy_from_slice(text.as_bytes());
    header[HEADER_BYTES - 1] = b'\n';
    header
}

/// Writes numbers as little-endian bytes, on any machine.
pub(super) fn write_values(out: &mut impl Write, values: Values<'_>) -> io::Result<()> {
    let little = cfg!(target_endian = "little");
    match values {
        Values::F32(values) if little => out.write_all(bytemuck::cast_slice(values)),
        Values::F32(values) => values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes())),
        Values::F16(values) if little => out.write_all(bytemuck::cast_slice(values)),
        Values::F16(values) => values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes())),
        Values::I8(values) => out.write_all(bytemuck::cast_slice(values)),
        Values::U8(values) => out.write_all(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_shape_fits_into_the_header() {
        let header = header(u64::MAX, usize::MAX, Precision::F32);
        assert_eq!(header.last(), Some(&b'\n'));
        assert!(String::from_utf8_lossy(&header).contains("18446744073709551615, 18446744073709551615), }"));
    }
}
