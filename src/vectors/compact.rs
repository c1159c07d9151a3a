//! Rows in a quarter of the memory, or a thirty-second of it: they find candidates, which are then compared exactly.
//!
//! With eight bits a number, a row is its direction in 255 steps of its own; with one bit, the signs of its numbers, and two rows are the nearer
//! the fewer signs differ. Source of the rescoring: Yamada, Asai and Hajishirzi (2021), *Efficient passage retrieval with hashing*.

use super::nearest::Neighbour;
use super::unit::{dot, of_each};
use crate::error::{Error, Result};
use crate::head::Matrix;
use crate::names::named;

/// How rows are kept while candidates are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Compact {
    /// A byte a number.
    Int8,
    /// A bit a number.
    Binary,
}

named! { Compact, "way to keep rows",
    "int8", "A byte a number" => Compact::Int8, Compact::Int8,
    "binary", "A bit a number" => Compact::Binary, Compact::Binary,
}

/// Rows that candidates are found among.
#[derive(Clone, Debug)]
pub struct CompactRows {
    columns: usize,
    rows: usize,
    kept: Kept,
}

#[derive(Clone, Debug)]
enum Kept {
    /// Numbers, and the step of each row's own.
    Int8(Vec<i8>, Vec<f32>),
    /// Signs, the first in the lowest bit.
    Binary(Vec<u64>),
}

