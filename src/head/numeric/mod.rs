//! Numerics that know nothing of heads: dense products, factorisations, optimisers, losses.

pub(crate) mod adamw;
pub(crate) mod cholesky;
pub(crate) mod dense;
pub(crate) mod lbfgs;
pub(crate) mod loss;
