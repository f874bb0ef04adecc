//! Crystals in pages: which of a set are shown, and with which figures.

use std::collections::HashMap;

use druse_crystal::symmetry;
use druse_data::{Item, Listing};
use druse_page::{Card, Crystal, gallery, gallery_assets};

use super::text::{escape, number};
use crate::{ClosestReference, Evaluation, Sets, StabilityRow, Task};

/// Crystals of the best and of the worst that are shown.
const EXTREME: usize = 6;
/// Crystals that are drawn at random.
const RANDOM: usize = 12;
/// Seed of the drawing.
const SEED: u64 = 0;
/// Cells with more atoms are shown without a search for their space group.
const MOST_SITES: usize = 300;
/// Distance tolerance (Å) of the space group.
const SYMPREC: f64 = 0.1;

/// A part of a page that shows crystals.
#[derive(Debug, Clone, Default)]
pub struct Gallery {
    /// Its heading.
    pub title: String,
    /// How the crystals were chosen; may be empty.
    pub note: String,
    /// The crystals; of pairs, those that stand side by side.
    pub cards: Vec<Vec<Card>>,
}

impl Gallery {
    /// Crystals that stand alone.
    pub fn of(title: impl Into<String>, note: impl Into<String>, cards: Vec<Card>) -> Self {
        Self {
            title: title.into(),
            note: note.into(),
            cards: cards.into_iter().map(|card| vec![card]).collect(),
        }
    }

    fn html(&self) -> String {
        if self.cards.is_empty() {
            return String::new();
        }
        let mut html = format!("<h2>{}</h2>\n", escape(&self.title));
        if !self.note.is_empty() {
            html += &format!("<p class=\"soft\">{}</p>\n", escape(&self.note));
        }
        if self.cards.iter().all(|group| group.len() == 1) {
            return html + &gallery(&self.cards.concat());
        }
        html += "<div class=\"pairs\">\n";
        for group in &self.cards {
            html += &format!("<div class=\"pair\">{}</div>\n", gallery(group));
        }
        html + "</div>\n"
    }
}

/// Galleries as parts of a page, and what the page needs to draw them; nothing where there is no crystal.
pub(super) fn parts(galleries: &[Gallery]) -> (String, String) {
    let html: String = galleries.iter().map(Gallery::html).collect();
    let drawn = galleries.iter().flat_map(|g| g.cards.iter().flatten()).any(|card| card.crystal.is_some());
    (html, if drawn { gallery_assets() } else { String::new() })
}

/// Some of `n` rows, the same for the same set and seed, in their order.
pub fn drawn(n: usize, count: usize, set: &str, seed: u64) -> Vec<usize> {
    let key = |i: &usize| blake3::hash(format!("{set} {seed} {i}").as_bytes()).as_bytes().to_owned();
    let mut all: Vec<usize> = (0..n).collect();
    all.sort_by_cached_key(key);
    all.truncate(count);
    all.sort_unstable();
    all
}

/// A row as a card: its formula, what is known of its cell, then `facts`. `caption` says why it is here.
pub fn card(item: &Item, mark: &str, caption: String, facts: Vec<(String, String)>) -> Card {
    let mut all = Vec::new();
    let mut fact = |name: &str, value: String| all.push((name.to_owned(), value));
    fact("Identifier", item.id.clone());
    let structure = item.structure();
    if let Some(s) = structure {
        fact("Atoms", s.len().to_string());
        let volume = s.lattice.volume() / s.len().max(1) as f64;
        if volume > 0.0 {
            fact("Volume per atom", format!("{volume:.2} Å³"));
            fact("Density", format!("{:.2} g/cm³", s.density()));
        }
        if s.len() <= MOST_SITES
            && let Ok(found) = symmetry::analyze(s, SYMPREC)
        {
            fact("Space group", format!("{} ({})", found.international, found.number));
        }
    }
    all.extend(facts);
    let formula = item.composition().map(|c| c.reduced_formula()).filter(|formula| !formula.is_empty());
    Card {
        title: formula.unwrap_or_else(|| item.id.clone()),
        mark: mark.to_owned(),
        caption,
        facts: all,
        crystal: structure.map(Crystal::of),
    }
}

/// The crystals of an evaluation.
pub(super) fn of_evaluation(e: &Evaluation, sets: Sets<'_>) -> Vec<Gallery> {
    let shown = Shown::new(e, sets);
    let best = &e.best[..e.best.len().min(EXTREME)];
    // Of a small set the worst are among the best.
    let worst: Vec<ClosestReference> = e.worst.iter().filter(|row| !best.contains(row)).cloned().collect();
    let mut all = match (&e.stability, e.task) {
        (Some(stability), _) => shown.stability(&stability.rows),
        (None, Task::Reconstruction | Task::Prediction) => vec![
            shown.pairs("Best matches, beside what they match", best),
            shown.pairs("Worst matches, beside what they match", &worst),
        ],
        (None, Task::Generation | Task::Stability) => vec![
            shown.pairs("Closest to the reference, beside the nearest known crystal", best),
            shown.pairs("Farthest from the reference, beside the nearest known crystal", &worst),
        ],
    };
    all.push(shown.invalid());
    all.push(shown.random());
    all
}

/// What the cards of an evaluation are made of.
struct Shown<'a> {
    sets: Sets<'a>,
    evaluation: &'a Evaluation,
    invalid: HashMap<usize, &'a str>,
    references: HashMap<&'a str, &'a Item>,
}

