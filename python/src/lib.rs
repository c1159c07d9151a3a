//! `frostbert._native`: the library as Python sees it. The package `frostbert` (python/frostbert) wraps it and is what people use.
//!
//! Whatever has a shape crosses as a NumPy array, whatever is a record as JSON. Every call gives up the GIL while it works
//! (`process.rs`), and no panic leaves it.

mod encoder;
mod error;
mod head;
mod options;
mod process;
mod texts;
mod training;
mod vectors;

use std::ffi::OsString;

use pyo3::prelude::*;

/// The module.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::encoder::{NativeEncoder, quantize, verify};
    #[pymodule_export]
    use super::head::NativeHead;
    #[pymodule_export]
    use super::training::{NativeTrained, train};
    #[pymodule_export]
    use super::vectors::{
        cluster_rows, cluster_words, drift_of_rows, duplicate_rows, nearest_rows, suggest_rows,
    };
    #[pymodule_export]
    use super::{command_line, version};

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(_module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::process::remember();
        Ok(())
    }
}

/// The version of the library.
#[pyfunction]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// The `frostbert` command line; its exit code.
#[pyfunction]
fn command_line(py: Python<'_>, arguments: Vec<OsString>) -> PyResult<u8> {
    process::work(py, None, move || Ok(frostbert_cli::run(arguments)))
}
