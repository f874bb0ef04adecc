//! Hulls as tables for the terminal.

use std::collections::BTreeMap;

use druse_crystal::Element;

use super::text::{chars, number, pad, pad_left};
use crate::hull::{Check, HullSummary, PhaseRow, SystemSummary};

/// Systems that are named as examples.
const EXAMPLES: usize = 6;
/// Unstable phases of a system that are printed.
const LISTED: usize = 20;

/// What a hull holds.
pub fn summary(s: &HullSummary) -> String {
    let by_size = |counts: &BTreeMap<usize, usize>| {
        let total: usize = counts.values().sum();
        let parts: Vec<String> = counts.iter().map(|(n, k)| format!("{k} of {n} elements")).collect();
        if parts.is_empty() { "0".to_owned() } else { format!("{total}: {}", parts.join(", ")) }
    };
    let mut text = format!("entries         {} of {} ({})\n", s.entries, s.source, s.scale);
    text += &format!("elements        {}\n", s.elements);
    if !s.missing_elements.is_empty() {
        let symbols: Vec<&str> = s.missing_elements.iter().map(|e| Element::symbol(*e)).collect();
        text += &format!("without entry   {}: nothing with them has a hull\n", symbols.join(", "));
    }
    text += &format!("systems         {}\n", by_size(&s.systems));
    text += &format!("stable          {}\n", by_size(&s.stable));
    let few = s.few_references.len();
    let all: usize = s.systems.values().sum();
    text += &format!("few references  {few} of {all} systems hold fewer compounds than elements");
    if few > 0 {
        let named = s.few_references.iter().rev().take(EXAMPLES);
        let named: Vec<String> = named.map(|f| format!("{} ({})", f.system, f.compounds)).collect();
        text += &format!(", such as {}", named.join(", "));
    }
    text + "\n"
}

/// The phase diagram of a system.
pub fn system(s: &SystemSummary) -> String {
    let mut text = format!(
        "{}: {} entries, {} different compounds, {} phases on the hull\n\n",
        s.system,
        s.entries,
        s.compounds,
        s.stable.len()
    );
    if s.system.len() > 1 && s.compounds < s.system.len() {
        text += "few references: the system holds fewer compounds than elements\n\n";
    }
    let mut stable = s.stable.clone();
    stable.sort_by(|a, b| a.formula.cmp(&b.formula));
    text += &rows(&stable, true);
    if !s.unstable.is_empty() {
        text += "\nabove the hull\n";
        text += &rows(&s.unstable[..s.unstable.len().min(LISTED)], false);
    }
    if s.unstable.len() > LISTED {
        text += &format!("… and {} more\n", s.unstable.len() - LISTED);
    }
    text
}

/// Phases and where they lie; those of a diagram's hull with the energy that they gain over the other phases.
pub fn rows(rows: &[PhaseRow], on_hull: bool) -> String {
    let value = |x: Option<f64>| x.map_or_else(|| "–".to_owned(), number);
    let last = if on_hull { "against the others" } else { "above the hull" };
    let mut cells = vec![[
        "phase".to_owned(),
        "id".to_owned(),
        "formation energy".to_owned(),
        last.to_owned(),
        if on_hull { String::new() } else { "decomposes into".to_owned() },
    ]];
    for row in rows {
        let last = if on_hull { row.equilibrium_reaction_energy } else { row.e_above_hull };
        let end = match (&row.error, on_hull) {
            (Some(error), _) => format!("error: {error}"),
            (None, true) => String::new(),
            (None, false) => row.decomposition_text(),
        };
        cells.push([
            row.formula.clone(),
            row.id.clone(),
            value(row.formation_energy_per_atom),
            value(last),
            end,
        ]);
    }
    let width = |k: usize| cells.iter().map(|c| chars(&c[k])).max().unwrap_or(0);
    let widths = [0, 1, 2, 3].map(width);
    let line = |c: &[String; 5]| {
        let line = [
            pad(&c[0], widths[0]),
            pad(&c[1], widths[1]),
            pad_left(&c[2], widths[2]),
            pad_left(&c[3], widths[3]),
            c[4].clone(),
        ];
        format!("{}\n", line.join("  ").trim_end())
    };
    cells.iter().map(line).collect()
}

/// How a hull compares with published energies.
pub fn check(c: &Check) -> String {
    let mev = |x: f64| format!("{:.1} meV/atom", 1000.0 * x);
    let percent = |x: f64| format!("{:.1} %", 100.0 * x);
    let mut text = format!("check against `{}` of {} entries\n", c.column, c.compared);
    text += &format!(
        "bias            {} lower on average, {} at most; higher for {} entries\n",
        mev(c.bias),
        mev(c.largest),
        c.above
    );
    let within: Vec<String> = c.within.iter().map(|(x, s)| format!("{} {}", mev(*x), percent(*s))).collect();
    text += &format!("within          {}\n", within.join(", "));
    for a in &c.agreement {
        let share = |x: Option<f64>| x.map_or_else(|| "–".to_owned(), |x| format!("{x:.3}"));
        text += &format!(
            "stable to {:>5} meV/atom: {} here, {} there, {} both; precision {}, recall {}\n",
            1000.0 * a.threshold,
            a.ours,
            a.theirs,
            a.both,
            share(a.precision),
            share(a.recall)
        );
    }
    text
}
