//! `frostbert cluster`: groups of texts. (The workspace `cluster/`, many machines, is something else.)

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use frostbert::report::{ClusterMerge, ClusterReport, ClusterSummary, ReportData, ScoredName};
use frostbert::vectors::{
    Agreement, ClusterMethod, ClusterOptions, ClusterWord, Clusters, agreement, clusters,
    distinguishing_words,
};
use frostbert::{Error, Result, Text};
use serde_json::{Value, json};

use super::vectors::{Labelled, SourceArgs, Table, draw_with, read_labelled, shown};
use super::{print, print_json};
use crate::args::{CacheArgs, RowArgs, at_most, choice};
use crate::outputs::{Content, Files, OutputArgs};
use crate::terminal::cell;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// Table of texts (.txt one a line, .csv, .tsv, .jsonl, .parquet)
    file: PathBuf,
    /// How texts are grouped
    #[arg(long, default_value_t, value_parser = choice::<ClusterMethod>(ClusterMethod::CHOICES))]
    method: ClusterMethod,
    /// How many clusters of kmeans: a number, or auto, which takes the number with the largest silhouette, from 2 to the square root of the
    /// texts and at most 60 [default: auto]
    #[arg(long, value_name = "N|auto", value_parser = count)]
    count: Option<Count>,
    /// The fewest texts that hdbscan calls a cluster [default: 10]
    #[arg(long, value_name = "N")]
    min_size: Option<usize>,
    /// How many texts, itself counted, must be near a text for hdbscan to call the place dense; more leave more texts in no cluster
    /// [default: as --min-size]
    #[arg(long, value_name = "N")]
    min_samples: Option<usize>,
    /// Decides where kmeans starts
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Words that name a cluster
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = at_most::<100>)]
    words: usize,
    /// Typical texts of each cluster that are shown
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = at_most::<1_000>)]
    show: usize,
    /// A column of labels, by name or number: says how far clusters and labels agree. It does not change the clusters
    #[arg(long, value_name = "NAME")]
    label_column: Option<String>,
    #[command(flatten)]
    rows: RowArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// Write the cluster of every text as a CSV table: row, text, cluster, name, similarity (cosine with the cluster's centre)
    #[arg(long, value_name = "FILE.csv")]
    out: Option<PathBuf>,
    /// Draw the clusters as an HTML page: a tree of them, their words, and a map
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    #[command(flatten)]
    outputs: OutputArgs,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// `--count`.
#[derive(Clone, Copy, Debug)]
enum Count {
    Auto,
    Of(usize),
}

fn count(text: &str) -> std::result::Result<Count, String> {
    match (text, text.parse()) {
        ("auto", _) => Ok(Count::Auto),
        (_, Ok(number)) if (1..=ClusterOptions::MOST_CLUSTERS).contains(&number) => Ok(Count::Of(number)),
        _ => Err(format!("expected auto, or a number from 1 to {}", ClusterOptions::MOST_CLUSTERS)),
    }
}

/// Columns of the table.
const COLUMNS: &str = "row,text,cluster,name,similarity";
/// Words of a name; the others are beside it.
const NAME_WORDS: usize = 3;

