use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use druse_crystal::{Element, Template};
use druse_data::substitution::{Library, Parent};
use proptest::prelude::*;

use super::draw::{Draws, Wanted};
use super::exchange::Exchange;
use super::variants::{Variant, Variants};
use crate::process::Noise;

fn element(symbol: &str) -> Element {
    symbol.parse().unwrap()
}

/// A prototype with other elements, in the order of its atomic numbers.
fn crystal(kind: &str, symbols: &[&str]) -> druse_crystal::Structure {
    let mut s = druse_testkit::prototype(kind);
    let old: BTreeSet<Element> = s.species.iter().copied().collect();
    let new: BTreeMap<Element, Element> = old.into_iter().zip(symbols.iter().map(|e| element(e))).collect();
    s.species.iter_mut().for_each(|e| *e = new[e]);
    s
}

fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    let known = [
        ("NaCl", vec!["Na", "Cl"]),
        ("NaCl", vec!["K", "F"]),
        ("NaCl", vec!["O", "Mg"]),
        ("CsCl", vec!["Cl", "Cs"]),
        ("CsCl", vec!["Mg", "Ag"]),
        ("SrTiO3", vec!["O", "Ca", "Ti"]),
        ("SrTiO3", vec!["F", "Mg", "K"]),
        // One element on two positions.
        ("SrTiO3", vec!["O", "Al", "Al"]),
        ("quartz", vec!["O", "Ti"]),
    ];
    LIBRARY.get_or_init(|| {
        let known = known.into_iter().enumerate();
        Library::new(known.map(|(i, (kind, of))| Parent::new(i.to_string(), crystal(kind, &of))))
    })
}

fn draws() -> &'static Draws {
    static DRAWS: OnceLock<Draws> = OnceLock::new();
    DRAWS.get_or_init(|| {
        let variants = Arc::new(Variants::new(library()));
        let distance = |a: usize, b: usize| a.abs_diff(b) as f64 / 40.0;
        let exchange = Exchange::fit(&variants.counts(), distance, &variants.families());
        Draws::new(variants, exchange)
    })
}

/// What a variant becomes, the same for all origins and axes.
fn becomes(v: &Variant, elements: &[Element]) -> Template {
    let known = library().parents()[v.parent].template();
    let letters = known.sites().iter().map(|s| s.1);
    let sites = v.classes.iter().map(|&class| elements[usize::from(class)]).zip(letters).collect();
    Template::new(known.group(), sites).unwrap().equivalents().swap_remove(0)
}

/// All ways to choose distinct elements.
fn chosen(from: &[Element], count: usize) -> Vec<Vec<Element>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = chosen(from, count - 1);
    let longer = |list: Vec<Element>| {
        let others = from.iter().filter(|e| !list.contains(e)).copied().collect::<Vec<_>>();
        others.into_iter().map(move |e| [&list[..], &[e]].concat()).collect::<Vec<_>>()
    };
    shorter.into_iter().flat_map(longer).collect()
}

/// Everything that can be drawn, with its probability.
fn all() -> BTreeMap<Template, f64> {
    let draws = draws();
    let seen: Vec<Element> = draws.variants().seen().iter().copied().collect();
    let mut found: BTreeMap<Template, f64> = BTreeMap::new();
    for v in draws.variants().all() {
        for elements in chosen(&seen, v.old.len()) {
            let p = draws.probability(v, &elements);
            let before = found.insert(becomes(v, &elements), p);
            // Whatever the way to it.
            assert!(before.is_none_or(|before| (before - p).abs() <= 1e-9 * p), "{before:?} {p}");
        }
    }
    found
}

fn meets(template: &Template, wanted: &Wanted) -> bool {
    let composition = template.composition();
    wanted.atoms.is_none_or(|atoms| composition.num_atoms() == atoms)
        && wanted.group.is_none_or(|group| template.group().number() == group)
        && wanted.system.as_ref().is_none_or(|system| system.iter().copied().eq(composition.elements()))
}

fn system(symbols: &[&str]) -> Option<BTreeSet<Element>> {
    Some(symbols.iter().map(|e| element(e)).collect())
}

#[test]
fn probabilities_add_up_to_one() {
    let draws = draws();
    assert!(draws.variants().all().iter().any(|v| !v.own), "a site may go to another element");
    let sum: f64 = all().values().sum();
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");
}

