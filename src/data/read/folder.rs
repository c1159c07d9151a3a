//! Folders of text files: one folder a class, one file a text.

use std::fs;
use std::path::{Path, PathBuf};

use super::Source;
use super::input::{ReadProgress, check_text, not_utf8, reading};
use super::row::{Cell, Place};
use crate::error::{Error, Result};

/// Text files, sorted by path, with the folder that each lies in as its label.
pub(super) struct Folder {
    root: PathBuf,
    /// Path below the root, in order.
    files: std::vec::IntoIter<PathBuf>,
    columns: Vec<String>,
    row: u64,
    progress: ReadProgress,
}

impl Folder {
    /// Lists the files; gives their sizes' sum too (bytes). The texts are read as rows are asked for.
    pub(super) fn open(root: &Path, progress: ReadProgress) -> Result<(Self, u64)> {
        let mut files = Vec::new();
        let mut total = 0;
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(|error| failed(&folder, error))? {
                let entry = entry.map_err(|error| failed(&folder, error))?;
                let path = entry.path();
                if entry.file_name().as_encoded_bytes().starts_with(b".") {
                    continue;
                }
                // Of the entry itself, not of what a link points to: links to folders may run in circles.
                let kind = entry.file_type().map_err(|error| failed(&path, error))?;
                if kind.is_dir() {
                    folders.push(path);
                } else {
                    let metadata = fs::metadata(&path).map_err(|error| failed(&path, error))?;
                    if metadata.is_file() {
                        total += metadata.len();
                        files.push(path.strip_prefix(root).map(Path::to_owned).unwrap_or(path));
                    }
                }
            }
        }
        if files.is_empty() {
            return Err(Error::input(format!(
                "{} holds no files; expected one folder a class with text files in it",
                root.display()
            )));
        }
        files.sort();
        let classes = files.iter().filter(|file| label(file).is_some()).count();
        if classes != 0 && classes != files.len() {
            let stray = files.iter().find(|file| label(file).is_none());
            return Err(Error::input(format!(
                "{} lies beside the class folders of {}, so it has no class; move it into one",
                stray.map(|file| file.display().to_string()).unwrap_or_default(),
                root.display()
            )));
        }
        let names: &[&str] = if classes == 0 { &["text", "file"] } else { &["text", "file", "label"] };
        let columns = names.iter().map(|&name| name.to_owned()).collect();
        Ok((Folder { root: root.to_owned(), files: files.into_iter(), columns, row: 0, progress }, total))
    }
}

/// The first folder of a path below the root.
fn label(file: &Path) -> Option<&Path> {
    let first = file.iter().next().map(Path::new);
    first.filter(|first| *first != file)
}

impl Source for Folder {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn next(&mut self, columns: &[usize], cells: &mut Vec<Cell>) -> Result<Option<Place>> {
        let Some(file) = self.files.next() else { return Ok(None) };
        let path = self.root.join(&file);
        let name = path.display().to_string();
        let bytes = fs::read(&path).map_err(|error| failed(&path, error))?;
        self.progress.add(bytes.len() as u64);
        check_text(&name, &bytes[..bytes.len().min(64 << 10)])?;
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let text = std::str::from_utf8(bytes)
            .map_err(|error| not_utf8(&name, "its text", bytes, error.valid_up_to(), 0))?
            .trim_end_matches(['\n', '\r']);
        self.row += 1;
        cells.extend(columns.iter().map(|&column| {
            Cell::text(match column {
                0 => text.to_owned(),
                1 => file.display().to_string(),
                _ => label(&file).unwrap_or(&file).display().to_string(),
            })
        }));
        Ok(Some(Place { row: self.row, line: None }))
    }
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    reading(&path.display().to_string(), error)
}
