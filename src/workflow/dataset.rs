//! Labelled texts: what a head is trained on, or measured by.

use std::collections::HashMap;

use crate::data::{Label, LabelKind, Selection, Table};
use crate::encoder::Text;
use crate::error::{Error, Result};
use crate::head::{Matrix, Targets, TrainData, train_test_split};

/// Labelled texts in memory. Every list has one entry a row.
///
/// ```
/// use frostbert::data::{Selection, Table};
/// use frostbert::workflow::Dataset;
///
/// let table = Table::from_bytes("films.csv", "text,label\nA delight.,pos\nA bore.,neg\n")?;
/// let data = Dataset::read(table, &Selection { labels: vec!["label".into()], ..Selection::default() })?;
/// assert_eq!((data.len(), data.targets.names()), (2, &["neg".to_owned(), "pos".to_owned()][..]));
/// # Ok::<(), frostbert::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Dataset {
    /// Where the rows come from, for messages and reports.
    pub name: String,
    /// The texts; empty where only their embeddings are known.
    pub texts: Vec<Text>,
    /// What each row should give.
    pub targets: Targets,
    /// Group of each row: rows of one group never part in a split. None: every row by itself.
    pub groups: Option<Vec<u32>>,
    /// Weight of each row in training. None: one each.
    pub weights: Option<Vec<f64>>,
    /// Number of each row in its table, from 1, the header not counted; rows that a filter left out are counted.
    pub numbers: Vec<u64>,
}

impl Dataset {
    /// Rows from elsewhere than a table, numbered as they come.
    ///
    /// # Errors
    /// There is not one text for each target.
    pub fn new(
        name: impl Into<String>,
        texts: impl IntoIterator<Item = impl Into<Text>>,
        targets: Targets,
    ) -> Result<Self> {
        let texts: Vec<Text> = texts.into_iter().map(Into::into).collect();
        if texts.len() != targets.rows() {
            return Err(Error::input(format!(
                "making a data set: expected a text for each of {} targets, found {}",
                targets.rows(),
                texts.len()
            )));
        }
        let numbers = (1..=texts.len() as u64).collect();
        Ok(Dataset { name: name.into(), texts, targets, groups: None, weights: None, numbers })
    }

    /// Rows of which only the embeddings are known.
    pub fn without_texts(name: impl Into<String>, targets: Targets) -> Self {
        let numbers = (1..=targets.rows() as u64).collect();
        Dataset { name: name.into(), texts: Vec::new(), targets, groups: None, weights: None, numbers }
    }

    /// Reads a table whole: its texts and labels and, where the selection names columns for them, groups and weights.
    ///
    /// # Errors
    /// The selection names no label column, or one that the table does not have; the table cannot be read, or a cell holds
    /// what it should not; the message says where.
    pub fn read(table: Table, selection: &Selection) -> Result<Self> {
        if selection.labels.is_empty() {
            return Err(Error::input(format!(
                "{}: which column holds the labels? There are {}",
                table.name(),
                table.columns().join(", ")
            )));
        }
        let (data, unlabelled) = Self::read_partly_labelled(table, selection)?;
        match unlabelled.first() {
            None => Ok(data),
            Some(_) => Err(Error::input(format!(
                "{}: {} rows have no label; give them one, or leave them out",
                data.name,
                unlabelled.len()
            ))),
        }
    }

