//! How numbers, metrics and texts are written.

use druse_metrics::Metric;
pub use druse_page::escape;

/// A number with as many digits as a reader wants: four decimals, or four digits of small numbers; rounding noise is 0.
pub fn number(x: f64) -> String {
    if x.abs() < 1e-9 || (1e-3..1e6).contains(&x.abs()) { format!("{x:.4}") } else { format!("{x:.3e}") }
}

/// What a metric is measured on: the sizes and the protocol's words.
pub fn basis(metric: &Metric) -> String {
    match metric.against {
        Some(against) => format!("{} against {against}; {}", metric.of, metric.protocol),
        None => format!("{}; {}", metric.of, metric.protocol),
    }
}

/// The value, or a dash.
pub fn value(metric: &Metric) -> String {
    metric.value.map_or_else(|| "–".to_owned(), number)
}

/// The interval; empty without one.
pub fn interval(metric: &Metric) -> String {
    metric.interval.map_or_else(String::new, |i| format!("{} … {}", number(i.low), number(i.high)))
}

/// `A`, `B` … `Z`, then numbers: the name of a column.
pub fn column(k: usize) -> String {
    u8::try_from(k)
        .ok()
        .filter(|&k| k < 26)
        .map_or_else(|| (k + 1).to_string(), |k| char::from(b'A' + k).to_string())
}

/// How wide a text is.
pub fn chars(text: &str) -> usize {
    text.chars().count()
}

/// The text with spaces behind it.
pub fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(chars(text))))
}

/// The text with spaces before it.
pub fn pad_left(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(chars(text))))
}
