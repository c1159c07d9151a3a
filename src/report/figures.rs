//! The report's plots: what each shows, its legend, its words, and the same numbers as a table.

use super::format::{count, counted, ends, percent, score, shorten};
use super::plot::{Axis, Canvas, Shape, plot, span};
use super::{ClassCurves, LearningCurve, Map, RegressionPoint, Reliability, ReliabilityBin};
use crate::error::Result;
use maud::{Markup, PreEscaped, html};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Series that get a colour of their own; the palette in the stylesheet has as many. More could not be told apart.
const MOST_SERIES: usize = 7;

/// Points of a map that are drawn. More hide one another and make the file slow to open.
const MOST_POINTS: usize = 3000;

/// Characters of a text that a point shows when pointed at.
const POINT_TEXT: usize = 220;

/// A plot with its words. `numbers` are the same facts as a table, closed at first.
fn figure(caption: &str, svg: String, legend: Markup, note: &str, numbers: Markup) -> Markup {
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

fn legend<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str, Markup)>) -> Markup {
    html! {
        ul.legend {
            @for (class, name, more) in entries { li { (sample(class)) (name) " " (more) } }
        }
    }
}

/// A piece of the line, as it looks in the plot.
fn sample(class: &str) -> Markup {
    html! { svg.sample viewBox="0 0 260 120" aria-hidden="true" { path class=(class) d="M10 60h240" {} } }
}

/// Confidence against accuracy.
pub(super) fn reliability(reliability: &Reliability) -> Result<Markup> {
    let series = [
        ("before", "s6", Shape::Square, &reliability.before, reliability.ece_before),
        ("after", "s0", Shape::Circle, &reliability.after, reliability.ece_after),
    ];
    let drawn = || series.iter().filter(|(.., bins, _)| bins.iter().any(|bin| bin.count > 0));
    let most = drawn().flat_map(|(.., bins, _)| bins.iter()).map(|bin| bin.count).max().unwrap_or(1).max(1);
    let draw = |canvas: &mut Canvas<'_>| {
        canvas.line([(0.0, 0.0), (1.0, 1.0)], "ideal");
        for (when, class, shape, bins, _) in drawn() {
            let full = || bins.iter().filter(|bin| bin.count > 0);
            canvas.line(full().map(|bin| (bin.confidence, bin.accuracy)), &format!("line {class}"));
            for bin in full() {
                // The area stands for the number of rows: a bin of five rows says little.
                let radius = 2.5 + 5.0 * (bin.count as f64 / most as f64).sqrt();
                let title = format!(
                    "{when}: confidence {}, accuracy {}, {}",
                    score(bin.confidence),
                    score(bin.accuracy),
                    counted(bin.count, "row")
                );
                let class = format!("mark {class}");
                canvas.mark((bin.confidence, bin.accuracy), *shape, radius, &class, &title);
            }
        }
    };
    let ece = |ece: Option<f64>| html! { @if let Some(ece) = ece { span.muted { "ECE " (score(ece)) } } };
    let names = drawn().map(|(when, class, _, _, error)| {
        let name = if *when == "before" { "as trained" } else { "calibrated" };
        (*class, name, ece(*error))
    });
    let key = legend(
        names.map(|(class, name, more)| (if class == "s6" { "line s6" } else { "line s0" }, name, more)),
    );
    let numbers = html! {
        table {
            thead { tr { th { "" } th.n { "Confidence" } th.n { "Accuracy" } th.n { "Rows" } } }
            tbody {
                @for (when, _, _, bins, _) in drawn() {
                    @for ReliabilityBin { confidence, accuracy, count: rows } in bins.iter().filter(|bin| bin.count > 0) {
                        tr { td { (when) } td.n { (score(*confidence)) } td.n { (score(*accuracy)) } td.n { (count(*rows)) } }
                    }
                }
            }
        }
    };
    let svg = plot(
        (460, 400),
        "Reliability diagram: accuracy against confidence; the diagonal is perfect calibration",
        &Axis::unit("Confidence"),
        &Axis::unit("Accuracy"),
        draw,
    )?;
    let method = reliability.method.as_ref().map(|method| format!("Calibrated by {method}. "));
    let note = format!(
        "{}On the dashed line, 80% sure means right 80% of the time; below it the head is too sure. \
         Larger marks hold more rows.",
        method.unwrap_or_default()
    );
    Ok(figure("Reliability", svg, key, &note, numbers))
}

