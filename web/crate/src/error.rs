//! Errors on their way to JavaScript.

use js_sys::{Error as JsError, Reflect};
use wasm_bindgen::JsValue;

/// A JavaScript `Error` with the library's message and causes, and its `kind` as the npm package names it.
pub(crate) fn to_js(error: frostbert::Error) -> JsValue {
    let kind = if error.is_cancelled() {
        "abort"
    } else if error.is_input() {
        "input"
    } else if error.is_model_file() {
        "model"
    } else if error.is_device() {
        "device"
    } else if error.is_limit() {
        "limit"
    } else {
        "io"
    };
    with_kind(&format!("{error:#}"), kind)
}

/// A JavaScript `Error` of this kind.
pub(crate) fn with_kind(message: &str, kind: &str) -> JsValue {
    let value = JsError::new(message);
    // Setting a property of an ordinary object does not fail.
    let _ = Reflect::set(&value, &"kind".into(), &kind.into());
    value.into()
}

/// What JavaScript threw, as an error of the library.
pub(crate) fn from_js(thrown: &JsValue, doing: &str) -> frostbert::Error {
    let said = thrown.dyn_ref_message();
    frostbert::Error::io(format!("{doing}: {said}"))
}

trait Message {
    fn dyn_ref_message(&self) -> String;
}

impl Message for JsValue {
    fn dyn_ref_message(&self) -> String {
        use wasm_bindgen::JsCast;
        match self.dyn_ref::<JsError>() {
            Some(error) => String::from(error.message()),
            None => format!("{self:?}"),
        }
    }
}
