//! Which points of many are drawn.

use super::format::{count, percent};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Points that are drawn. More hide one another and make the file slow to open.
pub(super) const MOST_POINTS: usize = 3000;

/// Characters of a text that a point shows when pointed at.
pub(super) const POINT_TEXT: usize = 220;

/// Says that not all points are drawn, if so.
pub(super) fn sample_note(shown: usize, of: usize) -> String {
    if shown < of {
        let share = percent(shown as f64 / of as f64);
        format!("Drawn are {} of {} rows ({share}), picked at random. ", count(shown), count(of))
    } else {
        String::new()
    }
}

/// At most `most` of the items in their order, picked at random with a fixed seed: every subset is as likely, and
/// the same data give the same page. Source: Knuth, TAOCP volume 2, algorithm 3.4.2 S.
pub(super) fn sampled<T>(items: &[T], most: usize) -> Vec<&T> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut wanted = most.min(items.len());
    let mut picked = Vec::with_capacity(wanted);
    for (at, item) in items.iter().enumerate() {
        let left = items.len() - at;
        if rng.random_range(0..left) < wanted {
            picked.push(item);
            wanted -= 1;
        }
    }
    picked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_its_size_and_order() {
        let items: Vec<usize> = (0..10_000).collect();
        let picked = sampled(&items, 3000);
        assert_eq!(picked.len(), 3000);
        assert!(picked.windows(2).all(|pair| pair[0] < pair[1]));
        let early = picked.iter().filter(|&&&item| item < 5000).count();
        assert!((1400..1600).contains(&early), "{early} of the first half");
        assert_eq!(sampled(&items[..10], 3000).len(), 10);
    }
}
