//! Texts that are nearly the same.

use super::unit::{UnitRows, dot, of_each};
use crate::error::{Error, Result};
use crate::head::Matrix;

/// Rows that are nearly the same, directly or by way of others.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct DuplicateGroup {
    /// The rows, ascending; the first one is the one to keep.
    pub rows: Vec<usize>,
    /// For each row after the first, its largest cosine with one of the group that stands before it, or, where it is like later ones
    /// alone, with one of those.
    pub similarities: Vec<f32>,
}

/// Groups of rows whose cosine is at least `threshold`; rows without such a neighbour are in no group. Every pair is compared: the time grows
/// with the square of the rows (100,000 rows of 384 columns are two million million multiplications: minutes), memory does not.
///
/// # Errors
/// The input: a row of zeros, a threshold that is not above 0 and at most 1.
pub fn duplicates(rows: &Matrix<'_>, threshold: f32) -> Result<Vec<DuplicateGroup>> {
    if !(threshold > 0.0 && threshold <= 1.0) {
        return Err(Error::input(format!(
            "looking for duplicates: expected a cosine above 0 and at most 1, found {threshold}"
        )));
    }
    let unit = UnitRows::new(rows, "the texts")?;
    // A vector times itself may be a rounding below one.
    let least = threshold - 4.0 * f32::EPSILON;
    let mut parent: Vec<usize> = (0..unit.len()).collect();
    // Of each row, the largest cosine with one before it, and with one after it.
    let mut nearest = vec![[f32::NEG_INFINITY; 2]; unit.len()];
    // Block by block: where most rows are alike, their pairs together would not fit into memory.
    const BLOCK: usize = 256;
    for start in (0..unit.len()).step_by(BLOCK) {
        let like: Vec<Vec<(usize, f32)>> = of_each(BLOCK.min(unit.len() - start), |at| {
            let with = |other: usize| (other, dot(unit.row(other), unit.row(start + at)));
            (0..start + at).map(with).filter(|(_, cosine)| *cosine >= least).collect()
        });
        for (row, like) in (start..).zip(&like) {
            for &(other, cosine) in like {
                let (a, b) = (root(&mut parent, other), root(&mut parent, row));
                parent[a.max(b)] = a.min(b);
                nearest[row][0] = nearest[row][0].max(cosine);
                nearest[other][1] = nearest[other][1].max(cosine);
            }
        }
    }
    let mut groups: Vec<DuplicateGroup> = Vec::new();
    let mut place: Vec<Option<usize>> = vec![None; unit.len()];
    for (row, [before, after]) in nearest.into_iter().enumerate() {
        let first = root(&mut parent, row);
        if first == row {
            continue;
        }
        let at = *place[first].get_or_insert_with(|| {
            groups.push(DuplicateGroup { rows: vec![first], similarities: vec![] });
            groups.len() - 1
        });
        groups[at].rows.push(row);
        groups[at].similarities.push(if before.is_finite() { before } else { after }.min(1.0));
    }
    groups.sort_by_key(|group| group.rows[0]);
    Ok(groups)
}

fn root(parent: &mut [usize], mut at: usize) -> usize {
    while parent[at] != at {
        parent[at] = parent[parent[at]];
        at = parent[at];
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::tests::random;

    #[test]
    fn chains_are_one_group_and_the_first_row_is_kept() {
        // 0, 10, 20 degrees hang together at 12 degrees; 90 stands alone; 200 and 200.5 are another group.
        let degrees = [20.0f32, 90.0, 0.0, 200.0, 10.0, 200.5];
        let values: Vec<f32> =
            degrees.iter().flat_map(|d| [3.0 * d.to_radians().cos(), 3.0 * d.to_radians().sin()]).collect();
        let rows = Matrix::new(6, 2, values).unwrap();
        let found = duplicates(&rows, 12.0f32.to_radians().cos()).unwrap();
        let groups: Vec<&[usize]> = found.iter().map(|group| &group.rows[..]).collect();
        assert_eq!(groups, [&[0, 2, 4][..], &[3, 5]]);
        let ten = 10.0f32.to_radians().cos();
        assert!(found[0].similarities.iter().all(|s| (s - ten).abs() < 1e-6), "{found:?}");
    }

    #[test]
    fn equal_rows_are_duplicates_at_one_and_random_ones_never() {
        let base = random(40, 33, 3);
        assert!(duplicates(&base, 0.95).unwrap().is_empty());
        let twice: Vec<f32> = base.values().iter().chain(base.values()).copied().collect();
        let twice = Matrix::new(80, 33, twice).unwrap();
        let found = duplicates(&twice, 1.0).unwrap();
        assert_eq!(found.len(), 40);
        assert!(found.iter().enumerate().all(|(row, group)| group.rows == [row, row + 40]));
        for wrong in [0.0, -1.0, 1.5, f32::NAN] {
            assert!(duplicates(&twice, wrong).unwrap_err().is_input());
        }
    }
}
