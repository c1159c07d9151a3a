//! The section on clusters of texts: what each is about, and a tree of which are near each other.

use super::figures::figure;
use super::format::{count, counted, percent, score, shorten};
use super::plot::{Axis, FINE, MOST_COLOURS, Shape};
use super::tables::text;
use super::{ClusterMerge, ClusterReport, ClusterSummary};
use crate::error::Result;
use maud::{Markup, html};

/// Leaves of a tree that can be read; of more, the nearest ones are drawn as one.
const MOST_LEAVES: usize = 60;

/// Clusters whose marks are those of the map: more do not have a mark of their own there.
const MOST_MARKS: usize = 2 * MOST_COLOURS;

/// Characters of a name beside a leaf.
const LEAF_TEXT: usize = 44;

/// Width of the drawing, of the names in it and of what is left free at the right, in CSS pixels.
const WIDTH: i32 = 860;
const NAMES: i32 = 350;
const RIGHT: i32 = 16;

/// Height of a leaf and of the axis, in CSS pixels.
const LEAF: i32 = 22;
const AXIS: i32 = 44;

/// What each cluster is about, the largest first.
pub(super) fn section(report: &ClusterReport) -> Result<Markup> {
    let tree = Tree::new(report)?;
    Ok(html! {
        @if !report.note.is_empty() { p.note { (report.note) } }
        @if tree.leaves.len() > 1 { div.dendrogram { (dendrogram(report, &tree)) } }
        (table(report))
    })
}

fn table(report: &ClusterReport) -> Markup {
    let labelled = report.clusters.iter().any(|cluster| cluster.label.is_some());
    let most = report.clusters.iter().map(|cluster| cluster.texts).max().unwrap_or(1).max(1);
    html! {
        div.scroll { table.texts.clusters {
            thead { tr {
                th.n { "#" } th { "Words, with their scores" } th { "Texts" } th.n { "Cohesion" }
                @if labelled { th { "Most frequent label" } }
                th { "Most typical texts" }
            } }
            tbody { @for (at, cluster) in report.clusters.iter().enumerate() { tr {
                td.n { (at + 1) }
                th scope="row" {
                    @if cluster.words.is_empty() { (text(&cluster.name, 60)) }
                    @for (at, word) in cluster.words.iter().enumerate() {
                        @if at > 0 { ", " }
                        span dir="auto" { (shorten(&word.name, 40).0) } " " span.muted { (score(word.score)) }
                    }
                }
                td { span.bar style=(format!("--v:{:.1}%", 100.0 * cluster.texts as f64 / most as f64)) { (count(cluster.texts)) } }
                td.n { (score(cluster.cohesion)) }
                @if labelled { td { @if let Some(label) = &cluster.label { (text(&label.name, 40)) " " span.muted { (percent(label.score)) } } } }
                td { ul { @for typical in &cluster.typical { li { (text(typical, 160)) } } } }
            } } }
        } }
    }
}

/// What is drawn of the tree: its upper merges.
struct Tree {
    /// From top to bottom: the cluster that names it, how many clusters, how many texts.
    leaves: Vec<(usize, usize, usize)>,
    /// In the order of their distances.
    joins: Vec<Join>,
}

struct Join {
    distance: f64,
    /// Row and distance of both sides; rows are counted in leaves.
    sides: [(f64, f64); 2],
    title: String,
}

/// A cluster, or a group of them.
#[derive(Clone)]
struct Node {
    /// The largest cluster in it.
    largest: usize,
    clusters: usize,
    texts: usize,
    distance: f64,
    children: Option<(usize, usize)>,
}

impl Tree {
    fn new(report: &ClusterReport) -> Result<Self> {
        report.check()?;
        let leaf = |(at, cluster): (usize, &ClusterSummary)| Node {
            largest: at,
            clusters: 1,
            texts: cluster.texts,
            distance: 0.0,
            children: None,
        };
        let mut nodes: Vec<Node> = report.clusters.iter().enumerate().map(leaf).collect();
        let clusters = nodes.len();
        let mut top: Vec<bool> = vec![true; clusters + report.merges.len()];
        for &ClusterMerge { left, right, distance } in &report.merges {
            let (a, b) = (&nodes[left], &nodes[right]);
            let larger =
                if report.clusters[a.largest].texts >= report.clusters[b.largest].texts { a } else { b };
            let node = Node {
                largest: larger.largest,
                clusters: a.clusters + b.clusters,
                texts: a.texts.saturating_add(b.texts),
                distance: if distance.is_finite() { distance.max(0.0) } else { 0.0 },
                children: Some((left, right)),
            };
            (top[left], top[right]) = (false, false);
            nodes.push(node);
        }
        // The last merges are the farthest ones.
        let first_drawn = clusters + report.merges.len().saturating_sub(MOST_LEAVES - 1);
        let (mut leaves, mut row_of) = (vec![], vec![0.0f64; nodes.len()]);
        let mut open: Vec<usize> = (0..nodes.len()).rev().filter(|node| top[*node]).collect();
        while let Some(at) = open.pop() {
            match nodes[at].children {
                Some((left, right)) if at >= first_drawn => open.extend([right, left]),
                _ => {
                    row_of[at] = leaves.len() as f64;
                    leaves.push((nodes[at].largest, nodes[at].clusters, nodes[at].texts));
                }
            }
        }
        let mut joins = vec![];
        for at in first_drawn..nodes.len() {
            let Some((left, right)) = nodes[at].children else { continue };
            row_of[at] = (row_of[left] + row_of[right]) / 2.0;
            let side =
                |node: usize| (row_of[node], if node < first_drawn { 0.0 } else { nodes[node].distance });
            let name = |node: usize| {
                let node = &nodes[node];
                let more = node.clusters - 1;
                let name = shorten(&report.clusters[node.largest].name, LEAF_TEXT).0;
                if more == 0 { name } else { format!("{name} and {}", counted(more, "other")) }
            };
            joins.push(Join {
                distance: nodes[at].distance,
                sides: [side(left), side(right)],
                title: format!(
                    "distance {}\n{}\n{}\n{}",
                    score(nodes[at].distance),
                    name(left),
                    name(right),
                    counted(nodes[at].texts, "text")
                ),
            });
        }
        Ok(Tree { leaves, joins })
    }
}

