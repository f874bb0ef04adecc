//! Substitution: crystals of textbooks with other elements.

use std::collections::BTreeMap;

use druse_crystal::{Composition, Element, Structure, symmetry};
use druse_data::substitution::{ElementVolumes, Library, Parent, element_distance};
use druse_testkit::prototype;
use druse_testkit::prototypes::{cesium_chloride, cubic, rock_salt, zinc_blende};
use proptest::prelude::*;

fn composition(formula: &str) -> Composition {
    Composition::parse(formula).unwrap()
}

fn library<'s>(structures: impl IntoIterator<Item = (&'s str, Structure)>) -> Library {
    Library::new(structures.into_iter().map(|(id, s)| Parent::new(id, s)))
}

fn textbook() -> Library {
    library(druse_testkit::prototypes())
}

fn ids(library: &Library, formula: &str, group: Option<u16>) -> Vec<String> {
    let found = library.candidates(&composition(formula), group).unwrap();
    found.map(|candidate| candidate.parent.id().to_owned()).collect()
}

#[test]
fn potassium_bromide_is_rock_salt_first() {
    let known = library([
        ("zinc blende", zinc_blende("Zn", "S", 3.83)),
        ("rock salt", rock_salt("Na", "Cl", 5.64)),
        ("intermetallic", cesium_chloride("Ni", "Al", 2.88)),
    ]);
    assert_eq!(ids(&known, "KBr", None), ["rock salt", "zinc blende", "intermetallic"]);
    let first = known.candidates(&composition("BrK"), None).unwrap().next().unwrap();
    assert_eq!((first.rank, first.parent.composition()), (1, composition("NaCl")));
    assert_eq!(first.template().to_string(), "225 (Fm-3m): K:4a,Br:4b");
    let structure = first.structure().unwrap();
    assert_eq!(symmetry::analyze(&structure, 0.01).unwrap().number, 225);
    // 3·|ΔX| and the rest are far from those of zinc and sulfur.
    let distances: Vec<f64> =
        known.candidates(&composition("KBr"), None).unwrap().map(|candidate| candidate.distance).collect();
    let (k, br) = (Element::from_symbol("K").unwrap(), Element::from_symbol("Br").unwrap());
    let (na, cl) = (Element::from_symbol("Na").unwrap(), Element::from_symbol("Cl").unwrap());
    assert!((distances[0] - element_distance(na, k) - element_distance(cl, br)).abs() < 1e-12);
    // Na to K: |11 - 10| / 10 + 0 + 1 / 1.5 + 3 · |0.93 - 0.82| + 2 · |1.8 - 2.2|.
    assert!((element_distance(na, k) - (0.1 + 1.0 / 1.5 + 0.33 + 0.8)).abs() < 1e-9);
    assert!(distances.is_sorted());
}

#[test]
fn a_template_is_offered_once_by_its_nearest_parent() {
    // Ten crystals of the structure of CsCl, zinc blendes, one rock salt: three templates of two atoms.
    let known = textbook();
    let found = known.candidates(&composition("RbI"), None).unwrap();
    let found: Vec<(String, u16)> =
        found.map(|c| (c.parent.id().to_owned(), c.template().group().number())).collect();
    let groups: Vec<u16> = found.iter().map(|(_, group)| *group).collect();
    let mut once = groups.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once, [216, 221, 225], "{found:?}");
    assert_eq!(groups.len(), 3, "{found:?}");
    assert_eq!(found[0].0, "CsI", "the heaviest of the neighbors");
    // The other way round it is another template: the element that is alone stays alone.
    assert_eq!(ids(&known, "CaTiO3", Some(221)), ["SrTiO3"]);
}