pub fn run(args: &Args) -> Result<()> {
    let files = Files::new(&args.outputs)
        .input(Some(&args.file))
        .input(args.source.head.as_deref())
        .model(args.source.model.as_deref().unwrap_or_default())
        .output("--out", args.out.as_deref(), Content::Table(COLUMNS))
        .output("--report", args.report.as_deref(), Content::Page);
    files.check()?;
    let options = args.options()?;
    let Labelled { texts, numbers, labels } =
        read_labelled(&args.rows, &args.file, args.label_column.as_deref())?;
    // Before the texts are embedded, which takes longer.
    options.check(texts.len())?;
    let rows = args.source.load()?.embed(&texts, "embedding", &args.cache.open())?;
    let spinner = crate::progress::spinner("grouping texts");
    let found = clusters(&rows, &options);
    spinner.finish_and_clear();
    let found = Named::new(args, found?, &texts, &numbers, &labels)?;

    let mut table = Table::new(args.out.as_deref(), COLUMNS)?;
    for (row, text) in texts.iter().enumerate() {
        let (mut number, mut name, mut similarity) = (String::new(), "", String::new());
        if let (Some(own), Some(cosine)) = (found.found.of_row[row], found.found.similarities[row]) {
            (number, name, similarity) =
                ((own + 1).to_string(), &found.clusters[own].name, format!("{cosine:.4}"));
        }
        table.row([&numbers[row].to_string(), &text.first, &number, name, &similarity])?;
    }
    table.finish()?;
    if let Some(path) = &args.report {
        let outside = found.clusters.len();
        let kinds: Vec<usize> = found.found.of_row.iter().map(|own| own.unwrap_or(outside)).collect();
        let mut names: Vec<String> =
            found.clusters.iter().enumerate().map(|(at, one)| format!("{} {}", at + 1, one.name)).collect();
        names.push("no cluster".into());
        let data =
            ReportData { title: found.headline(), clusters: Some(found.report()), ..ReportData::default() };
        draw_with(path, data, &rows, &kinds, &names, &texts.iter().collect::<Vec<_>>())?;
    }
    if args.json {
        print_json(&found.json())?;
    } else {
        print(&found.lines())?;
    }
    if let Some(path) = &args.out {
        eprintln!("clusters of {} texts written to {}", texts.len(), path.display());
    }
    if let Some(Count::Of(asked)) = args.count
        && asked > found.clusters.len()
    {
        eprintln!(
            "note: found {} of {asked} clusters: there are not so many different texts",
            found.clusters.len()
        );
    }
    if found.clusters.is_empty() {
        eprintln!(
            "note: no place is dense enough for a cluster; try a smaller --min-size or --min-samples, or --method kmeans"
        );
    }
    Ok(())
}

impl Args {
    fn options(&self) -> Result<ClusterOptions> {
        let mut options = ClusterOptions::default();
        (options.method, options.seed) = (self.method, self.seed);
        let wrong = |option: &str| {
            Error::input(format!(
                "{option} says nothing to --method {}; leave it out, or choose the other method",
                self.method
            ))
        };
        match self.method {
            ClusterMethod::Hdbscan if self.count.is_some() => return Err(wrong("--count")),
            ClusterMethod::Hdbscan => {}
            _ if self.min_size.is_some() => return Err(wrong("--min-size")),
            _ if self.min_samples.is_some() => return Err(wrong("--min-samples")),
            _ => {}
        }
        if let Some(Count::Of(count)) = self.count {
            options.count = Some(count);
        }
        options.min_size = self.min_size.unwrap_or(options.min_size);
        options.min_samples = self.min_samples;
        Ok(options)
    }
}

/// Clusters with all that is said of them.
struct Named<'a> {
    method: ClusterMethod,
    found: Clusters,
    clusters: Vec<NamedCluster<'a>>,
    /// With labels: how far clusters agree with them, texts in no cluster as a group of their own, and without these.
    agreement: Option<[Option<Agreement>; 2]>,
}

