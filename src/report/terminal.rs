//! The report's tables as aligned text for a terminal of a given width in columns.
//!
//! Only [`token_shares`] colours, and only when told to: whether the output is a terminal, and `NO_COLOR`, are
//! the caller's to ask. Control characters in texts are replaced, so that no text can command the terminal.

use super::format::{clean, count, ends, largest_share, percent, pieces, score, shorten, signed};
use super::training as sections;
use super::{
    CandidateTable, ClassScores, Confusion, ExplainedAnswer, Interval, MetricRow, MetricTable, TokenShare,
};
use crate::error::Result;
use crate::head;
use crate::head::{Estimate, HierarchyMeasures, LayerChoice, LevelMeasures, Problem};
use crate::workflow::TrainingRecord;
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use std::fmt::Write;
use unicode_width::UnicodeWidthStr;

/// Characters of a class name, more of which would only push the numbers out.
const NAME_TEXT: usize = 40;

/// Entries of the list that stands for a confusion matrix too wide for the terminal.
const MOST_CONFUSIONS: usize = 15;

/// What training found out: the kinds compared, the cross-validated measures beside those of simple predictors, and the
/// held-out rows.
///
/// # Errors
/// The record's confusion matrix is not square.
pub fn training(record: &TrainingRecord, width: usize) -> Result<String> {
    let what = match record.problem {
        Problem::Regression => "a number".to_owned(),
        _ => format!("{} classes", record.names.len()),
    };
    let mut text = format!(
        "{} head for {what}, trained on {} rows, C = {}\n",
        record.settings.kind.name(),
        record.data.rows,
        record.c.map_or_else(|| "none".into(), |c| c.to_string())
    );
    if let Some(choice) = &record.choice {
        text += "\nkinds compared on the same folds\n";
        text += &comparison(&sections::kinds(choice, record.settings.kind.name()), "Kind", width);
    }
    if let Some(long) = &record.long {
        if long.candidates.is_empty() {
            text += &format!("\n{}\n", long.reason);
        } else {
            text += &format!(
                "\n{} texts are longer than the {} tokens that the model takes\n",
                long.long_texts, long.max_tokens
            );
            text += &comparison(&sections::long(long), "Embedded", width);
        }
    }
    if let Some(words) = &record.words {
        if words.candidates.is_empty() {
            text += &format!("\nstarted from words; {}\n", words.reason);
        } else {
            text += "\nhow much the words count, compared on the same folds\n";
            text += &comparison(&sections::words(words), "Weight", width);
        }
        if words.without_rows > 0 && record.data.rows > 0 {
            text += &format!(
                "{} of the classes have no example: the words alone know them\n",
                words.without_rows
            );
        }
    }
    if let Some(cv) = &record.cross_validation {
        text += "\ncross-validation on the training rows\n";
        text += &metrics(&sections::compared(record, cv), width);
    }
    if let Some(found) = &record.levels {
        text += &format!("\n{}", levels(found, width));
    }
    if let Some(held_out) = &record.held_out {
        text += "\nheld-out rows\n";
        text += &measures(held_out, width)?;
    }
    Ok(text)
}

/// All measures of one set of rows: numbers, per class, confusion.
///
/// # Errors
/// The confusion matrix is not square.
pub fn measures(measured: &head::Metrics, width: usize) -> Result<String> {
    let mut text = metrics(&sections::measured(measured), width);
    let rows = sections::classes(measured, &[]);
    if !rows.is_empty() {
        text += &format!("\n{}", classes(&rows, width));
    }
    if let Some(found) = sections::confusion(measured) {
        text += &format!("\n{}", confusion(&found, width)?);
    }
    Ok(text)
}

/// Each level of a tree of classes, and what its answers are worth.
pub fn levels(found: &HierarchyMeasures, width: usize) -> String {
    let header =
        ["Level", "Nodes", "Rows", "Accuracy", "Macro F1", "Answered", "Right of those"].map(String::from);
    let cells = |level: &LevelMeasures| {
        vec![
            level.level.to_string(),
            count(level.nodes),
            count(level.rows),
            score(level.accuracy),
            score(level.macro_f1),
            percent(level.answered),
            level.right.map(percent).unwrap_or_default(),
        ]
    };
    let mut text = String::from("levels of the classes\n");
    text += &table(header.into(), found.levels.iter().map(cells).collect(), width);
    let (precision, recall, f1) = (score(found.precision), score(found.recall), score(found.f1));
    let sure = score(found.at_least);
    let _ = writeln!(
        text,
        "answers go down to where they are {sure} sure: precision {precision}, recall {recall}, F1 {f1}"
    );
    text
}

