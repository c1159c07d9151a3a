//! Classes that are paths, such as `sport/tennis`: the probability of a node is the sum over the classes below it, so that a parent is never less
//! likely than its child, and an answer stops at the level that is sure enough.
//!
//! Sources: Deng et al. (2012), *Hedging your bets: optimizing accuracy-specificity trade-offs in large scale visual recognition*, for answers that
//! stop early; Kiritchenko et al. (2005), *Functional annotation of genes using hierarchical text categorization*, for hierarchical precision
//! and recall.

use serde::{Deserialize, Serialize};

use super::abstain::{Abstain, Step};
use crate::error::{Error, Result};

/// How a head's class names are read as paths; part of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Levels {
    /// What stands between the parts of a path.
    pub separator: char,
}

/// How sure a node has to be where nothing else was asked for: likelier than all others together.
const SURE: f64 = 0.5;

/// Classes as a tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Hierarchy {
    nodes: Vec<Node>,
    /// Of each class, its nodes from the top down.
    paths: Vec<Vec<usize>>,
    /// Nodes of the first level.
    roots: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq)]
struct Node {
    /// The path down to it.
    name: String,
    /// From 1.
    level: usize,
    children: Vec<usize>,
}

/// A node of an answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Level {
    /// The path down to it, such as `sport` or `sport/tennis`.
    pub name: String,
    /// Its probability: that of all classes below it.
    pub probability: f64,
}

/// Measures of one level.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LevelMeasures {
    /// From 1, the top.
    pub level: usize,
    /// Nodes there.
    pub nodes: usize,
    /// Rows whose class reaches down to it.
    pub rows: usize,
    /// Of those, the share whose likeliest path has the right node there.
    pub accuracy: f64,
    /// The mean over the nodes that any row has, or was given, of F1.
    pub macro_f1: f64,
    /// Share of the rows whose answer reaches down to it, being sure enough.
    pub answered: f64,
    /// Share of those that have the right node there; none where nothing is answered.
    pub right: Option<f64>,
}

/// Measures of answers that stop where they are no longer sure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HierarchyMeasures {
    /// Each level, from the top.
    pub levels: Vec<LevelMeasures>,
    /// How sure a node has to be.
    pub at_least: f64,
    /// Of all nodes of all answers, the share that is right.
    pub precision: f64,
    /// Of all nodes of all rows' classes, the share that is answered.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
}

impl Hierarchy {
    /// The tree of these classes.
    ///
    /// # Errors
    /// The input: a path with an empty part, or no name with a separator.
    ///
    /// ```
    /// use frostbert::head::Hierarchy;
    /// let names = ["sport/tennis", "sport/chess", "film"].map(String::from);
    /// let tree = Hierarchy::of(&names, '/')?;
    /// let path = tree.answer(&[0.5, 0.3, 0.2], Some(0.7));
    /// assert_eq!(path.iter().map(|level| &*level.name).collect::<Vec<_>>(), ["sport"]);
    /// # Ok::<(), frostbert::Error>(())
    /// ```
    pub fn of(names: &[String], separator: char) -> Result<Self> {
        let mut tree = Hierarchy { nodes: vec![], paths: vec![], roots: vec![] };
        for name in names {
            let parts: Vec<&str> = name.split(separator).collect();
            if parts.iter().any(|part| part.trim().is_empty()) {
                return Err(Error::input(format!(
                    "reading labels as paths: {name:?} has an empty part between {separator:?}; expected something like \
                     \"sport{separator}tennis\""
                )));
            }
            let (mut path, mut to) = (vec![], 0);
            for part in parts {
                to += part.len() + if to == 0 { 0 } else { separator.len_utf8() };
                // White space around a separator is no part of a name: "sport > tennis" is below "sport", as "sport> chess" is.
                let own = name[..to].trim();
                let among = path.last().map_or(&tree.roots, |last: &usize| &tree.nodes[*last].children);
                let known = among.iter().copied().find(|node| tree.nodes[*node].name == own);
                let node = known.unwrap_or(tree.nodes.len());
                if known.is_none() {
                    let level = path.len() + 1;
                    tree.nodes.push(Node { name: own.to_owned(), level, children: vec![] });
                    match path.last() {
                        Some(last) => tree.nodes[*last].children.push(node),
                        None => tree.roots.push(node),
                    }
                }
                path.push(node);
            }
            tree.paths.push(path);
        }
        if tree.nodes.iter().all(|node| node.level == 1) {
            return Err(Error::input(format!(
                "reading labels as paths: none has a {separator:?}, so there is only one level; say what stands between the parts of \
                 a path, or train without levels"
            )));
        }
        Ok(tree)
    }

