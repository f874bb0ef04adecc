//! A screening as a page for a browser.

use druse_evaluate::hull::{Hull, OPTIMISTIC};
use druse_evaluate::report::screening::{ScreeningPage, Tile, page as render};
use druse_evaluate::{Chart, above_hull_chart};

use super::Screening;
use super::row::ScreenRow;
use super::settings::{References, ScreenManifest};

/// Candidates that the page lists.
const LISTED: usize = 50;

/// The page of a finished screening.
pub(super) fn page(
    screening: &Screening,
    manifest: &ScreenManifest,
    candidates: &str,
    hull: &Hull,
) -> String {
    let Screening { rows, funnel, references, .. } = screening;
    let settings = &manifest.settings;
    let fact = |name: &str, text: String| (name.to_owned(), text);
    let threshold = settings.max_e_above_hull;
    let mut facts = vec![
        fact("Candidates", format!("{candidates}: {} rows", manifest.count)),
        fact(
            "Reference",
            format!(
                "{}: {} entries, {} without energy",
                references.set, references.entries, references.failed
            ),
        ),
        fact("Potential", manifest.potential.clone()),
        fact("Corrections", references.corrections.name().to_owned()),
        fact("Energies of the reference", references.energies.name().to_owned()),
        fact("Hull", references.hull.clone()),
        fact("Relaxation", format!("{} eV/Å, at most {} steps", settings.relax.fmax, settings.relax.steps)),
    ];
    if let Some(symprec) = settings.symmetrize {
        let text = format!("made exact within {symprec} Å before: {} candidates", funnel.symmetrized);
        facts.push(fact("Symmetry", text));
    }
    if let Some(agreement) = &references.agreement {
        let all = &agreement.all;
        let text = format!(
            "{} compounds: mean absolute difference {:.3}, mean {:+.3}, largest {:.3} eV/atom",
            all.compounds, all.mean_absolute, all.mean, all.largest
        );
        facts.push(fact("Formation energies against the reference's", text));
    }
    let tile = |name: &str, count: usize, note: String| Tile {
        name: name.to_owned(),
        value: count.to_string(),
        note,
    };
    let of_ranked = || format!("of {} ranked", funnel.ranked);
    let tiles = vec![
        tile("Candidates", rows.len(), String::new()),
        tile("Ranked", funnel.ranked, format!("of {}", rows.len())),
        tile(&format!("Within {threshold} eV/atom"), funnel.within, of_ranked()),
        tile("Novel", funnel.novel, of_ranked()),
        tile("Both", funnel.within_and_novel, of_ranked()),
    ];
    let gate = |g: &super::GateCount| {
        let reasons: Vec<String> = g.reasons.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        [g.gate.name().to_owned(), g.entered.to_string(), g.fell.to_string(), reasons.join(", ")]
    };
    let mut remarks = vec![OPTIMISTIC.to_owned()];
    if settings.references == References::Given {
        remarks.push(
            "the reference's formation energies are of another method than the candidates': errors of the potential count in full"
                .to_owned(),
        );
    }
    if funnel.not_converged > 0 {
        remarks.push(format!("{} ranked candidates did not converge", funnel.not_converged));
    }
    let ranked = || rows.iter().take(funnel.ranked);
    render(&ScreeningPage {
        title: format!("{candidates} screened against {}", references.set),
        facts,
        tiles,
        funnel: funnel.gates.iter().map(gate).collect(),
        heads: HEADS.map(str::to_owned).to_vec(),
        best: ranked().take(LISTED).map(|row| cells(row).to_vec()).collect(),
        ranked: funnel.ranked,
        chart: chart(&ranked().filter_map(|row| row.e_above_hull).collect::<Vec<f64>>(), hull),
        remarks,
    })
}

fn chart(candidates: &[f64], hull: &Hull) -> Option<Chart> {
    let entries = 0..hull.diagram.entries().len();
    let compound = |i: &usize| hull.diagram.entries()[*i].composition.num_elements() > 1;
    let entries: Vec<f64> =
        entries.filter(compound).filter_map(|i| hull.diagram.entry_above_hull(i).ok()).collect();
    (!candidates.is_empty()).then(|| above_hull_chart(candidates, &entries))
}

/// Heads of the table of the best.
const HEADS: [&str; 8] = [
    "Rank",
    "Formula",
    "Identifier",
    "Above hull (eV/atom)",
    "Formation energy (eV/atom)",
    "Novel",
    "Known as",
    "Decomposition",
];

fn cells(row: &ScreenRow) -> [String; 8] {
    let number = |x: Option<f64>| x.map_or(String::new(), |x| format!("{x:.4}"));
    [
        row.rank.map_or(String::new(), |rank| rank.to_string()),
        row.formula.clone(),
        row.id.clone(),
        number(row.e_above_hull),
        number(row.formation_energy_per_atom),
        if row.novel == Some(true) { "yes" } else { "no" }.to_owned(),
        row.known_as.clone().unwrap_or_default(),
        row.decomposition_text(),
    ]
}
