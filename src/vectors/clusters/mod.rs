//! Groups of texts by their embeddings: what a pile of texts is about.
//!
//! [`clusters`] finds them, [`distinguishing_words`] names them, [`Clusters::tree`] says which are near each other, and [`agreement`] how far
//! they follow labels that somebody gave.

mod agreement;
mod count;
mod density;
mod tree;
mod words;

pub use agreement::{Agreement, agreement};
pub use count::CountCandidate;
pub use tree::Merge;
pub use words::{ClusterWord, distinguishing_words};

use std::cmp::Reverse;

use super::kmeans::{kmeans, mean};
use super::unit::{UnitRows, dot, of_each};
use crate::error::{Error, Result};
use crate::head::Matrix;
use crate::names::named;

/// How rows are grouped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ClusterMethod {
    /// Every row goes to the nearest of so many centres (spherical k-means).
    #[default]
    KMeans,
    /// Where rows lie densely there is a cluster, of whatever shape; the others are in none.
    Hdbscan,
}

named! { ClusterMethod, "way of grouping",
    "kmeans", "Every text goes to the nearest of so many centres" => ClusterMethod::KMeans, ClusterMethod::KMeans,
    "hdbscan", "Where texts lie densely there is a cluster; the others are in none" => ClusterMethod::Hdbscan, ClusterMethod::Hdbscan,
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ClusterOptions {
    /// How rows are grouped.
    pub method: ClusterMethod,
    /// Clusters of k-means. None: chosen, from 2 to the square root of the rows and at most 60, as the number whose mean silhouette is the
    /// largest on 2,000 rows drawn by the seed.
    pub count: Option<usize>,
    /// Rows that HDBSCAN calls a cluster at least.
    pub min_size: usize,
    /// HDBSCAN's core distance is that to the so-manieth nearest row, itself counted: more find fewer and denser clusters. None: `min_size`.
    pub min_samples: Option<usize>,
    /// Decides where k-means starts and which rows are drawn.
    pub seed: u64,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        ClusterOptions {
            method: ClusterMethod::KMeans,
            count: None,
            min_size: 10,
            min_samples: None,
            seed: 0,
        }
    }
}

impl ClusterOptions {
    /// The most clusters that can be asked for: their distances to one another are kept for the tree.
    pub const MOST_CLUSTERS: usize = 5_000;
    /// The most rows that HDBSCAN takes: it keeps the distances of all pairs, four bytes each, here 1.6 GB.
    pub const MOST_ROWS_OF_HDBSCAN: usize = 20_000;

    /// Whether so many rows can be grouped like this: for whoever has not computed them yet.
    ///
    /// # Errors
    /// As [`clusters`], but for what is wrong with the rows themselves.
    pub fn check(&self, rows: usize) -> Result<()> {
        if rows < 2 {
            return Err(Error::input(format!("grouping {rows} texts: expected at least two")));
        }
        match self.method {
            ClusterMethod::KMeans => self.count.map_or(Ok(()), |count| check_count(count, rows)),
            ClusterMethod::Hdbscan => self.check_density(rows),
        }
    }

    fn check_density(&self, rows: usize) -> Result<()> {
        if self.count.is_some() {
            return Err(Error::input(
                "grouping texts by HDBSCAN: it finds out how many clusters there are; leave the count out, or choose k-means",
            ));
        }
        let most = Self::MOST_ROWS_OF_HDBSCAN;
        if rows > most {
            return Err(Error::limit(format!(
                "grouping {rows} texts by HDBSCAN: it keeps the distances of all pairs in memory, so that at most {most} are taken; group a \
                 part of them, or use k-means, which takes any number"
            )));
        }
        if !(2..=rows).contains(&self.min_size) {
            return Err(Error::input(format!(
                "grouping {rows} texts by HDBSCAN: expected a smallest cluster of 2 to {rows} texts, found {}",
                self.min_size
            )));
        }
        match self.min_samples {
            Some(samples) if !(1..=rows).contains(&samples) => Err(Error::input(format!(
                "grouping {rows} texts by HDBSCAN: expected from 1 to {rows} near texts (min_samples), found {samples}"
            ))),
            _ => Ok(()),
        }
    }
}

/// Rows by cluster, the largest cluster first.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Clusters {
    /// The clusters.
    pub clusters: Vec<Cluster>,
    /// Index of each row's cluster; none for rows that are in no cluster.
    pub of_row: Vec<Option<usize>>,
    /// Cosine of each row with the centre of its cluster.
    pub similarities: Vec<Option<f32>>,
    /// Mean silhouette by cosine of the rows that are in a cluster, from -1 to 1: how much nearer a row is to its own cluster than to the
    /// next one. None for a single cluster.
    ///
    /// Source: Rousseeuw (1987).
    pub silhouette: Option<f64>,
    /// The numbers of clusters that were tried, where the number was to be chosen.
    pub candidates: Vec<CountCandidate>,
}

/// One cluster.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Cluster {
    /// Direction of the sum of its rows: unit length, `[columns]`.
    pub centre: Vec<f32>,
    /// Its rows, the most typical first: nearest to the centre.
    pub rows: Vec<usize>,
    /// Mean cosine of its rows with the centre.
    pub cohesion: f64,
}

