//! Multilayer perceptrons: the network, its training in memory or from a stream of rows, and checkpoints of it.

pub(crate) mod checkpoint;
pub(crate) mod network;
pub(crate) mod train;
