//! How many pass one gate after another.

use std::fmt::Write as _;

use super::text::escape;

const WIDTH: f64 = 900.0;
const NAMES: f64 = 150.0;
const NUMBERS: f64 = 130.0;
const ROW: f64 = 30.0;
const BAR: f64 = 18.0;

/// A gate: how many came to it, how many fell there, and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FunnelGate {
    /// Its name.
    pub name: String,
    /// How many came to it.
    pub entered: usize,
    /// How many fell.
    pub fell: usize,
    /// Why, in words.
    pub why: String,
}

/// The gates as bars, one below the other: filled what passes, empty what falls; `left` are those that pass all.
pub(super) fn svg(gates: &[FunnelGate], left: usize) -> String {
    let most = gates.iter().map(|gate| gate.entered).chain([left]).max().unwrap_or(0).max(1) as f64;
    let length = |count: usize| (WIDTH - NAMES - NUMBERS) * count as f64 / most;
    let height = ROW * (gates.len() + 1) as f64 + 6.0;
    let words: Vec<String> =
        gates.iter().map(|g| format!("{}: {} came, {} fell", g.name, g.entered, g.fell)).collect();
    let label = escape(&format!("{}; {left} are left", words.join("; ")));
    let mut svg = format!(
        "<svg class=\"funnel\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{label}\"><title>Gates</title>"
    );
    let last = FunnelGate { name: "ranked".to_owned(), entered: left, ..FunnelGate::default() };
    // Writing to a string cannot fail.
    for (k, gate) in gates.iter().chain([&last]).enumerate() {
        let (top, passed) = (6.0 + ROW * k as f64, gate.entered.saturating_sub(gate.fell));
        let baseline = top + BAR - 4.0;
        let numbers = match gate.fell {
            0 => gate.entered.to_string(),
            fell => format!("{}, {fell} fell", gate.entered),
        };
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{baseline:.1}\" text-anchor=\"end\">{}</text><rect class=\"gen\" x=\"{NAMES}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{BAR}\"/>",
            NAMES - 8.0,
            escape(&gate.name.replace('_', " ")),
            length(passed)
        );
        if gate.fell > 0 {
            let _ = write!(
                svg,
                "<rect class=\"fell\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{BAR}\"/>",
                NAMES + length(passed),
                length(gate.fell)
            );
        }
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{baseline:.1}\">{numbers}</text>",
            NAMES + length(gate.entered) + 8.0
        );
    }
    svg + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_funnel_says_its_numbers() {
        let gate =
            |name: &str, entered, fell| FunnelGate { name: name.into(), entered, fell, why: String::new() };
        let svg = svg(&[gate("read", 10, 0), gate("duplicate_relaxed", 10, 4)], 6);
        assert!(svg.contains("duplicate_relaxed: 10 came, 4 fell; 6 are left"), "{svg}");
        assert!(svg.contains("10, 4 fell") && svg.contains(">duplicate relaxed<"), "{svg}");
        assert_eq!(svg.matches("class=\"fell\"").count(), 1);
        assert!(!super::svg(&[], 0).contains("NaN"));
    }
}
