//! Which texts to label next.
//!
//! Uncertain texts teach a head most, but many of one kind at once teach the same thing; diverse texts cover what there is, but most of them
//! the head knows. `Mixed` takes the uncertain ones and spreads its choice over them. Without a head, texts that stand for many others
//! come first.
//!
//! Sources: k-centre, Sener and Savarese (2018); spread over the uncertain ones, in the manner of Zhdanov (2019); typical texts of clusters,
//! Hacohen, Dekel and Weinshall (2022).

use super::kmeans::{kmeans, middle};
use super::unit::{UnitRows, check_columns, dot, of_each};
use crate::error::{Error, Result};
use crate::head::Matrix;
use crate::names::named;

/// How texts are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Strategy {
    /// Uncertain and diverse; without a head, as `Typical`.
    #[default]
    Mixed,
    /// Smallest difference between the two likeliest classes.
    Margin,
    /// Largest entropy of the probabilities.
    Entropy,
    /// Farthest from everything labelled or chosen (k-centre). Finds what is odd, and so noise, too.
    Diverse,
    /// The middle of each of as many clusters as there are texts to choose.
    Typical,
}

named! { Strategy, "way of suggesting",
    "mixed", "Uncertain and diverse; without a head, as typical" => Strategy::Mixed, Strategy::Mixed,
    "margin", "Smallest difference between the two likeliest classes" => Strategy::Margin, Strategy::Margin,
    "entropy", "Largest entropy of the probabilities" => Strategy::Entropy, Strategy::Entropy,
    "diverse", "Farthest from everything labelled or chosen" => Strategy::Diverse, Strategy::Diverse,
    "typical", "The middle of each of as many clusters as there are texts to choose" => Strategy::Typical, Strategy::Typical,
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SuggestOptions {
    /// How many texts.
    pub count: usize,
    /// How they are chosen.
    pub strategy: Strategy,
    /// Texts whose cosine with a labelled or chosen one is at least this are passed over.
    pub duplicate: f32,
    /// Decides where clusters start.
    pub seed: u64,
}

impl SuggestOptions {
    /// So many texts, the rest as by default.
    pub fn new(count: usize) -> Self {
        SuggestOptions { count, strategy: Strategy::Mixed, duplicate: 0.97, seed: 0 }
    }
}

/// A text to label.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Suggestion {
    /// Index of its row.
    pub row: usize,
    /// Difference of the two largest probabilities; none without a head.
    pub margin: Option<f64>,
    /// Largest cosine with a labelled row; none where nothing is labelled.
    pub nearest_labelled: Option<f32>,
}

/// `Mixed` spreads its choice over so many times the texts wanted.
const CANDIDATES: usize = 10;
/// Rounds of k-means: assignments hardly move after these.
const ROUNDS: usize = 25;

/// Chooses rows of `pool` to label, the most useful first. Fewer than asked for come where the rest are near duplicates.
///
/// Shapes: `pool` `[n, columns]`, `labelled` `[m, columns]` (m may be 0), `probabilities` `[n, classes]` if there is a head.
///
/// # Errors
/// The input: shapes that do not agree, a strategy that needs a head without one, nothing to choose from.
pub fn suggest(
    pool: &Matrix<'_>,
    labelled: &Matrix<'_>,
    probabilities: Option<&[f64]>,
    options: &SuggestOptions,
) -> Result<Vec<Suggestion>> {
    let n = pool.rows();
    if n == 0 || options.count == 0 {
        return Err(Error::input(format!(
            "suggesting {} of {n} texts: expected at least one",
            options.count
        )));
    }
    if !(options.duplicate > 0.0) {
        return Err(Error::input(format!(
            "suggesting texts: expected a cosine above 0, found {}",
            options.duplicate
        )));
    }
    let margins = probabilities.map(|p| margins(p, n)).transpose()?;
    let uncertainty = match (options.strategy, probabilities, &margins) {
        (Strategy::Margin | Strategy::Mixed, _, Some(margins)) => Some(margins.iter().map(|m| -m).collect()),
        (Strategy::Entropy, Some(p), _) => {
            Some(p.chunks_exact(p.len() / n).map(entropy).collect::<Vec<f64>>())
        }
        (Strategy::Margin | Strategy::Entropy, None, _) => {
            return Err(Error::input(format!(
                "suggesting by {}: that needs a head; train one on what is labelled, or choose typical or diverse",
                options.strategy
            )));
        }
        _ => None,
    };
    let unit = UnitRows::new(pool, "the texts to choose from")?;
    let nearest: Vec<f32> = if labelled.rows() == 0 {
        vec![f32::NEG_INFINITY; n]
    } else {
        check_columns(pool, labelled)?;
        let labelled = UnitRows::new(labelled, "the labelled texts")?;
        of_each(n, |row| {
            let cosines = (0..labelled.len()).map(|other| dot(labelled.row(other), unit.row(row)));
            cosines.fold(f32::NEG_INFINITY, f32::max)
        })
    };
    let mut choice = Choice::new(&unit, &nearest, options);
    let fresh: Vec<usize> = (0..n).filter(|row| nearest[*row] < options.duplicate).collect();
    match (options.strategy, uncertainty) {
        (Strategy::Margin | Strategy::Entropy, Some(uncertain)) => choice.in_order(&most(fresh, &uncertain)),
        (Strategy::Mixed, Some(uncertain)) => {
            let mut order = most(fresh, &uncertain);
            let rest = order.split_off((options.count.saturating_mul(CANDIDATES)).min(order.len()));
            choice.typical(&order, options.seed);
            choice.in_order(&order);
            choice.in_order(&rest);
        }
        (Strategy::Diverse, _) => choice.farthest(&fresh),
        _ => {
            choice.typical(&fresh, options.seed);
            choice.farthest(&fresh);
        }
    }
    let labelled_before = |row: usize| Some(nearest[row]).filter(|cosine| cosine.is_finite());
    Ok(choice
        .rows
        .into_iter()
        .map(|row| Suggestion {
            row,
            margin: margins.as_ref().map(|margins| margins[row]),
            nearest_labelled: labelled_before(row),
        })
        .collect())
}