/// What is drawn has the probability that is stated, with and without conditions.
#[test]
fn frequencies_are_the_stated_probabilities() {
    const DRAWN: u64 = 20_000;
    let draws = draws();
    let all = all();
    let wishes = [
        Wanted::default(),
        Wanted { atoms: Some(2), ..Wanted::default() },
        Wanted { system: system(&["Na", "Cl"]), ..Wanted::default() },
        Wanted { group: Some(221), system: system(&["O", "Ti", "Mg"]), ..Wanted::default() },
    ];
    for wanted in wishes {
        let meeting: f64 = all.iter().filter(|(t, _)| meets(t, &wanted)).map(|(_, p)| p).sum();
        let mut counts: BTreeMap<Template, (u64, f64)> = BTreeMap::new();
        for index in 0..DRAWN {
            // The variants of a run are spread evenly; here they are drawn one by one.
            let mut noise = Noise::new(7, index);
            let drawn = draws.draw(&wanted, index, 0, &mut noise).unwrap();
            let template = becomes(&draws.variants().all()[drawn.variant], &drawn.elements);
            assert!(meets(&template, &wanted), "{template}");
            let entry = counts.entry(template).or_insert((0, drawn.log_probability));
            assert!((entry.1 - drawn.log_probability).abs() < 1e-9);
            entry.0 += 1;
        }
        for (template, (count, log_probability)) in &counts {
            let (p, n) = (log_probability.exp(), DRAWN as f64);
            assert!((p - all[template] / meeting).abs() < 1e-9, "{wanted:?} {template}: {p}");
            let off = (*count as f64 - n * p) / (n * p * (1.0 - p)).sqrt().max(1.0);
            assert!(off.abs() < 5.0, "{wanted:?} {template}: {count} of {n}, expected {}", n * p);
        }
    }
}

/// The structures of one run have the frequencies, too, and repeat themselves less than independent ones.
#[test]
fn a_run_is_spread_evenly() {
    let draws = draws();
    let n = 900;
    let mut of_parent = vec![0u32; library().parents().len()];
    for index in 0..n {
        let drawn = draws.draw(&Wanted::default(), 3, index, &mut Noise::new(3, index)).unwrap();
        of_parent[draws.variants().all()[drawn.variant].parent] += 1;
    }
    assert!(of_parent.iter().all(|&count| count.abs_diff(100) <= 5), "{of_parent:?}");
}

#[test]
fn what_no_known_crystal_has_is_not_drawn() {
    let draws = draws();
    let none = [
        Wanted { atoms: Some(3), ..Wanted::default() },
        Wanted { group: Some(62), ..Wanted::default() },
        Wanted { system: system(&["Na", "Cl", "O", "K"]), ..Wanted::default() },
    ];
    for wanted in none {
        assert_eq!(draws.draw(&wanted, 0, 0, &mut Noise::new(0, 0)), None);
    }
    // Rubidium is not known; what is near to it stands for it.
    let wanted = Wanted { system: system(&["Rb", "Br"]), ..Wanted::default() };
    let drawn = draws.draw(&wanted, 0, 0, &mut Noise::new(0, 0)).unwrap();
    assert_eq!(Some(drawn.elements.iter().copied().collect()), wanted.system);
    assert!(drawn.log_probability <= 1e-9);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn conditions_are_met(
        atoms in prop::option::of(prop::sample::select(vec![2usize, 5, 9])),
        group in prop::option::of(prop::sample::select(vec![225u16, 221, 154])),
        elements in prop::option::of(prop::sample::subsequence(vec!["O", "F", "Na", "Mg", "Cl", "K", "Ag"], 2..4)),
        seed in 0u64..1000,
        index in 0u64..1000,
    ) {
        let draws = draws();
        let wanted = Wanted { atoms, group, system: elements.and_then(|e| system(&e)) };
        let there = draws.variants().all().iter().any(|v| draws.variants().suits(v, &wanted));
        let drawn = draws.draw(&wanted, seed, index, &mut Noise::new(seed, index));
        prop_assert_eq!(drawn.is_some(), there);
        if let Some(drawn) = drawn {
            let template = becomes(&draws.variants().all()[drawn.variant], &drawn.elements);
            prop_assert!(meets(&template, &wanted), "{}", template);
            prop_assert!(drawn.log_probability <= 1e-9);
            prop_assert_eq!(draws.draw(&wanted, seed, index, &mut Noise::new(seed, index)), Some(drawn));
        }
    }
}
