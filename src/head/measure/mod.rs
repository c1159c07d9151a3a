//! How good a head is: metrics, curves, calibration, and what looks wrong with the labels.

pub(crate) mod abstain;
pub(crate) mod calibration;
pub(crate) mod caution;
pub(crate) mod curves;
pub(crate) mod estimate;
pub(crate) mod hierarchy;
pub(crate) mod label_issues;
pub(crate) mod metrics;
pub(crate) mod paired;
pub(crate) mod ranking;
pub(crate) mod thresholds;
pub(crate) mod warnings;
