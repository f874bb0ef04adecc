//! Phase diagrams of made-up numbers, and what holds for any of them.

use std::collections::{BTreeMap, BTreeSet};

use druse_crystal::{Composition, Element};
use druse_metrics::phase_diagram::{
    ChemicalSystem, EntriesError, HullError, PhaseDiagram, PhaseEntry, SAME_ENERGY,
};
use proptest::prelude::*;

fn formula(text: &str) -> Composition {
    Composition::parse(text).unwrap()
}

fn entry(id: &str, text: &str, energy_per_atom: f64) -> PhaseEntry {
    PhaseEntry::per_atom(id, formula(text), energy_per_atom)
}

fn diagram(rows: &[(&str, &str, f64)]) -> PhaseDiagram {
    PhaseDiagram::new(rows.iter().map(|(id, text, energy)| entry(id, text, *energy)).collect()).unwrap()
}

#[track_caller]
fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-12, "{a} instead of {b}");
}

fn shares<'a>(d: &'a PhaseDiagram, text: &str) -> Vec<(&'a str, f64)> {
    let point = d.hull(&formula(text)).unwrap();
    point.phases.iter().map(|p| (d.entries()[p.entry].id.as_str(), p.fraction)).collect()
}

/// Lithium and oxygen on a scale of total energies: −1.9 and −4.9 eV/atom.
fn lithium_oxygen() -> PhaseDiagram {
    diagram(&[
        ("li-fcc", "Li", -1.88),
        ("li-bcc", "Li", -1.9),
        ("oxygen", "O2", -4.9),
        // 2/3 · 1.9 + 1/3 · 4.9 = 2.9: formation energy −2.
        ("oxide", "Li8O4", -4.9),
        // (1.9 + 4.9)/2 = 3.4: −1.6, the tie line of oxide and oxygen is at −1.5 there.
        ("peroxide", "Li2O2", -5.0),
        // 0.2 · 1.9 + 0.8 · 4.9 = 4.3: −0.4, the tie line of peroxide and oxygen is at −0.64.
        ("ozonide-like", "LiO4", -4.7),
        // 0.75 · 1.9 + 0.25 · 4.9 = 2.65: formation energy +0.15.
        ("suboxide", "Li3O", -2.5),
    ])
}

#[test]
fn a_binary_hull_can_be_drawn_by_hand() {
    let d = lithium_oxygen();
    let names: BTreeSet<&str> = d.stable_entries().map(|i| d.entries()[i].id.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["li-bcc", "oxygen", "oxide", "peroxide"]));
    assert_eq!(d.reference(Element::from_symbol("Li").unwrap()).unwrap().id, "li-bcc");
    let above: Vec<f64> = (0..d.entries().len()).map(|i| d.entry_above_hull(i).unwrap()).collect();
    for (got, want) in above.iter().zip([0.02, 0.0, 0.0, 0.0, 0.0, 0.24, 1.65]) {
        close(*got, want);
    }
    // Li3O: oxide holds all oxygen, 3/4 of the atoms.
    assert_eq!(shares(&d, "Li3O").iter().map(|(id, _)| *id).collect::<Vec<_>>(), ["oxide", "li-bcc"]);
    close(shares(&d, "Li3O")[0].1, 0.75);
    close(d.hull(&formula("Li3O")).unwrap().energy_per_atom, 0.75 * -4.9 + 0.25 * -1.9);
    assert_eq!(shares(&d, "LiO4").iter().map(|(id, _)| *id).collect::<Vec<_>>(), ["oxygen", "peroxide"]);
    close(shares(&d, "LiO4")[0].1, 0.6);
    // A stable entry decomposes into itself, in any multiple.
    assert_eq!(shares(&d, "Li6O3"), [("oxide", 1.0)]);
    // Not an entry: below the hull is negative, against the hull without it.
    close(d.energy_above_hull(&formula("Li3O2"), -4.9).unwrap(), -4.9 - (0.6 * -4.9 + 0.4 * -5.0));
    close(d.energy_above_hull(&formula("Li3O2"), -5.5).unwrap(), -5.5 + 4.94);
    // The peroxide lies 0.1 below the tie line of oxide and oxygen, the oxide below that of lithium and peroxide:
    // 2/3 of the atoms are peroxide there.
    let index = |id: &str| d.entries().iter().position(|e| e.id == id).unwrap();
    close(d.equilibrium_reaction_energy(index("peroxide")).unwrap().unwrap(), -0.1);
    close(d.equilibrium_reaction_energy(index("oxide")).unwrap().unwrap(), -2.0 + 1.6 * 2.0 / 3.0);
    for none in ["li-bcc", "suboxide", "ozonide-like"] {
        assert_eq!(d.equilibrium_reaction_energy(index(none)).unwrap(), None);
    }
    close(d.formation_energy(&formula("Li2O"), -4.9).unwrap(), -2.0);
    assert_eq!(d.num_compounds("Li-O".parse().unwrap()), 4);
    assert_eq!(d.systems(), ["Li-O".parse().unwrap()]);
}

