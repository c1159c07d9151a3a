//! The tensors that a model is made of, and where their numbers come from.

use crate::error::Result;

/// What a weight is used for, which decides how an engine lays it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WeightKind {
    /// `[n, k]`, the right-hand side of `x Wᵀ`: n outputs, k inputs.
    Matrix,
    /// `[len]`: a bias or a LayerNorm's scale or shift.
    Vector,
    /// `[rows, cols]`, of which single rows are gathered (embeddings, relative attention bias).
    Table,
}

/// One tensor of the checkpoint and the shape it must have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WeightPart {
    /// Name in the checkpoint, without the family's prefix (`bert.`).
    pub name: String,
    /// Expected shape.
    pub shape: Vec<usize>,
}

/// A weight: one tensor, or several laid one after another along the first axis (query, key and value as one matrix).
/// Two plans of one encoder that name equal specs share the weight on the device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WeightSpec {
    /// How it is used.
    pub kind: WeightKind,
    /// Tensors to concatenate along axis 0. Their trailing dimensions agree.
    pub parts: Vec<WeightPart>,
}

impl WeightSpec {
    /// Rows after concatenation (n of a matrix; the length of a vector).
    pub fn rows(&self) -> usize {
        self.parts.iter().map(|part| part.shape[0]).sum()
    }

    /// Elements per row (k of a matrix; 1 for a vector).
    pub fn cols(&self) -> usize {
        self.parts[0].shape[1..].iter().product()
    }

    /// Elements in all.
    pub fn len(&self) -> usize {
        self.rows() * self.cols()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first part's name: enough to tell weights apart in messages.
    pub fn label(&self) -> &str {
        &self.parts[0].name
    }
}

/// Gives the numbers of a weight, row-major, parts concatenated along axis 0, as f32.
pub trait WeightSource: Send + Sync {
    /// Loads one weight.
    ///
    /// # Errors
    /// A tensor is missing, has another shape than the spec says, or holds NaN.
    fn load(&self, spec: &WeightSpec) -> Result<Vec<f32>>;
}