/// Layers compared, the best first, and what to expect of the choice.
pub fn layers(choice: &LayerChoice, width: usize) -> String {
    let mut shown = sections::layers(choice);
    for (row, candidate) in shown.rows.iter_mut().zip(&choice.candidates) {
        let accuracy = candidate.summary.iter().find(|(name, _)| name == "accuracy");
        row.settings.extend(accuracy.map(|(name, found)| (name.clone(), score(found.mean))));
    }
    let corrected = |(name, found): &(&'static str, Estimate)| {
        format!("{name} {} ± {}", score(found.mean), score(found.half_width))
    };
    let corrected: Vec<String> = choice.corrected.iter().map(corrected).collect();
    format!(
        "{}expected of the best of {} on new rows: {}\n",
        comparison(&shown, "Layers", width),
        choice.candidates.len(),
        corrected.join(", ")
    )
}

/// The head's metrics with their intervals, beside those of the baselines.
pub fn metrics(metrics: &MetricTable, width: usize) -> String {
    // The interval of the head only: the baselines are there to be compared with, not studied.
    let intervals =
        metrics.rows.iter().any(|metric| metric.values.first().is_some_and(|head| head.ends().is_some()));
    let many = metrics.systems.len() > 1;
    let cells = |metric: &MetricRow| {
        let direction = if metric.lower_is_better { " (lower is better)" } else { "" };
        let mut cells = vec![format!("{}{direction}", clean(&metric.name))];
        for at in 0..metrics.systems.len() {
            let value = metric.values.get(at).copied().unwrap_or(Interval::point(f64::NAN));
            let star = if many && metric.best() == Some(at) { "*" } else { "" };
            cells.push(format!("{star}{}", score(value.mean)));
            if at == 0 && intervals {
                cells.push(ends(value).unwrap_or_default());
            }
        }
        cells
    };
    let mut header = vec!["Metric".to_string()];
    header.extend(metrics.systems.iter().map(|name| shorten(name, NAME_TEXT).0));
    if intervals {
        header.insert(header.len().min(2), "interval".into());
    }
    let mut text = table(header, metrics.rows.iter().map(cells).collect(), width);
    if !metrics.protocol.is_empty() {
        let star = if many { "; * the best of its row" } else { "" };
        let _ = writeln!(text, "{}{star}", clean(&metrics.protocol));
    }
    text
}

/// Precision, recall and F1 of every class.
pub fn classes(rows: &[ClassScores], width: usize) -> String {
    let thresholds = rows.iter().any(|row| row.threshold.is_some());
    let mut header: Vec<String> = ["Class", "Rows", "Precision", "Recall", "F1"].map(String::from).into();
    header.extend(thresholds.then(|| "Threshold".into()));
    let cells = |row: &ClassScores| {
        let mut cells = vec![shorten(&row.name, NAME_TEXT).0, count(row.support)];
        cells.extend([row.precision, row.recall, row.f1].map(score));
        cells.extend(thresholds.then(|| score(row.threshold.unwrap_or(f64::NAN))));
        cells
    };
    table(header, rows.iter().map(cells).collect(), width)
}

/// The confusion matrix, or its most frequent confusions where the matrix would be wider than the terminal.
///
/// # Errors
/// The matrix is not square, or has another number of rows than of labels.
pub fn confusion(confusion: &Confusion, width: usize) -> Result<String> {
    confusion.check()?;
    let classes = confusion.labels.len();
    let name = |class: usize, most: usize| shorten(&confusion.labels[class], most).0;
    let column = |predicted: usize| {
        let cells = confusion.counts.iter().map(|row| count(row[predicted]).len());
        cells.chain([name(predicted, 14).width()]).max().unwrap_or(0) + 2
    };
    let first = (0..classes).map(|class| name(class, 20).width()).chain(["label \\ predicted".len()]).max();
    let matrix_width = first.unwrap_or(0) + (0..classes).map(column).sum::<usize>();
    if matrix_width <= width {
        let mut header = vec!["label \\ predicted".to_string()];
        header.extend((0..classes).map(|class| name(class, 14)));
        let cells = |(truth, row): (usize, &Vec<usize>)| {
            let mut cells = vec![name(truth, 20)];
            cells.extend(row.iter().map(|&cell| count(cell)));
            cells
        };
        return Ok(table(header, confusion.counts.iter().enumerate().map(cells).collect(), width));
    }
    let pairs = confusion.top_confusions();
    let cells = |&(truth, predicted, cell): &(usize, usize, usize)| {
        let rows: usize = confusion.counts[truth].iter().sum();
        let part = percent(cell as f64 / rows.max(1) as f64);
        vec![format!("{} as {}", name(truth, NAME_TEXT), name(predicted, NAME_TEXT)), count(cell), part]
    };
    let header = ["Label as prediction", "Rows", "Of the label"].map(String::from).into();
    let mut text = table(header, pairs.iter().take(MOST_CONFUSIONS).map(cells).collect(), width);
    if pairs.len() > MOST_CONFUSIONS {
        let _ = writeln!(text, "the most frequent of {} confused pairs", count(pairs.len()));
    }
    Ok(text)
}

