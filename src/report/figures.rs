//! The report's plots: what each shows, its legend, its words, and the same numbers as a table.

use super::format::{count, counted, ends, percent, score, shorten, signed};
use super::plot::{Axis, Canvas, MOST_COLOURS, Shape, plot, span};
use super::sample::{MOST_POINTS, POINT_TEXT, sample_note, sampled};
use super::{
    ClassCurves, CoveragePoint, CurvePoint, LearningCurve, RegressionPoint, Reliability, ReliabilityPoint,
};
use crate::error::Result;
use maud::{Markup, PreEscaped, html};

/// A plot with its words. `numbers` are the same facts as a table, closed at first.
pub(super) fn figure(caption: &str, svg: String, legend: Markup, note: &str, numbers: Markup) -> Markup {
    html! {
        figure {
            figcaption { (caption) }
            (legend)
            div.plot { (PreEscaped(svg)) }
            @if !note.is_empty() { p.note { (note) } }
            @if !numbers.0.is_empty() {
                details { summary { "The numbers" } div.scroll { (numbers) } }
            }
        }
    }
}

/// Names of the drawn lines: CSS class of the line, name, a remark.
fn legend<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str, Option<String>)>) -> Markup {
    html! {
        ul.legend { @for (class, name, remark) in entries { li {
            svg.sample viewBox="0 0 260 120" aria-hidden="true" { path class=(class) d="M10 60h240" {} }
            span dir="auto" { (name) }
            @if let Some(remark) = remark { span.muted { (remark) } }
        } } }
    }
}

/// Confidence against accuracy.
pub(super) fn reliability(reliability: &Reliability) -> Result<Markup> {
    struct Series<'a> {
        name: &'static str,
        line: &'static str,
        mark: &'static str,
        shape: Shape,
        bins: Vec<&'a ReliabilityPoint>,
        ece: Option<f64>,
    }
    fn full(bins: &[ReliabilityPoint]) -> Vec<&ReliabilityPoint> {
        bins.iter().filter(|bin| bin.count > 0).collect()
    }
    let before = Series {
        name: "as trained",
        line: "line s6",
        mark: "mark s6",
        shape: Shape::Square,
        bins: full(&reliability.before),
        ece: reliability.ece_before,
    };
    let after = Series {
        name: "calibrated",
        line: "line s0",
        mark: "mark s0",
        shape: Shape::Circle,
        bins: full(&reliability.after),
        ece: reliability.ece_after,
    };
    let series: Vec<Series<'_>> =
        [before, after].into_iter().filter(|series| !series.bins.is_empty()).collect();
    let most = series.iter().flat_map(|series| &series.bins).map(|bin| bin.count).max().unwrap_or(1);
    let svg = plot(
        (460, 400),
        "Reliability diagram: accuracy against confidence; the diagonal is perfect calibration",
        &Axis::unit("Confidence"),
        &Axis::unit("Accuracy"),
        |canvas| {
            canvas.line([(0.0, 0.0), (1.0, 1.0)], "ideal");
            for series in &series {
                canvas.line(series.bins.iter().map(|bin| (bin.confidence, bin.accuracy)), series.line);
                for bin in &series.bins {
                    // Larger for more rows: a bin of five rows says little.
                    let radius = 2.0 + 5.5 * (bin.count as f64 / most as f64).sqrt();
                    let title = format!(
                        "{}: confidence {}, accuracy {}, {}",
                        series.name,
                        score(bin.confidence),
                        score(bin.accuracy),
                        counted(bin.count, "row")
                    );
                    canvas.mark((bin.confidence, bin.accuracy), series.shape, radius, series.mark, &title);
                }
            }
        },
    )?;
    let key = legend(
        series
            .iter()
            .map(|series| (series.line, series.name, series.ece.map(|ece| format!("ECE {}", score(ece))))),
    );
    let numbers = html! {
        table {
            thead { tr { th { "Curve" } th.n { "Confidence" } th.n { "Accuracy" } th.n { "Rows" } } }
            tbody { @for series in &series { @for bin in &series.bins { tr {
                td { (series.name) }
                td.n { (score(bin.confidence)) }
                td.n { (score(bin.accuracy)) }
                td.n { (count(bin.count)) }
            } } } }
        }
    };
    let method = reliability.method.as_ref().map(|method| format!("Calibrated by {method}. "));
    let note = format!(
        "{}On the dashed line, 80% sure means right 80% of the time; below it the head is too sure. \
         Larger marks hold more rows.",
        method.unwrap_or_default()
    );
    Ok(figure("Reliability", svg, key, &note, numbers))
}