    /// Reads a table of which some rows have no label, or all: the labelled rows, and the texts of the others. The selection says so by
    /// [`LabelKind::OptionalName`], or by naming no label column.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_partly_labelled(table: Table, selection: &Selection) -> Result<(Self, Vec<Text>)> {
        let (name, label_name) = (table.name().to_owned(), selection.labels.join(","));
        let optional = selection.labels.is_empty() || selection.label_kind == LabelKind::OptionalName;
        let mut unlabelled = Vec::new();
        let (mut texts, mut numbers, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        let (mut groups, mut weights) = (Vec::new(), Vec::new());
        for row in table.rows(selection)? {
            let row = row?;
            if optional && row.label.is_none() {
                unlabelled.push(Text { first: row.text, second: row.pair });
                continue;
            }
            labels.extend(row.label);
            groups.extend(row.group);
            weights.extend(row.weight);
            numbers.push(row.number);
            texts.push(Text { first: row.text, second: row.pair });
        }
        let data = Dataset {
            name,
            targets: targets(&labels, &selection.label_kind, label_name),
            groups: selection.group.is_some().then(|| numbered(&groups)),
            weights: selection.weight.is_some().then_some(weights),
            texts,
            numbers,
        };
        Ok((data, unlabelled))
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The rows of these indices, in that order. Names of classes stay, whether any of the rows has them or not.
    ///
    /// # Panics
    /// There is no such row.
    #[must_use]
    pub fn select(&self, rows: &[u32]) -> Dataset {
        fn pick<T: Clone>(all: &[T], rows: &[u32]) -> Vec<T> {
            rows.iter().map(|row| all[*row as usize].clone()).collect()
        }
        Dataset {
            name: self.name.clone(),
            texts: if self.texts.is_empty() { Vec::new() } else { pick(&self.texts, rows) },
            targets: self.targets.select_rows(rows),
            groups: self.groups.as_ref().map(|groups| pick(groups, rows)),
            weights: self.weights.as_ref().map(|weights| pick(weights, rows)),
            numbers: pick(&self.numbers, rows),
        }
    }

    /// At most about `limit` rows, drawn by the seed, each class or set of labels in proportion: tables are often sorted by
    /// class, and their first rows would show one only. Classes of which no row is drawn are gone.
    ///
    /// # Errors
    /// The limit is zero.
    pub fn draw(self, limit: usize, seed: u64) -> Result<Self> {
        if limit >= self.len() {
            return Ok(self);
        }
        let share = limit as f64 / self.len() as f64;
        let rows = train_test_split(&strata(&self.targets, share), None, share, seed)?.test;
        let mut drawn = self.select(&rows);
        drawn.targets = without_absent(&drawn.targets);
        Ok(drawn)
    }

    /// The same rows under a head's names: tables that lack a class, or name classes in another order, still count right.
    ///
    /// # Errors
    /// A label that the head does not know.
    pub fn with_names(mut self, names: &[String]) -> Result<Self> {
        self.targets = renamed(self.targets, names, self.numbers.len())?;
        Ok(self)
    }

    /// Checks, before anything costly is done, that there is something to learn.
    ///
    /// # Errors
    /// Fewer than two classes, a label that every row or none has, weights that are all zero.
    pub fn check(&self) -> Result<()> {
        if let Targets::Classes { names, .. } = &self.targets
            && names.len() < 2
        {
            return Err(Error::input(format!(
                "cannot train a head: expected at least two classes in {}, found only {:?}; check the label column and the \
                 filters",
                self.name,
                names.first().map_or("none", String::as_str)
            )));
        }
        if self.targets.names().is_empty() {
            return Err(Error::input(format!(
                "cannot train a head: no row of {} bears any label; check the label column",
                self.name
            )));
        }
        // Embeddings are still to come: a column of zeros stands for them.
        let mut data =
            TrainData::new(Matrix::new(self.len(), 1, vec![0.0; self.len()])?, self.targets.clone());
        (data.weights, data.groups) = (self.weights.clone(), self.groups.clone());
        data.check().map_err(|error| error.context(&self.name))
    }
}

/// What labels stand for.
fn targets(labels: &[Label], kind: &LabelKind, name: String) -> Targets {
    let names = |label: &Label| match label {
        Label::Name(name) => vec![name.clone()],
        Label::Names(names) => names.clone(),
        Label::Number(number) => vec![number.to_string()],
    };
    match kind {
        LabelKind::Number => {
            let number = |label: &Label| if let Label::Number(number) = label { *number } else { f64::NAN };
            Targets::values(labels.iter().map(number).collect(), name)
        }
        LabelKind::List { .. } | LabelKind::Indicators => {
            Targets::multi_label(&labels.iter().map(names).collect::<Vec<_>>())
        }
        LabelKind::Name | LabelKind::OptionalName => {
            Targets::classes(&labels.iter().map(|label| names(label).concat()).collect::<Vec<_>>())
        }
    }
}

/// A number for each name, in the order of their first appearance.
fn numbered(names: &[String]) -> Vec<u32> {
    let mut known: HashMap<&str, u32> = HashMap::new();
    names
        .iter()
        .map(|name| {
            let next = known.len() as u32;
            *known.entry(name).or_insert(next)
        })
        .collect()
}

/// The same targets without the names that no row has.
fn without_absent(targets: &Targets) -> Targets {
    match targets {
        Targets::Classes { labels, names } => {
            Targets::classes(&labels.iter().map(|label| &names[*label as usize]).collect::<Vec<_>>())
        }
        Targets::MultiLabel { marks, names } => {
            let of_row = |row: &[bool]| -> Vec<&String> {
                row.iter().zip(names).filter(|(mark, _)| **mark).map(|(_, name)| name).collect()
            };
            Targets::multi_label(&marks.chunks_exact(names.len().max(1)).map(of_row).collect::<Vec<_>>())
        }
        values => values.clone(),
    }
}

fn renamed(targets: Targets, names: &[String], rows: usize) -> Result<Targets> {
    let place = |name: &String| {
        names.iter().position(|known| known == name).ok_or_else(|| {
            let known: Vec<&str> = names.iter().take(12).map(String::as_str).collect();
            Error::input(format!(
                "the label {name:?} is not one that the head was trained on; it knows {}",
                known.join(", ")
            ))
        })
    };
    Ok(match targets {
        Targets::Classes { labels, names: own } => {
            let places = own.iter().map(place).collect::<Result<Vec<usize>>>()?;
            let labels = labels.iter().map(|label| places[*label as usize] as u32).collect();
            Targets::Classes { labels, names: names.to_vec() }
        }
        Targets::MultiLabel { marks, names: own } => {
            let places = own.iter().map(place).collect::<Result<Vec<usize>>>()?;
            // Targets without a single label do not know how many rows they have.
            let mut renamed = vec![false; rows * names.len()];
            for (row, to) in
                marks.chunks_exact(own.len().max(1)).zip(renamed.chunks_exact_mut(names.len().max(1)))
            {
                row.iter().zip(&places).for_each(|(mark, place)| to[*place] = *mark);
            }
            Targets::MultiLabel { marks: renamed, names: names.to_vec() }
        }
        values => values,
    })
}

/// The strata of a draw of this share. Sets of labels too rare to give one row to each side are one stratum together: by
/// themselves each would give half of its rows, or none, whatever the share.
pub(super) fn strata(targets: &Targets, share: f64) -> Vec<u32> {
    let strata = targets.strata();
    if !matches!(targets, Targets::MultiLabel { .. }) {
        return strata;
    }
    let mut rows: HashMap<u32, u32> = HashMap::new();
    strata.iter().for_each(|stratum| *rows.entry(*stratum).or_default() += 1);
    let rare = |stratum: &u32| f64::from(rows[stratum]) * share.min(1.0 - share) < 1.0;
    strata.iter().map(|stratum| if rare(stratum) { u32::MAX } else { *stratum }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(csv: &str, kind: LabelKind, selection: Selection) -> Result<Dataset> {
        let table = Table::from_bytes("rows.csv", csv)?;
        let labels = match kind {
            LabelKind::Indicators => vec!["x".into(), "y".into()],
            _ => vec!["label".into()],
        };
        Dataset::read(table, &Selection { labels, label_kind: kind, ..selection })
    }

    #[test]
    fn every_kind_of_label_groups_weights_and_row_numbers_are_read() {
        let selection = Selection {
            group: Some("who".into()),
            weight: Some("w".into()),
            filters: vec!["who!=z".parse().unwrap()],
            ..Selection::default()
        };
        let csv = "text,label,who,w\na,p,u,1\nb,q,z,2\nc,p,v,3\nd,q,u,4\n";
        let data = read(csv, LabelKind::Name, selection).unwrap();
        assert_eq!(data.targets, Targets::classes(&["p", "p", "q"]));
        assert_eq!((data.groups, data.weights), (Some(vec![0, 1, 0]), Some(vec![1.0, 3.0, 4.0])));
        assert_eq!(data.numbers, [1, 3, 4], "the number in the table, whatever the filter left out");

        let number = read("text,label\na,1.5\nb,-2\n", LabelKind::Number, Selection::default()).unwrap();
        assert_eq!(number.targets, Targets::values(vec![1.5, -2.0], "label"));
        let list = LabelKind::List { separator: ";".into() };
        let list = read("text,label\na,\nb,u;v\n", list, Selection::default()).unwrap();
        assert_eq!(
            list.targets,
            Targets::multi_label(&[vec![], vec!["u", "v"]]),
            "a first row without labels"
        );
        let both = read("text,x,y\na,1,0\nb,1,1\n", LabelKind::Indicators, Selection::default()).unwrap();
        assert_eq!(both.targets, Targets::multi_label(&[vec!["x"], vec!["x", "y"]]));
        let table = Table::from_bytes("rows.csv", "text,label\na,b\n").unwrap();
        let error = Dataset::read(table, &Selection::default()).unwrap_err();
        assert!(error.is_input() && error.to_string().contains("text, label"), "{error}");
    }

    #[test]
    fn a_draw_keeps_proportions_and_forgets_classes_without_a_row() {
        let labels: Vec<&str> = (0..300)
            .map(|row| {
                if row < 200 {
                    "a"
                } else if row < 299 {
                    "b"
                } else {
                    "once"
                }
            })
            .collect();
        let texts = (0..300).map(|row| format!("text {row}"));
        let data = Dataset::new("rows", texts, Targets::classes(&labels)).unwrap();
        let drawn = data.clone().draw(30, 7).unwrap();
        assert_eq!(drawn, data.clone().draw(30, 7).unwrap());
        assert_ne!(drawn.numbers, data.clone().draw(30, 8).unwrap().numbers);
        let Targets::Classes { labels, names } = &drawn.targets else { unreachable!() };
        assert_eq!((drawn.len(), &names[..]), (30, &["a".to_owned(), "b".to_owned()][..]));
        assert_eq!(labels.iter().filter(|label| **label == 0).count(), 20);
        assert!(
            drawn.texts.iter().zip(&drawn.numbers).all(|(text, n)| text.first == format!("text {}", n - 1))
        );
        assert_eq!(data.clone().draw(300, 7).unwrap(), data);
        assert!(data.draw(0, 7).unwrap_err().is_input());
    }

    #[test]
    fn held_out_labels_go_by_the_heads_names() {
        let names: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
        let data = |targets: Targets| Dataset::new("rows", vec!["text"; targets.rows()], targets).unwrap();
        let classes = data(Targets::classes(&["c", "b", "c"])).with_names(&names).unwrap();
        assert_eq!(classes.targets, Targets::Classes { labels: vec![2, 1, 2], names: names.clone() });
        let labels =
            data(Targets::multi_label(&[vec!["c"], vec![], vec!["b", "c"]])).with_names(&names).unwrap();
        let Targets::MultiLabel { marks, .. } = labels.targets else { unreachable!() };
        assert_eq!(marks, [false, false, true, false, false, false, false, true, true]);
        let error = data(Targets::classes(&["a", "d"])).with_names(&names).unwrap_err();
        assert!(
            error.is_input() && error.to_string().contains("\"d\"") && error.to_string().contains("a, b, c")
        );
        // Held-out rows that bear no label at all are rows all the same.
        let list = LabelKind::List { separator: ";".into() };
        let none = read("text,label\na,\nb,\n", list, Selection::default()).unwrap();
        assert!(none.check().unwrap_err().to_string().contains("bears any label"));
        assert_eq!(none.with_names(&names).unwrap().targets.rows(), 2);
    }

    #[test]
    fn what_cannot_be_learnt_is_told_before_the_encoder_works() {
        let says = |targets: Targets| {
            let data = Dataset::new("rows.csv", vec!["text"; targets.rows()], targets).unwrap();
            data.check().unwrap_err().to_string()
        };
        assert!(says(Targets::classes(&["a", "a"])).contains("only \"a\""));
        assert!(says(Targets::classes::<&str>(&[])).contains("two classes in rows.csv"));
        assert!(says(Targets::multi_label(&[vec!["a"], vec!["a"]])).contains("on 2 of 2 rows"));
        assert!(says(Targets::values(vec![], "stars")).contains("at least one row"));
        Dataset::new("rows", ["x", "y"], Targets::classes(&["a", "b"])).unwrap().check().unwrap();
    }
}