    /// Probability of each node: the sum over its classes.
    fn probabilities(&self, classes: &[f64]) -> Vec<f64> {
        let mut nodes = vec![0.0; self.nodes.len()];
        for (path, p) in self.paths.iter().zip(classes) {
            path.iter().for_each(|node| nodes[*node] += p);
        }
        // The sum of a row may exceed one by rounding.
        nodes.iter_mut().for_each(|p| *p = p.min(1.0));
        nodes
    }

    /// From the top down, at each level the likeliest child, with its probability.
    fn likeliest(&self, classes: &[f64]) -> Vec<(usize, f64)> {
        let nodes = self.probabilities(classes);
        let (mut path, mut among) = (vec![], &self.roots);
        while let Some(best) = among.iter().copied().reduce(|a, b| if nodes[b] > nodes[a] { b } else { a }) {
            path.push((best, nodes[best]));
            among = &self.nodes[best].children;
        }
        path
    }

    fn sure(&self, classes: &[f64], at_least: f64) -> Vec<(usize, f64)> {
        let mut path = self.likeliest(classes);
        // A child is never likelier than its parent.
        path.truncate(path.partition_point(|(_, p)| *p >= at_least));
        path
    }

    /// The likeliest path of one row's probabilities, from the top down, as far as its nodes are at least this likely (without a number: likelier
    /// than all others together); empty where not even the first is.
    ///
    /// # Panics
    /// There is not one probability for each class.
    pub fn answer(&self, probabilities: &[f64], at_least: Option<f64>) -> Vec<Level> {
        assert_eq!(probabilities.len(), self.paths.len(), "one row has a probability for each class");
        let path = self.sure(probabilities, at_least.unwrap_or(SURE));
        let level =
            |(node, probability): (usize, f64)| Level { name: self.nodes[node].name.clone(), probability };
        path.into_iter().map(level).collect()
    }

    /// Measures predictions of rows whose classes are known.
    ///
    /// Shapes: `labels` `[rows]`, `probabilities` `[rows, classes]`.
    ///
    /// # Errors
    /// The input: no rows, shapes that do not agree, a label out of range.
    pub fn measure(
        &self,
        labels: &[u32],
        probabilities: &[f64],
        at_least: Option<f64>,
    ) -> Result<HierarchyMeasures> {
        let classes = self.paths.len();
        let fits = probabilities.len() == labels.len() * classes
            && labels.iter().all(|label| (*label as usize) < classes);
        if labels.is_empty() || !fits {
            return Err(Error::input(format!(
                "measuring levels: expected {classes} probabilities for each of one or more rows, and labels below {classes}; found {} \
                 for {} labels",
                probabilities.len(),
                labels.len()
            )));
        }
        let at_least = at_least.unwrap_or(SURE);
        let rows: Vec<_> = (labels.iter().zip(probabilities.chunks_exact(classes)))
            .map(|(label, p)| (&self.paths[*label as usize][..], self.likeliest(p)))
            .collect();
        let depth = self.nodes.iter().map(|node| node.level).max().unwrap_or(0);
        let share = |part: usize, of: usize| part as f64 / of as f64;
        let mut levels = Vec::with_capacity(depth);
        let (mut given, mut answered, mut right) = (0, 0, 0);
        for at in 0..depth {
            // Of each node: rows that have it, that were given it, and both.
            let mut counts = vec![[0usize; 3]; self.nodes.len()];
            let (mut reach, mut hit, mut sure, mut sure_hit) = (0, 0, 0, 0);
            for (truth, found) in &rows {
                let (truth, found) = (truth.get(at), found.get(at));
                let is_right = truth.is_some_and(|truth| found.is_some_and(|(node, _)| node == truth));
                if let Some(truth) = truth {
                    counts[*truth][0] += 1;
                    reach += 1;
                    hit += usize::from(is_right);
                }
                if let Some((node, p)) = found {
                    counts[*node][1] += 1;
                    counts[*node][2] += usize::from(is_right);
                    if *p >= at_least {
                        sure += 1;
                        sure_hit += usize::from(is_right);
                    }
                }
            }
            let of_level: Vec<[usize; 3]> = (self.nodes.iter().zip(&counts))
                .filter(|(node, count)| node.level == at + 1 && count[0] + count[1] > 0)
                .map(|(_, count)| *count)
                .collect();
            let f1 = of_level.iter().map(|[has, got, both]| share(2 * both, has + got)).sum::<f64>();
            levels.push(LevelMeasures {
                level: at + 1,
                nodes: self.nodes.iter().filter(|node| node.level == at + 1).count(),
                rows: reach,
                accuracy: if reach > 0 { share(hit, reach) } else { 0.0 },
                macro_f1: f1 / of_level.len().max(1) as f64,
                answered: share(sure, rows.len()),
                right: (sure > 0).then(|| share(sure_hit, sure)),
            });
            given += reach;
            answered += sure;
            right += sure_hit;
        }
        let (precision, recall) =
            (if answered > 0 { share(right, answered) } else { 0.0 }, share(right, given));
        let f1 = if right > 0 { share(2 * right, given + answered) } else { 0.0 };
        Ok(HierarchyMeasures { levels, at_least, precision, recall, f1 })
    }

