//! Rows held out: by a share of the table, or given.

use super::dataset::{Dataset, strata};
use crate::error::Result;
use crate::head::{Split, train_test_split};

/// Which rows a head is measured on that it does not learn from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum HoldOut<'a> {
    /// None: cross-validation measures.
    #[default]
    Nothing,
    /// This share of the rows, above 0 and below 1, drawn by the seed: whole groups, or each class and set of labels in
    /// proportion.
    Share(f64),
    /// These rows beside the table.
    Rows(&'a Dataset),
}

/// Draws the rows to hold out of a table.
///
/// # Errors
/// The share is not between 0 and 1, or leaves one side empty.
pub fn hold_out(data: &Dataset, share: f64, seed: u64) -> Result<Split> {
    train_test_split(&strata(&data.targets, share), data.groups.as_deref(), share, seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Targets;

    fn labelled(sets: &[Vec<&str>]) -> Dataset {
        Dataset::new("rows", vec!["text"; sets.len()], Targets::multi_label(sets)).unwrap()
    }

    /// Rows of each side that bear the label at `at`.
    fn bearers(data: &Dataset, rows: &[u32], at: usize) -> usize {
        let Targets::MultiLabel { marks, names } = &data.targets else { unreachable!() };
        rows.iter().filter(|row| marks[**row as usize * names.len() + at]).count()
    }

    #[test]
    fn sets_of_labels_keep_their_proportions() {
        // A table sorted by its labels, one of them on every tenth row.
        let sets: Vec<Vec<&str>> = (0..200)
            .map(|row| {
                if row < 20 {
                    vec!["rare", "x"]
                } else if row < 120 {
                    vec!["x"]
                } else {
                    vec![]
                }
            })
            .collect();
        let data = labelled(&sets);
        for seed in 0..20 {
            let split = hold_out(&data, 0.2, seed).unwrap();
            assert_eq!((split.test.len(), split.train.len()), (40, 160));
            assert_eq!(
                (bearers(&data, &split.test, 0), bearers(&data, &split.test, 1)),
                (4, 24),
                "seed {seed}"
            );
        }
    }

    #[test]
    fn many_rare_sets_do_not_change_the_share() {
        // 26 * 25 / 2 sets of two letters, once or twice each.
        let letters: Vec<String> = ('a'..='z').map(String::from).collect();
        let mut sets: Vec<Vec<&str>> = Vec::new();
        for a in 0..26 {
            for b in a + 1..26 {
                let set = vec![letters[a].as_str(), letters[b].as_str()];
                sets.extend(std::iter::repeat_n(set, 1 + (a + b) % 2));
            }
        }
        let data = labelled(&sets);
        for share in [0.05, 0.2, 0.5, 0.9] {
            let wanted = share * sets.len() as f64;
            let held_out = hold_out(&data, share, 3).unwrap().test.len() as f64;
            assert!((held_out - wanted).abs() <= 1.0, "{held_out} rows for {wanted}");
        }
    }

    #[test]
    fn classes_are_split_as_ever_and_groups_never_part() {
        let labels: Vec<&str> = (0..90).map(|row| ["a", "b", "c"][row % 3]).collect();
        let mut data = Dataset::new("rows", vec!["text"; 90], Targets::classes(&labels)).unwrap();
        let strata: Vec<u32> = (0..90).map(|row| row % 3).collect();
        assert_eq!(hold_out(&data, 0.3, 5).unwrap(), train_test_split(&strata, None, 0.3, 5).unwrap());
        let groups: Vec<u32> = (0..90).map(|row| row / 9).collect();
        data.groups = Some(groups.clone());
        let split = hold_out(&data, 0.3, 5).unwrap();
        let apart =
            |row: &u32| split.train.iter().all(|other| groups[*other as usize] != groups[*row as usize]);
        assert!(split.test.iter().all(apart));
        for share in [0.0, 1.0, f64::NAN] {
            assert!(hold_out(&data, share, 5).unwrap_err().is_input());
        }
    }
}
