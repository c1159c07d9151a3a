//! Words that tell clusters apart.
//!
//! Each cluster is one long document. A word's score there is class-based TF-IDF: its share of the cluster's words, times
//! `log(1 + A / f)`, where `f` is how often it occurs in all clusters together and `A` the mean number of words of a cluster. Words that are
//! everywhere (*the*, *der*, *film* among film reviews) are passed over by counting, in any language: a word names a cluster only if the
//! share of texts that have it is at least twice that of the other texts.
//!
//! Source: Grootendorst (2022), *BERTopic: Neural topic modeling with a class-based TF-IDF procedure*. Words: Unicode Standard Annex 29.

use std::collections::{BTreeMap, HashMap};

use unicode_segmentation::UnicodeSegmentation;

use crate::error::{Error, Result};

/// A word that tells a cluster from the others.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ClusterWord {
    /// In lower case.
    pub word: String,
    /// Its class-based TF-IDF.
    pub score: f64,
    /// Share of the cluster's texts that have it.
    pub share: f64,
    /// Share of all other texts that have it.
    pub elsewhere: f64,
}

/// How many times more frequent a word must be in a cluster's texts than in the others.
const TIMES: f64 = 2.0;

/// How often a word occurs, and in how many texts.
#[derive(Clone, Copy, Default)]
struct Count {
    times: f64,
    texts: f64,
}

/// Up to `most` words for each of `clusters` clusters, the best first; fewer, or none, where no more words tell a cluster apart.
///
/// Texts of no cluster count as one more, which gets no words. A word counts if it has a letter, and if two texts of the cluster have it,
/// unless no such word is left.
///
/// Shapes: `of_text` `[texts]`, indices of clusters; the result `[clusters]`.
///
/// # Errors
/// The input: not one cluster, or none, for each text, or a cluster of a number that there is not.
pub fn distinguishing_words<T: AsRef<str>>(
    texts: &[T],
    of_text: &[Option<usize>],
    clusters: usize,
    most: usize,
) -> Result<Vec<Vec<ClusterWord>>> {
    if texts.len() != of_text.len() || of_text.iter().flatten().any(|cluster| *cluster >= clusters) {
        return Err(Error::input(format!(
            "naming {clusters} clusters by their words: expected one of them, or none, for each of {} texts, found {} numbers up to {}",
            texts.len(),
            of_text.len(),
            of_text.iter().flatten().max().unwrap_or(&0)
        )));
    }
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let mut names: Vec<String> = vec![];
    // The last one is that of texts in no cluster.
    let mut counts: Vec<BTreeMap<usize, Count>> = vec![BTreeMap::new(); clusters + 1];
    let mut sizes = vec![0.0f64; clusters + 1];
    for (text, cluster) in texts.iter().zip(of_text) {
        let cluster = cluster.unwrap_or(clusters);
        sizes[cluster] += 1.0;
        let mut in_text: BTreeMap<usize, f64> = BTreeMap::new();
        for word in
            text.as_ref().to_lowercase().unicode_words().filter(|word| word.chars().any(char::is_alphabetic))
        {
            let number = numbers.get(word).copied().unwrap_or_else(|| {
                names.push(word.to_owned());
                numbers.insert(word.to_owned(), names.len() - 1);
                names.len() - 1
            });
            *in_text.entry(number).or_default() += 1.0;
        }
        for (word, times) in in_text {
            let count = counts[cluster].entry(word).or_default();
            count.times += times;
            count.texts += 1.0;
        }
    }
    let mut all = vec![Count::default(); names.len()];
    for (word, count) in counts.iter().flatten() {
        all[*word].times += count.times;
        all[*word].texts += count.texts;
    }
    let documents = sizes.iter().filter(|size| **size > 0.0).count() as f64;
    let mean_words = all.iter().map(|count| count.times).sum::<f64>() / documents;
    let of_cluster = |cluster: usize| {
        let (size, others) = (sizes[cluster], texts.len() as f64 - sizes[cluster]);
        let words: f64 = counts[cluster].values().map(|count| count.times).sum();
        let mut found: Vec<(ClusterWord, f64)> = counts[cluster]
            .iter()
            .map(|(&word, count)| {
                let score = count.times / words * libm::log(1.0 + mean_words / all[word].times);
                let elsewhere = if others > 0.0 { (all[word].texts - count.texts) / others } else { 0.0 };
                let word =
                    ClusterWord { word: names[word].clone(), score, share: count.texts / size, elsewhere };
                (word, count.texts)
            })
            .filter(|(word, _)| word.share >= TIMES * word.elsewhere)
            .collect();
        if found.iter().any(|(_, texts)| *texts > 1.0) {
            found.retain(|(_, texts)| *texts > 1.0);
        }
        let mut found: Vec<ClusterWord> = found.into_iter().map(|(word, _)| word).collect();
        found.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.word.cmp(&b.word)));
        found.truncate(most);
        found
    };
    Ok((0..clusters).map(of_cluster).collect())
}
