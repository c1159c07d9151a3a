//! The library's errors as Python exceptions.

use frostbert::Error;
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyType;

/// The exception for an error: the class of `frostbert.errors` that fits its kind, with the library's words.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    let words = format!("{error:#}");
    let class = if error.is_input() {
        "InputError"
    } else if error.is_model_file() {
        "ModelError"
    } else if error.is_device() {
        "DeviceError"
    } else if error.is_limit() {
        "LimitError"
    } else if error.is_cancelled() {
        return PyKeyboardInterrupt::new_err(words);
    } else {
        "FileError"
    };
    let found = py.import("frostbert.errors").and_then(|module| module.getattr(class));
    match found.and_then(|class| Ok(class.cast_into::<PyType>()?)) {
        Ok(class) => PyErr::from_type(class, words),
        Err(_) => PyRuntimeError::new_err(words),
    }
}

/// A panic in what JSON is made of cannot happen; its error is an exception all the same.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> PyResult<String> {
    serde_json::to_string(value)
        .map_err(|error| PyRuntimeError::new_err(format!("a result could not be written as JSON: {error}")))
}
