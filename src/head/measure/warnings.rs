//! What a careful person would point out about data and predictions.

use std::collections::HashMap;
use std::fmt;

use super::metrics::Metrics;
use crate::error::{Error, Result};
use crate::head::data::targets::Targets;

/// Rows of a class below which its figures say little, however few the folds.
const FEW_ROWS: usize = 20;

/// Something that makes a result worth less than it looks.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Warning {
    /// Classes or labels have too few rows to be learnt and measured in every fold.
    FewRows {
        /// Their names, and how many rows each has.
        classes: Vec<(String, usize)>,
        /// What would be enough.
        enough: usize,
    },
    /// Rows of a class, or a label, that are held out where no training row has it: they say nothing about the penalty, and
    /// are left out of what chooses `C`.
    NotScored {
        /// Its name.
        name: String,
        /// Its rows.
        rows: usize,
    },
    /// A label's threshold stays at one half.
    NoThreshold {
        /// Its name.
        name: String,
        /// Rows that bear it, or those that don't where they are fewer.
        rows: usize,
        /// What would be enough.
        enough: usize,
    },
    /// One class is so common that accuracy says little.
    Imbalanced {
        /// The common class.
        name: String,
        /// Its share of the rows.
        share: f64,
    },
    /// Training rows with the same text.
    Duplicates {
        /// Rows beyond the first of each text.
        rows: usize,
        /// Two of them.
        example: (usize, usize),
    },
    /// Rows with the same text and different targets.
    Contradictions {
        /// Texts that have them.
        texts: usize,
        /// Two such rows.
        example: (usize, usize),
    },
    /// Test rows whose text is among the training rows: the measures are too good.
    Leakage {
        /// Test rows.
        rows: usize,
        /// A test row and the training row it equals.
        example: (usize, usize),
    },
    /// The head gives one answer to every row.
    OneAnswer {
        /// The answer.
        name: String,
        /// The share of rows for which it is right.
        accuracy: f64,
    },
    /// No better than always giving the commonest class.
    NoBetterThanPrior {
        /// The head's accuracy.
        accuracy: f64,
        /// The commonest class's share.
        prior: f64,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::FewRows { classes, enough } => {
                // A table of a thousand classes would fill the screen.
                const SHOWN: usize = 8;
                let shown: Vec<String> =
                    classes.iter().take(SHOWN).map(|(name, rows)| format!("{name} ({rows})")).collect();
                let more = classes.len().saturating_sub(SHOWN);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                write!(
                    f,
                    "classes with fewer than {enough} training rows, whose figures say little: {}{more}",
                    shown.join(", ")
                )
            }
            Warning::NotScored { name, rows } => write!(
                f,
                "{name:?} ({rows} {}) is held out where no training row has it: left out of the score that chooses C; is the \
                 label misspelt?",
                if *rows == 1 { "row" } else { "rows" }
            ),
            Warning::NoThreshold { name, rows, enough } => write!(
                f,
                "{name:?} has too few rows ({rows}, {enough} are needed) to choose a threshold: it is given from a probability of \
                 0.5 on"
            ),
            Warning::Imbalanced { name, share } => write!(
                f,
                "{:.0}% of the rows are {name:?}: look at balanced accuracy and macro F1 rather than accuracy",
                100.0 * share
            ),
            Warning::Duplicates { rows, example } => write!(
                f,
                "{rows} training rows repeat the text of another one (rows {} and {}, say): folds may share them; \
                 remove them or group them",
                example.0, example.1
            ),
            Warning::Contradictions { texts, example } => write!(
                f,
                "{texts} texts have rows with different labels (rows {} and {}, say)",
                example.0, example.1
            ),
            Warning::Leakage { rows, example } => write!(
                f,
                "{rows} test rows are among the training rows (test row {}, training row {}, say): the measures are \
                 too good",
                example.0, example.1
            ),
            Warning::OneAnswer { name, accuracy } => write!(
                f,
                "the head answers {name:?} to every row (right for {:.1}%): it has learnt nothing but what is common",
                100.0 * accuracy
            ),
            Warning::NoBetterThanPrior { accuracy, prior } => write!(
                f,
                "accuracy {accuracy:.3} is no better than always giving the commonest class ({prior:.3})"
            ),
        }
    }
}

/// Looks at targets and, where given, texts. `test` are held-out rows; `folds` decides how many rows are too few.
///
/// Texts are the same when they differ in case and spaces alone. Rows are counted from 0.
///
/// # Errors
/// The input, when there is not one text a target.
pub fn check_data<S: AsRef<str>>(
    targets: &Targets,
    texts: Option<&[S]>,
    test: Option<(&Targets, &[S])>,
    folds: usize,
) -> Result<Vec<Warning>> {
    let lengths =
        [(targets.rows(), texts.map(<[S]>::len)), test.map_or((0, None), |(t, s)| (t.rows(), Some(s.len())))];
    for (targets, texts) in lengths {
        if texts.is_some_and(|texts| texts != targets) {
            return Err(Error::input(format!(
                "checking data: expected a text for each of {targets} rows, found {}",
                texts.unwrap_or(0)
            )));
        }
    }
    let mut warnings = counts(targets, folds);
    let Some(texts) = texts else { return Ok(warnings) };
    let rows: Vec<u32> = (0..targets.rows() as u32).collect();
    let mut first: HashMap<String, usize> = HashMap::new();
    let (mut repeated, mut repeat) = (0, None);
    let mut contradicted: HashMap<usize, usize> = HashMap::new();
    for (row, text) in texts.iter().enumerate() {
        let known = *first.entry(normal(text.as_ref())).or_insert(row);
        if known != row {
            repeated += 1;
            repeat.get_or_insert((known, row));
            if targets.select_rows(&rows[known..=known]) != targets.select_rows(&rows[row..=row]) {
                contradicted.entry(known).or_insert(row);
            }
        }
    }
    if let Some(example) = repeat {
        warnings.push(Warning::Duplicates { rows: repeated, example });
    }
    if let Some(example) = contradicted.iter().map(|(a, b)| (*a, *b)).min() {
        warnings.push(Warning::Contradictions { texts: contradicted.len(), example });
    }
    if let Some((_, texts)) = test {
        let known = |(row, text): (usize, &S)| Some((row, *first.get(&normal(text.as_ref()))?));
        let leaks: Vec<(usize, usize)> = texts.iter().enumerate().filter_map(known).collect();
        if let Some(&example) = leaks.first() {
            warnings.push(Warning::Leakage { rows: leaks.len(), example });
        }
    }
    Ok(warnings)
}