#[test]
fn a_ternary_hull_has_triangles() {
    let d = diagram(&[
        ("A", "Li", 0.0),
        ("B", "Fe", 0.0),
        ("C", "O2", 0.0),
        ("AC", "LiO", -1.0),
        ("BC", "FeO", -0.8),
        ("ABC", "LiFeO", -0.5),
        ("ABC2", "LiFeO2", -1.2),
    ]);
    // A third each: 2/3 of the atoms are ABC2, the rest are A and B, −0.8; AC and B give −0.667.
    close(d.hull(&formula("LiFeO")).unwrap().energy_per_atom, -0.8);
    let names: Vec<&str> = shares(&d, "LiFeO").iter().map(|(id, _)| *id).collect();
    assert!(names.contains(&"ABC2"), "{names:?}");
    // On an edge, and in a corner.
    assert_eq!(shares(&d, "LiO"), [("AC", 1.0)]);
    assert_eq!(shares(&d, "Fe7"), [("B", 1.0)]);
    close(d.hull(&formula("Li3O")).unwrap().energy_per_atom, -0.5);
    let stable = |system: &str| {
        let all = d.stable_in(system.parse().unwrap());
        all.into_iter().map(|i| d.entries()[i].id.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(stable("Fe-O"), ["B", "C", "BC"]);
    assert_eq!(stable("Li-Fe-O"), ["A", "B", "C", "AC", "BC", "ABC2"]);
    assert_eq!(stable("Na"), [""; 0]);
}

#[test]
fn degenerate_points_have_one_energy() {
    let d = diagram(&[
        ("A", "Mg", 0.0),
        ("B", "Zn", 0.0),
        // Two polymorphs of one energy, and points on their tie lines with the elements.
        ("first", "MgZn", -0.4),
        ("second", "Mg2Zn2", -0.4),
        ("on-a-tie-line", "Mg3Zn", -0.2),
        ("zero", "MgZn3", 0.0),
    ]);
    let stable: Vec<&str> = d.stable_entries().map(|i| d.entries()[i].id.as_str()).collect();
    assert_eq!(stable, ["A", "B", "first", "on-a-tie-line"]);
    for (i, want) in [0.0, 0.0, 0.0, 0.0, 0.0, 0.2].into_iter().enumerate() {
        close(d.entry_above_hull(i).unwrap(), want);
    }
    close(d.hull(&formula("Mg7Zn")).unwrap().energy_per_atom, -0.1);
    close(d.hull(&formula("Mg5Zn3")).unwrap().energy_per_atom, -0.3);
    // Compounds of no binding never are on the hull, as in the reference.
    let d = diagram(&[("A", "Mg", 0.0), ("B", "Zn", 0.0), ("C", "MgZn", 0.0), ("D", "Mg2Zn", -1e-12)]);
    assert_eq!(d.stable_entries().count(), 2);
    close(d.entry_above_hull(2).unwrap(), 0.0);
}

#[test]
fn bad_entries_are_refused_and_missing_elements_named() {
    let build = PhaseDiagram::new;
    let wrong = build(vec![entry("a", "Li", f64::NAN)]).unwrap_err();
    assert!(matches!(&wrong, EntriesError::NotFinite { id, .. } if id == "a"), "{wrong}");
    assert!(build(vec![entry("a", "Li", f64::INFINITY)]).is_err());
    let empty = PhaseEntry { id: "e".into(), composition: Composition::default(), energy: 0.0 };
    assert_eq!(build(vec![empty]).unwrap_err(), EntriesError::NoAtoms { id: "e".into() });
    let twice = |text: &str, energy: f64| build(vec![entry("a", "LiO", -1.0), entry("a", text, energy)]);
    assert_eq!(twice("Li2O2", -1.0).unwrap().entries().len(), 1, "the same entry in another cell");
    for contradiction in [twice("LiO", -1.1), twice("Li2O", -1.0)] {
        let text = contradiction.unwrap_err().to_string();
        assert!(text.contains("entry `a` contradicts itself: ") && text.contains("at -1 eV/atom"), "{text}");
    }

    let d = diagram(&[("li", "Li", 0.0), ("o", "O2", 0.0), ("x", "LiFeO2", -1.0), ("y", "LiO", -1.0)]);
    let missing = d.hull(&formula("LiFeO2")).unwrap_err();
    assert_eq!(missing.to_string(), "no entry of the element Fe, which the hull of Fe-Li-O needs");
    assert_eq!(d.hull(&formula("FeNa")).unwrap_err().to_string().matches("Na, Fe").count(), 1);
    assert!(d.entry_above_hull(2).is_err() && !d.is_stable(2));
    assert_eq!(d.hull(&Composition::default()).unwrap_err(), HullError::NoAtoms);
    close(d.hull(&formula("LiO2")).unwrap().energy_per_atom, -2.0 / 3.0);
    assert!(PhaseDiagram::new(Vec::new()).unwrap().hull(&formula("Li")).is_err());
}

#[test]
fn many_elements_are_one_more_system() {
    // A compound of each pair of neighbors among 30 elements: more subsets than can be listed.
    let elements: Vec<Element> = Element::all().take(30).collect();
    let mut entries: Vec<PhaseEntry> = elements.iter().map(|e| PhaseEntry::element(*e)).collect();
    for pair in elements.windows(2) {
        let composition = Composition::from_counts(pair.iter().map(|e| (*e, 1)));
        entries.push(PhaseEntry::per_atom(composition.to_string(), composition, -1.0));
    }
    let d = PhaseDiagram::new(entries).unwrap();
    let all = Composition::from_counts(elements.iter().map(|e| (*e, 1)));
    close(d.hull(&all).unwrap().energy_per_atom, -1.0);
    assert_eq!(d.num_compounds(ChemicalSystem::from(&all)), 29);
    assert_eq!(d.hull(&all).unwrap().phases.len(), 15);
}

#[test]
fn crowded_and_extreme_points_are_no_obstacle() {
    // 400 compositions close to each other on a smooth bowl, so that all of them are corners of the hull.
    let mut rows = vec![entry("a", "Li", 0.0), entry("b", "Fe", 0.0), entry("c", "O", 0.0)];
    for i in 0..400u32 {
        let (a, b, c) = (300 + i % 20, 300 + i / 20, 300 + (7 * i) % 23);
        let n = f64::from(a + b + c);
        let energy = -4.0 * f64::from(a * b + b * c + c * a) / (n * n);
        rows.push(entry(&format!("e{i}"), &format!("Li{a}Fe{b}O{c}"), energy));
    }
    let distinct: BTreeSet<Composition> = rows.iter().map(|e| e.composition.reduced().0).collect();
    let d = PhaseDiagram::new(rows).unwrap();
    assert_eq!(d.stable_entries().count(), distinct.len());
    let point = d.hull(&formula("Li3100Fe3050O3070")).unwrap();
    let exact = -4.0 * (3100.0 * 3050.0 + 3050.0 * 3070.0 + 3070.0 * 3100.0) / (9220.0f64 * 9220.0);
    assert!(
        point.energy_per_atom >= exact && point.energy_per_atom < exact + 1e-5,
        "{}",
        point.energy_per_atom
    );

    let d = diagram(&[("a", "Li", 1e200), ("b", "O", -1e200), ("c", "LiO", -1e201), ("d", "Li999O", 1e99)]);
    let hull = d.hull(&formula("Li3O")).unwrap().energy_per_atom;
    assert!((hull / 1e201 + 0.249 / 0.499).abs() < 1e-9, "{hull}");
}

/// Symbols of the elements that random systems are made of.
const ELEMENTS: [&str; 4] = ["Li", "Mg", "O", "Fe"];

fn composed(counts: &[u32]) -> Option<Composition> {
    let pairs = ELEMENTS.iter().zip(counts).map(|(e, &n)| (Element::from_symbol(e).unwrap(), n));
    Some(Composition::from_counts(pairs)).filter(|c| !c.is_empty())
}

/// Random compounds of up to four elements, with energies on a coarse grid so that ties are frequent.
fn compounds(n: usize) -> impl Strategy<Value = Vec<(Composition, f64)>> {
    let counts = prop::collection::vec(0u32..4, n);
    let one = (counts, -12i32..4).prop_filter_map("no atoms", |(counts, energy)| {
        Some((composed(&counts)?, f64::from(energy) * 0.125))
    });
    prop::collection::vec(one, 0..12)
}

fn with_elements(compounds: &[(Composition, f64)], n: usize) -> Vec<PhaseEntry> {
    let elements = ELEMENTS[..n].iter().map(|e| PhaseEntry::element(Element::from_symbol(e).unwrap()));
    let compounds =
        compounds.iter().enumerate().map(|(i, (c, e))| PhaseEntry::per_atom(format!("c{i}"), c.clone(), *e));
    elements.chain(compounds).collect()
}

fn fractions(composition: &Composition, n: usize) -> Vec<f64> {
    let atoms = composition.num_atoms() as f64;
    let of = |e: &&str| f64::from(composition.count(Element::from_symbol(e).unwrap())) / atoms;
    ELEMENTS[..n].iter().map(of).collect()
}

/// Solves a small linear system by elimination; `None` when it is singular.
fn solve(mut rows: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let n = rows.len();
    for k in 0..n {
        let largest = (k..n).max_by(|&a, &b| rows[a][k].abs().total_cmp(&rows[b][k].abs()))?;
        rows.swap(k, largest);
        if rows[k][k].abs() < 1e-9 {
            return None;
        }
        for i in 0..n {
            if i != k {
                let factor = rows[i][k] / rows[k][k];
                let pivot = rows[k].clone();
                rows[i].iter_mut().zip(&pivot).for_each(|(x, p)| *x -= factor * p);
            }
        }
    }
    Some((0..n).map(|k| rows[k][n] / rows[k][k]).collect())
}

/// The hull by looking at every simplex of n entries.
fn brute_force(entries: &[PhaseEntry], composition: &Composition, n: usize) -> f64 {
    let x = fractions(composition, n);
    let points: Vec<Vec<f64>> = entries.iter().map(|e| fractions(&e.composition, n)).collect();
    let mut best = f64::INFINITY;
    let mut chosen: Vec<usize> = (0..n).collect();
    loop {
        let rows = (0..n).map(|k| chosen.iter().map(|&j| points[j][k]).chain([x[k]]).collect()).collect();
        if let Some(amounts) = solve(rows)
            && amounts.iter().all(|a| *a > -1e-9)
        {
            let energy = amounts.iter().zip(&chosen).map(|(a, &j)| a * entries[j].energy_per_atom()).sum();
            best = f64::min(best, energy);
        }
        // The next combination.
        let Some(k) = (0..n).rev().find(|&k| chosen[k] < entries.len() - n + k) else { return best };
        chosen[k] += 1;
        (k + 1..n).for_each(|i| chosen[i] = chosen[i - 1] + 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn the_hull_is_that_of_all_simplices(
        n in 2usize..=4, seed in compounds(4), at in prop::collection::vec(0u32..7, 4)
    ) {
        let seed: Vec<_> = seed.into_iter().filter_map(|(c, e)| {
            let inside = c.iter().filter(|(element, _)| ELEMENTS[..n].contains(&element.symbol()));
            Some((Composition::from_counts(inside), e)).filter(|(c, _)| !c.is_empty())
        }).collect();
        let Some(at) = composed(&at[..n]) else { return Ok(()) };
        let entries = with_elements(&seed, n);
        let d = PhaseDiagram::new(entries.clone()).unwrap();
        let point = d.hull(&at).unwrap();
        let want = brute_force(&entries, &at, n);
        prop_assert!((point.energy_per_atom - want).abs() < 1e-9, "{} {} {want}", at, point.energy_per_atom);
    }

    #[test]
    fn what_holds_for_every_hull(seed in compounds(4), at in prop::collection::vec(prop::collection::vec(0u32..5, 4), 2)) {
        let entries = with_elements(&seed, 4);
        let d = PhaseDiagram::new(entries.clone()).unwrap();
        // No entry lies below it; the stable ones lie on it.
        for i in 0..d.entries().len() {
            let e = &d.entries()[i];
            let hull = d.hull(&e.composition).unwrap().energy_per_atom;
            prop_assert!(hull <= e.energy_per_atom() + SAME_ENERGY);
            prop_assert!(!d.is_stable(i) || hull == e.energy_per_atom());
            let reaction = d.equilibrium_reaction_energy(i).unwrap();
            prop_assert!(reaction.is_none_or(|e| e <= SAME_ENERGY));
        }
        let compositions: Vec<Composition> = at.iter().filter_map(|c| composed(c)).collect();
        for c in &compositions {
            // The decomposition has the composition and the energy.
            let point = d.hull(c).unwrap();
            let mut sums: BTreeMap<Element, f64> = BTreeMap::new();
            let mut energy = 0.0;
            for share in &point.phases {
                let e = &d.entries()[share.entry];
                prop_assert!(d.is_stable(share.entry) && share.fraction > 0.0);
                energy += share.fraction * e.energy_per_atom();
                for (element, k) in e.composition.iter() {
                    *sums.entry(element).or_default() +=
                        share.fraction * f64::from(k) / e.composition.num_atoms() as f64;
                }
            }
            prop_assert!((energy - point.energy_per_atom).abs() < 1e-9);
            for (element, k) in c.iter() {
                prop_assert!((sums[&element] - f64::from(k) / c.num_atoms() as f64).abs() < 1e-9);
            }
        }
        // Convex: the mixture of two compositions lies below the chord.
        if let [a, b] = compositions.as_slice() {
            let mixed = Composition::from_counts(a.iter().chain(b.iter()));
            let (na, nb) = (a.num_atoms() as f64, b.num_atoms() as f64);
            let hull = |c: &Composition| d.hull(c).unwrap().energy_per_atom;
            let chord = (na * hull(a) + nb * hull(b)) / (na + nb);
            prop_assert!(hull(&mixed) <= chord + 1e-9);
        }
    }

    #[test]
    fn neither_order_nor_dominated_entries_nor_the_zero_matter(
        seed in compounds(4), rotate in 0usize..16, shifts in prop::collection::vec(-3.0f64..3.0, 4),
        at in prop::collection::vec(0u32..5, 4)
    ) {
        let Some(at) = composed(&at) else { return Ok(()) };
        let entries = with_elements(&seed, 4);
        let d = PhaseDiagram::new(entries.clone()).unwrap();
        let hull = d.hull(&at).unwrap();

        let mut rotated = entries.clone();
        rotated.rotate_left(rotate % entries.len());
        let other = PhaseDiagram::new(rotated).unwrap();
        prop_assert!((other.hull(&at).unwrap().energy_per_atom - hull.energy_per_atom).abs() < 1e-10);

        let mut more = entries.clone();
        for (i, (c, e)) in seed.iter().enumerate() {
            let above = e.max(d.hull(c).unwrap().energy_per_atom) + 0.05;
            more.push(PhaseEntry::per_atom(format!("d{i}"), c.clone(), above));
        }
        let other = PhaseDiagram::new(more).unwrap();
        prop_assert_eq!(other.hull(&at).unwrap().energy_per_atom, hull.energy_per_atom);

        // Another zero of the energy of each element changes no formation energy.
        let shifted = entries.iter().map(|e| {
            let x = fractions(&e.composition, 4);
            let shift: f64 = x.iter().zip(&shifts).map(|(x, s)| x * s).sum();
            PhaseEntry::per_atom(e.id.clone(), e.composition.clone(), e.energy_per_atom() + shift)
        }).collect();
        let other = PhaseDiagram::new(shifted).unwrap();
        let formation = other.hull(&at).unwrap().formation_energy_per_atom;
        prop_assert!((formation - hull.formation_energy_per_atom).abs() < 1e-9);
    }
}

#[test]
fn hundreds_of_phases_on_one_hull_are_all_found() {
    // Energies on a paraboloid: each phase is a corner of the hull. Enough of them that they are looked at in portions.
    let elements = ["Li", "Fe", "O"].map(|s| Element::from_symbol(s).unwrap());
    let mut entries: Vec<PhaseEntry> = elements.map(PhaseEntry::element).to_vec();
    let parts = 40u32;
    for i in 0..=parts {
        for j in 0..=parts - i {
            let counts = [i, j, parts - i - j];
            if counts.iter().filter(|c| **c > 0).count() > 1 {
                let energy: f64 =
                    counts.iter().map(|c| (f64::from(*c) / f64::from(parts)).powi(2)).sum::<f64>() - 1.0;
                let some = elements.into_iter().zip(counts).filter(|(_, count)| *count > 0);
                entries.push(PhaseEntry::per_atom(
                    format!("{counts:?}"),
                    Composition::from_counts(some),
                    energy,
                ));
            }
        }
    }
    // And one a little above each of two of them, which is not on it.
    for formula in ["Li20Fe10O10", "Li5Fe5O30"] {
        let composition = self::formula(formula);
        let twice = Composition::from_counts(composition.iter().map(|(e, c)| (e, 2 * c + 1)));
        let x = twice.num_atoms() as f64;
        let energy: f64 = twice.iter().map(|(_, c)| (f64::from(c) / x).powi(2)).sum::<f64>() - 1.0;
        entries.push(PhaseEntry::per_atom(formula, twice, energy + 2e-3));
    }
    let count = entries.len();
    let d = PhaseDiagram::new(entries).unwrap();
    assert_eq!(d.stable_entries().count(), count - 2);
    let above: Vec<f64> = (count - 2..count).map(|i| d.entry_above_hull(i).unwrap()).collect();
    assert!(above.iter().all(|e| (5e-4..2e-3).contains(e)), "{above:?}");
}
