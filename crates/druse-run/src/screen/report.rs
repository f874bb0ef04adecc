//! A screening as a page for a browser.

use druse_crystal::Structure;
use druse_data::{Absent, Item, Listing};
use druse_evaluate::hull::{Hull, OPTIMISTIC};
use druse_evaluate::report::crystals::{Gallery, card, drawn};
use druse_evaluate::report::screening::{ScreeningPage, Tile, page as render};
use druse_evaluate::report::{FunnelGate, Parity};
use druse_evaluate::{Chart, above_hull_chart};

use super::Screening;
use super::row::{Gate, ScreenRow};
use super::settings::{References, ScreenManifest};

/// Candidates that the page lists.
const LISTED: usize = 50;
/// Of these, those that are drawn.
const PICTURED: usize = 12;
/// Candidates that are drawn of what fell at a gate.
const PICTURED_FALLEN: usize = 3;
/// Seed of what is drawn at random.
const SEED: u64 = 0;

/// The page of a finished screening.
pub(super) fn page(
    screening: &Screening,
    manifest: &ScreenManifest,
    candidates: &Listing,
    hull: &Hull,
) -> String {
    let set = candidates;
    let candidates = &set.name;
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
        FunnelGate {
            name: g.gate.name().to_owned(),
            entered: g.entered,
            fell: g.fell,
            why: reasons.join(", "),
        }
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
        galleries: galleries(rows, funnel.ranked, set),
        parity: references.agreement.as_ref().map(|agreement| Parity {
            title: "Formation energies of the reference".to_owned(),
            across: format!("{} (eV/atom)", settings.formation_energy),
            up: "by the potential (eV/atom)".to_owned(),
            points: agreement.pairs.clone(),
        }),
        heads: HEADS.map(str::to_owned).to_vec(),
        best: ranked().take(LISTED).map(|row| cells(row).to_vec()).collect(),
        ranked: funnel.ranked,
        chart: chart(&ranked().filter_map(|row| row.e_above_hull).collect::<Vec<f64>>(), hull),
        remarks,
    })
}

/// The best, some of all that are ranked, and some of what fell at each gate.
fn galleries(rows: &[ScreenRow], ranked: usize, set: &Listing) -> Vec<Gallery> {
    let standing = |row: &ScreenRow| {
        let structure = row.structure.clone();
        let item = item(row, set, structure.ok_or_else(Absent::default));
        let mark = if row.novel == Some(true) { "novel" } else { "known" };
        let known = row.known_as.as_ref().map(|id| format!("the same as {id}"));
        let number = |x: f64| format!("{x:.4} eV/atom");
        let rank = row.rank.map(|rank| ("Rank".to_owned(), rank.to_string()));
        let above = row.e_above_hull.map(|x| ("Above hull".to_owned(), number(x)));
        let formation = row.formation_energy_per_atom.map(|x| ("Formation energy".to_owned(), number(x)));
        let converged = row.converged.filter(|is| !is).map(|_| ("Converged".to_owned(), "no".to_owned()));
        let facts = rank.into_iter().chain(above).chain(formation).chain(converged).collect();
        card(&item, mark, known.unwrap_or_default(), facts)
    };
    let best = rows.iter().take(ranked.min(PICTURED)).map(standing).collect();
    let others = &rows[ranked.min(PICTURED)..ranked];
    let chosen = drawn(others.len(), PICTURED / 2, &set.name, SEED);
    let note = format!("{} of {} that are ranked below, drawn with seed {SEED}", chosen.len(), others.len());
    let random = chosen.into_iter().map(|k| standing(&others[k])).collect();
    let mut all = vec![
        Gallery::of("The best crystals", "as they are relaxed", best),
        Gallery::of("Others of the ranking", note, random),
    ];
    for gate in Gate::ALL {
        let fell: Vec<&ScreenRow> =
            rows.iter().filter(|row| row.fell.as_ref().is_some_and(|fall| fall.gate == gate)).collect();
        let chosen = drawn(fell.len(), PICTURED_FALLEN, &set.name, SEED);
        let note = format!("{} of {}, drawn with seed {SEED}", chosen.len(), fell.len());
        let cards = chosen.into_iter().map(|k| {
            let row = fell[k];
            let given = set.items.get(row.index as usize).map(|item| item.outcome.clone());
            let outcome = row.structure.clone().map(Ok).or(given);
            let item = item(row, set, outcome.unwrap_or_else(|| Err(Absent::default())));
            card(
                &item,
                "fell",
                row.fell.as_ref().map_or(String::new(), |fall| fall.reason.clone()),
                Vec::new(),
            )
        });
        all.push(Gallery::of(
            format!("Fell at the gate {}", gate.name().replace('_', " ")),
            note,
            cards.collect(),
        ));
    }
    all
}

/// A candidate with another structure than that of the input.
fn item(row: &ScreenRow, set: &Listing, outcome: Result<Structure, Absent>) -> Item {
    Item {
        id: row.id.clone(),
        counted: false,
        file: set.path.clone(),
        row: None,
        line: None,
        outcome,
        warnings: Vec::new(),
    }
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