/// Candidates with their scores, the chosen one marked. `what` names them: `Layers`, `Kind`.
pub fn comparison(comparison: &CandidateTable, what: &str, width: usize) -> String {
    let names = comparison.setting_names();
    let timed = comparison.rows.iter().any(|row| row.seconds.is_some());
    let mut header = vec![format!("  {what}"), clean(&comparison.metric), "Interval".into()];
    header.extend(names.iter().map(|name| clean(name)));
    header.extend(timed.then(|| "Seconds".into()));
    let cells = |row: &super::Candidate| {
        let mark = if row.chosen { ">" } else { " " };
        let mut cells = vec![
            format!("{mark} {}", shorten(&row.name, NAME_TEXT).0),
            score(row.score.mean),
            ends(row.score).unwrap_or_default(),
        ];
        cells.extend(names.iter().map(|name| {
            let setting = row.settings.iter().find(|(known, _)| known == name);
            setting.map(|(_, value)| clean(value)).unwrap_or_default()
        }));
        cells.extend(timed.then(|| row.seconds.map(|seconds| format!("{seconds:.2}")).unwrap_or_default()));
        cells
    };
    let mut text = table(header, comparison.rows.iter().map(cells).collect(), width);
    if let Some(reason) = &comparison.reason {
        let _ = writeln!(text, "{}", clean(reason));
    }
    text
}

/// A prediction taken apart: the logit, how it adds up, and [`token_shares`].
pub fn explanation(explanation: &ExplainedAnswer, width: usize, colour: bool) -> String {
    let order =
        if explanation.exact { "exact" } else { "to first order: embeddings are scaled to unit length" };
    let sum: f64 = explanation.shares.iter().map(|share| share.share).sum();
    format!(
        "  logit of {}: {:.3} = {:.3} + {sum:.3} from the tokens ({order})\n{}",
        clean(&explanation.label),
        explanation.logit,
        explanation.bias,
        token_shares(&explanation.shares, width, colour)
    )
}

/// The text of a prediction with each token's share of its logit: as a background, blue for more and orange for
/// less, or, without colour, as a number behind the tokens that matter.
pub fn token_shares(shares: &[TokenShare], width: usize, colour: bool) -> String {
    let largest = largest_share(shares).max(f64::MIN_POSITIVE);
    let mut text = String::new();
    let mut column = 0;
    for piece in pieces(shares) {
        let letters = clean(piece.text);
        let weight = if piece.share.is_finite() { piece.share.abs() / largest } else { 0.0 };
        // A quarter of the largest share is where a reader starts to care.
        let number =
            if !colour && weight >= 0.25 { format!("[{}]", signed(piece.share)) } else { String::new() };
        let cells = letters.width() + number.len();
        if piece.spaced && column > 0 {
            let wraps = column + 1 + cells > width;
            text.push(if wraps { '\n' } else { ' ' });
            column = if wraps { 0 } else { column + 1 };
        }
        match shade(piece.share, weight).filter(|_| colour) {
            // Black on a light background reads on dark and light terminals alike.
            Some(shade) => {
                let _ = write!(text, "\x1b[38;5;16;48;5;{shade}m{letters}\x1b[0m");
            }
            None => text.push_str(&letters),
        }
        text.push_str(&number);
        column += cells;
    }
    text.push('\n');
    text
}

/// A colour of the 256-colour cube, stronger for a larger share.
fn shade(share: f64, weight: f64) -> Option<u8> {
    let (blues, oranges) = ([153, 111, 75], [223, 216, 208]);
    let level = match weight {
        weight if weight < 0.1 => return None,
        weight if weight < 0.4 => 0,
        weight if weight < 0.7 => 1,
        _ => 2,
    };
    Some(if share > 0.0 { blues[level] } else { oranges[level] })
}

