//! Rows of embeddings on disk, read while they are still being written: what lets a head learn from more rows than memory
//! holds, and from the first ones while an encoder computes the others. The writer never waits for a reader.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::head::RowSource;

/// Puts rows in.
pub struct RowWriter {
    file: File,
    columns: usize,
    arrivals: Arc<Arrivals>,
}

/// Takes rows out, in any order; waits for those that are not there yet.
pub struct RowReader {
    file: File,
    columns: usize,
    arrivals: Arc<Arrivals>,
    /// Where each row lies in the file; none where its number says so.
    places: Option<Vec<u32>>,
}

const NOWHERE: u32 = u32::MAX;

#[derive(Default)]
struct Arrivals {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    rows: u64,
    /// The writer is gone: no more rows will come.
    ended: bool,
    /// The reader is gone: nobody wants them.
    unwanted: bool,
}

impl Arrivals {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file of rows of `columns` numbers, in `folder` or where temporary files go. It has no name and is gone with both ends.
///
/// # Errors
/// The file cannot be made.
pub fn row_file(folder: Option<&Path>, columns: usize) -> Result<(RowWriter, RowReader)> {
    let folder = folder.map_or_else(std::env::temp_dir, Path::to_path_buf);
    let make = || -> std::io::Result<(File, File)> {
        let named = tempfile::NamedTempFile::new_in(&folder)?;
        // Two handles, two places in the file; on Unix the name goes at once, elsewhere with the last handle.
        let reader = named.reopen()?;
        Ok((named.into_file(), reader))
    };
    let (writer, reader) = make().map_err(|error| {
        Error::io(format!("cannot make a file for embeddings in {}", folder.display())).with_source(error)
    })?;
    let arrivals = Arc::new(Arrivals::default());
    Ok((
        RowWriter { file: writer, columns, arrivals: arrivals.clone() },
        RowReader { file: reader, columns, arrivals, places: None },
    ))
}

impl RowWriter {
    /// Appends rows, `[rows, columns]`. Without a reader they go nowhere.
    ///
    /// # Errors
    /// The disk is full, or the values are no whole rows.
    pub fn write(&mut self, values: &[f32]) -> Result<()> {
        if !values.len().is_multiple_of(self.columns) {
            return Err(Error::input(format!(
                "writing rows of {} columns: found {} values",
                self.columns,
                values.len()
            )));
        }
        if self.arrivals.lock().unwanted {
            return Ok(());
        }
        self.file.write_all(bytemuck::cast_slice(values)).map_err(|error| {
            Error::io("cannot write embeddings to a temporary file; is the disk full?").with_source(error)
        })?;
        self.arrivals.lock().rows += (values.len() / self.columns) as u64;
        self.arrivals.changed.notify_all();
        Ok(())
    }
}

impl Drop for RowWriter {
    fn drop(&mut self) {
        self.arrivals.lock().ended = true;
        self.arrivals.changed.notify_all();
    }
}

impl Drop for RowReader {
    fn drop(&mut self) {
        self.arrivals.lock().unwanted = true;
    }
}

impl RowReader {
    /// Rows are written in the order of these numbers, by which they are read then.
    #[must_use]
    pub fn in_order(mut self, rows: &[u32]) -> Self {
        let mut places = vec![NOWHERE; rows.iter().max().map_or(0, |last| *last as usize + 1)];
        (0..).zip(rows).for_each(|(place, &row)| places[row as usize] = place);
        self.places = Some(places);
        self
    }

    fn places(&self, rows: &[u32]) -> Result<Vec<u32>> {
        let Some(places) = &self.places else { return Ok(rows.to_vec()) };
        let place = |row: &u32| match places.get(*row as usize) {
            Some(&place) if place != NOWHERE => Ok(place),
            _ => Err(Error::input(format!(
                "row {row} of the embeddings was read, but is none that is written"
            ))),
        };
        rows.iter().map(place).collect()
    }

    /// Waits until a row is there.
    fn wait_for(&self, row: u64) -> Result<()> {
        let mut state = self.arrivals.lock();
        while state.rows <= row {
            if state.ended {
                return Err(Error::input(format!(
                    "row {row} of the embeddings never came: they ended after {} rows",
                    state.rows
                )));
            }
            state = self.arrivals.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }
}

impl RowSource for RowReader {
    fn columns(&self) -> usize {
        self.columns
    }

    fn read(&mut self, rows: &[u32], out: &mut Vec<f32>) -> Result<()> {
        let rows = self.places(rows)?;
        let Some(last) = rows.iter().max() else { return Ok(()) };
        self.wait_for(u64::from(*last))?;
        let row_bytes = self.columns as u64 * 4;
        // Neighbours are read at once.
        for run in rows.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
            let from = out.len();
            out.resize(from + run.len() * self.columns, 0.0);
            let place = SeekFrom::Start(u64::from(run[0]) * row_bytes);
            self.file
                .seek(place)
                .and_then(|_| self.file.read_exact(bytemuck::cast_slice_mut(&mut out[from..])))
                .map_err(|error| {
                    Error::io("cannot read embeddings back from a temporary file").with_source(error)
                })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_in_any_order_while_others_are_written() {
        let (mut writer, mut reader) = row_file(None, 3).unwrap();
        let row = |number: u32| [number as f32, 0.5, -1.0];
        let reading = std::thread::spawn(move || {
            let mut out = vec![];
            reader.read(&[7, 0, 1, 2, 99, 3], &mut out).unwrap();
            out
        });
        for number in 0..100 {
            writer.write(&row(number)).unwrap();
        }
        assert_eq!(reading.join().unwrap(), [7, 0, 1, 2, 99, 3].map(row).concat());
    }

    #[test]
    fn rows_written_in_another_order_are_read_by_their_own_numbers() {
        let (mut writer, reader) = row_file(None, 1).unwrap();
        let mut reader = reader.in_order(&[5, 0, 3]);
        writer.write(&[50.0, 0.0, 30.0]).unwrap();
        let mut out = vec![];
        reader.read(&[0, 3, 5], &mut out).unwrap();
        assert_eq!(out, [0.0, 30.0, 50.0]);
        assert!(reader.read(&[4], &mut out).unwrap_err().is_input());
        assert!(reader.read(&[6], &mut out).unwrap_err().is_input());
    }

    #[test]
    fn rows_that_never_come_are_an_error_not_a_wait() {
        let (mut writer, mut reader) = row_file(None, 2).unwrap();
        writer.write(&[1.0, 2.0]).unwrap();
        assert!(writer.write(&[1.0]).unwrap_err().is_input());
        drop(writer);
        let error = reader.read(&[0, 1], &mut vec![]).unwrap_err();
        assert!(error.to_string().contains("ended after 1 rows"), "{error}");
    }

    #[test]
    fn a_writer_without_a_reader_goes_on() {
        let (mut writer, reader) = row_file(None, 2).unwrap();
        drop(reader);
        writer.write(&[1.0, 2.0]).unwrap();
    }
}