/// Accuracy of the surest answers by how many are given.
pub(super) fn coverage(points: &[CoveragePoint]) -> Result<Markup> {
    let svg = plot(
        (460, 400),
        "Coverage and accuracy: how often the head is right where it decides only what it is surest of",
        &Axis::unit("Coverage: share of the texts that are decided"),
        &Axis::around("Accuracy", points.iter().map(|point| point.accuracy)),
        |canvas| canvas.line(points.iter().map(|point| (point.coverage, point.accuracy)), "line s0"),
    )?;
    // A table of every tenth of the texts says it all.
    let tenth = |tenth: usize| points.iter().find(|point| point.coverage >= tenth as f64 / 10.0 - 1e-9);
    let rows: Vec<&CoveragePoint> = (1..=10).filter_map(tenth).collect();
    let numbers = html! {
        table {
            thead { tr { th.n { "Decided" } th.n { "Accuracy" } th.n { "At least so sure" } } }
            tbody { @for point in &rows { tr {
                td.n { (percent(point.coverage)) }
                td.n { (score(point.accuracy)) }
                td.n { (score(point.at_least)) }
            } } }
        }
    };
    let half = points.iter().find(|point| point.coverage >= 0.5).map(|point| {
        format!(
            "The surer half is right {} of the time; --abstain {} decides it and nothing else.",
            percent(point.accuracy),
            score(point.at_least)
        )
    });
    Ok(figure("What deciding less is worth", svg, html! {}, &half.unwrap_or_default(), numbers))
}

/// ROC and precision-recall curves side by side, and the areas below them of every class.
pub(super) fn curves(curves: &[ClassCurves]) -> Result<Markup> {
    let names: Vec<String> = curves.iter().map(|curve| shorten(&curve.class, 30).0).collect();
    let shown = curves.len().min(MOST_COLOURS);
    let classes: Vec<String> = (0..shown).map(|series| format!("line s{series}")).collect();
    let draw = |points: fn(&ClassCurves) -> &Vec<[f64; 2]>| {
        let classes = &classes;
        move |canvas: &mut Canvas<'_>| {
            for (curve, class) in curves.iter().zip(classes) {
                canvas.line(points(curve).iter().map(|&[x, y]| (x, y)), class);
            }
        }
    };
    let key =
        || legend(classes.iter().zip(&names).map(|(class, name)| (class.as_str(), name.as_str(), None)));
    let roc = plot(
        (460, 400),
        "ROC curve of each class against the rest",
        &Axis::unit("False positive rate"),
        &Axis::unit("True positive rate"),
        |canvas| {
            canvas.line([(0.0, 0.0), (1.0, 1.0)], "ideal");
            draw(|curve| &curve.roc)(canvas);
        },
    )?;
    let pr = plot(
        (460, 400),
        "Precision-recall curve of each class against the rest",
        &Axis::unit("Recall"),
        &Axis::unit("Precision"),
        draw(|curve| &curve.pr),
    )?;
    Ok(html! {
        div.pair {
            (figure("ROC", roc, key(), "On the dashed line the head guesses; the closer to the upper left, the better.", html! {}))
            (figure("Precision and recall", pr, key(), "The closer to the upper right, the better.", html! {}))
        }
        @if curves.len() > shown {
            p.note { "Drawn are the first " (shown) " of " (curves.len()) " classes; the table has all." }
        }
        details open[curves.len() <= 12] {
            summary { "Areas under the curves" }
            div.scroll { table.tight {
                thead { tr { th { "Class" } th.n { "ROC AUC" } th.n { "Average precision" } } }
                tbody { @for (curve, name) in curves.iter().zip(&names) { tr {
                    th scope="row" dir="auto" { (name) }
                    td.n { (score(curve.roc_auc.unwrap_or(f64::NAN))) }
                    td.n { (score(curve.average_precision.unwrap_or(f64::NAN))) }
                } } }
            } }
        }
    })
}

/// Predicted against true value.
pub(super) fn regression(points: &[RegressionPoint]) -> Result<Markup> {
    let shown = sampled(points, MOST_POINTS);
    let values = || points.iter().flat_map(|point| [point.truth, point.predicted]);
    let (low, high) = span(values());
    let svg = plot(
        (560, 460),
        "Predicted against true value; on the diagonal they agree",
        &Axis::around("True value", values()),
        &Axis::around("Predicted value", values()),
        |canvas| {
            canvas.line([(low, low), (high, high)], "ideal");
            for point in &shown {
                let text = shorten(&point.text, POINT_TEXT).0;
                let title =
                    format!("true {}, predicted {}\n{text}", score(point.truth), score(point.predicted));
                canvas.mark((point.truth, point.predicted), Shape::Circle, 3.0, "point c0", &title);
            }
        },
    )?;
    let note = sample_note(shown.len(), points.len());
    Ok(figure("Predicted against true", svg, html! {}, &note, html! {}))
}

