//! Plots as SVG: plotters lays out axes, ticks and grid; marks and lines carry CSS classes, so that one drawing
//! serves light, dark and print, and titles, so that every point can be read.

use crate::error::{Error, Result};
use maud::html;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use std::fmt::Write;
use std::ops::Range;

/// Plotters places everything on whole pixels: ten of its pixels are one of ours, so that curves are smooth.
pub(super) const FINE: i32 = 10;

/// Colours of series in the stylesheet. More could not be told apart.
pub(super) const MOST_COLOURS: usize = 7;

// Colours that plotters writes and that `themed` turns into the page's variables.
const TEXT: RGBColor = RGBColor(1, 2, 3);
const AXIS: RGBColor = RGBColor(1, 2, 4);
const GRID: RGBColor = RGBColor(1, 2, 5);

/// One axis of a plot.
pub(super) struct Axis<'a> {
    /// What is measured.
    pub name: &'a str,
    /// From where to where.
    pub range: Range<f64>,
    /// Where labels stand.
    pub ticks: Vec<f64>,
    /// How a label reads.
    pub label: &'a dyn Fn(&f64) -> String,
}

impl<'a> Axis<'a> {
    /// From 0 to 1 in fifths.
    pub fn unit(name: &'a str) -> Self {
        let ticks = (0..=5).map(|fifth| f64::from(fifth) / 5.0).collect();
        Axis { name, range: 0.0..1.0, ticks, label: &|value| format!("{value:.1}") }
    }

    /// Around these values, with a margin and round ticks.
    pub fn around(name: &'a str, values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = span(values);
        let margin = if high > low { 0.06 * (high - low) } else { 0.5 * low.abs().max(0.1) };
        let range = low - margin..high + margin;
        let ticks = RangedCoordf64::from(range.clone()).key_points(6);
        Axis { name, range, ticks, label: &|value| round_label(*value) }
    }

    /// Without name, ticks or meaning: for maps.
    pub fn bare(range: Range<f64>) -> Self {
        Axis { name: "", range, ticks: vec![], label: &|_| String::new() }
    }
}

/// An axis as plotters asks for it. (Its own `WithKeyPoints` cannot be labelled: it has no formatter for f64.)
struct Scale {
    range: RangedCoordf64,
    ticks: Vec<f64>,
}

impl Scale {
    fn of(axis: &Axis<'_>) -> Self {
        Scale { range: axis.range.clone().into(), ticks: axis.ticks.clone() }
    }
}

impl Ranged for Scale {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.range.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Light points are grid lines between the ticks.
        if hint.weight().allow_light_points() { vec![] } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.range()
    }
}

/// The smallest and the largest of the finite values; (0, 1) where there are none.
pub(super) fn span(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let finite = values.into_iter().filter(|value| value.is_finite());
    let (low, high) = finite
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low <= high { (low, high) } else { (0.0, 1.0) }
}

// Ticks are at 1, 2 or 5 times a power of ten: print the digits they have, not those of their binary fraction.
fn round_label(value: f64) -> String {
    let text = if value.abs() >= 1e5 { format!("{value:.1e}") } else { format!("{value:.4}") };
    let text = if text.contains('e') { &text } else { text.trim_end_matches('0').trim_end_matches('.') };
    if text == "-0" { "0".into() } else { text.replace('-', "−") }
}

/// The outline of a mark. Classes differ by it as well as by colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Circle,
    Square,
    Triangle,
    Diamond,
}

impl Shape {
    /// The shape of the series with this number.
    pub fn of_series(series: usize) -> Self {
        // Two further at each turn of the colours, so that a colour comes back with another shape.
        let turns = series / MOST_COLOURS;
        [Shape::Circle, Shape::Square, Shape::Triangle, Shape::Diamond][(series + 2 * turns) % 4]
    }

