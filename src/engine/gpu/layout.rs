//! Which buffers of an arena a plan uses, and for how large a batch.

use crate::plan::kernels::{Dispatch, Resource};
use crate::plan::{BufferId, Plan, Rows};
use crate::text::PackedBatch;
use std::collections::{HashMap, HashSet};

/// How large a batch an arena holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Capacity {
    pub(super) tokens: usize,
    pub(super) texts: usize,
    pub(super) selected: usize,
    pub(super) pairs: usize,
}

impl Capacity {
    pub(super) fn of(batch: &PackedBatch, plan: &Plan) -> Self {
        let needs_pairs = plan.buffers().iter().any(|buffer| buffer.rows == Rows::TokenPairs);
        Capacity {
            tokens: batch.tokens(),
            texts: batch.texts(),
            selected: batch.selected.len(),
            pairs: if needs_pairs { Rows::TokenPairs.count(batch) } else { 0 },
        }
    }

    pub(super) fn max(self, other: Capacity) -> Capacity {
        Capacity {
            tokens: self.tokens.max(other.tokens),
            texts: self.texts.max(other.texts),
            selected: self.selected.max(other.selected),
            pairs: self.pairs.max(other.pairs),
        }
    }

    pub(super) fn rows(&self, rows: Rows) -> usize {
        match rows {
            Rows::Tokens => self.tokens,
            Rows::Texts => self.texts,
            Rows::Selected => self.selected,
            Rows::TokenPairs => self.pairs,
        }
    }
}

/// A buffer of the arena. A plan's own buffers are ranked by width among those of one kind of rows, so that plans of one
/// model, whose buffers come in any order, share them with little waste.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Slot {
    /// The parameters of all dispatches.
    Params,
    /// Tokens, cumulative lengths and the like.
    Input(Resource),
    /// The n-th widest of a plan's buffers with these rows.
    Rows(Rows, usize),
    /// Likewise, of those that hold f16.
    Halves(Rows, usize),
}

/// Where a plan finds what it needs in an arena.
pub(super) struct Layout {
    /// A plan's buffer as f32, or as f16, and where it is; only those that some kernel uses or that are read back.
    pub(super) slots: HashMap<Resource, Slot>,
    pub(super) inputs: Vec<Resource>,
}

impl Layout {
    pub(super) fn new(plan: &Plan, dispatches: &[Dispatch]) -> Self {
        let bound = dispatches.iter().flat_map(|dispatch| &dispatch.bindings).map(|(resource, _)| *resource);
        let read_back = plan.outputs().iter().map(|output| Resource::Buffer(output.buffer));
        let used: HashSet<Resource> = bound.clone().chain(read_back).collect();
        let mut widest: Vec<usize> = (0..plan.buffers().len()).collect();
        widest.sort_by_key(|at| std::cmp::Reverse(plan.buffers()[*at].cols));
        let mut slots = HashMap::new();
        for half in [false, true] {
            let mut ranks: HashMap<Rows, usize> = HashMap::new();
            for at in &widest {
                let id = BufferId::new(*at as u32);
                let resource = if half { Resource::Half(id) } else { Resource::Buffer(id) };
                if used.contains(&resource) {
                    let rows = plan.buffers()[*at].rows;
                    let rank = ranks.entry(rows).or_default();
                    let slot = if half { Slot::Halves(rows, *rank) } else { Slot::Rows(rows, *rank) };
                    slots.insert(resource, slot);
                    *rank += 1;
                }
            }
        }
        let mut seen = HashSet::new();
        let is_input = |resource: &Resource| {
            !matches!(
                resource,
                Resource::Buffer(_) | Resource::Half(_) | Resource::Weight(_) | Resource::Frequencies { .. }
            )
        };
        let inputs = bound.filter(is_input).filter(|resource| seen.insert(*resource)).collect();
        Layout { slots, inputs }
    }

    /// Where a buffer is that is read back.
    pub(super) fn output(&self, id: BufferId) -> Slot {
        self.slots[&Resource::Buffer(id)]
    }
}
