//! Uniqueness and novelty of sets of any size: part by part, since only structures of one composition can match.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::AtomicBool;

use druse_crystal::{Composition, Structure};
use druse_data::Listing;
use druse_metrics::matcher::StructureMatcher;
use druse_metrics::novelty::{Novelty, components, training_matches};

use crate::parallel::in_chunks;
use crate::prepared::built;
use crate::{EvaluateError, Observer, Progress, Sets};

/// Structures of both sets in a part, about: a quarter of a gigabyte when they are reduced.
pub(crate) const PART: usize = 200_000;

/// What was found, and what it was found of.
pub(crate) struct Found {
    pub(crate) novelty: Novelty,
    /// Row of each generated structure that was compared.
    pub(crate) compared: Vec<usize>,
    /// Training structures; `None` without a training set.
    pub(crate) training: Option<usize>,
}

/// Rows whose structure is a crystal, with the part that each belongs to.
struct Rows {
    rows: Vec<usize>,
    part: Vec<u32>,
}

impl Rows {
    fn of(listing: &Listing, parts: u32) -> Self {
        let rows = built(listing);
        let part = |&row: &usize| match listing.items[row].structure() {
            Some(structure) if parts > 1 => part_of(structure, parts),
            _ => 0,
        };
        Self { part: rows.iter().map(part).collect(), rows }
    }

    /// Places of the rows of a part.
    fn places(&self, part: u32) -> Vec<usize> {
        (0..self.rows.len()).filter(|&place| self.part[place] == part).collect()
    }

    /// Structures at these places.
    fn structures<'l>(&self, listing: &'l Listing, places: &[usize]) -> Vec<&'l Structure> {
        places.iter().filter_map(|&place| listing.items[self.rows[place]].structure()).collect()
    }
}

/// The part of a structure: the same for all whose elements are in the same ratio.
fn part_of(structure: &Structure, parts: u32) -> u32 {
    let mut hash = DefaultHasher::new();
    Composition::from_species(&structure.species).reduced().0.hash(&mut hash);
    (hash.finish() % u64::from(parts)) as u32
}

/// Uniqueness of the generated set, and its novelty where there is a training set, in parts of about so many structures. The parts
/// decide about memory alone.
pub(crate) fn novelty(
    matcher: &StructureMatcher,
    sets: Sets<'_>,
    of_part: usize,
    watch: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Found, EvaluateError> {
    let all = sets.generated.len() + sets.train.map_or(0, Listing::len);
    let parts = u32::try_from(all.div_ceil(of_part).max(1)).unwrap_or(u32::MAX);
    let generated = Rows::of(sets.generated, parts);
    let training = sets.train.map(|train| (train, Rows::of(train, parts)));
    // Numbered anew below.
    let mut component: Vec<Option<(u32, usize)>> = vec![None; generated.rows.len()];
    let mut matched = training.as_ref().map(|_| vec![None; generated.rows.len()]);
    let mut unfinished = Vec::new();
    for part in 0..parts {
        let places = generated.places(part);
        let own = generated.structures(sets.generated, &places);
        let own = in_chunks(&own, "reducing generated cells", watch, stop, |s| matcher.prepare(s))?;
        watch.observe(Progress { stage: "comparing generated structures", done: 0, total: 0 });
        let (same, given_up) = components(matcher, &own);
        for (&place, number) in places.iter().zip(same) {
            component[place] = number.map(|number| (part, number));
        }
        unfinished.extend(given_up.into_iter().map(|i| places[i]));
        let (Some((train, rows)), Some(matched)) = (&training, &mut matched) else { continue };
        let known_places = rows.places(part);
        let known = rows.structures(train, &known_places);
        let known = in_chunks(&known, "reducing training cells", watch, stop, |s| matcher.prepare(s))?;
        watch.observe(Progress { stage: "looking for training structures", done: 0, total: 0 });
        let (hits, given_up) = training_matches(matcher, &own, &known);
        for (&place, hit) in places.iter().zip(hits) {
            matched[place] = hit.map(|i| known_places[i]);
        }
        unfinished.extend(given_up.into_iter().map(|i| places[i]));
    }
    let mut numbers = HashMap::new();
    let component = component.into_iter().map(|key| {
        let next = numbers.len();
        Some(*numbers.entry(key?).or_insert(next))
    });
    let component = component.collect();
    Ok(Found {
        novelty: Novelty::new((component, unfinished), matched.map(|matched| (matched, Vec::new()))),
        compared: generated.rows,
        training: training.map(|(_, rows)| rows.rows.len()),
    })
}

#[cfg(test)]
mod tests {
    use druse_crystal::Lattice;
    use druse_testkit::prototype;

    use super::*;
    use crate::Silent;

    /// Prototypes, each as it is, in a doubled cell, and stretched along one axis by little and by much.
    fn set(names: &[&str]) -> Listing {
        let structures = names.iter().flat_map(|name| {
            let s = prototype(name);
            let along_a = |factor: f64| {
                let mut rows = s.lattice.rows();
                rows[0] = rows[0].map(|x| factor * x);
                Lattice::from_rows(rows).unwrap()
            };
            let stretched = |factor| Structure { lattice: along_a(factor), ..s.clone() };
            let halves =
                [0.0, 0.5].map(|shift| s.frac_coords.iter().map(move |[x, y, z]| [x / 2.0 + shift, *y, *z]));
            let species = [s.species.clone(), s.species.clone()].concat();
            let doubled = Structure::new(along_a(2.0), species, halves.into_iter().flatten().collect());
            [s.clone(), doubled.unwrap(), stretched(1.01), stretched(1.6)]
        });
        Listing::from_structures("set", structures)
    }

    #[test]
    fn parts_decide_about_nothing() {
        let generated = set(&["NaCl", "CsCl", "Fe", "SrTiO3", "NiAl", "BaTiO3", "Po", "CsCl"]);
        let train = set(&["CsCl", "KTaO3", "Fe", "NaCl"]);
        let matcher = StructureMatcher::default();
        let sets = Sets { generated: &generated, reference: &train, train: Some(&train) };
        let find =
            |sets, of_part| novelty(&matcher, sets, of_part, &mut Silent, &AtomicBool::new(false)).unwrap();
        let whole = find(sets, PART);
        assert_eq!(whole.novelty.component.len(), 32);
        assert!(whole.novelty.novel().unwrap().iter().any(|&n| n));
        assert!(whole.novelty.training_match.as_ref().unwrap().contains(&Some(0)));
        for of_part in [1, 2, 5, 17] {
            let found = find(sets, of_part);
            assert_eq!(found.novelty, whole.novelty, "{of_part}");
            assert_eq!((found.compared, found.training), (whole.compared.clone(), Some(16)));
        }
        let alone = find(Sets { train: None, ..sets }, 3);
        assert_eq!(alone.novelty.component, whole.novelty.component);
        assert_eq!((alone.novelty.training_match, alone.training), (None, None));
    }
}
