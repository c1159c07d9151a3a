//! The map of the embeddings: one mark a text, coloured and shaped by class.

use super::figures::figure;
use super::format::{count, counted, shorten};
use super::plot::{Axis, MOST_COLOURS, Shape, plot, span};
use super::sample::{MOST_POINTS, POINT_TEXT, sample_note, sampled};
use super::{Map, MapPoint};
use crate::error::Result;
use maud::{Markup, html};
use std::cmp::Reverse;

/// Classes that get a mark of their own: each colour twice, with another shape.
const MOST_CLASSES: usize = 2 * MOST_COLOURS;

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

#[cfg(test)]
mod tests {
    use super::*;

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