    /// An SVG path around the point, of about the same area whatever the shape.
    pub fn path(self, (x, y): (i32, i32), radius: f64) -> String {
        let r = |factor: f64| (radius * factor).round() as i32;
        match self {
            Shape::Circle => {
                let (r, d) = (r(1.0), 2 * r(1.0));
                format!("M{} {y}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0-{d} 0z", x - r)
            }
            Shape::Square => {
                let (r, d) = (r(0.9), 2 * r(0.9));
                format!("M{} {}h{d}v{d}h-{d}z", x - r, y - r)
            }
            Shape::Triangle => {
                let (w, h) = (r(1.2), r(2.05));
                format!("M{x} {}l{w} {h}h-{}z", y - r(1.25), 2 * w)
            }
            Shape::Diamond => {
                let r = r(1.25);
                format!("M{x} {}l{r} {r}-{r} {r}-{r}-{r}z", y - r)
            }
        }
    }
}

/// Where marks and lines are put down: data coordinates in, SVG elements out.
pub(super) struct Canvas<'a> {
    to_pixels: &'a dyn Fn((f64, f64)) -> (i32, i32),
    svg: String,
}

impl Canvas<'_> {
    /// A line through the finite points.
    pub fn line(&mut self, points: impl IntoIterator<Item = (f64, f64)>, class: &str) {
        let mut path: Vec<(i32, i32)> = vec![];
        for (x, y) in points.into_iter().filter_map(|point| self.place(point)) {
            // A ROC curve has a step per row: a point on the straight way to the next adds only bytes.
            if let [.., a, b] = path[..]
                && (b.0 - a.0) as i64 * (y - b.1) as i64 == (b.1 - a.1) as i64 * (x - b.0) as i64
                && (b.0 - a.0).signum() * (x - b.0).signum() >= 0
                && (b.1 - a.1).signum() * (y - b.1).signum() >= 0
            {
                path.pop();
            }
            if path.last() != Some(&(x, y)) {
                path.push((x, y));
            }
        }
        let points = listed(&path);
        let _ = write!(self.svg, r#"<polyline class="{class}" points="{points}"/>"#);
    }

    /// The area between two curves over the same x: points are (x, low, high).
    pub fn band(&mut self, points: &[(f64, f64, f64)], class: &str) {
        let low = points.iter().map(|&(x, low, _)| (x, low));
        let high = points.iter().rev().map(|&(x, _, high)| (x, high));
        let outline: Vec<_> = low.chain(high).filter_map(|point| self.place(point)).collect();
        let points = listed(&outline);
        let _ = write!(self.svg, r#"<polygon class="{class}" points="{points}"/>"#);
    }

    /// A mark that says what it is when pointed at.
    pub fn mark(&mut self, point: (f64, f64), shape: Shape, radius: f64, class: &str, title: &str) {
        if let Some(place) = self.place(point) {
            let path = shape.path(place, radius * f64::from(FINE));
            let title = html! { title { (title) } };
            let _ = write!(self.svg, r#"<path class="{class}" d="{path}">{}</path>"#, title.0);
        }
    }

    fn place(&self, point: (f64, f64)) -> Option<(i32, i32)> {
        (point.0.is_finite() && point.1.is_finite()).then(|| (self.to_pixels)(point))
    }
}

fn listed(points: &[(i32, i32)]) -> String {
    points.iter().fold(String::new(), |mut list, (x, y)| {
        let _ = write!(list, "{}{x},{y}", if list.is_empty() { "" } else { " " });
        list
    })
}

/// Draws a plot of this size in CSS pixels. `summary` is what a reader who cannot see it needs to know.
///
/// # Errors
/// None is expected: writing to memory does not fail; what plotters reports is passed on.
pub(super) fn plot(
    size: (u32, u32),
    summary: &str,
    x: &Axis<'_>,
    y: &Axis<'_>,
    draw: impl FnOnce(&mut Canvas<'_>),
) -> Result<String> {
    let mut svg = String::new();
    let marks = lay_out(&mut svg, size, x, y, draw).map_err(|error| {
        Error::io(format!("cannot draw the plot of {} by {}", y.name, x.name)).with_source(error.to_string())
    })?;
    // plotters closes the document; its last element makes room for the marks.
    let (_, body) = svg.split_once('>').unwrap_or_default();
    let body = body.trim_end().strip_suffix("</svg>").unwrap_or(body);
    let (width, height) = (size.0 as i32 * FINE, size.1 as i32 * FINE);
    let label = html! { svg viewBox=(format!("0 0 {width} {height}")) role="img" aria-label=(summary) {} }.0;
    let opening = label.strip_suffix("</svg>").unwrap_or(&label);
    Ok(format!("{opening}{}<g class=\"marks\">{marks}</g></svg>", themed(body)))
}

fn lay_out(
    svg: &mut String,
    size: (u32, u32),
    x: &Axis<'_>,
    y: &Axis<'_>,
    draw: impl FnOnce(&mut Canvas<'_>),
) -> Result<String, DrawingAreaErrorKind<std::io::Error>> {
    let fine = FINE as u32;
    let area = SVGBackend::with_string(svg, (size.0 * fine, size.1 * fine)).into_drawing_area();
    let bare = x.ticks.is_empty() && y.ticks.is_empty();
    let mut builder = ChartBuilder::on(&area);
    builder.margin(if bare { 4 * FINE } else { 10 * FINE });
    if !bare {
        builder.x_label_area_size(42 * FINE).y_label_area_size(54 * FINE);
    }
    let mut chart = builder.build_cartesian_2d(Scale::of(x), Scale::of(y))?;
    if !bare {
        // plotters writes font sizes divided by 1.24.
        let text = |pixels: f64| ("sans-serif", pixels * 1.24 * f64::from(FINE)).into_font().color(&TEXT);
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.stroke_width(fine))
            .axis_style(AXIS.stroke_width(fine))
            .set_all_tick_mark_size(4 * FINE)
            .label_style(text(12.0))
            .axis_desc_style(text(12.5))
            .x_labels(x.ticks.len())
            .y_labels(y.ticks.len())
            .x_label_formatter(x.label)
            .y_label_formatter(y.label)
            .x_desc(x.name)
            .y_desc(y.name)
            .draw()?;
    }
    let mut canvas = Canvas { to_pixels: &|point| chart.backend_coord(&point), svg: String::new() };
    draw(&mut canvas);
    let marks = canvas.svg;
    area.present()?;
    Ok(marks)
}

// The page's stylesheet names the colours; plotters only knows numbers.
fn themed(svg: &str) -> String {
    let variable = |svg: String, RGBColor(r, g, b): RGBColor, name: &str| {
        svg.replace(&format!("\"#{r:02X}{g:02X}{b:02X}\""), &format!("\"var(--{name})\""))
    };
    let svg = variable(svg.replace(" opacity=\"1\"", ""), TEXT, "muted");
    variable(variable(svg, AXIS, "axis"), GRID, "grid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn straight_runs_lose_their_inner_points_only() {
        let axis = || Axis::unit("share");
        let steps = [(0.0, 0.0), (0.0, 0.1), (0.0, 0.5), (0.2, 0.5), (0.6, 0.5), (f64::NAN, 0.7), (1.0, 1.0)];
        let svg = plot((300, 200), "a line", &axis(), &axis(), |canvas| canvas.line(steps, "line")).unwrap();
        let (_, rest) = svg.rsplit_once("points=\"").unwrap();
        let (points, _) = rest.split_once('"').unwrap();
        assert_eq!(points.split(' ').count(), 4, "{points}");
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let axis = Axis::around("value", [0.712, 0.793, f64::NAN]);
        assert!(axis.ticks.len() >= 3);
        for tick in axis.ticks {
            assert!(axis.range.contains(&tick));
            assert!(round_label(tick).len() <= 5, "{}", round_label(tick));
        }
        assert_eq!(round_label(0.30000000000000004), "0.3");
        assert_eq!(round_label(-0.0), "0");
        assert_eq!(Axis::around("one value", [3.0]).range, 1.5..4.5);
        assert_eq!(span([f64::NAN]), (0.0, 1.0));
    }
}