impl<'a> Shown<'a> {
    fn new(evaluation: &'a Evaluation, sets: Sets<'a>) -> Self {
        let invalid = evaluation.invalid.iter().map(|row| (row.index, row.reason.as_str())).collect();
        // Of several rows of one identifier the first, as they were found.
        let items = sets.reference.items.iter().rev();
        Self { sets, evaluation, invalid, references: items.map(|item| (item.id.as_str(), item)).collect() }
    }

    /// What is known of a generated row beside its cell: its mark and why.
    fn judged(&self, index: usize) -> (&'static str, String) {
        match (self.invalid.get(&index), &self.evaluation.stability) {
            (Some(reason), _) => ("invalid", (*reason).to_owned()),
            (None, Some(stability)) => (stability.rows.get(index).map_or("", stable), String::new()),
            (None, None) => ("valid", String::new()),
        }
    }

    fn generated(&self, index: usize, facts: Vec<(String, String)>) -> Option<Card> {
        let item = self.sets.generated.items.get(index)?;
        let (mark, caption) = self.judged(index);
        Some(card(item, mark, caption, facts))
    }

    fn pairs(&self, title: &str, rows: &[ClosestReference]) -> Gallery {
        let unit = match self.evaluation.task {
            Task::Reconstruction | Task::Prediction => "RMS distance",
            Task::Generation | Task::Stability => "Distance",
        };
        let pair = |row: &ClosestReference| {
            let own = self.generated(row.index, vec![(unit.to_owned(), number(row.distance))])?;
            let other = self.references.get(row.reference.as_str())?;
            Some(vec![own, card(other, "reference", String::new(), Vec::new())])
        };
        Gallery {
            title: title.to_owned(),
            note: String::new(),
            cards: rows.iter().take(EXTREME).filter_map(pair).collect(),
        }
    }

    fn stability(&self, rows: &[StabilityRow]) -> Vec<Gallery> {
        let mut order: Vec<(usize, f64)> =
            rows.iter().enumerate().filter_map(|(i, row)| Some((i, row.e_above_hull?))).collect();
        order.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        let of = |title: &str, chosen: Vec<usize>| {
            let card = |i: usize| {
                let row = &rows[i];
                let mut facts = vec![(
                    "Above hull".to_owned(),
                    format!("{:.4} eV/atom", row.e_above_hull.unwrap_or(f64::NAN)),
                )];
                facts.push(("Unique".to_owned(), yes(row.unique)));
                facts.extend(row.novel.map(|novel| ("Novel".to_owned(), yes(novel))));
                self.generated(i, facts)
            };
            Gallery::of(title, "", chosen.into_iter().filter_map(card).collect())
        };
        let first = order.iter().take(2 * EXTREME).map(|(i, _)| *i).collect();
        let last = order.iter().skip(2 * EXTREME).rev().take(EXTREME).map(|(i, _)| *i).collect();
        vec![of("The lowest above the hull", first), of("The highest above the hull", last)]
    }

    fn invalid(&self) -> Gallery {
        let mut rows: Vec<usize> = self.invalid.keys().copied().collect();
        rows.sort_unstable();
        let total = rows.len();
        let chosen = drawn(total, EXTREME, &self.evaluation.generated.structures_hash, SEED);
        let cards: Vec<Card> =
            chosen.into_iter().filter_map(|k| self.generated(rows[k], Vec::new())).collect();
        let note = format!("{} of {total}, drawn with seed {SEED}", cards.len());
        Gallery::of("Invalid crystals", note, cards)
    }

    fn random(&self) -> Gallery {
        let items: &Listing = self.sets.generated;
        let chosen = drawn(items.len(), RANDOM, &self.evaluation.generated.structures_hash, SEED);
        let cards: Vec<Card> = chosen.into_iter().filter_map(|i| self.generated(i, Vec::new())).collect();
        let note = format!("{} of {} rows, drawn with seed {SEED}", cards.len(), items.len());
        Gallery::of("Drawn at random", note, cards)
    }
}

fn stable(row: &StabilityRow) -> &'static str {
    match (row.stable, row.metastable, row.e_above_hull) {
        (true, ..) => "stable",
        (_, true, _) => "metastable",
        (_, _, Some(_)) => "unstable",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use druse_crystal::{Element, Lattice, Structure};

    use super::*;

    #[test]
    fn the_same_rows_are_drawn_again() {
        let first = drawn(100, 12, "set", 0);
        assert_eq!(first, drawn(100, 12, "set", 0));
        assert!(first.is_sorted() && first.len() == 12);
        assert_ne!(first, drawn(100, 12, "set", 1));
        assert_ne!(first, drawn(100, 12, "other", 0));
        assert_eq!(drawn(3, 12, "set", 0), [0, 1, 2]);
    }

    #[test]
    fn pages_without_crystals_stay_small() {
        assert_eq!(parts(&[Gallery::default()]), (String::new(), String::new()));
        let absent = Card { title: "NaCl".into(), caption: "no cell".into(), ..Card::default() };
        let (html, assets) = parts(&[Gallery::of("Failed", "", vec![absent])]);
        assert!(html.contains("no cell") && assets.is_empty());
        let iron = Element::from_symbol("Fe").unwrap();
        let s = Structure::new(Lattice::cubic(2.87).unwrap(), vec![iron], vec![[0.0; 3]]).unwrap();
        let set = Listing::from_structures("set", [s]);
        let one = card(&set.items[0], "valid", String::new(), vec![("Energy".into(), "1 eV".into())]);
        assert!(one.facts.iter().any(|(name, value)| name == "Space group" && value == "Pm-3m (221)"));
        let (html, assets) = parts(&[Gallery { cards: vec![vec![one.clone(), one]], ..Gallery::default() }]);
        assert!(html.contains("class=\"pair\"") && assets.contains("<script>"));
    }
}
