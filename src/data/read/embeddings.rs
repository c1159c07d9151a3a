//! Rows of a file of embeddings, read where they are wanted: a file may be larger than memory.
//!
//! `.npy` (format 1 to 3, `<f4`, `[rows, columns]`) and `.safetensors` (a tensor `embeddings` of F32), as `frostbert embed` and others write them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, Result};

/// A file of embeddings in 32-bit floats.
///
/// ```no_run
/// use frostbert::data::EmbeddingFile;
/// let mut file = EmbeddingFile::open("reviews.npy")?;
/// let first = file.read(0, 10.min(file.rows()))?;
/// assert_eq!(first.len(), 10 * file.columns());
/// # Ok::<(), frostbert::Error>(())
/// ```
#[derive(Debug)]
pub struct EmbeddingFile {
    path: PathBuf,
    file: File,
    /// Where the first number is.
    start: u64,
    rows: usize,
    columns: usize,
}

/// The longest header that is read.
const LONGEST_HEADER: u64 = 100 << 20;

impl EmbeddingFile {
    /// Opens a `.npy` or `.safetensors` file.
    ///
    /// # Errors
    /// The file cannot be read, is neither, holds other numbers than 32-bit floats in rows of columns, or is shorter than it says.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let failed = |error: std::io::Error| {
            Error::io(format!("cannot read the embeddings in {}", path.display())).with_source(error)
        };
        let mut file = File::open(path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        let mut magic = [0; 8];
        file.read_exact(&mut magic).map_err(failed)?;
        let bad = |what: String| Error::input(format!("reading embeddings from {}: {what}", path.display()));
        let mut header = |bytes: u64| -> Result<Vec<u8>> {
            if bytes > LONGEST_HEADER.min(len) {
                return Err(bad(format!(
                    "its header is said to have {bytes} bytes of {len}; the file is damaged"
                )));
            }
            let mut header = vec![0; bytes as usize];
            file.read_exact(&mut header).map_err(failed)?;
            Ok(header)
        };
        let (start, shape) = if let Some(version) = magic.strip_prefix(b"\x93NUMPY") {
            let field = if version[0] == 1 { 2 } else { 4 };
            let size = header(field)?.iter().rev().fold(0u64, |size, byte| (size << 8) | u64::from(*byte));
            let text = header(size)?;
            (8 + field + size, npy_shape(&String::from_utf8_lossy(&text)).map_err(bad)?)
        } else {
            let size = u64::from_le_bytes(magic);
            let found = serde_json::from_slice::<Value>(&header(size)?)
                .map_err(|_| bad("expected a .npy or .safetensors file, found something else".into()))?;
            let (offset, shape) = safetensors_shape(&found).map_err(bad)?;
            (8 + size + offset, shape)
        };
        let [rows, columns] = shape;
        let bytes = rows.checked_mul(columns).and_then(|count| count.checked_mul(4));
        let whole = bytes.and_then(|bytes| start.checked_add(bytes as u64)).is_some_and(|end| end <= len);
        if rows == 0 || columns == 0 || !whole {
            return Err(bad(format!(
                "it says to hold {rows} rows of {columns} columns and has {len} bytes; write it again"
            )));
        }
        Ok(EmbeddingFile { path: path.to_owned(), file, start, rows, columns })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// `count` rows from row `first`, one after another.
    ///
    /// # Errors
    /// There are no such rows; the file cannot be read; a number is not finite.
    pub fn read(&mut self, first: usize, count: usize) -> Result<Vec<f32>> {
        if first.checked_add(count).is_none_or(|end| end > self.rows) {
            return Err(Error::input(format!(
                "reading rows {first} to {} of {}, which has {}",
                first.saturating_add(count),
                self.path.display(),
                self.rows
            )));
        }
        let mut bytes = vec![0; count * self.columns * 4];
        let from = self.start + (first * self.columns) as u64 * 4;
        let read = self.file.seek(SeekFrom::Start(from)).and_then(|_| self.file.read_exact(&mut bytes));
        read.map_err(|error| {
            Error::io(format!("cannot read the embeddings in {}", self.path.display())).with_source(error)
        })?;
        let values: Vec<f32> = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(Error::input(format!(
                "reading embeddings from {}: row {} holds {}, which is no finite number",
                self.path.display(),
                first + at / self.columns + 1,
                values[at]
            ))),
            None => Ok(values),
        }
    }
}