#[test]
fn a_space_group_leaves_the_others_out() {
    let known = textbook();
    assert_eq!(ids(&known, "AgBr", Some(216)).len(), 1);
    let zinc_blende = known.candidates(&composition("AgBr"), Some(216)).unwrap().next().unwrap();
    assert_eq!(symmetry::analyze(&zinc_blende.structure().unwrap(), 0.01).unwrap().number, 216);
    assert!(ids(&known, "AgBr", Some(62)).is_empty());
    let groups = known.space_groups(&composition("AgBr"));
    assert_eq!(groups.keys().copied().collect::<Vec<_>>(), [216, 221, 225]);
}

#[test]
fn a_known_composition_is_answered_by_itself() {
    let known = textbook();
    for (id, s) in druse_testkit::prototypes() {
        let c = Composition::from_species(&s.species);
        let first = known.candidates(&c, None).unwrap().next().unwrap();
        assert_eq!((first.distance, first.scale), (0.0, 1.0), "{id}");
        assert_eq!(first.parent.composition(), c);
        assert_eq!(first.structure().unwrap().species.len(), s.len());
    }
}

#[test]
fn counts_that_nobody_has_are_refused_with_cells_that_some_have() {
    let known = textbook();
    let refused = known.candidates(&composition("K2Br2"), None).unwrap_err().to_string();
    assert!(refused.contains("K2 Br2") && refused.contains("2 + 2"), "{refused}");
    assert!(refused.contains("cells of the same ratio that some have: KBr"), "{refused}");
    let refused = known.candidates(&composition("LiFePO4"), None).unwrap_err().to_string();
    assert!(refused.contains("1 + 1 + 1 + 4") && !refused.contains("ratio"), "{refused}");
    let empty = Library::new([]);
    assert!(
        empty.candidates(&composition("NaCl"), None).unwrap_err().to_string().contains("no crystal of 0")
    );
    // One structure is a library, too.
    let one = library([("Po", prototype("Po"))]);
    assert_eq!(ids(&one, "Xe", None), ["Po"]);
    assert!((one.candidates(&composition("Po"), None).unwrap().next().unwrap().scale - 1.0).abs() < 1e-12);
}

#[test]
fn elements_without_established_numbers_have_places_too() {
    let known = textbook();
    // No electronegativity, radius or Mendeleev number; no crystal to tell its volume.
    for formula in ["HeOg", "OgTs", "UNe"] {
        let first = known.candidates(&composition(formula), None).unwrap().next().unwrap();
        assert!(first.distance.is_finite() && first.structure().unwrap().lattice.volume() > 1.0);
    }
}

#[test]
fn structures_without_symmetry_are_parents() {
    let at = |x: f64, y: f64, z: f64| [x, y, z];
    let odd = cubic(
        6.0,
        &[
            ("Fe", at(0.02, 0.11, 0.23)),
            ("Fe", at(0.51, 0.43, 0.31)),
            ("O", at(0.27, 0.81, 0.66)),
            ("O", at(0.71, 0.29, 0.78)),
        ],
    );
    let known = library([("odd", odd)]);
    let found = known.candidates(&composition("Co2S2"), None).unwrap().next().unwrap();
    assert_eq!(found.template().group().number(), 1);
    assert_eq!(found.template().to_string(), "1 (P1): S:1a,S:1a,Co:1a,Co:1a");
}

#[test]
fn volumes_are_found_where_they_add_up() {
    // Volumes that are sums exist: with many crystals the pull to the mean is small.
    let of = BTreeMap::from([("Li", 12.0), ("Fe", 9.0), ("O", 11.0)]);
    let made = |formula: &str| {
        let species = composition(formula).atoms();
        let volume: f64 = species.iter().map(|e| of[e.symbol()]).sum();
        let frac = (0..species.len()).map(|i| [i as f64 / species.len() as f64, 0.0, 0.0]).collect();
        Structure::new(druse_crystal::Lattice::cubic(volume.cbrt()).unwrap(), species, frac).unwrap()
    };
    let crystals: Vec<Structure> =
        ["Li", "Fe", "O2", "Li2O", "FeO", "Fe2O3", "LiFeO2", "LiFe"].map(made).into();
    let many: Vec<&Structure> = std::iter::repeat_n(&crystals, 50).flatten().collect();
    let volumes = ElementVolumes::fit(many);
    for (symbol, expected) in of {
        let found = volumes.of(Element::from_symbol(symbol).unwrap());
        assert!((found - expected).abs() < 0.05 * expected, "{symbol}: {found}, not {expected}");
    }
    let strange = volumes.of(Element::from_symbol("Pu").unwrap());
    assert!((9.0..12.0).contains(&strange), "the mean: {strange}");
}