/// First column to the left, numbers to the right, a line below the header.
fn table(header: Vec<String>, rows: Vec<Vec<String>>, width: usize) -> String {
    let mut table = Table::new();
    table
        .load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')))
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width.clamp(20, u16::MAX.into()) as u16)
        .set_header(header)
        .add_rows(rows);
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding(if at == 0 { (0, 0) } else { (1, 0) });
        column.set_cell_alignment(if at == 0 { CellAlignment::Left } else { CellAlignment::Right });
    }
    table.lines().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{}", line.trim_end());
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Candidate;

    fn share(token: &str, share: f64) -> TokenShare {
        TokenShare { token: token.into(), share }
    }

    #[test]
    fn metrics_align_and_mark_the_best() {
        let metrics = MetricTable {
            protocol: "5-fold".into(),
            systems: vec!["head".into(), "prior".into()],
            rows: vec![
                MetricRow {
                    name: "Accuracy".into(),
                    lower_is_better: false,
                    values: vec![Interval::new(0.788, 0.779, 0.797), Interval::point(0.5)],
                },
                MetricRow {
                    name: "Log loss".into(),
                    lower_is_better: true,
                    values: vec![Interval::point(0.45), Interval::point(f64::NAN)],
                },
            ],
        };
        let expected = "\
Metric                        head        interval  prior
─────────────────────────────────────────────────────────
Accuracy                    *0.788  0.779 to 0.797  0.500
Log loss (lower is better)  *0.450                      –
5-fold; * the best of its row
";
        assert_eq!(super::metrics(&metrics, 80), expected);
    }

    #[test]
    fn a_wide_matrix_becomes_a_list() {
        let labels: Vec<String> = (0..150).map(|class| format!("class {class}")).collect();
        let mut counts = vec![vec![0; 150]; 150];
        counts[3][4] = 7;
        counts[4][3] = 2;
        counts[5][5] = 100;
        let large = Confusion { labels, counts };
        let text = confusion(&large, 80).unwrap();
        assert!(text.contains("class 3 as class 4"), "{text}");
        assert!(text.lines().all(|line| line.width() <= 80));

        let small =
            Confusion { labels: vec!["neg".into(), "pos".into()], counts: vec![vec![40, 2], vec![1, 1234]] };
        let expected = "\
label \\ predicted  neg    pos
─────────────────────────────
neg                 40      2
pos                  1  1,234
";
        assert_eq!(confusion(&small, 80).unwrap(), expected);
        let uneven =
            Confusion { labels: vec!["neg".into(), "pos".into()], counts: vec![vec![1, 2], vec![3]] };
        assert!(confusion(&uneven, 80).unwrap_err().is_input());
    }

    #[test]
    fn comparisons_fit_the_terminal_and_mark_the_chosen() {
        let candidate = |name: &str, mean: f64, chosen: bool| Candidate {
            name: name.into(),
            score: Interval::new(mean, mean - 0.01, mean + 0.01),
            settings: vec![("C".into(), "0.1".into())],
            seconds: Some(1.5),
            chosen,
        };
        let layers = CandidateTable {
            metric: "Accuracy".into(),
            rows: vec![candidate("5", 0.766, true), candidate("6", 0.75, false)],
            ..CandidateTable::default()
        };
        let text = comparison(&layers, "Layers", 60);
        assert!(text.lines().nth(2).unwrap().starts_with("> 5"), "{text}");
        assert!(text.lines().all(|line| line.width() <= 60), "{text}");
    }

    #[test]
    fn shares_wrap_and_no_text_commands_the_terminal() {
        let shares =
            [share("[CLS]", 0.0), share("play", 0.4), share("##ful", 0.1), share("mess\x1b[2J", -0.3)];
        let plain = token_shares(&shares, 80, false);
        assert_eq!(plain, "[CLS] play[+0.400]ful[+0.100] mess\u{fffd}[2J[−0.300]\n");
        let coloured = token_shares(&shares, 80, true);
        assert!(coloured.contains("\x1b[38;5;16;48;5;75mplay\x1b[0m"), "{coloured:?}");
        assert!(coloured.contains("48;5;208m"), "{coloured:?}");
        assert!(!coloured.contains("\x1b[2J"), "{coloured:?}");
        let long: Vec<TokenShare> = (0..40).map(|_| share("token", 0.01)).collect();
        assert!(token_shares(&long, 30, true).lines().count() >= 8);
        assert_eq!(token_shares(&[share("x", f64::NAN)], 30, true), "x\n");
    }
}
