//! On which line of a file a byte lies.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

/// Where lines start that are not blank, as far as the bytes have been read and nobody has asked beyond them.
///
/// The csv crate counts LF where its reader happens to stand, which is before the LF of a CR LF and before blank lines. Lines
/// end as in any editor: with LF, CR LF or CR.
#[derive(Clone, Default)]
pub(super) struct LineStarts {
    ahead: Arc<Mutex<VecDeque<Start>>>,
}

/// The first byte of a line that is not blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) byte: u64,
    /// From 1.
    pub(super) line: u64,
}

impl LineStarts {
    /// The bytes of `reader`, watched.
    pub(super) fn watch<R: Read>(&self, reader: R) -> Watched<R> {
        Watched { reader, starts: self.clone(), byte: 0, line: 1, fresh: true, after_cr: false }
    }

    /// The first line that starts at or after a byte; earlier ones are forgotten, so bytes are asked for in order.
    pub(super) fn at_or_after(&self, byte: u64) -> Option<Start> {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        while ahead.front().is_some_and(|start| start.byte < byte) {
            ahead.pop_front();
        }
        ahead.front().copied()
    }
}

/// A reader whose lines are noted as they pass.
pub(super) struct Watched<R> {
    reader: R,
    starts: LineStarts,
    byte: u64,
    line: u64,
    /// Nothing of this line has been seen.
    fresh: bool,
    after_cr: bool,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(buffer)?;
        let mut ahead = self.starts.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        for &byte in &buffer[..read] {
            match byte {
                b'\n' if self.after_cr => {}
                b'\n' | b'\r' => {
                    self.line += 1;
                    self.fresh = true;
                }
                _ if self.fresh => {
                    ahead.push_back(Start { byte: self.byte, line: self.line });
                    self.fresh = false;
                }
                _ => {}
            }
            self.after_cr = byte == b'\r';
            self.byte += 1;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(bytes: &[u8], piece: usize) -> Vec<(u64, u64)> {
        let starts = LineStarts::default();
        let mut reader = starts.watch(bytes);
        let mut buffer = vec![0; piece];
        while reader.read(&mut buffer).unwrap() > 0 {}
        let ahead = starts.ahead.lock().unwrap();
        ahead.iter().map(|start| (start.byte, start.line)).collect()
    }

    #[test]
    fn every_end_of_line_counts_once_however_the_bytes_come() {
        for piece in [1, 2, 3, 100] {
            assert_eq!(starts(b"a\nb\r\nc\rd", piece), [(0, 1), (2, 2), (5, 3), (7, 4)]);
            assert_eq!(starts(b"\n\r\n\ra\n\n", piece), [(4, 4)]);
            assert_eq!(starts(b"", piece), []);
        }
    }
}
