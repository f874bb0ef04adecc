//! Stable, unique and novel: masks against tests one by one, and figures that can be counted by hand.

use druse_crystal::{Element, Lattice, Structure};
use druse_metrics::Metric;
use druse_metrics::matcher::PreparedStructure;
use druse_metrics::novelty::{Comparison, components, first_of_duplicates};
use druse_metrics::stability::{StabilityDefinition, StabilityMasks, StabilityRows, StabilitySources};
use proptest::prelude::*;

/// A cubic perovskite (3.905 Å) with one oxygen displaced by `d` Å.
fn perovskite(a: &str, d: f64) -> Structure {
    let edge = 3.905;
    let element = |s| Element::from_symbol(s).unwrap();
    Structure::new(
        Lattice::cubic(edge).unwrap(),
        [a, "Ti", "O", "O", "O"].map(element).to_vec(),
        vec![[0.0; 3], [0.5; 3], [0.5, 0.5, d / edge], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]],
    )
    .unwrap()
}

fn prepare(d: &StabilityDefinition, all: &[Structure]) -> Vec<PreparedStructure> {
    all.iter().map(|s| d.sameness.matcher.prepare(s)).collect()
}

/// Rows of a set: a structure that may be missing, its energy above hull, whether it is valid.
type Rows = Vec<(Option<Structure>, Option<f64>, bool)>;

fn masks(d: &StabilityDefinition, rows: &Rows, known: Option<&[Structure]>) -> StabilityMasks {
    let structures: Vec<Option<PreparedStructure>> =
        rows.iter().map(|(s, _, _)| s.as_ref().map(|s| d.sameness.matcher.prepare(s))).collect();
    let above: Vec<Option<f64>> = rows.iter().map(|r| r.1).collect();
    let has_energy: Vec<bool> = above.iter().map(Option::is_some).collect();
    let valid: Vec<bool> = rows.iter().map(|r| r.2 || d.validity.is_none()).collect();
    let known = known.map(|known| prepare(d, known));
    d.masks(StabilityRows {
        structures: &structures,
        above_hull: &above,
        has_energy: &has_energy,
        valid: &valid,
        known: known.as_deref(),
    })
}

fn example() -> Rows {
    vec![
        // In the chain 0, 0.6, 1.2 neighbors match, its ends do not.
        (Some(perovskite("Sr", 0.6)), Some(0.05), true),
        (Some(perovskite("Sr", 0.0)), Some(-0.02), true),
        (Some(perovskite("Sr", 1.2)), Some(0.0), true),
        (Some(perovskite("Ba", 0.0)), Some(0.1), true),
        (Some(perovskite("Ba", 0.01)), Some(0.0), false),
        (Some(perovskite("Ca", 0.0)), Some(0.2), true),
        (Some(perovskite("Ca", 0.0)), None, true),
        (None, None, false),
        (Some(perovskite("Pb", 0.0)), Some(0.0), true),
    ]
}

fn flags(text: &str) -> Vec<bool> {
    text.bytes().map(|b| b == b'1').collect()
}

#[test]
fn mattergen_takes_three_masks_of_relaxed_structures() {
    let d = StabilityDefinition::mattergen();
    let m = masks(&d, &example(), Some(&[perovskite("Pb", 0.02)]));
    // A row without energy is a failed job; validity is not asked for.
    assert_eq!(m.evaluated, flags("111111001"));
    assert_eq!(m.stable, flags("111110001"));
    assert_eq!(m.metastable, flags("000000000"));
    // The first of the chain is unique, and so both that match it are not, although they do not match each other.
    assert_eq!(m.unique, flags("100101001"));
    assert_eq!(m.novel, Some(flags("111111000")));
    assert_eq!(m.sun, Some(flags("100100000")));
    // In another order the ends of the chain are unique.
    let mut turned = example();
    turned.swap(0, 2);
    // Rows are now the end at 1.2, the end at 0 and the middle.
    assert_eq!(masks(&d, &turned, None).unique, flags("110101001"));
    assert_eq!(masks(&d, &turned, None).sun, None, "novelty was not tested");
}

