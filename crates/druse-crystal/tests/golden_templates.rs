//! Templates against spglib's Wyckoff letters.

use druse_crystal::{SpaceGroup, SymmetricStructure, Template};
use druse_testkit::reference::{field, golden, structure};

/// Shares of structures with spglib's number and primitive cell, and of those that have one of the equivalent templates. Origins and axes
/// are free to choose.
fn agreement(symprec: f64, key: &str) -> Option<(f64, f64)> {
    let (structures, reference) = (golden("structures.jsonl.gz")?, golden("symmetry.jsonl.gz")?);
    let (mut numbers, mut templates) = (0, 0);
    for (input, want) in structures.iter().zip(&reference) {
        let (s, want) = (structure(input), &want[key]);
        let ours = SymmetricStructure::from_structure(&s, symprec).unwrap();
        // Near the tolerance one finds translations that the other does not.
        let atoms: usize = field(want, "n_primitive");
        if field::<u16>(want, "number") != ours.group().number() || atoms != ours.num_primitive_atoms() {
            continue;
        }
        numbers += 1;
        let orbits: Vec<usize> = field(want, "crystallographic_orbits");
        let letters: Vec<String> = field(want, "wyckoffs");
        let first = (0..s.len()).filter(|&i| orbits[i] == i);
        let sites = first.map(|i| (s.species[i], letters[i].chars().next().unwrap())).collect();
        let theirs = Template::new(SpaceGroup::new(ours.group().number()).unwrap(), sites).unwrap();
        let ours = ours.template();
        assert_eq!(ours.sites().len(), theirs.sites().len(), "{}: {ours} and {theirs}", input["id"]);
        templates += usize::from(ours.equivalents().contains(&theirs));
    }
    Some((numbers as f64 / structures.len() as f64, f64::from(templates as u32) / f64::from(numbers)))
}

#[test]
fn templates_are_spglibs_but_for_the_choice_of_origin() {
    for (symprec, key) in [(0.1, "symprec_0.1"), (0.01, "symprec_0.01")] {
        let Some((numbers, templates)) = agreement(symprec, key) else { return };
        assert!(numbers > 0.95, "{key}: {numbers}");
        assert!(templates > 0.99, "{key}: {templates}");
    }
}