    /// The probability that answers most rows among those at which answers are right, by the lower bound of that share, as often as was asked
    /// for: an answer is right when it is the row's class or a node above it.
    pub(super) fn abstain(&self, labels: &[u32], probabilities: &[f64], precision: f64) -> Result<Abstain> {
        let classes = self.paths.len();
        // Each node of each row's likeliest path becomes its answer when the threshold falls to its probability. From the top
        // down, so that of equals the child has the last word.
        let mut steps = vec![];
        for (row, (label, p)) in labels.iter().zip(probabilities.chunks_exact(classes)).enumerate() {
            let truth = &self.paths[*label as usize];
            let path = self.likeliest(p).into_iter().enumerate();
            steps.extend(path.map(|(at, (node, probability))| Step {
                probability,
                row,
                is_right: truth.get(at) == Some(&node),
            }));
        }
        Abstain::choose(steps, labels.len(), precision).map_err(|highest| {
            Error::input(format!(
                "a precision of {precision} cannot be promised at any level: of answers to the {} out-of-fold rows it is shown to be \
                 {highest:.3} at most; ask for less, or give more rows",
                labels.len()
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Hierarchy {
        Hierarchy::of(
            &["film", "sport", "sport/ball/golf", "sport/ball/tennis", "sport/chess"].map(String::from),
            '/',
        )
        .unwrap()
    }

    fn names(path: &[Level]) -> Vec<&str> {
        path.iter().map(|level| &*level.name).collect()
    }

    #[test]
    fn white_space_around_a_separator_makes_no_other_parent() {
        let classes = ["sport > tennis", "sport> chess", "film"].map(String::from);
        let tree = Hierarchy::of(&classes, '>').unwrap();
        assert_eq!(tree.roots.len(), 2);
        assert_eq!(names(&tree.answer(&[0.5, 0.3, 0.2], Some(0.7))), ["sport"]);
    }

    #[test]
    fn parents_are_as_likely_as_their_children_together() {
        let tree = tree();
        let p = [0.2, 0.1, 0.3, 0.25, 0.15];
        let nodes = tree.probabilities(&p);
        for (at, node) in tree.nodes.iter().enumerate() {
            let own = tree.paths.iter().zip(&p).filter(|(path, _)| path.last() == Some(&at)).map(|(_, p)| p);
            let children = node.children.iter().map(|child| &nodes[*child]);
            assert!((nodes[at] - own.chain(children).sum::<f64>()).abs() < 1e-12, "{node:?}");
        }
        assert_eq!(names(&tree.answer(&p, None)), ["sport", "sport/ball"]);
        assert_eq!(names(&tree.answer(&p, Some(0.25))), ["sport", "sport/ball", "sport/ball/golf"]);
        assert_eq!(names(&tree.answer(&p, Some(0.6))), ["sport"]);
        assert!(tree.answer(&p, Some(0.9)).is_empty());
        let found = tree.answer(&p, None);
        assert!((found[0].probability - 0.8).abs() < 1e-12 && (found[1].probability - 0.55).abs() < 1e-12);
    }

    #[test]
    fn measures_are_counts_by_hand() {
        let tree = tree();
        // Likeliest paths: sport/ball/golf, film, sport/chess; the truth: sport/ball/tennis, film, film.
        let p = [[0.1, 0.0, 0.5, 0.4, 0.0], [0.9, 0.0, 0.1, 0.0, 0.0], [0.3, 0.0, 0.1, 0.0, 0.6]];
        let found = tree.measure(&[3, 0, 0], &p.concat(), Some(0.55)).unwrap();
        let level = |at: usize| &found.levels[at];
        assert_eq!((level(0).nodes, level(0).rows, level(1).nodes, level(2).rows), (2, 3, 2, 1));
        assert!((level(0).accuracy - 2.0 / 3.0).abs() < 1e-12);
        // F1 of film: 2 * 1 / (2 + 1), of sport: 2 * 1 / (1 + 2).
        assert!((level(0).macro_f1 - 2.0 / 3.0).abs() < 1e-12);
        // Of the second level: ball has one row and was given it; chess was given to one row that has nothing there.
        assert!((level(1).accuracy - 1.0).abs() < 1e-12 && (level(1).macro_f1 - 0.5).abs() < 1e-12);
        assert!((level(1).answered - 2.0 / 3.0).abs() < 1e-12 && level(1).right == Some(0.5));
        assert_eq!((level(2).answered, level(2).right, level(2).accuracy), (0.0, None, 0.0));
        // Answers: sport/ball, film, sport/chess: five nodes, three of them right; the rows' classes have five.
        assert!((found.precision - 0.6).abs() < 1e-12 && (found.recall - 0.6).abs() < 1e-12);
        assert!((found.f1 - 0.6).abs() < 1e-12);
        assert!(tree.measure(&[9], &p[0], None).unwrap_err().is_input());
        assert!(tree.measure(&[], &[], None).unwrap_err().is_input());
    }

    #[test]
    fn a_coarser_answer_keeps_a_promise_that_a_fine_one_cannot() {
        let names = ["a/x", "a/y", "b/x", "b/y"].map(String::from);
        let tree = Hierarchy::of(&names, '/').unwrap();
        // The first level is always right, the second a matter of chance.
        let labels: Vec<u32> = (0..200).map(|row| row % 4).collect();
        let p: Vec<f64> = (labels.iter().enumerate())
            .flat_map(|(row, label)| {
                let mut p = [0.05; 4];
                p[(label / 2 * 2) as usize + row / 4 % 2] = 0.5;
                p[(label / 2 * 2) as usize + 1 - row / 4 % 2] = 0.4;
                p
            })
            .collect();
        let rule = tree.abstain(&labels, &p, 0.95).unwrap();
        assert!(rule.below > 0.5 && rule.coverage == 1.0 && rule.reached == 1.0, "{rule:?}");
        let found = tree.measure(&labels, &p, Some(rule.below)).unwrap();
        assert_eq!((found.levels[0].answered, found.levels[1].answered), (1.0, 0.0));
        let loose = tree.abstain(&labels, &p, 0.3).unwrap();
        assert!(
            loose.below <= 0.5 && loose.coverage == 1.0 && (loose.reached - 0.5).abs() < 0.1,
            "{loose:?}"
        );
        assert!(tree.abstain(&labels, &p, 0.999).unwrap_err().to_string().contains("at any level"));
    }

    #[test]
    fn names_that_are_no_paths_are_told() {
        let of = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            Hierarchy::of(&names, '/').unwrap_err().to_string()
        };
        assert!(of(&["sport//tennis", "film"]).contains("empty part"));
        assert!(of(&["/sport", "film/x"]).contains("empty part"));
        assert!(of(&["sport", "film"]).contains("only one level"));
        let two = ["a>b", "a>bc", "ab"].map(String::from);
        assert_eq!(Hierarchy::of(&two, '>').unwrap().nodes.len(), 4, "no prefix is taken for a node");
    }
}