#[test]
fn lemat_counts_valid_structures_on_the_hull_and_near_it() {
    let m = masks(&StabilityDefinition::lemat(), &example(), Some(&[perovskite("Pb", 0.02)]));
    // Structures count without energy, too.
    assert_eq!(m.evaluated, flags("111111101"));
    assert_eq!(m.valid, flags("111101101"));
    assert_eq!(m.stable, flags("011000001"));
    assert_eq!(m.metastable, flags("100100000"));
    assert_eq!(m.sun, Some(flags("000000000")));
    assert_eq!(m.msun, Some(flags("100100000")));
}

#[test]
fn strict_counts_components_in_any_order() {
    let d = StabilityDefinition::strict();
    let known = [perovskite("Pb", 0.02)];
    let m = masks(&d, &example(), Some(&known));
    assert_eq!(m.unique, flags("100101001"));
    // The chain is one structure, stable because a member is; the barium one is metastable.
    assert_eq!(m.sun, Some(flags("010000000")));
    assert_eq!(m.msun, Some(flags("000100000")));
    let mut rows = example();
    rows.rotate_left(2);
    rows.swap(0, 6);
    let other = masks(&d, &rows, Some(&known));
    let count = |mask: &Option<Vec<bool>>| mask.as_ref().unwrap().iter().filter(|x| **x).count();
    assert_eq!((count(&other.sun), count(&other.msun)), (1, 1));
    assert_eq!(other.unique.iter().filter(|x| **x).count(), 4);
    // A known member takes the whole component out.
    let m = masks(&d, &example(), Some(&[perovskite("Sr", 1.3)]));
    assert_eq!(m.novel.as_ref().map(|n| n[..3].to_vec()), Some(flags("010")));
    assert_eq!(m.sun, Some(flags("000000001")));
}

fn sources(submitted: usize, no_energies: Option<&str>) -> StabilitySources {
    StabilitySources {
        hull: "hull of somewhere (7 entries)".into(),
        entries: 7,
        energies: "energies `energy_per_atom` of a potential".into(),
        known: Some(("the training set".into(), 1)),
        submitted,
        no_energies: no_energies.map(str::to_owned),
    }
}

fn figures(d: &StabilityDefinition, submitted: usize, no_energies: Option<&str>) -> Vec<Metric> {
    let rows = example();
    let above: Vec<Option<f64>> = rows.iter().map(|r| r.1).collect();
    let m = masks(d, &rows, Some(&[perovskite("Pb", 0.02)]));
    d.metrics(&m, &above, &sources(submitted, no_energies), None)
}

fn value(all: &[Metric], key: &str) -> Option<f64> {
    all.iter().find(|m| m.key == key).unwrap_or_else(|| panic!("no {key}")).value
}

#[test]
fn denominators_are_those_of_the_definitions() {
    // Eleven were submitted, nine came to the set, seven of them were evaluated.
    let all = figures(&StabilityDefinition::mattergen(), 11, None);
    let of = |n: f64, d: f64| Some(n / d);
    assert_eq!(value(&all, "evaluated"), of(7.0, 11.0));
    assert_eq!((value(&all, "stable"), value(&all, "sun")), (of(6.0, 11.0), of(2.0, 11.0)));
    assert_eq!((value(&all, "unique"), value(&all, "novel")), (of(4.0, 7.0), of(6.0, 7.0)));
    assert_eq!(value(&all, "unique_novel"), of(3.0, 7.0));
    assert!((value(&all, "e_above_hull").unwrap() - 0.33 / 7.0).abs() < 1e-12);
    assert!(all.iter().all(|m| m.key != "metastable" && m.key != "msun" && m.key != "valid"));
    let sun = &all.iter().find(|m| m.key == "sun").unwrap().protocol;
    for words in [
        "<= 0.1 eV/atom",
        "hull of somewhere",
        "of a potential",
        "ltol 0.2",
        "1 structures of the training set",
        "all 11 submitted",
    ] {
        assert!(sun.contains(words), "`{words}` is not in {sun}");
    }
    // An element of one sample is missing: nothing can be said of energies, the rest stands.
    let all = figures(&StabilityDefinition::mattergen(), 11, Some("no entry of Xe"));
    for key in ["stable", "sun", "e_above_hull"] {
        let m = all.iter().find(|m| m.key == key).unwrap();
        assert_eq!((m.value, m.problem.as_deref()), (None, Some("no entry of Xe")), "{key}");
    }
    assert_eq!(value(&all, "unique"), of(4.0, 7.0));

    let all = figures(&StabilityDefinition::lemat(), 10, None);
    assert_eq!((value(&all, "valid"), value(&all, "stable")), (of(7.0, 10.0), of(3.0, 10.0)));
    assert_eq!((value(&all, "metastable"), value(&all, "msun")), (of(2.0, 10.0), of(2.0, 10.0)));
    assert_eq!(value(&all, "sun"), Some(0.0));
    assert_eq!(value(&all, "unique"), of(4.0, 10.0), "the calcium one without energy is a duplicate");
}

