//! The gates that look at structures: validity, duplicates, novelty.

use std::collections::HashSet;

use druse_crystal::{Composition, Structure, SymmetricStructure};
use druse_data::{Item, Listing};
use druse_metrics::descriptors::{DescriptorSettings, Descriptors};
use druse_metrics::matcher::PreparedStructure;
use druse_metrics::novelty::{Sameness, first_of_duplicates, training_matches_by};
use druse_metrics::validity::{MIN_VOLUME, StructureFault};
use rayon::prelude::*;

use super::row::{Gate, ScreenRow};
use super::settings::{COMPOSITION_RULE, STRUCTURE_RULE};

/// Lets rows without a structure fall, and those that are no crystal of atoms that keep their distance; with `neutral` also
/// compositions that cannot be neutral.
pub(super) fn validity(rows: &mut [ScreenRow], listing: &Listing, neutral: bool) {
    let wanted = DescriptorSettings { fingerprint: false, symprec: None };
    rows.par_iter_mut().zip(&listing.items).for_each(|(row, item)| {
        let structure = match &item.outcome {
            Ok(structure) => structure,
            Err(absent) => return row.fall(Gate::Read, "no structure", absent.reason.as_str()),
        };
        let found = Descriptors::of(structure, &wanted);
        if let Some(reason) = found.invalid_because(None, STRUCTURE_RULE, false) {
            let kind = match found.structure_fault(STRUCTURE_RULE) {
                Some(StructureFault::Distance(_) | StructureFault::OwnImage(_)) => "atoms closer than 0.5 Å",
                Some(StructureFault::Volume(_)) => "a cell of next to no volume",
                _ => "no crystal",
            };
            return row.fall(Gate::Validity, kind, reason);
        }
        let verdict = found.composition_verdict(COMPOSITION_RULE);
        row.charge_neutral = Some(verdict.is_valid());
        if neutral && !verdict.is_valid() {
            row.fall(Gate::Validity, "not charge-neutral", format!("{}: {verdict}", row.formula));
        }
    });
}

/// Makes the symmetry exact that the structures of the standing rows have within `symprec` (Å), and passes to primitive cells. A
/// structure that no group is found for, or whose atoms would come too close, stays as it is.
pub(super) fn symmetrize(rows: &mut [ScreenRow], listing: &mut Listing, symprec: f64) {
    rows.par_iter_mut().zip(&mut listing.items).filter(|(row, _)| row.stands()).for_each(|(row, item)| {
        let Ok(structure) = &mut item.outcome else { return };
        let Ok(found) = SymmetricStructure::from_structure(structure, symprec) else { return };
        let mut exact = found.primitive();
        let wanted = DescriptorSettings { fingerprint: false, symprec: None };
        if Descriptors::of(&exact, &wanted).structure_fault(STRUCTURE_RULE).is_some() {
            return;
        }
        exact.properties = std::mem::take(&mut structure.properties);
        *structure = exact;
        row.space_group = Some(found.group().number());
    });
}

/// Lets rows fall whose structure is that of an earlier row. `structures` are those of the rows that stand, with their rows.
pub(super) fn duplicates(
    rows: &mut [ScreenRow],
    structures: &[(usize, &Structure)],
    gate: Gate,
    sameness: &Sameness,
) {
    let prepared: Vec<PreparedStructure> =
        structures.par_iter().map(|(_, s)| sameness.matcher.prepare(s)).collect();
    let (unique, _) = first_of_duplicates(sameness, &prepared);
    let (mut firsts, mut first_rows, mut others) = (Vec::new(), Vec::new(), Vec::new());
    let mut other_rows = Vec::new();
    for ((prepared, unique), &(row, _)) in prepared.into_iter().zip(unique).zip(structures) {
        if unique {
            firsts.push(prepared);
            first_rows.push(row);
        } else if prepared.structure().is_none() {
            let reason = "the cell cannot be reduced, so the structure cannot be compared with others";
            rows[row].fall(gate, "not comparable", reason);
        } else {
            others.push(prepared);
            other_rows.push(row);
        }
    }
    // The first match is the one that counted: of the unique ones it is the earliest.
    let (same, _) = training_matches_by(sameness, &others, &firsts);
    for (row, same) in other_rows.into_iter().zip(same) {
        let original = same.map(|first| rows[first_rows[first]].id.clone());
        let what = if gate == Gate::Duplicate { "is" } else { "relaxes to" };
        let reason = match &original {
            Some(id) => format!("{what} the same structure as `{id}`"),
            None => format!("{what} the same structure as an earlier row"),
        };
        rows[row].same_as = original;
        rows[row].fall(gate, "same as an earlier one", reason);
    }
}

/// Says of each row that stands whether its relaxed structure is among the known ones.
pub(super) fn novelty(rows: &mut [ScreenRow], known: &Listing, sameness: &Sameness) {
    let standing: Vec<usize> =
        (0..rows.len()).filter(|&i| rows[i].stands() && rows[i].structure.is_some()).collect();
    let formulas: HashSet<Composition> =
        standing.iter().filter_map(|&i| rows[i].structure.as_ref()).map(reduced).collect();
    // Structures of other compositions cannot match; reducing their cells would take most of the time.
    let candidates: Vec<&Item> = known
        .items
        .par_iter()
        .filter(|item| {
            let structure = item.structure().filter(|s| s.lattice.volume() >= MIN_VOLUME);
            structure.is_some_and(|s| formulas.contains(&reduced(s)))
        })
        .collect();
    let prepare = |s: &Structure| sameness.matcher.prepare(s);
    let training: Vec<PreparedStructure> =
        candidates.par_iter().filter_map(|item| item.structure()).map(prepare).collect();
    let own: Vec<PreparedStructure> =
        standing.par_iter().filter_map(|&i| rows[i].structure.as_ref()).map(prepare).collect();
    let (found, _) = training_matches_by(sameness, &own, &training);
    for (i, hit) in standing.into_iter().zip(found) {
        rows[i].novel = Some(hit.is_none());
        rows[i].known_as = hit.map(|k| candidates[k].id.clone());
    }
}

fn reduced(structure: &Structure) -> Composition {
    Composition::from_species(&structure.species).reduced().0
}