/// Starts of k-means, of which the best is kept.
const STARTS: u64 = 4;
/// Rounds of k-means: it stops before where no row moves.
const ROUNDS: usize = 100;

/// Groups rows by direction. Of k-means the memory grows with the rows, the time with rows times clusters; of HDBSCAN both grow with the square
/// of the rows. The same seed gives the same clusters on every machine.
///
/// Shapes: `rows` `[n, columns]`.
///
/// # Errors
/// The input: fewer than two rows, a row of zeros, more clusters than rows or than [`ClusterOptions::MOST_CLUSTERS`], a smallest cluster of
/// one row or of more than there are. A limit: more rows than [`ClusterOptions::MOST_ROWS_OF_HDBSCAN`] for HDBSCAN.
///
/// ```
/// use frostbert::head::Matrix;
/// use frostbert::vectors::{ClusterOptions, clusters};
/// let rows = Matrix::new(4, 2, vec![1.0, 0.0, 0.0, 2.0, 3.0, 0.1, 0.1, 1.0])?;
/// let mut options = ClusterOptions::default();
/// options.count = Some(2);
/// let found = clusters(&rows, &options)?;
/// assert_eq!(found.of_row, [Some(0), Some(1), Some(0), Some(1)]);
/// # Ok::<(), frostbert::Error>(())
/// ```
pub fn clusters(rows: &Matrix<'_>, options: &ClusterOptions) -> Result<Clusters> {
    let n = rows.rows();
    options.check(n)?;
    let unit = UnitRows::new(rows, "the texts")?;
    let mut candidates = vec![];
    let of_row: Vec<Option<usize>> = match options.method {
        ClusterMethod::Hdbscan => density::hdbscan(&unit, options)?,
        ClusterMethod::KMeans => {
            let count = match options.count {
                Some(count) => count,
                None => {
                    candidates = count::candidates(&unit, options.seed);
                    count::best(&candidates)
                }
            };
            let all: Vec<usize> = (0..n).collect();
            best_of(&unit, &all, count, options.seed, STARTS).into_iter().map(Some).collect()
        }
    };
    Ok(Clusters::new(&unit, &of_row, candidates))
}

fn check_count(count: usize, rows: usize) -> Result<()> {
    let most = rows.min(ClusterOptions::MOST_CLUSTERS);
    if (1..=most).contains(&count) {
        return Ok(());
    }
    let why = if most == rows { "there are no more texts than that" } else { "their tree is kept in memory" };
    Err(Error::input(format!(
        "grouping {rows} texts: expected from 1 to {most} clusters ({why}), found {count}; ask for fewer, or let the number be chosen"
    )))
}

/// The cluster of each of these rows by k-means, from the best of so many starts.
fn best_of(unit: &UnitRows, rows: &[usize], count: usize, seed: u64, starts: u64) -> Vec<usize> {
    let mut best = (f64::NEG_INFINITY, vec![0; rows.len()]);
    for start in 0..starts {
        let found = kmeans(unit, rows, count, seed.wrapping_add(start), ROUNDS);
        let closeness = found.closeness(unit, rows);
        if closeness > best.0 {
            best = (closeness, found.own);
        }
    }
    best.1
}

impl Clusters {
    /// Of clusters by any number, the largest first; of equally large ones the one whose first row comes first.
    fn new(unit: &UnitRows, given: &[Option<usize>], candidates: Vec<CountCandidate>) -> Self {
        let count = given.iter().flatten().max().map_or(0, |most| most + 1);
        let mut members: Vec<Vec<usize>> = vec![vec![]; count];
        given.iter().enumerate().for_each(|(row, own)| {
            if let Some(own) = own {
                members[*own].push(row);
            }
        });
        members.retain(|rows| !rows.is_empty());
        members.sort_by_key(|rows| (Reverse(rows.len()), rows[0]));
        let mut of_row = vec![None; given.len()];
        let mut similarities = vec![None; given.len()];
        let mut clusters = Vec::with_capacity(members.len());
        for (cluster, mut rows) in members.into_iter().enumerate() {
            let centre = mean(unit, &rows).unwrap_or_default();
            let cosines = of_each(rows.len(), |at| dot(&centre, unit.row(rows[at])).min(1.0));
            let cohesion = cosines.iter().map(|c| f64::from(*c)).sum::<f64>() / rows.len() as f64;
            for (row, cosine) in rows.iter().zip(&cosines) {
                (of_row[*row], similarities[*row]) = (Some(cluster), Some(*cosine));
            }
            // Of equally typical ones the first.
            rows.sort_by(|a, b| {
                let of = |row: &usize| similarities[*row].unwrap_or(f32::NEG_INFINITY);
                of(b).total_cmp(&of(a))
            });
            clusters.push(Cluster { centre, rows, cohesion });
        }
        let silhouette = count::silhouette(unit, &of_row, clusters.len());
        Clusters { clusters, of_row, similarities, silhouette, candidates }
    }

    /// Rows that are in no cluster.
    pub fn outside(&self) -> usize {
        self.of_row.iter().filter(|own| own.is_none()).count()
    }
}

#[cfg(test)]
mod tests;
