//! Parsing and formulas against pymatgen, on 250 structures of four public data sets.

mod common;

use common::assert_close;
use druse_crystal::formats::cif::write_symmetrized;
use druse_crystal::formats::{Format, read_str};
use druse_crystal::symmetry::analyze;
use druse_crystal::{Composition, wrap_unit};
use druse_testkit::reference::{field, golden, structure};
use serde_json::Value;

const TOLERANCE: f64 = 1e-8;

fn rows(record: &Value, name: &str) -> Vec<f64> {
    field::<Vec<[f64; 3]>>(record, name).into_flattened()
}

#[test]
fn cif_structures_agree_with_pymatgen() {
    let Some(lines) = golden("structures.jsonl.gz") else { return };
    assert_eq!(lines.len(), 250);
    for d in lines {
        let id = d["id"].as_str().unwrap();
        let parsed = read_str(d["cif"].as_str().unwrap(), Format::Cif).unwrap();
        assert_eq!(parsed.len(), 1, "{id}");
        assert!(parsed[0].warnings.is_empty(), "{id}: {:?}", parsed[0].warnings);
        let s = &parsed[0].structure;
        assert_close(id, &s.lattice.parameters(), &field::<[f64; 6]>(&d, "lattice_params"), TOLERANCE);
        assert_close(id, s.lattice.rows().as_flattened(), &rows(&d, "lattice"), TOLERANCE);
        assert_close(id, &[s.lattice.volume()], &[field(&d, "volume")], TOLERANCE);
        assert_close(id, &[s.density()], &[field(&d, "density")], TOLERANCE);
        let symbols: Vec<&str> = s.species.iter().map(|e| e.symbol()).collect();
        assert_eq!(symbols, field::<Vec<String>>(&d, "species"), "{id}");
        assert_eq!(s.labels, field::<Vec<String>>(&d, "cif_labels"), "{id}");
        let expected = rows(&d, "frac_coords");
        for (a, b) in s.frac_coords.as_flattened().iter().zip(&expected) {
            let difference = wrap_unit(a - b + 0.5) - 0.5;
            assert!(difference.abs() < TOLERANCE, "{id}: coordinate {a} against {b}");
        }
        assert_eq!(s.frac_coords.len() * 3, expected.len(), "{id}");

        let c = Composition::from_species(&s.species);
        assert_eq!(c.formula(), d["formula"].as_str().unwrap(), "{id}");
        assert_eq!(c.reduced_formula(), d["reduced_formula"].as_str().unwrap(), "{id}");
        assert_eq!(c.anonymous_formula(), d["anonymized_formula"].as_str().unwrap(), "{id}");
        let mut elements: Vec<&str> = c.elements().map(|e| e.symbol()).collect();
        elements.sort_unstable();
        assert_eq!(elements, field::<Vec<String>>(&d, "elements"), "{id}");
        assert_eq!(c, Composition::parse(d["formula"].as_str().unwrap()).unwrap(), "{id}");
        assert_eq!(c.reduced().0, Composition::parse(&c.reduced_formula()).unwrap().reduced().0, "{id}");
    }
}

/// A symmetrized file describes the same crystal: the standard cell of the reference, with the same space group.
#[test]
fn symmetrized_files_describe_the_same_crystal() {
    const SYMPREC: f64 = 0.01;
    let (Some(lines), Some(symmetries)) = (golden("structures.jsonl.gz"), golden("symmetry.jsonl.gz")) else {
        return;
    };
    let mut same_group = 0;
    for (d, reference) in lines.iter().zip(&symmetries) {
        let id = d["id"].as_str().unwrap();
        let s = structure(d);
        let text = write_symmetrized(&s, id, SYMPREC).unwrap_or_else(|e| panic!("{id}: {e}"));
        let p = read_str(&text, Format::Cif).unwrap_or_else(|e| panic!("{id}: {e}\n{text}")).remove(0);
        let (composition, factor) = Composition::from_species(&p.structure.species).reduced();
        let (original, original_factor) = Composition::from_species(&s.species).reduced();
        assert_eq!(composition, original, "{id}");
        let volumes = [
            p.structure.lattice.volume() / f64::from(factor),
            s.lattice.volume() / f64::from(original_factor),
        ];
        assert!((volumes[0] / volumes[1] - 1.0).abs() < 0.02, "{id}: {volumes:?}");
        let number = reference["symprec_0.01"]["number"].as_u64().unwrap();
        let atoms = reference["symprec_0.01"]["std_n_atoms"].as_u64().unwrap();
        let same = text.contains(&format!("_symmetry_Int_Tables_number   {number}\n"))
            && p.structure.len() as u64 == atoms;
        same_group += usize::from(same);
    }
    assert!(same_group * 100 >= lines.len() * 96, "{same_group} of {} cells", lines.len());
}

/// Coordinates of two and three decimals, as old papers give them, describe the same atoms on the same positions, whether
/// the file states multiplicities and content or nothing.
#[test]
fn rounded_coordinates_find_their_positions() {
    let Some(lines) = golden("structures.jsonl.gz") else { return };
    let (mut told, mut groups, mut files) = (0, 0, 0);
    for d in &lines {
        let id = d["id"].as_str().unwrap();
        let text = write_symmetrized(&structure(d), id, 0.01).unwrap();
        let exact = read_str(&text, Format::Cif).unwrap().remove(0).structure;
        for decimals in [2, 3] {
            for states in [true, false] {
                let rounded = rounded(&text, decimals, states);
                let p = read_str(&rounded, Format::Cif)
                    .unwrap_or_else(|e| panic!("{id}: {e}\n{rounded}"))
                    .remove(0);
                let content = Composition::from_species(&p.structure.species);
                assert_eq!(
                    content,
                    Composition::from_species(&exact.species),
                    "{id}, {decimals} decimals, {states}"
                );
                assert!(p.warnings.iter().all(|w| !w.is_doubt()), "{id}, {decimals}: {:?}", p.warnings);
                let number = |s| analyze(s, 0.01).map(|d| d.number).ok();
                groups += usize::from(number(&p.structure) == number(&exact));
                told += usize::from(!p.warnings.is_empty());
                files += 1;
            }
        }
    }
    assert!(
        told * 20 > files,
        "a good part of the crystals has special positions to be set: {told} of {files}"
    );
    // Rounding also makes crystals of distorted cells more symmetric than they are.
    assert!(groups * 100 >= files * 95, "{groups} of {files} keep their space group");
}

/// A symmetrized file with fewer decimals, with or without multiplicities and content.
fn rounded(text: &str, decimals: usize, states: bool) -> String {
    let mut out = String::new();
    let mut in_atoms = false;
    for line in text.lines() {
        let stated = ["_chemical_formula", "_cell_formula"].iter().any(|tag| line.starts_with(tag));
        if stated && !states {
            continue;
        }
        if in_atoms {
            let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            for word in &mut words[4..7] {
                *word = format!("{:.decimals$}", word.parse::<f64>().unwrap());
            }
            if !states {
                words[2] = "?".into();
            }
            out += &words.join(" ");
        } else {
            out += line;
        }
        out.push('\n');
        in_atoms |= line.trim() == "_atom_site_occupancy";
    }
    out
}
