//! Linear heads: the penalised objective, its preconditioner, and the elastic net.

pub(crate) mod active_set;
pub(crate) mod coefficients;
pub(crate) mod design;
pub(crate) mod elastic;
pub(crate) mod objective;
pub(crate) mod preconditioner;
pub(crate) mod prior;
pub(crate) mod standardise;
