//! The map of the embeddings: one mark a text, coloured and shaped by class.

use super::figures::figure;
use super::format::{count, counted, percent, shorten};
use super::plot::{Axis, MOST_COLOURS, Shape, plot, span};
use super::{Map, MapPoint};
use crate::error::Result;
use maud::{Markup, html};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cmp::Reverse;

/// Classes that get a mark of their own: each colour twice, with another shape.
const MOST_CLASSES: usize = 2 * MOST_COLOURS;

/// Points that are drawn. More hide one another and make the file slow to open.
pub(super) const MOST_POINTS: usize = 3000;

/// Characters of a text that a point shows when pointed at.
pub(super) const POINT_TEXT: usize = 220;

/// Width and height of a map, in CSS pixels.
const SIZE: (u32, u32) = (860, 600);

/// A map, with a choice of classes to bring out.
pub(super) fn map(map: &Map, number: usize) -> Result<Markup> {
    map.check()?;
    let shown = sampled(&map.points, MOST_POINTS);
    let classes = Classes::new(map);
    let (x, y) = axes(&map.points);
    let svg = plot(
        SIZE,
        &format!("Map of {} by {}, coloured by class", counted(shown.len(), "embedding"), map.method),
        &x,
        &y,
        |canvas| {
            for point in &shown {
                let (class, shape) = classes.look(point.class);
                let (class, said) = match wrongly(point) {
                    Some(said) => (class + " wrong", format!(", predicted {}", classes.name(said))),
                    None => (class, String::new()),
                };
                let text = shorten(&point.text, POINT_TEXT).0;
                let title = format!("{}{said}\n{text}", classes.name(point.class));
                canvas.mark((point.x, point.y), shape, 3.4, &class, &title);
            }
        },
    )?;
    let total = map.sampled_from.unwrap_or(0).max(map.points.len());
    let note = format!("{}Point at a mark to read its text.", sample_note(shown.len(), total));
    let caption = shorten(&map.method, 120).0;
    Ok(html! { div.map { (figure(&caption, svg, classes.choices(number), &note, html! {})) } })
}

/// The prediction, if it is another class than the label.
fn wrongly(point: &MapPoint) -> Option<usize> {
    point.predicted.filter(|&predicted| predicted != point.class)
}

/// Axes on which one unit is as long across as up: distances are all that a map says.
fn axes(points: &[MapPoint]) -> (Axis<'static>, Axis<'static>) {
    let (left, right) = span(points.iter().map(|point| point.x));
    let (bottom, top) = span(points.iter().map(|point| point.y));
    let (width, height) = (f64::from(SIZE.0), f64::from(SIZE.1));
    // Half of a pixel's length in data units, and a margin.
    let unit = 0.53 * ((right - left) / width).max((top - bottom) / height);
    let unit = if unit > 0.0 { unit } else { 1.0 };
    let axis = |low: f64, high: f64, pixels: f64| {
        let middle = low + (high - low) / 2.0;
        Axis::bare(middle - unit * pixels..middle + unit * pixels)
    };
    (axis(left, right, width), axis(bottom, top, height))
}

/// How the classes of a map look.
struct Classes<'a> {
    map: &'a Map,
    /// Number of points of each class.
    sizes: Vec<usize>,
    /// The classes with a mark of their own: the most frequent ones, in the order of the labels.
    named: Vec<usize>,
}

impl<'a> Classes<'a> {
    fn new(map: &'a Map) -> Self {
        let mut sizes = vec![0; map.labels.len()];
        map.points.iter().for_each(|point| sizes[point.class] += 1);
        let mut named: Vec<usize> = (0..sizes.len()).filter(|&class| sizes[class] > 0).collect();
        named.sort_by_key(|&class| (Reverse(sizes[class]), class));
        named.truncate(MOST_CLASSES);
        named.sort_unstable();
        Classes { map, sizes, named }
    }

    fn name(&self, class: usize) -> String {
        shorten(&self.map.labels[class], 40).0
    }

    /// CSS classes and shape of a class's marks. `k` is what a choice brings out, `c` the colour.
    fn look(&self, class: usize) -> (String, Shape) {
        match self.named.iter().position(|&named| named == class) {
            Some(at) => (format!("point k{at} c{}", at % MOST_COLOURS), Shape::of_series(at)),
            None => ("point kx".into(), Shape::Circle),
        }
    }

    /// The legend, whose entries can be chosen; the stylesheet does the rest.
    fn choices(&self, number: usize) -> Markup {
        let choice = |value: &str, dot: Option<(&str, Shape)>, name: &str, rows: Option<usize>| {
            html! {
                label {
                    input type="radio" name=(format!("map{number}")) value=(value) checked[value == "all"];
                    @if let Some((class, shape)) = dot {
                        svg.dot viewBox="-60 -60 120 120" aria-hidden="true" {
                            path class=(class) d=(shape.path((0, 0), 38.0)) {}
                        }
                    }
                    span dir="auto" { (name) }
                    @if let Some(rows) = rows { span.muted { (count(rows)) } }
                }
            }
        };
        let classes = self.sizes.iter().filter(|&&size| size > 0).count();
        let others = self.map.points.len() - self.named.iter().map(|&class| self.sizes[class]).sum::<usize>();
        let wrong = self.map.points.iter().filter(|point| wrongly(point).is_some()).count();
        html! {
            fieldset.legend {
                legend.hidden { "Bring out" }
                (choice("all", None, "all", None))
                @for (at, &class) in self.named.iter().enumerate() {
                    @let (look, shape) = self.look(class);
                    (choice(&format!("k{at}"), Some((&look, shape)), &self.name(class), Some(self.sizes[class])))
                }
                @if others > 0 {
                    @let name = counted(classes - self.named.len(), "other class");
                    (choice("kx", Some(("point kx", Shape::Circle)), &name, Some(others)))
                }
                @if wrong > 0 {
                    (choice("wrong", Some(("point wrong", Shape::Circle)), "predicted wrongly", Some(wrong)))
                }
            }
        }
    }
}

/// Says that not all points are drawn, if so.
pub(super) fn sample_note(shown: usize, of: usize) -> String {
    if shown < of {
        let share = percent(shown as f64 / of as f64);
        format!("Drawn are {} of {} rows ({share}), picked at random. ", count(shown), count(of))
    } else {
        String::new()
    }
}

/// At most `most` of the items in their order, picked at random with a fixed seed: every subset is as likely, and
/// the same data give the same page. Source: Knuth, TAOCP volume 2, algorithm 3.4.2 S.
pub(super) fn sampled<T>(items: &[T], most: usize) -> Vec<&T> {
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
    fn a_map_keeps_its_proportions_and_survives_odd_points() {
        let point = |x: f64, y: f64| MapPoint { x, y, class: 0, predicted: None, text: String::new() };
        let (x, y) = axes(&[point(0.0, 0.0), point(10.0, 1.0)]);
        let unit = (x.range.end - x.range.start) / f64::from(SIZE.0);
        assert!((unit - (y.range.end - y.range.start) / f64::from(SIZE.1)).abs() < 1e-12);
        assert!(x.range.start < 0.0 && x.range.end > 10.0);
        let (x, _) = axes(&[point(f64::NAN, 1.0)]);
        assert!(x.range.start < x.range.end);
    }
}