#[test]
fn nothing_at_all_has_no_figures_but_says_so() {
    let d = StabilityDefinition::strict();
    let m = masks(&d, &Vec::new(), None);
    let all = d.metrics(&m, &[], &StabilitySources { known: None, ..sources(0, None) }, None);
    assert!(all.iter().all(|m| m.value.is_none() && m.problem.is_some()), "{all:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The fast paths give what loops over `fit` give.
    #[test]
    fn masks_are_those_of_independent_tests(
        rows in prop::collection::vec((0usize..3, 0u32..16, -1i32..5, any::<bool>()), 0..14),
        known in prop::collection::vec((0usize..3, 0u32..16), 0..6)
    ) {
        let crystal = |a: usize, d: u32| perovskite(["Sr", "Ba", "Ca"][a], f64::from(d) * 0.1);
        let known: Vec<Structure> = known.into_iter().map(|(a, d)| crystal(a, d)).collect();
        let rows: Rows = rows.into_iter()
            .map(|(a, d, e, valid)| (Some(crystal(a, d)), (e < 4).then(|| f64::from(e) * 0.05), valid)).collect();
        for d in [StabilityDefinition::mattergen(), StabilityDefinition::lemat(), StabilityDefinition::strict()] {
            let m = masks(&d, &rows, Some(&known));
            let counts = |i: usize| match d.energy_needed {
                true => rows[i].1.is_some(),
                false => rows[i].2,
            };
            let p = prepare(&d, &rows.iter().map(|r| r.0.clone().unwrap()).collect::<Vec<_>>());
            let k = prepare(&d, &known);
            let disordered = |a: &PreparedStructure, b: &PreparedStructure| {
                let rule = d.sameness.substitution.as_ref();
                rule.is_some_and(|r| d.sameness.matcher.compare_disordered(r, a, b).displacement().is_some())
            };
            let same = |a: &PreparedStructure, b: &PreparedStructure| {
                d.sameness.matcher.fit(a, b) || disordered(a, b) || d.sameness.comparison == Comparison::EitherWay && d.sameness.matcher.fit(b, a)
            };
            let novel: Vec<bool> = (0..p.len()).map(|i| counts(i) && k.iter().all(|k| !same(&p[i], k))).collect();
            let stable: Vec<bool> = (0..p.len()).map(|i| counts(i) && rows[i].1.is_some_and(|e| d.is_stable(e))).collect();
            prop_assert_eq!(m.novel.as_ref(), Some(&novel));
            prop_assert_eq!(&m.stable, &stable);
            if d.sameness.comparison == Comparison::EitherWay {
                let of: Vec<usize> = (0..p.len()).filter(|&i| counts(i)).collect();
                let (component, _) = components(&d.sameness.matcher, &of.iter().map(|&i| p[i].clone()).collect::<Vec<_>>());
                let count = component.iter().flatten().max().map_or(0, |c| c + 1);
                let good = (0..count).filter(|c| {
                    let members = || of.iter().zip(&component).filter(|(_, x)| **x == Some(*c)).map(|(i, _)| *i);
                    members().all(|i| novel[i]) && members().any(|i| stable[i])
                });
                prop_assert_eq!(m.sun.unwrap().iter().filter(|x| **x).count(), good.count());
            } else {
                let mut unique: Vec<usize> = Vec::new();
                for i in 0..p.len() {
                    if counts(i) && unique.iter().all(|&j| !same(&p[i], &p[j])) {
                        unique.push(i);
                    }
                }
                let mask: Vec<bool> = (0..p.len()).map(|i| unique.contains(&i)).collect();
                prop_assert_eq!(&m.unique, &mask);
                let sun: Vec<bool> = (0..p.len()).map(|i| mask[i] && novel[i] && stable[i]).collect();
                prop_assert_eq!(m.sun, Some(sun));
            }
        }
    }
}

#[test]
fn what_cannot_be_reduced_is_neither_unique_nor_novel() {
    let lattice = Lattice::from_rows([[1.0, 0.0, 0.0], [3e9, 1.0, 0.0], [0.0, 0.0, 1.0]]).unwrap();
    let broken = Structure::new(lattice, vec![Element::from_z(6).unwrap()], vec![[0.0; 3]]).unwrap();
    for d in [StabilityDefinition::mattergen(), StabilityDefinition::strict()] {
        let m = masks(&d, &vec![(Some(broken.clone()), Some(-1.0), true)], Some(&[]));
        assert_eq!((m.stable, m.unique, m.novel, m.sun), {
            (vec![true], vec![false], Some(vec![false]), Some(vec![false]))
        });
    }
    let d = StabilityDefinition::mattergen();
    let set = prepare(&d, &[broken.clone(), perovskite("Sr", 0.0), broken]);
    assert_eq!(first_of_duplicates(&d.sameness, &set), (flags("010"), vec![]));
}

/// Two orderings of one alloy on the body-centered lattice, of 2 and of 4 atoms (CsCl and NaTl types), are one structure to
/// MatterGen's rule; of elements that may not take each other's places they are two.
#[test]
fn orderings_of_an_alloy_are_one_structure_where_elements_may_substitute() {
    let element = |s: &str| Element::from_symbol(s).unwrap();
    let ordered = |a: &str, b: &str, edge: f64| {
        let species = vec![element(a), element(b)];
        Structure::new(Lattice::cubic(edge).unwrap(), species, vec![[0.0; 3], [0.5; 3]]).unwrap()
    };
    let zintl = |a: &str, b: &str, edge: f64| {
        let rows = [[0.0, edge, edge], [edge, 0.0, edge], [edge, edge, 0.0]];
        let species = [a, a, b, b].map(element).to_vec();
        let sites = [0.0, 0.25, 0.5, 0.75].map(|x| [x; 3]).to_vec();
        Structure::new(Lattice::from_rows(rows).unwrap(), species, sites).unwrap()
    };
    let alloy = vec![ordered("Fe", "Co", 2.85), zintl("Fe", "Co", 2.85), ordered("Fe", "Co", 2.9)];
    let salt = vec![ordered("Cs", "Cl", 4.1), zintl("Cs", "Cl", 4.1)];
    let rows = |all: &[Structure]| all.iter().map(|s| (Some(s.clone()), Some(0.0), true)).collect::<Rows>();
    let mattergen = StabilityDefinition::mattergen();
    let strict = StabilityDefinition::strict();
    for turned in [false, true] {
        let mut alloy = alloy.clone();
        if turned {
            alloy.swap(0, 1);
        }
        assert_eq!(masks(&mattergen, &rows(&alloy), None).unique, flags("100"));
        assert_eq!(masks(&strict, &rows(&alloy), None).unique, flags("110"));
        let m = masks(&mattergen, &rows(&alloy[..1]), Some(&alloy[1..]));
        assert_eq!(m.novel, Some(flags("0")));
    }
    assert_eq!(masks(&mattergen, &rows(&salt), None).unique, flags("11"));
}