impl CompactRows {
    /// No rows yet, of so many columns.
    pub fn new(columns: usize, how: Compact) -> Self {
        let kept = match how {
            Compact::Int8 => Kept::Int8(vec![], vec![]),
            Compact::Binary => Kept::Binary(vec![]),
        };
        CompactRows { columns, rows: 0, kept }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes that the rows take.
    pub fn bytes(&self) -> usize {
        match &self.kept {
            Kept::Int8(values, scales) => values.len() + 4 * scales.len(),
            Kept::Binary(words) => 8 * words.len(),
        }
    }

    /// Adds rows.
    ///
    /// # Errors
    /// The input: other columns, a row of zeros, which has no direction.
    pub fn push(&mut self, rows: &Matrix<'_>) -> Result<()> {
        self.check(rows)?;
        for at in 0..rows.rows() {
            let row = rows.row(at);
            let (values, scale) = steps(row).ok_or_else(|| {
                Error::input(format!(
                    "looking for the nearest rows: row {} is all zeros and has no direction; leave it out",
                    self.rows + 1
                ))
            })?;
            match &mut self.kept {
                Kept::Int8(all, scales) => {
                    all.extend(values);
                    scales.push(scale);
                }
                Kept::Binary(words) => words.extend(signs(row)),
            }
            self.rows += 1;
        }
        Ok(())
    }

    /// The `count` rows that are likely the nearest to each query, the nearest first; all where there are no more.
    ///
    /// # Errors
    /// The input: other columns, a query of zeros, a count of zero.
    pub fn candidates(&self, queries: &Matrix<'_>, count: usize) -> Result<Vec<Vec<usize>>> {
        self.check(queries)?;
        if count == 0 {
            return Err(Error::input("looking for the nearest rows: ask for at least one"));
        }
        if let Some(at) = (0..queries.rows()).find(|at| queries.row(*at).iter().all(|v| *v == 0.0)) {
            return Err(Error::input(format!(
                "looking for the nearest rows: query {} is all zeros and has no direction",
                at + 1
            )));
        }
        let width = self.columns.div_ceil(64);
        Ok((0..queries.rows())
            .map(|query| {
                let row = queries.row(query);
                // The larger the nearer.
                let scores: Vec<f32> = match &self.kept {
                    Kept::Int8(values, scales) => {
                        let own = steps(row).map(|(own, _)| own).unwrap_or_default();
                        of_each(self.rows, |at| {
                            product(&own, &values[at * self.columns..(at + 1) * self.columns]) as f32
                                * scales[at]
                        })
                    }
                    Kept::Binary(words) => {
                        let own = signs(row);
                        of_each(self.rows, |at| {
                            let differ =
                                own.iter().zip(&words[at * width..]).map(|(a, b)| (a ^ b).count_ones());
                            -(differ.sum::<u32>() as f32)
                        })
                    }
                };
                let mut order: Vec<usize> = (0..self.rows).collect();
                let nearer = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
                if count < order.len() {
                    order.select_nth_unstable_by(count - 1, nearer);
                    order.truncate(count);
                }
                order.sort_unstable_by(nearer);
                order
            })
            .collect())
    }

    /// The `k` rows nearest to each query by cosine, nearest first: of `times` as many candidates, whose rows as they are `fetch` gives.
    ///
    /// Shapes: `queries` `[q, columns]`; `fetch` gives one row of `columns` numbers for each index it is asked for, in that order.
    ///
    /// # Errors
    /// The input, as [`candidates`](Self::candidates), and a row of zeros; what `fetch` returns.
    pub fn nearest(
        &self,
        queries: &Matrix<'_>,
        k: usize,
        times: usize,
        mut fetch: impl FnMut(&[usize]) -> Result<Vec<f32>>,
    ) -> Result<Vec<Vec<Neighbour>>> {
        let candidates = self.candidates(queries, k.saturating_mul(times.max(1)))?;
        let mut found = Vec::with_capacity(queries.rows());
        for (query, mut rows) in candidates.into_iter().enumerate() {
            // In the file's order, so that a disk reads forwards.
            rows.sort_unstable();
            let exact = Matrix::new(rows.len(), self.columns, fetch(&rows)?)?;
            let own = Matrix::new(1, self.columns, queries.row(query))?;
            let near = super::nearest::nearest(&own, &exact, k)?;
            let of_file = |near: Neighbour| Neighbour { row: rows[near.row], ..near };
            found.push(near.into_iter().flatten().map(of_file).collect());
        }
        Ok(found)
    }

    fn check(&self, rows: &Matrix<'_>) -> Result<()> {
        if rows.columns() == self.columns {
            return Ok(());
        }
        Err(Error::input(format!(
            "looking for the nearest rows: vectors of {} columns among vectors of {}; embed both with the same model, pooling and \
             dimensions",
            rows.columns(),
            self.columns
        )))
    }
}

/// A row's direction in steps, and the step of a unit row; none of a row of zeros.
fn steps(row: &[f32]) -> Option<(Vec<i8>, f32)> {
    let largest = row.iter().fold(0.0f32, |largest, v| largest.max(v.abs()));
    let length = dot(row, row).sqrt();
    if !(largest > 0.0 && length > 0.0 && length.is_finite()) {
        return None;
    }
    let steps = row.iter().map(|v| libm::roundf(v / largest * 127.0) as i8).collect();
    Some((steps, largest / length / 127.0))
}

fn signs(row: &[f32]) -> Vec<u64> {
    let word = |piece: &[f32]| {
        piece.iter().enumerate().fold(0u64, |word, (at, v)| word | (u64::from(*v > 0.0) << at))
    };
    row.chunks(64).map(word).collect()
}

/// `a · b`; sums of fewer than 2¹⁷ products of two bytes stay in range.
fn product(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::nearest;
    use crate::vectors::tests::random;

    fn compact(rows: &Matrix, how: Compact) -> CompactRows {
        let mut compact = CompactRows::new(rows.columns(), how);
        let half = rows.rows() / 2;
        let part = |from: usize, to: usize| rows.select_rows(&(from as u32..to as u32).collect::<Vec<_>>());
        compact.push(&part(0, half)).unwrap();
        compact.push(&part(half, rows.rows())).unwrap();
        compact
    }

    #[test]
    fn with_all_rows_as_candidates_the_answer_is_exact() {
        let (queries, rows) = (random(5, 70, 1), random(300, 70, 2));
        let want = nearest(&queries, &rows, 8).unwrap();
        for how in [Compact::Int8, Compact::Binary] {
            let fetch =
                |wanted: &[usize]| Ok(wanted.iter().flat_map(|row| rows.row(*row).to_vec()).collect());
            let found = compact(&rows, how).nearest(&queries, 8, 100, fetch).unwrap();
            assert_eq!(found, want, "{how}");
        }
    }

    #[test]
    fn more_candidates_find_more_and_eight_bits_more_than_one() {
        let (queries, rows) = (random(40, 96, 3), random(2000, 96, 4));
        let want = nearest(&queries, &rows, 10).unwrap();
        let recall = |how: Compact, times: usize| {
            let mut asked = 0;
            let fetch = |wanted: &[usize]| {
                asked += wanted.len();
                Ok(wanted.iter().flat_map(|row| rows.row(*row).to_vec()).collect())
            };
            let found = compact(&rows, how).nearest(&queries, 10, times, fetch).unwrap();
            assert_eq!(asked, 40 * 10 * times, "no more rows are read than asked for");
            let hits = found.iter().zip(&want).flat_map(|(found, want)| {
                found.iter().filter(|near| want.iter().any(|other| other.row == near.row))
            });
            hits.count() as f64 / 400.0
        };
        let (one, four) = (recall(Compact::Binary, 1), recall(Compact::Binary, 10));
        assert!(one < four && four > 0.55 && one > 0.05, "{one} {four}");
        assert!(recall(Compact::Int8, 1) > 0.93 && recall(Compact::Int8, 2) > 0.995);
    }

    #[test]
    fn rows_take_a_quarter_and_a_thirty_second_of_the_memory() {
        let rows = random(10, 384, 5);
        assert_eq!(compact(&rows, Compact::Int8).bytes(), 10 * (384 + 4));
        assert_eq!(compact(&rows, Compact::Binary).bytes(), 10 * 384 / 8);
        assert_eq!(
            (compact(&rows, Compact::Binary).len(), CompactRows::new(3, Compact::Int8).is_empty()),
            (10, true)
        );
    }

    #[test]
    fn distances_are_those_of_the_definitions() {
        let rows = random(20, 67, 6);
        let query = random(1, 67, 7);
        let order = |score: &dyn Fn(usize) -> f64| {
            let mut order: Vec<usize> = (0..20).collect();
            order.sort_by(|a, b| score(*b).total_cmp(&score(*a)).then(a.cmp(b)));
            order
        };
        let differ = |row: usize| {
            query.row(0).iter().zip(rows.row(row)).filter(|(a, b)| (**a > 0.0) != (**b > 0.0)).count()
        };
        let found = compact(&rows, Compact::Binary).candidates(&query, 20).unwrap();
        assert_eq!(found[0], order(&|row| -(differ(row) as f64)));
        for (row, (steps, scale)) in (0..20).map(|row| (row, steps(rows.row(row)).unwrap())) {
            let length = dot(rows.row(row), rows.row(row)).sqrt();
            for (step, value) in steps.iter().zip(rows.row(row)) {
                assert!((f32::from(*step) * scale - value / length).abs() <= 0.51 * scale);
            }
        }
    }

    #[test]
    fn wrong_input_is_told() {
        let mut rows = compact(&random(10, 8, 1), Compact::Int8);
        assert!(
            rows.push(&random(1, 9, 1)).unwrap_err().to_string().contains("9 columns among vectors of 8")
        );
        let zero = Matrix::new(1, 8, vec![0.0; 8]).unwrap();
        assert!(rows.push(&zero).unwrap_err().to_string().contains("row 11"));
        assert!(rows.candidates(&zero, 1).unwrap_err().to_string().contains("query 1"));
        assert!(rows.candidates(&random(1, 8, 2), 0).unwrap_err().is_input());
    }
}
