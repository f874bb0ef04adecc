//! Listing for evaluation: every row stays in its place, with a structure or a reason.

mod common;

use std::fs;
use std::path::Path;

use druse_data::{DataError, Dataset, FilterError, ListOptions, Listing, list, structure_from_json};

const CELL: &str = r#""lengths":[4,4,4],"angles":[90,90,90]"#;

fn read(dir: &Path, name: &str, text: &str) -> Listing {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    list(&path, &ListOptions::default()).unwrap()
}

fn filtered(dir: &Path, name: &str, filters: &[&str]) -> Result<Listing, DataError> {
    let filters = filters.iter().map(|f| f.parse().unwrap()).collect();
    list(&dir.join(name), &ListOptions { filters, threads: Some(1), ..ListOptions::default() })
}

#[test]
fn rows_without_a_structure_stay_in_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let lines = [
        format!(r#"{{"id":"good",{CELL},"frac_coords":[[0,0,0],[0.5,0.5,0.5]],"atom_types":[55,17]}}"#),
        format!(r#"{{"id":"one spot",{CELL},"frac_coords":[[0,0,0],[0,0,0]],"atom_types":[55,17]}}"#),
        r#"{"id":"negative","lengths":[-4,4,4],"angles":[90,90,90],"frac_coords":[[0,0,0]],"atom_types":[84]}"#.into(),
        format!(r#"{{"id":"nan","role":"gen",{CELL},"frac_coords":[[0,NaN,0]],"atom_types":[84]}}"#),
        format!(r#"{{"id":"Z=0",{CELL},"frac_coords":[[0,0,0]],"atom_types":[0]}}"#),
        r#"{"id":"tiny","lengths":[0.1,0.1,0.1],"angles":[90,90,90],"frac_coords":[[0,0,0]],"atom_types":[84]}"#.into(),
        "not json".into(),
        format!(r#"{{{CELL},"frac_coords":[[0,0,0]],"atom_types":[84]}}"#),
        r#"{"id":"cut","lengths":[4,"#.into(),
    ];
    // The last line has no end: it still counts.
    let listing = read(dir.path(), "rows.jsonl", &lines.join("\n"));
    let ids: Vec<&str> = listing.items.iter().map(|i| i.id.as_str()).collect();
    assert_eq!(ids, ["good", "one spot", "negative", "nan", "Z=0", "tiny", "row-7", "row-8", "row-9"]);
    let whole: Vec<bool> = listing.items.iter().map(|i| i.outcome.is_ok()).collect();
    assert_eq!(whole, [true, true, false, false, false, true, false, true, false]);
    let reasons: Vec<String> = listing.failures().map(|f| f.reason).collect();
    for (reason, word) in
        reasons.iter().zip(["must be positive", "not a finite", "atomic number 0", "not JSON"])
    {
        assert!(reason.contains(word), "{reason}");
    }
    let formulas: Vec<_> = listing.items.iter().map(|i| i.composition().map(|c| c.formula())).collect();
    assert_eq!(formulas[2].as_deref(), Some("Po1"), "an impossible cell has a composition: {formulas:?}");
    assert_eq!((formulas[4].as_deref(), formulas[6].as_deref()), (None, None));
    assert_eq!(listing.items[3].line, Some(4));
    assert_eq!(listing.items[3].properties()["role"].as_str(), Some("gen"));
}

#[test]
fn forms_of_json_mean_the_same_crystal() {
    let forms = [
        format!(r#"{{{CELL},"frac_coords":[[0,0,0],[0.5,0.5,0.5]],"atom_types":[55,17]}}"#),
        r#"{"lattice":[[4,0,0],[0,4,0],[0,0,4]],"species":["Cs","Cl"],"frac_coords":[[0,0,0],[0.5,0.5,0.5]]}"#.into(),
        r#"{"lattice":{"matrix":[[4,0,0],[0,4,0],[0,0,4]]},"atomic_numbers":[55,17],"frac_coords":[[0,0,0],[0.5,0.5,0.5]]}"#.into(),
        r#"{"structure":{"lattice":[[4,0,0],[0,4,0],[0,0,4]],"species":["Cs","Cl"],"frac_coords":[[0,0,0],[0.5,0.5,0.5]]}}"#.into(),
        r#"{"lattice":{"matrix":[[4,0,0],[0,4,0],[0,0,4]]},"sites":[{"species":[{"element":"Cs","occu":1}],"abc":[0,0,0]},{"species":[{"element":"Cl","occu":1}],"abc":[0.5,0.5,0.5]}]}"#.into(),
    ];
    for form in &forms {
        let s = structure_from_json(&serde_json::from_str(form).unwrap())
            .unwrap_or_else(|e| panic!("{form}: {e}"));
        assert_eq!(s.atomic_numbers(), [55, 17], "{form}");
        assert_eq!(s.frac_coords[1], [0.5; 3]);
        assert!((s.lattice.volume() - 64.0).abs() < 1e-9);
    }
    for broken in ["[]", "{}", r#"{"lengths":[4,4,4]}"#, r#"{"lattice":[[4,0],[0,4]],"species":[]}"#] {
        assert!(structure_from_json(&serde_json::from_str(broken).unwrap()).is_err(), "{broken}");
    }
}

#[test]
fn coincident_sites_are_kept_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let atoms =
        "_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nFe1 0 0 0\nO1 0 0 0\n";
    let cell = "_cell_length_a 4\n_cell_length_b 4\n_cell_length_c 4\n_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90\n";
    let cif = format!("data_x\n{cell}loop_\n{atoms}");
    let texts = [
        ("a.cif", cif.clone()),
        ("b.vasp", "x\n1\n4 0 0\n0 4 0\n0 0 4\nFe O\n1 1\nDirect\n0 0 0\n0 0 0\n".to_owned()),
        ("c.extxyz", "2\nLattice=\"4 0 0 0 4 0 0 0 4\" Properties=species:S:1:pos:R:3 pbc=\"T T T\"\nFe 0 0 0\nO 0 0 0\n".to_owned()),
        ("d.csv", format!("material_id,cif\nx,\"{cif}\"\n")),
    ];
    for (name, text) in texts {
        let listing = read(dir.path(), name, &text);
        assert_eq!(
            listing.items[0].structure().map(|s| s.len()),
            Some(2),
            "{name}: {:?}",
            listing.items[0].outcome
        );
    }
    // Settings beside the structures are no structure, half a structure is a broken one.
    fs::write(dir.path().join("settings.json"), "{\"seed\": 0}").unwrap();
    fs::write(dir.path().join("z.json"), "{\"lattice\": 0}").unwrap();
    let folder = list(dir.path(), &ListOptions::default()).unwrap();
    assert_eq!(folder.items.iter().map(|i| i.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c", "z"]);
    assert_eq!(folder.failures().count(), 1);
    assert!(folder.warnings.iter().any(|n| n.contains("settings.json")), "{:?}", folder.warnings);
}

#[test]
fn an_array_with_a_broken_entry_keeps_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let good = r#"{"lattice":[[4,0,0],[0,4,0],[0,0,4]],"species":["Po"],"frac_coords":[[0,0,0]]}"#;
    let listing = read(dir.path(), "all.json", &format!("[{good}, {{\"id\": \"odd\"}}, {good}]"));
    assert_eq!(listing.items.iter().map(|i| i.outcome.is_ok()).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(listing.items[1].id, "odd");
}

#[test]
fn filters_choose_rows_with_and_without_a_structure() {
    let dir = tempfile::tempdir().unwrap();
    let row = |role: &str, a: f64| {
        format!(
            r#"{{"role":"{role}","lengths":[{a},4,4],"angles":[90,90,90],"frac_coords":[[0,0,0]],"atom_types":[84]}}"#
        )
    };
    let text = [row("gen", 4.0), row("gt", 4.0), row("gen", -1.0)].join("\n");
    let all = read(dir.path(), "mixed.jsonl", &text);
    let chosen = filtered(dir.path(), "mixed.jsonl", &["role=gen"]).unwrap();
    assert_eq!((chosen.len(), chosen.failures().count()), (2, 1));
    assert_ne!(chosen.structures_hash(), all.structures_hash());
    assert_eq!(chosen.source_hash, all.source_hash);
    assert!(matches!(
        filtered(dir.path(), "mixed.jsonl", &["role=none"]),
        Err(DataError::NothingLeft { .. })
    ));
    match filtered(dir.path(), "mixed.jsonl", &["rule=gen"]) {
        Err(DataError::Filter(FilterError::UnknownProperty { available, .. })) => {
            assert_eq!(available, ["role"])
        }
        other => panic!("{other:?}"),
    }
    fs::write(dir.path().join("empty.jsonl"), "\n").unwrap();
    assert!(matches!(filtered(dir.path(), "empty.jsonl", &[]), Err(DataError::Empty { .. })));
}

#[test]
fn a_listing_and_a_data_set_are_made_of_each_other_and_of_structures_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let row = |id: &str, a: f64| {
        format!(
            r#"{{"id":"{id}","gap":1.5,"lengths":[{a},4,4],"angles":[90,90,90],"frac_coords":[[0,0,0]],"atom_types":[84]}}"#
        )
    };
    let listing = read(dir.path(), "s.jsonl", &[row("a", 4.0), row("b", -4.0), row("c", 5.0)].join("\n"));
    let set = Dataset::from(listing.clone());
    assert_eq!(set.entries.iter().map(|e| e.id.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!((set.entries[1].structure.properties["gap"].as_f64(), set.skipped.len()), (Some(1.5), 1));
    assert_eq!((set.skipped[0].id.as_deref(), set.skipped[0].row), (Some("b"), Some(2)));
    let back = Listing::from(set.clone());
    assert_eq!((back.len(), back.failures().count()), (3, 1));
    assert_eq!(back.items[2].id, "b");

    let structures: Vec<_> = set.structures().cloned().collect();
    let memory = Listing::from_structures("memory", structures.clone());
    assert_eq!((memory.items[1].id.as_str(), memory.items[1].structure()), ("row-2", Some(&structures[1])));
    assert_eq!(memory.source_hash, memory.structures_hash());
    assert_eq!(Dataset::from(memory), Dataset::from_structures("memory", structures));
}

#[test]
fn tables_of_formulas_are_sources_where_compositions_suffice() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name)
    };
    let options = ListOptions { formulas: true, ..ListOptions::default() };
    let table = write("a.csv", "id;Formula;energy_per_atom\nx;Li2O;-4.9\ny;Xx2O;-1\nz;O2;NaN\nshort;O2\n");
    assert!(matches!(list(&table, &ListOptions::default()), Err(DataError::NoCifColumn { .. })));
    let listing = list(&table, &options).unwrap();
    let told: Vec<_> = listing.items.iter().map(|i| i.composition().map(|c| c.to_string())).collect();
    assert_eq!(told, [Some("Li2O".to_owned()), None, Some("O2".to_owned()), None]);
    assert_eq!(listing.items[0].properties()["energy_per_atom"].as_f64(), Some(-4.9));
    assert!(!listing.items[2].properties().contains_key("energy_per_atom"), "NaN is no value");
    let reason = listing.items[1].reason().unwrap();
    assert!(reason.contains("`Xx2O`") && listing.items[1].row == Some(2), "{reason}");
    assert!(listing.items[3].reason().unwrap().contains("2 fields"));

    let lines =
        write("b.jsonl", "{\"id\":\"x\",\"formula\":\"Li2O\",\"energy\":-14.7}\n{\"formula\":\"L2O\"}\n");
    let listing = list(&lines, &options).unwrap();
    assert_eq!(listing.items[0].composition().unwrap().to_string(), "Li2O");
    assert!(listing.items[1].reason().unwrap().contains("`L2O`"));
    assert_eq!(list(&lines, &ListOptions::default()).unwrap().items[0].composition(), None);

    let nothing = write("c.csv", "id,energy\nx,1\n");
    let error = list(&nothing, &options).unwrap_err().to_string();
    assert!(error.contains("neither") && error.contains("id, energy"), "{error}");
}