/// The tree, its leaves at the left, distances from left to right.
fn dendrogram(report: &ClusterReport, tree: &Tree) -> Markup {
    let farthest = tree.joins.iter().map(|join| join.distance).fold(0.0, f64::max);
    let farthest = if farthest > 0.0 { farthest } else { 1.0 };
    let height = LEAF * tree.leaves.len() as i32 + AXIS;
    let x = |distance: f64| {
        (f64::from(NAMES) + f64::from(WIDTH - NAMES - RIGHT) * distance / farthest) * f64::from(FINE)
    };
    let y = |row: f64| f64::from(LEAF) * (row + 0.5) * f64::from(FINE);
    let bottom = y(tree.leaves.len() as f64 - 0.5);
    let axis = Axis::around("", [0.0, farthest]);
    let ticks: Vec<f64> = axis.ticks.iter().copied().filter(|tick| (0.0..=farthest).contains(tick)).collect();
    let marked = report.clusters.len() + usize::from(report.outside > 0) <= MOST_MARKS;
    let summary = format!(
        "Tree of {}: {} at distance {} come together first; all are one at {}",
        counted(report.clusters.len(), "cluster"),
        tree.joins.first().map_or(String::new(), |join| join
            .title
            .split('\n')
            .skip(1)
            .take(2)
            .collect::<Vec<_>>()
            .join(" with ")),
        score(tree.joins.first().map_or(0.0, |join| join.distance)),
        score(farthest)
    );
    let svg = html! {
        svg viewBox=(format!("0 0 {} {}", WIDTH * FINE, height * FINE)) role="img" aria-label=(summary) {
            @for tick in &ticks {
                path stroke="var(--grid)" stroke-width="10" d=(format!("M{:.0} 0V{bottom:.0}", x(*tick))) {}
                text x=(format!("{:.0}", x(*tick))) y=(format!("{:.0}", bottom + 160.0)) text-anchor="middle" font-size="120" fill="var(--muted)" { ((axis.label)(tick)) }
            }
            text x=(format!("{:.0}", x(farthest / 2.0))) y=(format!("{:.0}", bottom + 340.0)) text-anchor="middle" font-size="125" fill="var(--muted)" { "Cosine distance of the centres" }
            @for (row, (cluster, clusters, texts)) in tree.leaves.iter().enumerate() {
                @let name = shorten(&report.clusters[*cluster].name, LEAF_TEXT).0;
                text x=((NAMES - 14) * FINE) y=(format!("{:.0}", y(row as f64) + 45.0)) text-anchor="end" font-size="125" fill="var(--text)" {
                    (name) @if *clusters > 1 { " and " (counted(clusters - 1, "other")) }
                    tspan fill="var(--muted)" dx="60" { (count(*texts)) }
                }
            }
            g.marks {
                @for join in &tree.joins {
                    @let [(above, from), (below, to)] = join.sides;
                    path.line.joint d=(format!("M{:.0} {:.0}H{:.0}V{:.0}H{:.0}", x(from), y(above), x(join.distance), y(below), x(to))) {}
                }
                @for join in &tree.joins {
                    @let place = (x(join.distance) as i32, y((join.sides[0].0 + join.sides[1].0) / 2.0) as i32);
                    path.mark.joint d=(Shape::Circle.path(place, 3.0 * f64::from(FINE))) { title { (join.title) } }
                }
                @for (row, (cluster, clusters, texts)) in tree.leaves.iter().enumerate() {
                    @let look = if marked { format!("mark c{}", cluster % MOST_COLOURS) } else { "mark joint".into() };
                    @let shape = if marked { Shape::of_series(*cluster) } else { Shape::Circle };
                    path class=(look) d=(shape.path((NAMES * FINE, y(row as f64) as i32), 4.5 * f64::from(FINE))) {
                        title {
                            (shorten(&report.clusters[*cluster].name, 200).0)
                            @if *clusters > 1 { " and " (counted(clusters - 1, "other")) }
                            "\n" (counted(*texts, "text"))
                        }
                    }
                }
            }
        }
    };
    let drawn = tree.leaves.len();
    let folded = match report.clusters.len() - drawn {
        0 => String::new(),
        _ => format!("Drawn are the upper {} of {} branches. ", count(drawn), count(report.clusters.len())),
    };
    let note = format!("{folded}The farther left two branches meet, the more alike their texts are.");
    let numbers = html! {
        table {
            thead { tr { th.n { "Distance" } th { "Comes together" } } }
            tbody { @for join in &tree.joins { tr {
                td.n { (score(join.distance)) }
                td { (join.title.split('\n').skip(1).collect::<Vec<_>>().join(" · ")) }
            } } }
        }
    };
    figure("Which clusters are near each other", svg.into_string(), html! {}, &note, numbers)
}
