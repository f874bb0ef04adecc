//! Values against others that should be the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::svg::{tick, ticks};
use super::text::{escape, number};

const SIZE: f64 = 400.0;
const LEFT: f64 = 58.0;
const BOTTOM: f64 = 44.0;
const MARGIN: f64 = 12.0;
/// Points that are drawn one by one; more are drawn as squares that hold many.
const MOST_POINTS: usize = 2000;
/// Squares along each axis.
const SQUARES: f64 = 60.0;

/// Values against others that should be the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Parity {
    /// What is compared.
    pub title: String,
    /// Name of the values to the right, with their unit.
    pub across: String,
    /// Name of the values upwards, with their unit.
    pub up: String,
    /// The pairs, what lies to the right first.
    pub points: Vec<(f64, f64)>,
}

/// How far two lists are apart.
struct Errors {
    mean_absolute: f64,
    root_mean_square: f64,
    mean: f64,
    largest: f64,
}

impl Parity {
    /// A figure with its numbers; nothing without points.
    pub(super) fn html(&self) -> String {
        let points: Vec<(f64, f64)> =
            self.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        if points.is_empty() {
            return String::new();
        }
        let errors = Errors::of(&points);
        let Errors { mean_absolute, root_mean_square, mean, largest } = errors;
        let facts = format!(
            "{} pairs: mean absolute difference {}, root mean square {}, mean {}, largest {}",
            points.len(),
            number(mean_absolute),
            number(root_mean_square),
            number(mean),
            number(largest)
        );
        format!(
            "<figure class=\"parity\"><figcaption><b>{}</b><br>{}</figcaption>{}</figure>\n",
            escape(&self.title),
            escape(&facts),
            self.svg(&points, &facts)
        )
    }

    fn svg(&self, points: &[(f64, f64)], facts: &str) -> String {
        let all = || points.iter().flat_map(|(x, y)| [*x, *y]);
        let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
        let room = (0.04 * (high - low)).max(1e-9 * high.abs()).max(1e-12);
        let (low, high) = (low - room, high + room);
        let share = |value: f64| (value - low) / (high - low);
        let x = |value: f64| LEFT + (SIZE - LEFT - MARGIN) * share(value);
        let y = |value: f64| SIZE - BOTTOM - (SIZE - BOTTOM - MARGIN) * share(value);
        let (title, facts) = (escape(&self.title), escape(facts));
        let mut svg = format!(
            "<svg viewBox=\"0 0 {SIZE} {SIZE}\" role=\"img\" aria-label=\"{title}. {facts}.\"><title>{title}</title>"
        );
        // Writing to a string cannot fail.
        for value in ticks(low, high, 5.0) {
            let (across, up, label) = (x(value), y(value), tick(value));
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{across:.1}\" x2=\"{across:.1}\" y1=\"{MARGIN}\" y2=\"{:.1}\"/><line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{up:.1}\" y2=\"{up:.1}\"/><text x=\"{across:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                SIZE - BOTTOM,
                SIZE - MARGIN,
                SIZE - BOTTOM + 15.0,
                LEFT - 5.0,
                up + 4.0
            );
        }
        let _ = write!(
            svg,
            "<line class=\"same\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
            x(low),
            y(low),
            x(high),
            y(high)
        );
        if points.len() <= MOST_POINTS {
            for (across, up) in points {
                let _ = write!(
                    svg,
                    "<circle class=\"dot\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.6\"/>",
                    x(*across),
                    y(*up)
                );
            }
        } else {
            svg += &squares(points, share);
        }
        let middle = LEFT + (SIZE - LEFT - MARGIN) / 2.0;
        let center = (SIZE - BOTTOM) / 2.0;
        let _ = write!(
            svg,
            "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text><text x=\"12\" y=\"{center:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 12 {center:.1})\">{}</text></svg>",
            SIZE - 8.0,
            escape(&self.across),
            escape(&self.up)
        );
        svg
    }
}

/// Many points as squares: the more points, the less transparent.
fn squares(points: &[(f64, f64)], share: impl Fn(f64) -> f64) -> String {
    let place = |value: f64| (share(value) * SQUARES).floor().clamp(0.0, SQUARES - 1.0) as usize;
    let mut counts: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for (across, up) in points {
        *counts.entry((place(*across), place(*up))).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or(1) as f64;
    let (width, height) = ((SIZE - LEFT - MARGIN) / SQUARES, (SIZE - BOTTOM - MARGIN) / SQUARES);
    let square = |(&(i, j), &count): (&(usize, usize), &usize)| {
        let opacity = 0.15 + 0.85 * (1.0 + count as f64).ln() / (1.0 + most).ln();
        format!(
            "<rect class=\"gen\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill-opacity=\"{opacity:.2}\"><title>{count}</title></rect>",
            LEFT + width * i as f64,
            SIZE - BOTTOM - height * (j + 1) as f64
        )
    };
    counts.iter().map(square).collect()
}

impl Errors {
    fn of(points: &[(f64, f64)]) -> Self {
        let n = points.len().max(1) as f64;
        let differences = || points.iter().map(|(x, y)| y - x);
        Self {
            mean_absolute: differences().map(f64::abs).sum::<f64>() / n,
            root_mean_square: (differences().map(|d| d * d).sum::<f64>() / n).sqrt(),
            mean: differences().sum::<f64>() / n,
            largest: differences().fold(0.0, |a, d| a.max(d.abs())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parity(points: Vec<(f64, f64)>) -> Parity {
        Parity { title: "Energy".into(), across: "given (eV)".into(), up: "<ours>".into(), points }
    }

    #[test]
    fn points_lie_in_the_frame_and_their_errors_are_told() {
        let html = parity(vec![(0.0, 0.5), (1.0, 0.5), (2.0, f64::NAN)]).html();
        assert!(html.contains("2 pairs: mean absolute difference 0.5000"), "{html}");
        assert!(html.contains("mean 0.0000, largest 0.5000") && html.contains("&lt;ours&gt;"), "{html}");
        assert_eq!(html.matches("<circle").count(), 2);
        for part in html.split("cx=\"").skip(1) {
            let x: f64 = part.split('"').next().unwrap().parse().unwrap();
            assert!((LEFT..=SIZE - MARGIN).contains(&x), "{x}");
        }
        assert_eq!(parity(Vec::new()).html(), "");
        assert!(!parity(vec![(3.0, 3.0)]).html().contains("NaN"));
    }

    #[test]
    fn many_points_make_a_small_figure() {
        let points = (0..50_000).map(|i| (f64::from(i) * 1e-3, f64::from(i) * 1.01e-3)).collect();
        let html = parity(points).html();
        assert!(html.len() < 60_000 && !html.contains("<circle"), "{}", html.len());
    }
}