/// Score by number of training rows.
pub(super) fn learning_curve(curve: &LearningCurve) -> Result<Markup> {
    let points: Vec<_> = curve.points.iter().filter(|point| point.rows > 0).collect();
    let place = |rows: usize| (rows as f64).ln();
    let (first, last) = span(points.iter().map(|point| place(point.rows)));
    let margin = if last > first { 0.05 * (last - first) } else { 0.5 };
    let mut ticks: Vec<f64> = vec![];
    // Labels from the right, where the full data set is; those that would touch are left out.
    for point in points.iter().rev() {
        let tick = place(point.rows);
        if ticks.last().is_none_or(|next| next - tick > 0.13 * (last - first)) {
            ticks.push(tick);
        }
    }
    let rows_axis = Axis {
        name: "Training rows (logarithmic)",
        range: first - margin..last + margin,
        ticks,
        label: &|rows| count(rows.exp().round() as usize),
    };
    let scores = || {
        let ends = |point: &CurvePoint| [point.score.low, point.score.high, point.score.mean];
        points.iter().flat_map(move |point| ends(point).into_iter().chain(point.train))
    };
    let train = points.iter().any(|point| point.train.is_some());
    let svg = plot(
        (560, 360),
        &format!("Learning curve: {} by number of training rows", curve.metric),
        &rows_axis,
        &Axis::around(&curve.metric, scores()),
        |canvas| {
            let interval = |point: &&&CurvePoint| point.score.ends().is_some();
            let band: Vec<_> = points
                .iter()
                .filter(interval)
                .map(|point| (place(point.rows), point.score.low, point.score.high))
                .collect();
            if band.len() > 1 {
                canvas.band(&band, "band s0");
            }
            let seen = points.iter().filter_map(|point| Some((place(point.rows), point.train?)));
            canvas.line(seen, "line s6");
            canvas.line(points.iter().map(|point| (place(point.rows), point.score.mean)), "line s0");
            for point in &points {
                let interval = ends(point.score).map(|ends| format!(" ({ends})")).unwrap_or_default();
                let title = format!("{}: {}{interval}", counted(point.rows, "row"), score(point.score.mean));
                canvas.mark((place(point.rows), point.score.mean), Shape::Circle, 4.0, "mark s0", &title);
            }
        },
    )?;
    let key = match train {
        true => legend([
            ("line s0", "held-out rows", Some("with interval".into())),
            ("line s6", "the training rows themselves", None),
        ]),
        false => html! {},
    };
    let numbers = html! {
        table {
            thead { tr { th.n { "Rows" } th.n { (curve.metric) } th { "Interval" } @if train { th.n { "On training rows" } } } }
            tbody { @for point in &points { tr {
                td.n { (count(point.rows)) }
                td.n { (score(point.score.mean)) }
                td { (ends(point.score).unwrap_or_default()) }
                @if train { td.n { (score(point.train.unwrap_or(f64::NAN))) } }
            } } }
        }
    };
    Ok(figure("Is more data worth it?", svg, key, &learning_verdict(curve).unwrap_or_default(), numbers))
}

/// Whether more rows would help: what a doubling has brought over the last points, against the last interval.
fn learning_verdict(curve: &LearningCurve) -> Option<String> {
    let recent = curve.points.get(curve.points.len().checked_sub(3)?..)?;
    let (low, high) = recent.last()?.score.ends()?;
    let half = (high - low) / 2.0;
    // Least squares over the logarithm: three points smooth what one lucky sample would suggest.
    let n = recent.len() as f64;
    let doublings = || recent.iter().map(|point| (point.rows as f64).log2());
    let (x, y) = (doublings().sum::<f64>() / n, recent.iter().map(|point| point.score.mean).sum::<f64>() / n);
    let across: f64 = doublings().map(|at| (at - x) * (at - x)).sum();
    let along: f64 = doublings().zip(recent).map(|(at, point)| (at - x) * (point.score.mean - y)).sum();
    let gain = along / across;
    let verdict = match gain.abs() {
        size if !size.is_finite() => return None,
        size if size > half => "more than the interval: more rows are likely to matter.",
        size if size > half / 3.0 => "within the interval: more rows may matter a little.",
        _ => "little beside the interval: more rows of the same kind are unlikely to matter.",
    };
    let first = recent.first()?.rows;
    Some(format!(
        "From {} rows on, doubling them changed the score by {}, with an interval of ±{} at the end; {verdict}",
        count(first),
        signed(gain),
        score(half)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Interval;

    #[test]
    fn the_verdict_weighs_the_gain_of_a_doubling_against_the_interval() {
        let verdict = |gain: f64| {
            let point = |doublings: i32| {
                let mean = 0.7 + gain * f64::from(doublings);
                let score = Interval::new(mean, mean - 0.01, mean + 0.01);
                CurvePoint { rows: 100 << doublings, score, train: None }
            };
            learning_verdict(&LearningCurve {
                metric: "Accuracy".into(),
                points: (0..5).map(point).collect(),
            })
        };
        let text = verdict(0.05).unwrap();
        assert!(text.starts_with("From 400 rows on, doubling them changed the score by +0.050"), "{text}");
        assert!(text.ends_with("likely to matter."), "{text}");
        assert!(verdict(0.005).unwrap().contains("may matter a little"));
        assert!(verdict(0.001).unwrap().contains("unlikely to matter"));
        assert_eq!(verdict(f64::NAN), None);
        assert_eq!(learning_verdict(&LearningCurve::default()), None);
    }
}