/// Formulas of one to four elements with small counts.
fn formulas() -> impl Strategy<Value = Composition> {
    let element = (1u8..=103).prop_map(|z| Element::from_z(z).unwrap());
    prop::collection::btree_map(element, 1u32..4, 1..4).prop_map(Composition::from_counts)
}

proptest! {
    #[test]
    fn substitution_keeps_counts_and_scales_volumes(
        parents in prop::collection::vec((formulas(), 3.0f64..9.0), 1..12),
        elements in prop::collection::btree_set(1u8..=103, 3),
    ) {
        // The counts of the first parent, other elements.
        let elements = elements.into_iter().map(|z| Element::from_z(z).unwrap());
        let counts = parents[0].0.iter().map(|(_, n)| n);
        let wanted = Composition::from_counts(elements.rev().zip(counts));
        let structures: Vec<Structure> = parents.iter().map(|(c, a)| {
            let species = c.atoms();
            let n = species.len() as f64;
            let frac = (0..species.len()).map(|i| {
                let x = (i as f64 + 0.3) / n;
                [x, (7.0 * x).fract(), (3.0 * x * x).fract()]
            }).collect();
            Structure::new(druse_crystal::Lattice::cubic(*a).unwrap(), species, frac).unwrap()
        }).collect();
        let named = structures.iter().enumerate().map(|(i, s)| Parent::new(i.to_string(), s.clone()));
        let known = Library::new(named);
        let found = known.candidates(&wanted, None).unwrap();
        let volumes = known.volumes();
        let (mut last, mut given) = (0.0, 0);
        for candidate in found {
            let structure = candidate.structure().unwrap();
            prop_assert_eq!(&Composition::from_species(&structure.species), &wanted);
            let parent = candidate.parent;
            let ratio = volumes.sum(&wanted) / volumes.sum(&parent.composition());
            let expected = ratio * parent.structure().lattice.volume();
            prop_assert!((structure.lattice.volume() - expected).abs() < 1e-9 * expected);
            prop_assert_eq!(&structure.frac_coords, &parent.structure().frac_coords);
            prop_assert!(candidate.distance >= last);
            last = candidate.distance;
            given += 1;
            prop_assert_eq!(candidate.rank, given);
            // Every element goes to one of its count, and to one only.
            let mut new: Vec<Element> = candidate.exchange.iter().map(|&(_, new)| new).collect();
            new.sort_unstable();
            prop_assert!(new.into_iter().eq(wanted.elements()));
            for &(old, new) in &candidate.exchange {
                prop_assert_eq!(parent.composition().count(old), wanted.count(new));
            }
            let by_pairs: f64 = candidate.exchange.iter().map(|&(a, b)| element_distance(a, b)).sum();
            prop_assert!((by_pairs - candidate.distance).abs() < 1e-12);
        }
        prop_assert!(given > 0);
    }

    #[test]
    fn distances_of_elements_are_symmetric(a in 1u8..=118, b in 1u8..=118) {
        let (a, b) = (Element::from_z(a).unwrap(), Element::from_z(b).unwrap());
        prop_assert_eq!(element_distance(a, b), element_distance(b, a));
        prop_assert_eq!(element_distance(a, a), 0.0);
        prop_assert!(a == b || element_distance(a, b) > 0.0);
    }
}