/// Looks at measures of held-out rows.
pub fn check_predictions(metrics: &Metrics) -> Vec<Warning> {
    let Metrics::SingleLabel(metrics) = metrics else { return vec![] };
    let rows = metrics.rows.max(1) as f64;
    let prior = metrics.classes.iter().map(|class| class.support).max().unwrap_or(0) as f64 / rows;
    let answers: Vec<usize> = (0..metrics.classes.len())
        .filter(|&class| metrics.confusion.iter().any(|row| row[class] > 0))
        .collect();
    match answers[..] {
        [only] if metrics.rows > 1 => {
            let name = metrics.classes[only].name.clone();
            vec![Warning::OneAnswer { name, accuracy: metrics.accuracy }]
        }
        _ if metrics.accuracy <= prior && metrics.rows > 1 => {
            vec![Warning::NoBetterThanPrior { accuracy: metrics.accuracy, prior }]
        }
        _ => vec![],
    }
}

fn counts(targets: &Targets, folds: usize) -> Vec<Warning> {
    // Two rows in every fold: one row's answer is no measure.
    let enough = FEW_ROWS.max(2 * folds);
    let (names, counts) = match targets {
        Targets::Values { .. } => return vec![],
        _ => (targets.names(), targets.counts()),
    };
    let few = |(name, rows): (&String, &usize)| (*rows < enough).then(|| (name.clone(), *rows));
    let classes: Vec<(String, usize)> = names.iter().zip(&counts).filter_map(few).collect();
    let mut warnings = Vec::new();
    if !classes.is_empty() {
        warnings.push(Warning::FewRows { classes, enough });
    }
    if let Targets::Classes { labels, .. } = targets {
        let share = |count: usize| count as f64 / labels.len().max(1) as f64;
        if let Some((name, &count)) = names.iter().zip(&counts).max_by_key(|(_, count)| **count)
            && share(count) >= 0.8
        {
            warnings.push(Warning::Imbalanced { name: name.clone(), share: share(count) });
        }
    }
    warnings
}

fn normal(text: &str) -> String {
    text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::measure::metrics::ClassMetrics;

    #[test]
    fn data_are_looked_at() {
        let labels: Vec<&str> = (0..40).map(|row| if row % 10 == 9 { "rare" } else { "common" }).collect();
        let mut texts: Vec<String> = (0..40).map(|row| format!("text {row}")).collect();
        texts[5] = "Text  4".into();
        texts[19] = "text 0 ".into();
        let targets = Targets::classes(&labels);
        let test = Targets::classes(&["common", "rare"]);
        let held_out = vec!["unseen".to_owned(), "TEXT 7".to_owned()];
        let warnings = check_data(&targets, Some(&texts), Some((&test, &held_out)), 5).unwrap();
        assert_eq!(
            warnings,
            [
                Warning::FewRows { classes: vec![("rare".into(), 4)], enough: 20 },
                Warning::Imbalanced { name: "common".into(), share: 0.9 },
                Warning::Duplicates { rows: 2, example: (4, 5) },
                Warning::Contradictions { texts: 1, example: (0, 19) },
                Warning::Leakage { rows: 1, example: (1, 7) },
            ]
        );
        assert!(warnings[4].to_string().contains("test row 1, training row 7"));
        let clean = Targets::classes(&["a", "b"].repeat(20));
        assert_eq!(check_data::<&str>(&clean, None, None, 5).unwrap(), []);
        assert!(check_data(&clean, Some(&["x"]), None, 5).unwrap_err().is_input());
    }

    #[test]
    fn predictions_are_looked_at() {
        let names: Vec<String> = ["a", "b"].map(String::from).to_vec();
        let metrics = |p: &[f64]| {
            let rows: Vec<f64> = p.iter().flat_map(|p| [1.0 - p, *p]).collect();
            Metrics::SingleLabel(ClassMetrics::new(&[0, 0, 0, 1], &rows, &names))
        };
        let warnings = check_predictions(&metrics(&[0.1, 0.2, 0.1, 0.4]));
        assert_eq!(warnings, [Warning::OneAnswer { name: "a".into(), accuracy: 0.75 }]);
        let warnings = check_predictions(&metrics(&[0.1, 0.9, 0.1, 0.9]));
        assert_eq!(warnings, [Warning::NoBetterThanPrior { accuracy: 0.75, prior: 0.75 }]);
        assert_eq!(check_predictions(&metrics(&[0.1, 0.2, 0.1, 0.9])), []);
    }
}