/// The shape that the header of a `.npy` file gives, a Python dictionary.
fn npy_shape(header: &str) -> std::result::Result<[usize; 2], String> {
    let after = |key: &str| {
        let from = [format!("'{key}':"), format!("\"{key}\":")]
            .iter()
            .find_map(|key| header.find(key.as_str()).map(|at| at + key.len()));
        from.map(|from| header[from..].trim_start()).ok_or_else(|| format!("its header has no {key}"))
    };
    let descr = after("descr")?;
    if !["'<f4'", "\"<f4\""].iter().any(|known| descr.starts_with(known)) {
        let found: String = descr.chars().take_while(|c| *c != ',').collect();
        return Err(format!("expected 32-bit floats ('<f4'), found {found}; write it with --precision f32"));
    }
    if !after("fortran_order")?.starts_with("False") {
        return Err("its columns stand one after the other (fortran_order); save it with rows first".into());
    }
    let shape =
        after("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(shape, _)| shape);
    let numbers: Option<Vec<usize>> = shape.map(|shape| {
        shape.split(',').map(str::trim).filter(|n| !n.is_empty()).filter_map(|n| n.parse().ok()).collect()
    });
    match numbers.as_deref() {
        Some(&[rows, columns]) => Ok([rows, columns]),
        _ => Err(format!("expected rows and columns, found the shape ({})", shape.unwrap_or("?"))),
    }
}

/// Where the tensor `embeddings` starts behind the header of a `.safetensors` file, and its shape.
fn safetensors_shape(header: &Value) -> std::result::Result<(u64, [usize; 2]), String> {
    let tensor = header.get("embeddings").ok_or("it has no tensor called embeddings")?;
    if tensor.get("dtype").and_then(Value::as_str) != Some("F32") {
        return Err(format!(
            "expected embeddings of F32, found {}; write it with --precision f32",
            tensor["dtype"]
        ));
    }
    let number = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok());
    let shape: Option<Vec<usize>> =
        tensor.get("shape").and_then(Value::as_array).and_then(|shape| shape.iter().map(number).collect());
    let start = tensor.get("data_offsets").and_then(|offsets| offsets.get(0)).and_then(Value::as_u64);
    match (shape.as_deref(), start) {
        (Some(&[rows, columns]), Some(start)) if start < u64::MAX / 2 => Ok((start, [rows, columns])),
        _ => Err(format!("expected embeddings in rows and columns, found {tensor}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    fn npy(header: &str, values: &[f32]) -> Vec<u8> {
        let numbers: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), &numbers].concat()
    }

    #[test]
    fn rows_are_those_that_were_written() {
        let values: Vec<f32> = (0..12).map(|at| at as f32 / 4.0).collect();
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 3), }    \n";
        let (_folder, path) = written("rows.npy", &npy(header, &values));
        let mut file = EmbeddingFile::open(&path).unwrap();
        assert_eq!((file.rows(), file.columns()), (4, 3));
        assert_eq!(file.read(1, 2).unwrap(), values[3..9]);
        assert_eq!(file.read(0, 4).unwrap(), values);
        assert!(file.read(3, 2).unwrap_err().is_input() && file.read(usize::MAX, 2).unwrap_err().is_input());
        // As NumPy writes format 2: four bytes of length.
        let two = [
            b"\x93NUMPY\x02\x00",
            &(header.len() as u32).to_le_bytes()[..],
            header.as_bytes(),
            &npy("", &values)[10..],
        ];
        let (_folder, path) = written("rows.npy", &two.concat());
        assert_eq!(EmbeddingFile::open(&path).unwrap().read(2, 1).unwrap(), values[6..9]);
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let json = r#"{"other":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"embeddings":{"dtype":"F32","shape":[4,3],"data_offsets":[4,52]}}"#;
        let tensors = [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &[0; 4], &data];
        let (_folder, path) = written("rows.safetensors", &tensors.concat());
        assert_eq!(EmbeddingFile::open(&path).unwrap().read(1, 3).unwrap(), values[3..]);
    }

    #[test]
    fn what_is_no_file_of_embeddings_is_told() {
        let says = |bytes: &[u8], words: &str| {
            let (_folder, path) = written("rows.npy", bytes);
            let error = EmbeddingFile::open(&path).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        let header = |descr: &str, order: &str, shape: &str| {
            npy(&format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n"), &[1.0; 6])
        };
        says(&header("<f8", "False", "(2, 3)"), "32-bit floats");
        says(&header("|i1", "False", "(2, 3)"), "--precision f32");
        says(&header("<f4", "True", "(2, 3)"), "fortran_order");
        says(&header("<f4", "False", "(6,)"), "rows and columns");
        says(&header("<f4", "False", "(20, 3)"), "20 rows of 3 columns");
        says(&header("<f4", "False", "(0, 3)"), "0 rows");
        says(&header("<f4", "False", "(9223372036854775807, 9)"), "write it again");
        says(b"text,label\na,b\n and more", "header");
        says(&[&2u64.to_le_bytes()[..], b"{}"].concat(), "no tensor called embeddings");
        says(b"x", "cannot read");
        let nan = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }\n";
        let (_folder, path) = written("rows.npy", &npy(nan, &[1.0, f32::NAN]));
        assert!(
            EmbeddingFile::open(&path)
                .unwrap()
                .read(0, 1)
                .unwrap_err()
                .to_string()
                .contains("row 1 holds NaN")
        );
    }
}
