//! Packed batches: several texts laid end to end without padding.

/// Token ids of several texts, end to end. No padding tokens are ever computed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedBatch {
    /// Token ids, `[tokens]`.
    pub ids: Vec<u32>,
    /// Token type (segment) ids, `[tokens]`.
    pub type_ids: Vec<u32>,
    /// Rows of the position table, `[tokens]`: 0, 1, 2, ... in each text, plus the family's offset.
    pub position_ids: Vec<u32>,
    /// Cumulative lengths, `[texts + 1]`: text i is tokens `cu_seqlens[i] .. cu_seqlens[i + 1]`.
    pub cu_seqlens: Vec<u32>,
    /// Token rows that a head computes on (masked positions), `[selected]`.
    pub selected: Vec<u32>,
}

impl PackedBatch {
    /// An empty batch.
    pub fn new() -> Self {
        PackedBatch { cu_seqlens: vec![0], ..Self::default() }
    }

    /// Adds a text. `position_offset` is [`Config::position_offset`](crate::checkpoint::Config::position_offset).
    pub fn push(&mut self, ids: &[u32], type_ids: &[u32], position_offset: usize) {
        debug_assert_eq!(ids.len(), type_ids.len());
        self.ids.extend_from_slice(ids);
        self.type_ids.extend_from_slice(type_ids);
        self.position_ids.extend((0..ids.len()).map(|at| (at + position_offset) as u32));
        self.cu_seqlens.push(self.ids.len() as u32);
    }

    /// Tokens in all.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// Number of texts.
    pub fn texts(&self) -> usize {
        self.cu_seqlens.len().saturating_sub(1)
    }

    /// Length of each text in tokens.
    pub fn seqlens(&self) -> impl Iterator<Item = usize> + '_ {
        self.cu_seqlens.windows(2).map(|pair| (pair[1] - pair[0]) as usize)
    }

    /// Token rows of text `text`.
    pub fn rows(&self, text: usize) -> std::ops::Range<usize> {
        self.cu_seqlens[text] as usize..self.cu_seqlens[text + 1] as usize
    }
}