struct NamedCluster<'a> {
    name: String,
    words: Vec<ClusterWord>,
    /// Row in the table, text, similarity.
    typical: Vec<(u64, &'a Text, f32)>,
    /// The most frequent label, and its share of those that have one.
    label: Option<(&'a str, f64)>,
}

impl<'a> Named<'a> {
    fn new(
        args: &Args,
        found: Clusters,
        texts: &'a [Text],
        numbers: &[u64],
        labels: &'a [Option<String>],
    ) -> Result<Self> {
        let both = |text: &Text| match &text.second {
            Some(second) => format!("{} {second}", text.first),
            None => text.first.clone(),
        };
        let whole: Vec<String> = texts.iter().map(both).collect();
        let words = distinguishing_words(&whole, &found.of_row, found.clusters.len(), args.words)?;
        let name_one = |(at, words): (usize, Vec<ClusterWord>)| {
            let rows = &found.clusters[at].rows;
            let first: Vec<&str> = words.iter().take(NAME_WORDS).map(|one| one.word.as_str()).collect();
            let name = if first.is_empty() { format!("cluster {}", at + 1) } else { first.join(", ") };
            let mut seen = HashSet::new();
            let typical = (rows.iter().filter(|row| seen.insert(&texts[**row])))
                .take(args.show)
                .map(|row| (numbers[*row], &texts[*row], found.similarities[*row].unwrap_or(f32::NAN)))
                .collect();
            let mut of_label: BTreeMap<&str, usize> = BTreeMap::new();
            let labelled = rows.iter().filter_map(|row| labels[*row].as_deref());
            labelled.for_each(|label| *of_label.entry(label).or_default() += 1);
            let all: usize = of_label.values().sum();
            // Of equally frequent ones the first by name.
            let most = of_label.into_iter().rev().max_by_key(|(_, count)| *count);
            let label = most.map(|(label, count)| (label, count as f64 / all as f64));
            NamedCluster { name, words, typical, label }
        };
        let clusters: Vec<NamedCluster<'a>> = words.into_iter().enumerate().map(name_one).collect();
        let agreement = match labels.iter().any(Option::is_some) {
            true => Some([agree(labels, &found, true)?, agree(labels, &found, false)?]),
            false if args.label_column.is_some() => {
                return Err(Error::input(format!(
                    "{}: no text has a label in column {}; leave --label-column out, or name another column",
                    args.file.display(),
                    args.label_column.as_deref().unwrap_or_default()
                )));
            }
            false => None,
        };
        Ok(Named { method: args.method, found, clusters, agreement })
    }

    fn headline(&self) -> String {
        let (texts, outside) = (self.found.of_row.len(), self.found.outside());
        let clusters = self.clusters.len();
        let mut line = format!("{texts} texts in {clusters} cluster{}", if clusters == 1 { "" } else { "s" });
        if self.method == ClusterMethod::Hdbscan {
            line += &format!(", {outside} in none");
        }
        line
    }

    /// How good the clusters are, in words.
    fn facts(&self) -> Vec<String> {
        let mut facts = vec![];
        if let Some(silhouette) = self.found.silhouette {
            facts.push(format!(
                "Mean silhouette {silhouette:.3} (by cosine; -1 to 1: how much nearer a text is to its own cluster than to the next one)."
            ));
        }
        if let (Some(first), Some(last)) = (self.found.candidates.first(), self.found.candidates.last()) {
            facts.push(format!(
                "The number was chosen from {} to {}: it has the largest silhouette.",
                first.count, last.count
            ));
        }
        if let Some([all, clustered]) = self.agreement {
            let said = |what: &str, found: Option<Agreement>| {
                found.map(|found| {
                    format!(
                        "Clusters and labels{what}: adjusted Rand index {:.3}, normalized mutual information {:.3}.",
                        found.adjusted_rand, found.normalized_mutual_information
                    )
                })
            };
            facts.extend(said("", all));
            if self.found.outside() > 0 {
                facts.extend(said(" of texts that are in a cluster", clustered));
            }
        }
        facts
    }

    fn lines(&self) -> String {
        let mut text = format!("{}\n", self.headline());
        self.facts().iter().for_each(|fact| text += &format!("{fact}\n"));
        let labelled = self.clusters.iter().any(|one| one.label.is_some());
        text +=
            &format!("\n#\ttexts\tcohesion\t{}words\n", if labelled { "most frequent label\t" } else { "" });
        for (at, (one, cluster)) in self.clusters.iter().zip(&self.found.clusters).enumerate() {
            let words: Vec<_> = one.words.iter().map(|word| cell(&word.word)).collect();
            let label = match one.label {
                Some((label, share)) => format!("{} {:.0} %\t", cell(label), 100.0 * share),
                None if labelled => "\t".into(),
                None => String::new(),
            };
            text += &format!(
                "{}\t{}\t{:.3}\t{label}{}\n",
                at + 1,
                cluster.rows.len(),
                cluster.cohesion,
                if words.is_empty() { "(no word tells it apart)".into() } else { words.join(", ") }
            );
            one.typical
                .iter()
                .for_each(|(row, typical, _)| text += &format!("\t\t{row}: {}\n", shown(typical)));
        }
        text
    }

    fn json(&self) -> Value {
        let clusters = self.clusters.iter().zip(&self.found.clusters).enumerate().map(|(at, (one, cluster))| {
            let typical = |(row, text, similarity): &(u64, &Text, f32)| {
                json!({ "row": row, "text": text.first, "pair": text.second, "similarity": similarity })
            };
            json!({
                "cluster": at + 1, "name": one.name, "texts": cluster.rows.len(), "cohesion": cluster.cohesion, "words": one.words,
                "typical": one.typical.iter().map(typical).collect::<Vec<_>>(),
                "label": one.label.map(|(label, share)| json!({ "label": label, "share": share })),
            })
        });
        // The tree counts from 1 as the clusters do: with n of them, n + 1 is the first merge.
        let merge = |merge: frostbert::vectors::Merge| json!({ "left": merge.left + 1, "right": merge.right + 1, "distance": merge.distance, "clusters": merge.clusters });
        json!({
            "texts": self.found.of_row.len(),
            "method": self.method,
            "outside": self.found.outside(),
            "silhouette": self.found.silhouette,
            "candidates": self.found.candidates,
            "agreement": self.agreement.map(|[all, clustered]| json!({ "all": all, "clustered": clustered })),
            "clusters": clusters.collect::<Vec<_>>(),
            "tree": self.found.tree().into_iter().map(merge).collect::<Vec<_>>(),
        })
    }

    fn report(&self) -> ClusterReport {
        let summary = |(one, cluster): (&NamedCluster<'_>, &frostbert::vectors::Cluster)| ClusterSummary {
            name: one.name.clone(),
            texts: cluster.rows.len(),
            cohesion: cluster.cohesion,
            words: (one.words.iter())
                .map(|word| ScoredName { name: word.word.clone(), score: word.score })
                .collect(),
            typical: one.typical.iter().map(|(_, text, _)| text.first.clone()).collect(),
            label: one.label.map(|(name, score)| ScoredName { name: name.to_owned(), score }),
        };
        let merge = |merge: frostbert::vectors::Merge| ClusterMerge {
            left: merge.left,
            right: merge.right,
            distance: merge.distance,
        };
        ClusterReport {
            note: self.facts().join(" "),
            outside: self.found.outside(),
            clusters: self.clusters.iter().zip(&self.found.clusters).map(summary).collect(),
            merges: self.found.tree().into_iter().map(merge).collect(),
        }
    }
}

/// How far clusters agree with labels, on the texts that have one; those in no cluster are left out or are a group of their own.
fn agree(labels: &[Option<String>], found: &Clusters, outside: bool) -> Result<Option<Agreement>> {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut of_label, mut of_cluster) = (vec![], vec![]);
    for (label, cluster) in labels.iter().zip(&found.of_row) {
        let (Some(label), true) = (label, outside || cluster.is_some()) else { continue };
        let next = numbers.len();
        of_label.push(*numbers.entry(label).or_insert(next));
        of_cluster.push(cluster.unwrap_or(found.clusters.len()));
    }
    if of_label.is_empty() {
        return Ok(None);
    }
    agreement(&of_label, &of_cluster).map(Some)
}
