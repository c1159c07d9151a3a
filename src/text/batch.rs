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
    /// Tokens at the start of each text that pooling leaves out (a prompt's), `[texts]`; fewer than the text has.
    pub pool_from: Vec<u32>,
    /// Token rows that a head computes on (masked positions), `[selected]`.
    pub selected: Vec<u32>,
}

impl PackedBatch {
    /// An empty batch.
    pub fn new() -> Self {
        PackedBatch { cu_seqlens: vec![0], ..Self::default() }
    }

    /// Adds a text. `position_offset` is [`Config::position_offset`](crate::model::Config::position_offset).
    ///
    /// With an offset, a token whose id is `position_offset - 1` (the padding id of RoBERTa and MPNet) stays on that row of
    /// the position table and is not counted, wherever it stands. Source: `create_position_ids_from_input_ids`.
    pub fn push(&mut self, ids: &[u32], type_ids: &[u32], position_offset: usize) {
        debug_assert_eq!(ids.len(), type_ids.len());
        self.ids.extend_from_slice(ids);
        self.type_ids.extend_from_slice(type_ids);
        let padding = position_offset.checked_sub(1).map(|row| row as u32);
        let mut next = position_offset as u32;
        self.position_ids.extend(ids.iter().map(|id| match padding {
            Some(row) if row == *id => row,
            _ => {
                next += 1;
                next - 1
            }
        }));
        self.cu_seqlens.push(self.ids.len() as u32);
        self.pool_from.push(0);
    }

    /// Leaves the first tokens of the text added last out of pooling. The last token is always pooled.
    pub fn pool_last_from(&mut self, token: usize) {
        let len = self.seqlens().last().unwrap_or(0);
        if let Some(from) = self.pool_from.last_mut() {
            *from = token.min(len.saturating_sub(1)) as u32;
        }
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

    /// Token rows of text `text` that are pooled.
    pub fn pooled_rows(&self, text: usize) -> std::ops::Range<usize> {
        let rows = self.rows(text);
        let from = self.pool_from.get(text).map_or(0, |from| *from as usize);
        rows.start + from.min(rows.len().saturating_sub(1))..rows.end
    }

    /// Token rows of text `text`.
    pub fn rows(&self, text: usize) -> std::ops::Range<usize> {
        self.cu_seqlens[text] as usize..self.cu_seqlens[text + 1] as usize
    }
}

/// Groups texts into batches by a budget of tokens, longest texts first (the largest buffers are allotted at once, and what is
/// left near the end is small), texts of one length in input order.
///
/// `lengths` are the texts' token counts; the result holds their indices, each exactly once. A batch has at most `budget`
/// tokens, or one text that is longer than that, and at most `max_texts` texts.
///
/// ```
/// let batches = frostbert::text::pack(&[3, 9, 4, 5], 9, None);
/// assert_eq!(batches, [vec![1], vec![3, 2], vec![0]]);
/// ```
pub fn pack(lengths: &[usize], budget: usize, max_texts: Option<usize>) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|text| std::cmp::Reverse(lengths[*text]));
    let mut batches: Vec<Vec<usize>> = vec![];
    let mut tokens = 0;
    for text in order {
        match batches.last_mut() {
            Some(batch)
                if tokens + lengths[text] <= budget && max_texts.is_none_or(|most| batch.len() < most) =>
            {
                tokens += lengths[text];
                batch.push(text);
            }
            _ => {
                tokens = lengths[text];
                batches.push(vec![text]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn padding_ids_inside_a_text_keep_the_padding_row() {
        let mut batch = PackedBatch::new();
        batch.push(&[0, 5, 1, 6, 2], &[0; 5], 2);
        batch.push(&[0, 1, 2], &[0; 3], 0);
        assert_eq!(batch.position_ids, [2, 3, 1, 4, 5, 0, 1, 2]);
        assert_eq!(batch.cu_seqlens, [0, 5, 8]);
    }

    proptest! {
        #[test]
        fn every_text_is_packed_once_within_the_budget(
            lengths in prop::collection::vec(0usize..600, 0..200),
            budget in 0usize..2000,
            max_texts in prop::option::of(1usize..20),
        ) {
            let batches = pack(&lengths, budget, max_texts);
            for batch in &batches {
                let tokens: usize = batch.iter().map(|text| lengths[*text]).sum();
                prop_assert!(!batch.is_empty());
                prop_assert!(tokens <= budget || batch.len() == 1);
                prop_assert!(max_texts.is_none_or(|most| batch.len() <= most));
            }
            // Scattering by index restores the order.
            let mut restored = vec![None; lengths.len()];
            for text in batches.iter().flatten() {
                prop_assert!(restored[*text].replace(lengths[*text]).is_none());
            }
            prop_assert_eq!(restored, lengths.iter().copied().map(Some).collect::<Vec<_>>());
            // Sorted, stable: longer first, then by index.
            let order: Vec<usize> = batches.into_iter().flatten().collect();
            for pair in order.windows(2) {
                let (a, b) = (lengths[pair[0]], lengths[pair[1]]);
                prop_assert!(a > b || (a == b && pair[0] < pair[1]));
            }
        }

        #[test]
        fn no_two_neighbouring_batches_fit_into_one(
            lengths in prop::collection::vec(1usize..600, 1..200), budget in 1usize..2000,
        ) {
            let batches = pack(&lengths, budget, None);
            for pair in batches.windows(2) {
                let tokens: usize = pair[0].iter().map(|text| lengths[*text]).sum();
                prop_assert!(tokens + lengths[pair[1][0]] > budget);
            }
        }
    }
}