/// Difference of the two largest probabilities of each row.
fn margins(probabilities: &[f64], rows: usize) -> Result<Vec<f64>> {
    let classes = probabilities.len() / rows;
    if classes < 2 || probabilities.len() != rows * classes || probabilities.iter().any(|p| !p.is_finite()) {
        return Err(Error::input(format!(
            "suggesting texts: expected finite probabilities of two or more classes for each of {rows} texts, found {} numbers",
            probabilities.len()
        )));
    }
    let margin = |row: &[f64]| {
        let mut sorted = row.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        sorted[0] - sorted[1]
    };
    Ok(probabilities.chunks_exact(classes).map(margin).collect())
}

fn entropy(row: &[f64]) -> f64 {
    row.iter().filter(|p| **p > 0.0).map(|p| -p * libm::log(*p)).sum()
}

/// The rows with the largest numbers first; of equal ones the first.
fn most(mut rows: Vec<usize>, numbers: &[f64]) -> Vec<usize> {
    rows.sort_by(|a, b| numbers[*b].total_cmp(&numbers[*a]));
    rows
}

/// Rows chosen so far.
struct Choice<'a> {
    pool: &'a UnitRows,
    rows: Vec<usize>,
    /// Of each row of the pool, the largest cosine with a labelled or chosen one.
    nearest: Vec<f32>,
    count: usize,
    duplicate: f32,
}

impl<'a> Choice<'a> {
    fn new(pool: &'a UnitRows, nearest: &[f32], options: &SuggestOptions) -> Self {
        Choice {
            pool,
            rows: vec![],
            nearest: nearest.to_vec(),
            count: options.count,
            duplicate: options.duplicate,
        }
    }

    /// Takes a row unless there is one nearly like it.
    fn take(&mut self, row: usize) {
        if self.rows.len() == self.count || self.nearest[row] >= self.duplicate {
            return;
        }
        self.rows.push(row);
        let pool = self.pool;
        for (known, cosine) in
            self.nearest.iter_mut().zip(of_each(pool.len(), |other| pool.cosine(other, row)))
        {
            *known = known.max(cosine);
        }
        // Its own product may be a rounding below one.
        self.nearest[row] = f32::INFINITY;
    }

    fn in_order(&mut self, rows: &[usize]) {
        rows.iter().for_each(|row| self.take(*row));
    }

    /// The row farthest from all labelled and chosen ones, again and again. Where there are none, the most typical row comes first.
    fn farthest(&mut self, rows: &[usize]) {
        if self.nearest.iter().all(|cosine| *cosine == f32::NEG_INFINITY)
            && let Some(first) = middle(self.pool, rows)
        {
            self.take(first);
        }
        while self.rows.len() < self.count {
            let next = rows.iter().copied().min_by(|a, b| self.nearest[*a].total_cmp(&self.nearest[*b]));
            match next {
                Some(next) if self.nearest[next] < self.duplicate => self.take(next),
                _ => break,
            }
        }
    }

