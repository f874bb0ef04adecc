//! Evaluations as tables for the terminal and as pages for a browser.

pub mod comparison;
pub mod html;
mod style;
mod svg;
pub mod table;

use druse_metrics::generation::Figure;

/// A number with as many digits as a reader wants: four decimals, or four digits of small numbers; rounding noise is 0.
pub fn number(x: f64) -> String {
    if x.abs() < 1e-9 || (1e-3..1e6).contains(&x.abs()) { format!("{x:.4}") } else { format!("{x:.3e}") }
}

/// What a figure is measured on: the sizes and the protocol's words.
pub fn basis(figure: &Figure) -> String {
    match figure.against {
        Some(against) => format!("{} against {against}; {}", figure.of, figure.protocol),
        None => format!("{}; {}", figure.of, figure.protocol),
    }
}

/// The value, or a dash.
pub fn value(figure: &Figure) -> String {
    figure.value.map_or_else(|| "–".to_owned(), number)
}

/// The interval; empty without one.
pub fn interval(figure: &Figure) -> String {
    figure.interval.map_or_else(String::new, |i| format!("{} … {}", number(i.low), number(i.high)))
}
