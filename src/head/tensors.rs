//! The tensors of a head's file.

use std::borrow::Cow;

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
}

impl<'a> Tensors<'a> {
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, safetensors::SafeTensorError> {
        Ok(Tensors { tensors: SafeTensors::deserialize(bytes)? })
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

    fn data(&self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<&'a [u8]> {
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

pub(crate) fn finite<T: std::fmt::Debug>(name: &str, values: &[T], is: impl Fn(&T) -> bool) -> Result<()> {
    match values.iter().find(|value| !is(value)) {
        Some(value) => Err(damaged(format!("tensor {name} holds {value:?}"))),
        None => Ok(()),
    }
}

pub(crate) fn damaged(what: String) -> Error {
    Error::model_file(format!("reading a head file: {what}"))
}
