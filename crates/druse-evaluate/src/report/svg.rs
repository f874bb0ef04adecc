//! Charts as inline SVG.

use std::fmt::Write as _;

use super::text::escape;
use crate::Chart;

const HEIGHT: f64 = 190.0;
const LEFT: f64 = 40.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 12.0;

/// A chart: the reference as filled bars, the generated set as a line over them, or bars side by side.
pub fn chart(chart: &Chart) -> String {
    if chart.labels.is_empty() { histogram(chart) } else { bars(chart) }
}

/// Whether the chart needs the whole width.
pub fn is_wide(chart: &Chart) -> bool {
    chart.labels.len() > 10
}

/// Shares of both sets in percent.
pub fn shares(chart: &Chart) -> [Vec<f64>; 2] {
    let share = |counts: &[usize], total: usize| -> Vec<f64> {
        counts.iter().map(|&n| 100.0 * n as f64 / total.max(1) as f64).collect()
    };
    [share(&chart.generated, chart.totals[0]), share(&chart.reference, chart.totals[1])]
}

/// Round numbers from `low` to `high`, about `count` of them.
pub fn ticks(low: f64, high: f64, count: f64) -> Vec<f64> {
    let span = high - low;
    if !(span.is_finite() && span > 0.0) {
        return vec![low];
    }
    let rough = span / count;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= rough).unwrap_or(rough);
    let first = (low / step - 1e-9).ceil();
    let last = (high / step + 1e-9).floor();
    (0..=(last - first).clamp(0.0, 100.0) as usize).map(|k| (first + k as f64) * step).collect()
}

/// A tick's label: no more digits than it needs.
pub fn tick(x: f64) -> String {
    let rounded = (x * 1e6).round() / 1e6;
    if rounded == 0.0 { "0".to_owned() } else { rounded.to_string() }
}

/// The frame: horizontal lines with their percentages, and what stands in it.
struct Canvas {
    width: f64,
    bottom: f64,
    top_value: f64,
    svg: String,
}

impl Canvas {
    fn new(chart: &Chart, width: f64, bottom_margin: f64, largest: f64) -> Self {
        let lines = ticks(0.0, largest.max(1e-9) * 1.05, 4.0);
        let step = if lines.len() > 1 { lines[1] } else { largest.max(1.0) };
        let top_value = (largest.max(1e-9) / step).ceil() * step;
        let bottom = HEIGHT - bottom_margin;
        let (title, text) = (escape(&chart.title), escape(&description(chart)));
        let mut svg = format!(
            "<svg viewBox=\"0 0 {width} {HEIGHT}\" role=\"img\" aria-label=\"{title}. {text}\"><title>{title}</title>"
        );
        let mut canvas = Self { width, bottom, top_value, svg: String::new() };
        for value in ticks(0.0, top_value, 4.0) {
            let y = canvas.y(value);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{} %</text>",
                width - RIGHT,
                LEFT - 5.0,
                y + 4.0,
                tick(value)
            );
        }
        canvas.svg = svg;
        canvas
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - (self.bottom - TOP) * (value / self.top_value).min(1.0)
    }

    fn finish(mut self) -> String {
        let (right, bottom) = (self.width - RIGHT, self.bottom);
        let _ = write!(
            self.svg,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/></svg>"
        );
        self.svg
    }
}

/// What a reader who does not see the chart should know.
fn description(chart: &Chart) -> String {
    let names: Vec<String> = match chart.labels.is_empty() {
        true => chart.edges.windows(2).map(|e| format!("{:.3} to {:.3}", e[0], e[1])).collect(),
        false => chart.labels.clone(),
    };
    let largest = |values: &[f64]| -> String {
        let best = values.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        best.and_then(|(i, x)| Some(format!("{} ({x:.1} %)", names.get(i)?))).unwrap_or_default()
    };
    let [generated, reference] = shares(chart);
    format!("Most frequent: generated {}, reference {}.", largest(&generated), largest(&reference))
}

fn histogram(chart: &Chart) -> String {
    const WIDTH: f64 = 360.0;
    let [generated, reference] = shares(chart);
    let largest = generated.iter().chain(&reference).copied().fold(0.0, f64::max);
    let mut canvas = Canvas::new(chart, WIDTH, 24.0, largest);
    let (low, high) =
        (chart.edges.first().copied().unwrap_or(0.0), chart.edges.last().copied().unwrap_or(1.0));
    let x = |value: f64| LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (high - low).max(f64::MIN_POSITIVE);
    let outline = |values: &[f64], canvas: &Canvas| {
        let mut path = format!("M{:.1} {:.1}", x(low), canvas.bottom);
        for (value, edge) in values.iter().zip(chart.edges.windows(2)) {
            let y = canvas.y(*value);
            let _ = write!(path, "L{:.1} {y:.1}L{:.1} {y:.1}", x(edge[0]), x(edge[1]));
        }
        let _ = write!(path, "L{:.1} {:.1}", x(high), canvas.bottom);
        path
    };
    let (r, g) = (outline(&reference, &canvas), outline(&generated, &canvas));
    let _ = write!(canvas.svg, "<path class=\"ref\" d=\"{r}Z\"/><path class=\"gen-line\" d=\"{g}\"/>");
    let whole = chart.key.starts_with("num_");
    for value in ticks(low, high, 6.0).into_iter().filter(|v| !whole || v.fract() == 0.0) {
        let _ = write!(
            canvas.svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            x(value),
            canvas.bottom + 15.0,
            tick(value)
        );
    }
    canvas.finish()
}

fn bars(chart: &Chart) -> String {
    let width = if is_wide(chart) { 1100.0 } else { 360.0 };
    let long = chart.labels.iter().any(|l| l.chars().count() > 5);
    let [generated, reference] = shares(chart);
    let largest = generated.iter().chain(&reference).copied().fold(0.0, f64::max);
    let mut canvas = Canvas::new(chart, width, if long { 50.0 } else { 24.0 }, largest);
    let slot = (width - LEFT - RIGHT) / chart.labels.len().max(1) as f64;
    let bar = (slot * 0.38).min(22.0);
    for (k, label) in chart.labels.iter().enumerate() {
        let middle = LEFT + slot * (k as f64 + 0.5);
        for (class, value, left) in [("ref", reference[k], middle - bar), ("gen", generated[k], middle)] {
            let y = canvas.y(value);
            let _ = write!(
                canvas.svg,
                "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{y:.1}\" width=\"{bar:.1}\" height=\"{:.1}\"/>",
                canvas.bottom - y
            );
        }
        let (y, label) = (canvas.bottom + 15.0, escape(label));
        let _ = match long {
            true => write!(
                canvas.svg,
                "<text x=\"{middle:.1}\" y=\"{y:.1}\" text-anchor=\"end\" transform=\"rotate(-40 {middle:.1} {y:.1})\">{label}</text>"
            ),
            false => write!(
                canvas.svg,
                "<text x=\"{middle:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{label}</text>"
            ),
        };
    }
    canvas.finish()
}
