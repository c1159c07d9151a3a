//! The tensors of a head's file.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;

use safetensors::{Dtype, SafeTensors, View};

use crate::error::{Error, Result};

/// A tensor on its way into a file.
pub(crate) struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Tensor {
    pub(crate) fn f64(shape: &[usize], values: &[f64]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Tensor { dtype: Dtype::F64, shape: shape.to_vec(), bytes }
    }

    pub(crate) fn f32(shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Tensor { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    pub(crate) fn i8(shape: &[usize], values: &[i8]) -> Self {
        let bytes = values.iter().map(|value| value.to_le_bytes()[0]).collect();
        Tensor { dtype: Dtype::I8, shape: shape.to_vec(), bytes }
    }

    pub(crate) fn type_and_shape(&self) -> String {
        type_and_shape(self.dtype, &self.shape)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl View for Tensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Tensors of a file, checked as they are taken.
pub(crate) struct Tensors<'a> {
    tensors: SafeTensors<'a>,
    /// Names asked for.
    taken: RefCell<BTreeSet<String>>,
}

impl<'a> Tensors<'a> {
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, safetensors::SafeTensorError> {
        Ok(Tensors { tensors: SafeTensors::deserialize(bytes)?, taken: RefCell::default() })
    }

    /// All tensors by name: name, type and shape in words, and data.
    pub(crate) fn all(&self) -> Vec<(String, String, &'a [u8])> {
        let mut all: Vec<(String, String, &'a [u8])> = (self.tensors.tensors().into_iter())
            .map(|(name, tensor)| (name, type_and_shape(tensor.dtype(), tensor.shape()), tensor.data()))
            .collect();
        all.sort_unstable();
        all
    }

    /// Refuses a file with a tensor that nothing asked for.
    pub(crate) fn check_all_taken(&self) -> Result<()> {
        match self.tensors.names().into_iter().find(|name| !self.taken.borrow().contains(*name)) {
            Some(name) => Err(damaged(format!("tensor {name} belongs to no head of this kind"))),
            None => Ok(()),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    pub(crate) fn f64(&self, name: &str, shape: &[usize]) -> Result<Vec<f64>> {
        let data = self.data(name, Dtype::F64, shape)?;
        let values: Vec<f64> = data.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
        finite(name, &values, |value| value.is_finite())?;
        Ok(values)
    }

    pub(crate) fn f32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let data = self.data(name, Dtype::F32, shape)?;
        let values: Vec<f32> = data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        finite(name, &values, |value| value.is_finite())?;
        Ok(values)
    }

    pub(crate) fn i8(&self, name: &str, shape: &[usize]) -> Result<Vec<i8>> {
        let data = self.data(name, Dtype::I8, shape)?;
        Ok(data.iter().map(|byte| i8::from_le_bytes([*byte])).collect())
    }

    fn data(&self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<&'a [u8]> {
        self.taken.borrow_mut().insert(name.to_owned());
        let tensor = self
            .tensors
            .tensor(name)
            .map_err(|error| damaged(format!("tensor {name} is missing")).with_source(error))?;
        if tensor.dtype() != dtype || tensor.shape() != shape {
            return Err(damaged(format!(
                "tensor {name}: expected {dtype:?} of shape {shape:?}, found {:?} of shape {:?}",
                tensor.dtype(),
                tensor.shape()
            )));
        }
        Ok(tensor.data())
    }
}

/// A tensor's type and shape, for a checksum.
pub(crate) fn type_and_shape(dtype: Dtype, shape: &[usize]) -> String {
    format!("{dtype} {shape:?}")
}

pub(crate) fn finite<T: std::fmt::Debug>(name: &str, values: &[T], is: impl Fn(&T) -> bool) -> Result<()> {
    match values.iter().find(|value| !is(value)) {
        Some(value) => Err(damaged(format!("tensor {name} holds {value:?}"))),
        None => Ok(()),
    }
}

pub(crate) fn damaged(what: String) -> Error {
    Error::model_file(format!("reading a head file: {what}"))
}
