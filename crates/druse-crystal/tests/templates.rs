//! Which elements sit on which Wyckoff positions: reading, listing, writing.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use druse_crystal::formats::{Format, cif, read_str};
use druse_crystal::{
    Composition, Element, EnumerateError, EnumerateOptions, SpaceGroup, Template, TemplateError,
    WyckoffPosition, count_templates, enumerate_templates,
};
use proptest::prelude::*;

fn group(number: u16) -> &'static SpaceGroup {
    SpaceGroup::new(number).unwrap()
}

fn formula(text: &str) -> Composition {
    Composition::parse(text).unwrap()
}

fn in_group(number: u16) -> EnumerateOptions {
    EnumerateOptions { groups: Some(vec![number]), ..EnumerateOptions::default() }
}

#[test]
fn templates_are_read_and_written() {
    let salt = Template::parse(group(225), "Cl:4b, Na:4a").unwrap();
    assert_eq!(salt.to_string(), "225 (Fm-3m): Na:4a,Cl:4b");
    assert_eq!(salt, Template::parse(group(225), "Na:a,Cl:b").unwrap());
    assert_eq!((salt.composition(), salt.freedom()), (formula("NaCl"), 0));
    let spinel = Template::parse(group(227), "Mg:8a,Al:16d,O:32e").unwrap();
    assert_eq!(spinel.sequence().to_string(), "227 e d a");
    assert_eq!(spinel.composition(), formula("Mg2Al4O8"));
    let two = Template::parse(group(14), "Zr:4e,O:4e 4e").unwrap();
    assert_eq!((two.sequence().to_string().as_str(), two.freedom()), ("14 e3", 9));
    let general = Template::parse(group(47), "H:8A z,He:a").unwrap();
    assert_eq!(general.sequence().letters(), "azA");
    let text = serde_json::to_string(&two).unwrap();
    assert_eq!(serde_json::from_str::<Template>(&text).unwrap(), two);
    assert!(serde_json::from_str::<Template>(r#"{"group":231,"sites":[]}"#).is_err());

    let error = |text: &str| Template::parse(group(225), text).unwrap_err().to_string();
    assert_eq!(
        error("Na:4a,Cl:4a"),
        "Wyckoff position 4a of space group 225 is given 2 times, but has no free parameter: all its points are one \
         orbit"
    );
    assert_eq!(error("Na:8a"), "position a of space group 225 has multiplicity 4, not 8");
    assert!(error("Na:4z").contains("has no Wyckoff position `z`"));
    assert!(error("Xx:4a").contains("Xx"));
    for text in ["Na4a", "Na:", "Na:4", "Na:q4a", "Na:4ä"] {
        assert!(matches!(Template::parse(group(225), text), Err(TemplateError::Text(_))), "{text}");
    }
    assert_eq!(Template::parse(group(225), " , "), Err(TemplateError::Empty));
}

#[test]
fn descriptions_of_one_crystal_are_equivalent() {
    let fluorite = Template::parse(group(225), "Ca:4a,F:8c").unwrap();
    let shifted = Template::parse(group(225), "Ca:4b,F:8c").unwrap();
    assert_eq!(fluorite.equivalents(), [fluorite.clone(), shifted.clone()]);
    assert_ne!(fluorite.sequence(), shifted.sequence());
    assert_eq!(fluorite.sequence().canonical(), shifted.sequence().canonical());
    let spinel =
        ["Mg:8a,Al:16d,O:32e", "Mg:8b,Al:16c,O:32e"].map(|t| Template::parse(group(227), t).unwrap());
    assert_eq!(spinel[0].equivalents(), spinel);
    // Normal spinel is not what has Al on one and Mg on the other kind of octahedra.
    let other = Template::parse(group(227), "Mg:8a,Al:16c,O:32e").unwrap();
    assert!(!spinel[0].equivalents().contains(&other));
    let text = serde_json::to_string(&spinel[0].sequence()).unwrap();
    assert_eq!(serde_json::from_str::<druse_crystal::WyckoffSequence>(&text).unwrap(), spinel[0].sequence());
    assert!(
        serde_json::from_str::<druse_crystal::WyckoffSequence>(r#"{"group":225,"letters":"aa"}"#).is_err()
    );
}

#[test]
fn rock_salt_has_two_simplest_templates() {
    let options = EnumerateOptions { formula_units: NonZeroU32::new(1), ..in_group(225) };
    let found = enumerate_templates(&formula("Na4Cl4"), &options).unwrap();
    let texts: Vec<String> = found.templates.iter().map(Template::to_string).collect();
    assert_eq!(texts, ["225 (Fm-3m): Na:4a,Cl:4b", "225 (Fm-3m): Na:4b,Cl:4a"]);
    assert!(!found.truncated);
}

#[test]
fn limits_are_stated() {
    let all = enumerate_templates(&formula("MgAl2O4"), &in_group(227)).unwrap();
    let texts: Vec<String> = all.templates.iter().map(Template::to_string).collect();
    assert!(texts.contains(&"227 (Fd-3m): O:32e,Mg:8a,Al:16d".to_owned()), "{texts:?}");
    let few =
        enumerate_templates(&formula("MgAl2O4"), &EnumerateOptions { limit: 3, ..in_group(227) }).unwrap();
    assert!(few.truncated && !all.truncated);
    assert_eq!(few.templates, all.templates[..3]);
    let exact = EnumerateOptions { limit: all.templates.len(), ..in_group(227) };
    assert_eq!(enumerate_templates(&formula("MgAl2O4"), &exact).unwrap(), all);
    // Countless, yet counted at once.
    let many = EnumerateOptions { max_atoms: 60, max_sites: 60, limit: 10, ..in_group(47) };
    assert_eq!(enumerate_templates(&formula("CaTiSiO5"), &many).unwrap().templates.len(), 10);
    assert!(count_templates(&formula("CaTiSiO5"), &many).unwrap() > 1_000_000_000);
}

#[test]
fn what_is_impossible_is_explained() {
    let e = enumerate_templates(&formula("NaCl3"), &EnumerateOptions { max_atoms: 4, ..in_group(227) })
        .unwrap_err();
    assert_eq!(
        e.to_string(),
        "the Wyckoff positions of space group 227 (Fd-3m) cannot hold NaCl3 within 4 atoms a primitive cell and 20 \
         distinct sites; in the primitive cell a, b: 2 atoms each once, c, d: 4 atoms each once, e: 8 atoms, f: 12 \
         atoms, g, h: 24 atoms each, i: 48 atoms"
    );
    let e = enumerate_templates(
        &formula("C60"),
        &EnumerateOptions { formula_units: NonZeroU32::new(60), ..in_group(1) },
    );
    assert_eq!(
        e.unwrap_err().to_string(),
        "60 × C has 60 atoms in the primitive cell, more than the limit of 20"
    );
    let e = enumerate_templates(&formula("Na7Cl9O11"), &EnumerateOptions::default()).unwrap_err();
    assert_eq!(e.to_string(), "Na7Cl9O11 has 27 atoms in the primitive cell, more than the limit of 20");
    let empty = Composition::from_counts([]);
    assert_eq!(enumerate_templates(&empty, &EnumerateOptions::default()), Err(EnumerateError::Empty));
    assert!(matches!(enumerate_templates(&formula("C"), &in_group(0)), Err(EnumerateError::Group(_))));
    let two = EnumerateOptions { groups: Some(vec![227, 230]), max_atoms: 4, ..EnumerateOptions::default() };
    let e = enumerate_templates(&formula("NaCl3"), &two).unwrap_err().to_string();
    assert!(e.starts_with("none of the 2 space groups can hold NaCl3"), "{e}");
}

#[test]
fn all_groups_are_searched() {
    let options =
        EnumerateOptions { formula_units: NonZeroU32::new(2), max_sites: 3, ..EnumerateOptions::default() };
    let found = enumerate_templates(&formula("TiO2"), &options).unwrap();
    let rutile = Template::parse(group(136), "Ti:2a,O:4f").unwrap();
    assert!(found.templates.contains(&rutile));
    let groups: BTreeSet<u16> = found.templates.iter().map(|t| t.group().number()).collect();
    assert!(groups.len() > 100 && !groups.contains(&1), "{groups:?}");
    assert!(found.templates.iter().all(|t| t.composition() == formula("Ti2O4")));
    assert_eq!(Ok(found.templates.len() as u64), count_templates(&formula("TiO2"), &options));
}

/// Every assignment by trying all.
fn by_brute_force(group: &SpaceGroup, counts: &[(Element, usize)], max_sites: usize) -> BTreeSet<Template> {
    fn extend(
        group: &SpaceGroup,
        counts: &mut Vec<(Element, usize)>,
        sites: &mut Vec<(Element, char)>,
        max_sites: usize,
        found: &mut BTreeSet<Template>,
    ) {
        let Some(element) = counts.iter().position(|c| c.1 > 0) else {
            found.insert(Template::new(group, sites.clone()).unwrap());
            return;
        };
        if sites.len() == max_sites {
            return;
        }
        let fits = |w: &&WyckoffPosition| w.primitive_multiplicity() <= counts[element].1;
        let positions: Vec<&WyckoffPosition> = group.wyckoff_positions().iter().filter(fits).collect();
        for w in positions {
            if w.is_fixed() && sites.iter().any(|s| s.1 == w.letter()) {
                continue;
            }
            counts[element].1 -= w.primitive_multiplicity();
            sites.push((counts[element].0, w.letter()));
            extend(group, counts, sites, max_sites, found);
            sites.pop();
            counts[element].1 += w.primitive_multiplicity();
        }
    }
    let mut found = BTreeSet::new();
    extend(group, &mut counts.to_vec(), &mut Vec::new(), max_sites, &mut found);
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_left_out_and_nothing_comes_twice(
        number in 1u16..=230, a in 1u32..5, b in 1u32..5, units in 1u32..3, max_sites in 2usize..5,
    ) {
        let composition = Composition::from_counts([
            (Element::from_z(11).unwrap(), a),
            (Element::from_z(17).unwrap(), b),
        ]).reduced().0;
        let units = NonZeroU32::new(units);
        let options = EnumerateOptions { formula_units: units, max_sites, limit: 100_000, ..in_group(number) };
        let counts: Vec<(Element, usize)> =
            composition.iter().map(|(e, n)| (e, (n * units.unwrap().get()) as usize)).collect();
        let expected = by_brute_force(group(number), &counts, max_sites);
        match enumerate_templates(&composition, &options) {
            Ok(found) => {
                prop_assert_eq!(count_templates(&composition, &options), Ok(expected.len() as u64));
                prop_assert!(!found.truncated);
                prop_assert!(found.templates.windows(2).all(|t| t[0].sites().len() <= t[1].sites().len()));
                prop_assert_eq!(found.templates.into_iter().collect::<BTreeSet<_>>(), expected);
            }
            Err(e) => prop_assert!(expected.is_empty(), "{e}"),
        }
    }

    #[test]
    fn cif_files_hold_the_same_structure(
        number in 1u16..=230, pick in prop::array::uniform3(0usize..27), u in prop::array::uniform9(0.02..0.98f64),
    ) {
        let group = group(number);
        let system = group.lattice_system();
        let lattice = system.lattice(&system.free_of([7.1, 8.3, 9.7, 84.0, 98.0, 103.0])).unwrap();
        let elements = ["Na", "Cl", "O"].map(|s| Element::from_symbol(s).unwrap());
        let letter = |i: usize| group.wyckoff_positions()[i % group.wyckoff_positions().len()].letter();
        let sites = elements.into_iter().zip(pick.map(letter)).collect();
        let Ok(template) = Template::new(group, sites) else { return Ok(()) };
        let structure = template.structure(&lattice, &u[..template.freedom()]);
        let Ok(structure) = structure else { return Ok(()) };
        prop_assert_eq!(structure.template(), template);
        let back = structure.coordinates();
        prop_assert!(back.iter().zip(u).all(|(a, b)| (a - b - (a - b).round()).abs() < 1e-9));
        let expected = structure.conventional();
        if expected.min_distance().is_some_and(|d| d < 1.0) {
            return Ok(());
        }
        let text = cif::write_symmetric(&structure, "x");
        let parsed = read_str(&text, Format::Cif).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?.remove(0);
        prop_assert!(parsed.warnings.is_empty(), "{:?}\n{text}", parsed.warnings);
        let read = parsed.structure;
        prop_assert_eq!(read.len(), expected.len(), "{}", text);
        let parameters = read.lattice.parameters().into_iter().zip(expected.lattice.parameters());
        prop_assert!(parameters.into_iter().all(|(a, b)| (a - b).abs() < 1e-8));
        for (element, f) in read.species.iter().zip(&read.frac_coords) {
            let same = (0..expected.len()).filter(|&i| expected.species[i] == *element);
            let near = same.into_iter().any(|i| {
                let (d, _) = expected.lattice.min_image(*f, expected.frac_coords[i]);
                // The reader takes what lies within 1e-4 of a third for a third, a thousandth of an Å in these cells.
                // Centering and glides shift it by quarters.
                let thirds = f.iter().any(|x| (12.0 * x - (12.0 * x).round()).abs() < 1e-9);
                d.iter().all(|x| x.abs() < if thirds { 2e-3 } else { 1e-6 })
            });
            prop_assert!(near, "{element} {f:?}\n{text}");
        }
    }
}