/// ROC and precision-recall curves side by side, and the areas below them of every class.
pub(super) fn curves(curves: &[ClassCurves]) -> Result<Markup> {
    let names: Vec<String> = curves.iter().map(|curve| shorten(&curve.class, 30).0).collect();
    let shown = curves.len().min(MOST_SERIES);
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
        || legend(classes.iter().zip(&names).map(|(class, name)| (class.as_str(), name.as_str(), html! {})));
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
    let left_out = if curves.len() > shown {
        format!("Drawn are the first {shown} of {} classes; the table has all.", curves.len())
    } else {
        String::new()
    };
    Ok(html! {
        div.pair {
            (figure("ROC", roc, key(), "On the dashed line the head guesses; the closer to the upper left, the better.", html! {}))
            (figure("Precision and recall", pr, key(), "The closer to the upper right, the better.", html! {}))
        }
        @if !left_out.is_empty() { p.note { (left_out) } }
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
                canvas.mark((point.truth, point.predicted), Shape::Circle, 3.0, "point k0", &title);
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
        let ends = |point: &super::LearningPoint| [point.score.low, point.score.high, point.score.mean];
        points.iter().flat_map(move |point| ends(point).into_iter().chain(point.train))
    };
    let train = points.iter().any(|point| point.train.is_some());
    let svg = plot(
        (560, 360),
        &format!("Learning curve: {} by number of training rows", curve.metric),
        &rows_axis,
        &Axis::around(&curve.metric, scores()),
        |canvas| {
            let interval = |point: &&&super::LearningPoint| point.score.ends().is_some();
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
            ("line s0", "held-out rows", html! { span.muted { "with interval" } }),
            ("line s6", "the training rows themselves", html! {}),
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
    Ok(figure("Is more data worth it?", svg, key, &learning_verdict(curve), numbers))
}

/// One sentence on whether more rows would help: the step to the last point, against that point's interval.
fn learning_verdict(curve: &LearningCurve) -> String {
    let [.., before, last] = &curve.points[..] else { return String::new() };
    let (gain, half) = match last.score.ends() {
        Some((low, high)) => (last.score.mean - before.score.mean, (high - low) / 2.0),
        None => return String::new(),
    };
    if !gain.is_finite() || last.rows <= before.rows {
        return String::new();
    }
    let step = format!("from {} to {} rows", count(before.rows), count(last.rows));
    if gain.abs() > half {
        let way = if gain > 0.0 { "rises" } else { "falls" };
        format!(
            "The score still {way} by {} {step}, more than the interval: more rows are likely to change it.",
            score(gain.abs())
        )
    } else {
        format!(
            "{step} the score changes by {}, less than the interval of ±{}: no gain from more rows can be seen.",
            super::format::signed(gain),
            score(half)
        )
        .replacen("from", "From", 1)
    }
}

/// A map of embeddings with a choice of classes to bring out.
pub(super) fn map(map: &Map, number: usize) -> Result<Markup> {
    map.check()?;
    let shown = sampled(&map.points, MOST_POINTS);
    // The most frequent classes get a colour; names stay in the order of the labels.
    let mut sizes = vec![0usize; map.labels.len()];
    map.points.iter().for_each(|point| sizes[point.class] += 1);
    let mut named: Vec<usize> = (0..sizes.len()).filter(|&class| sizes[class] > 0).collect();
    let classes = named.len();
    named.sort_by_key(|&class| (std::cmp::Reverse(sizes[class]), class));
    named.truncate(MOST_SERIES);
    named.sort_unstable();
    let series = |class: usize| named.iter().position(|&known| known == class);
    let key_of = |class: usize| series(class).map_or_else(|| "kx".to_string(), |series| format!("k{series}"));

    let (left, right) = span(map.points.iter().map(|point| point.x));
    let (bottom, top) = span(map.points.iter().map(|point| point.y));
    // One unit is as long across as up: distances on the map are its only content.
    let (width, height) = (760.0, 560.0);
    let unit = ((right - left) / width).max((top - bottom) / height).max(f64::MIN_POSITIVE) * 0.53;
    let (x, y) = ((left + right) / 2.0, (bottom + top) / 2.0);
    let svg = plot(
        (width as u32, height as u32),
        &format!("Map of {} by {}, coloured by class", counted(shown.len(), "embedding"), map.method),
        &Axis::bare(x - unit * width..x + unit * width),
        &Axis::bare(y - unit * height..y + unit * height),
        |canvas| {
            for point in &shown {
                let label = |class: usize| shorten(&map.labels[class], 40).0;
                let wrong = point.predicted.filter(|&predicted| predicted != point.class);
                let said = wrong.map(|wrong| format!(", predicted {}", label(wrong))).unwrap_or_default();
                let title = format!("{}{said}\n{}", label(point.class), shorten(&point.text, POINT_TEXT).0);
                let class =
                    format!("point {}{}", key_of(point.class), if wrong.is_some() { " wrong" } else { "" });
                let shape = series(point.class).map_or(Shape::Circle, Shape::of_series);
                canvas.mark((point.x, point.y), shape, 3.2, &class, &title);
            }
        },
    )?;
    let group = format!("map{number}");
    let choice = |value: &str, sample: Markup, name: &str, rows: Option<usize>| {
        html! {
            label {
                input type="radio" name=(group) value=(value) checked[value == "all"];
                (sample) span dir="auto" { (name) }
                @if let Some(rows) = rows { " " span.muted { (count(rows)) } }
            }
        }
    };
    let dot = |class: &str, shape: Shape| {
        html! {
            svg.dot viewBox="-60 -60 120 120" aria-hidden="true" { path class=(class) d=(shape.path((0, 0), 38.0)) {} }
        }
    };
    let others = map.points.iter().filter(|point| series(point.class).is_none()).count();
    let wrong =
        map.points.iter().filter(|point| point.predicted.is_some_and(|said| said != point.class)).count();
    let choices = html! {
        fieldset.legend {
            legend.hidden { "Bring out" }
            (choice("all", html! {}, "all", None))
            @for (at, &class) in named.iter().enumerate() {
                (choice(&format!("k{at}"), dot(&format!("point k{at}"), Shape::of_series(at)),
                    &shorten(&map.labels[class], 30).0, Some(sizes[class])))
            }
            @if others > 0 {
                (choice("kx", dot("point kx", Shape::Circle), &counted(classes - named.len(), "other class"), Some(others)))
            }
            @if wrong > 0 {
                (choice("wrong", dot("point wrong", Shape::Circle), "predicted wrongly", Some(wrong)))
            }
        }
    };
    let total = map.sampled_from.unwrap_or(map.points.len()).max(map.points.len());
    let note = format!("{}Point at a mark to read its text.", sample_note(shown.len(), total));
    let caption = shorten(&map.method, 120).0;
    Ok(html! { div.map { (figure(&caption, svg, choices, &note, html! {})) } })
}

fn sample_note(shown: usize, of: usize) -> String {
    if shown < of {
        let share = percent(shown as f64 / of as f64);
        format!("Drawn are {} of {} rows ({share}), picked at random. ", count(shown), count(of))
    } else {
        String::new()
    }
}

/// At most `most` of the items in their order, picked at random with a fixed seed: every subset is as likely, and
/// the same data give the same page. Source: Knuth, TAOCP volume 2, algorithm 3.4.2 S.
fn sampled<T>(items: &[T], most: usize) -> Vec<&T> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut wanted = most.min(items.len());
    let mut picked = Vec::with_capacity(wanted);
    for (at, item) in items.iter().enumerate() {
        let left = items.len() - at;
        if rng.random_range(0..left) < wanted {
            picked.push(item);
            wanted -= 1;
        }
    }
    picked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Interval, LearningPoint};

    #[test]
    fn a_sample_has_its_size_and_order() {
        let items: Vec<usize> = (0..10_000).collect();
        let picked = sampled(&items, 3000);
        assert_eq!(picked.len(), 3000);
        assert!(picked.windows(2).all(|pair| pair[0] < pair[1]));
        let early = picked.iter().filter(|&&&item| item < 5000).count();
        assert!((1400..1600).contains(&early), "{early} of the first half");
        assert_eq!(sampled(&items[..10], 3000).len(), 10);
    }

    #[test]
    fn the_verdict_weighs_the_gain_against_the_interval() {
        let curve = |last: f64| {
            let point = |rows, mean: f64| LearningPoint {
                rows,
                score: Interval::new(mean, mean - 0.01, mean + 0.01),
                train: None,
            };
            LearningCurve { metric: "Accuracy".into(), points: vec![point(100, 0.7), point(200, last)] }
        };
        assert!(learning_verdict(&curve(0.75)).contains("still rises by 0.050"));
        assert!(learning_verdict(&curve(0.702)).starts_with("From 100 to 200 rows"));
        assert_eq!(learning_verdict(&curve(f64::NAN)), "");
    }
}