    /// The middle of each of as many clusters as rows are wanted, largest cluster first.
    fn typical(&mut self, rows: &[usize], seed: u64) {
        let wanted = self.count - self.rows.len();
        let mut clusters = kmeans(self.pool, rows, wanted, seed, ROUNDS).by_cluster(rows);
        clusters.sort_by_key(|cluster| std::cmp::Reverse(cluster.len()));
        for cluster in clusters {
            if let Some(row) = middle(self.pool, &cluster) {
                self.take(row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::tests::random;

    /// Four directions with a little noise, `each` rows of each.
    fn four_kinds(each: usize) -> Matrix<'static> {
        let noise = random(4 * each, 8, 5);
        let mut values = noise.values().iter().map(|v| 0.1 * v).collect::<Vec<f32>>();
        for row in 0..4 * each {
            values[row * 8 + row % 4] += 1.0;
        }
        Matrix::new(4 * each, 8, values).unwrap()
    }

    fn none() -> Matrix<'static> {
        Matrix::new(0, 8, vec![]).unwrap()
    }

    #[test]
    fn a_cold_start_covers_every_kind() {
        let pool = four_kinds(30);
        for strategy in [Strategy::Mixed, Strategy::Typical, Strategy::Diverse] {
            let options = SuggestOptions { strategy, duplicate: 0.9999, ..SuggestOptions::new(4) };
            let found = suggest(&pool, &none(), None, &options).unwrap();
            let mut kinds: Vec<usize> = found.iter().map(|one| one.row % 4).collect();
            kinds.sort_unstable();
            assert_eq!(kinds, [0, 1, 2, 3], "{strategy}");
            assert!(found.iter().all(|one| one.margin.is_none() && one.nearest_labelled.is_none()));
        }
    }

    #[test]
    fn what_is_labelled_is_not_suggested_again_nor_anything_like_it() {
        let pool = four_kinds(20);
        let labelled = pool.select_rows(&[0, 1, 2]);
        let options =
            SuggestOptions { strategy: Strategy::Diverse, duplicate: 0.9, ..SuggestOptions::new(50) };
        let found = suggest(&pool, &labelled, None, &options).unwrap();
        // The fourth kind alone is new, and its texts are near duplicates of each other.
        assert!(found.len() < 5 && found[0].row % 4 == 3, "{found:?}");
        let rows = pool.select_rows(&found.iter().map(|one| one.row as u32).collect::<Vec<_>>());
        assert!(super::super::duplicates(&rows, 0.9).unwrap().is_empty());
    }

    #[test]
    fn uncertain_texts_come_first_and_mixed_spreads_over_them() {
        let pool = four_kinds(25);
        // Sure of all but the rows from 40 to 59; the nearer to 50, the less sure.
        let p: Vec<f64> = (0..100)
            .flat_map(|row: usize| {
                let sure = if (40..60).contains(&row) { 0.5 + row.abs_diff(50) as f64 / 100.0 } else { 0.95 };
                [sure, 1.0 - sure]
            })
            .collect();
        let by = |strategy| {
            let options = SuggestOptions { strategy, duplicate: 1.1, ..SuggestOptions::new(4) };
            suggest(&pool, &none(), Some(&p), &options).unwrap()
        };
        for strategy in [Strategy::Margin, Strategy::Entropy] {
            let rows: Vec<usize> = by(strategy).iter().map(|one| one.row).collect();
            assert_eq!(rows, [50, 49, 51, 48]);
        }
        let mixed = by(Strategy::Mixed);
        let mut kinds: Vec<usize> = mixed.iter().map(|one| one.row % 4).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, [0, 1, 2, 3]);
        assert!(mixed.iter().all(|one| one.margin.is_some_and(|margin| margin <= 0.91)));
    }

    #[test]
    fn wrong_input_is_told() {
        let pool = four_kinds(2);
        let options = |strategy| SuggestOptions { strategy, ..SuggestOptions::new(2) };
        let error = suggest(&pool, &none(), None, &options(Strategy::Margin)).unwrap_err();
        assert!(error.is_input() && error.to_string().contains("needs a head"));
        for (p, count) in [(vec![0.5; 7], 2), (vec![1.0; 8], 2), (vec![f64::NAN; 16], 2)] {
            assert!(suggest(&pool, &none(), Some(&p), &SuggestOptions::new(count)).unwrap_err().is_input());
        }
        assert!(suggest(&pool, &none(), None, &SuggestOptions::new(0)).unwrap_err().is_input());
        let narrow = Matrix::new(1, 3, vec![1.0; 3]).unwrap();
        assert!(suggest(&pool, &narrow, None, &SuggestOptions::new(1)).unwrap_err().is_input());
        assert_eq!("typical".parse::<Strategy>().unwrap(), Strategy::Typical);
        assert!("best".parse::<Strategy>().unwrap_err().to_string().contains("mixed"));
    }
}
