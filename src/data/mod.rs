//! Tables of texts in, files of embeddings out.
//!
//! [`Table`] reads texts (and labels) row by row from `.txt`, `.csv`, `.tsv`, `.jsonl` and `.parquet` files, folders of
//! text files, standard input or bytes; a table of any length needs the memory of one row. `EmbeddingWriter`
//! writes vectors as they arrive, in a format chosen by the file's ending, and leaves a whole file or none.

mod read;
#[cfg(not(target_arch = "wasm32"))]
mod write;

#[cfg(not(target_arch = "wasm32"))]
pub use read::EmbeddingFile;
pub use read::{
    Cells, Filter, Format, Label, LabelKind, ReadOptions, ReadProgress, Row, Selection, Table, TableRows,
    TextColumns,
};
#[cfg(not(target_arch = "wasm32"))]
pub use write::{EmbeddingFormat, EmbeddingWriter, QuantizingWriter, Values};
