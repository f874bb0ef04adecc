//! Phase diagrams against pymatgen's, and the hull of a whole data set against the published energies above hull.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use druse_crystal::{Composition, Element};
use druse_data::{Cache, LoadOptions, Split, Splits};
use druse_metrics::phase_diagram::{ChemicalSystem, HullPoint, PhaseDiagram, PhaseEntry};
use druse_testkit::reference::{field, golden_path, json, shared_dir};
use serde_json::Value;

/// eV/atom: what the reference values are stated to.
const TOLERANCE: f64 = 1e-8;

fn composition(record: &Value) -> Composition {
    let amounts: BTreeMap<String, f64> = field(record, "composition");
    let count = |(symbol, amount): (String, f64)| {
        assert_eq!(amount.fract(), 0.0, "{record}");
        (Element::from_symbol(&symbol).unwrap(), amount as u32)
    };
    Composition::from_counts(amounts.into_iter().map(count))
}

fn number(record: &Value, name: &str) -> f64 {
    field(record, name)
}

#[track_caller]
fn close(got: f64, want: f64, what: &str) {
    assert!((got - want).abs() <= TOLERANCE, "{what}: {got} instead of {want}");
}

/// Asserts that a decomposition is one: it has the composition and the energy of the hull.
#[track_caller]
fn is_decomposition(diagram: &PhaseDiagram, composition: &Composition, point: &HullPoint) {
    let mut sums: BTreeMap<Element, f64> = BTreeMap::new();
    let mut energy = 0.0;
    for share in &point.phases {
        let entry = &diagram.entries()[share.entry];
        energy += share.fraction * entry.energy_per_atom();
        for (element, n) in entry.composition.iter() {
            *sums.entry(element).or_default() +=
                share.fraction * f64::from(n) / entry.composition.num_atoms() as f64;
        }
    }
    close(energy, point.energy_per_atom, "energy of the decomposition");
    for (element, n) in composition.iter() {
        close(
            sums[&element],
            f64::from(n) / composition.num_atoms() as f64,
            "composition of the decomposition",
        );
    }
}

/// The decomposition by identifier, and whether it is the reference's.
fn same_decomposition(diagram: &PhaseDiagram, point: &HullPoint, record: &Value) -> bool {
    let want: BTreeMap<String, f64> = field(record, "decomposition");
    let got: BTreeMap<&str, f64> =
        point.phases.iter().map(|s| (diagram.entries()[s.entry].id.as_str(), s.fraction)).collect();
    got.len() == want.len()
        && want.iter().all(|(id, x)| got.get(id.as_str()).is_some_and(|y| (x - y).abs() < 1e-8))
}

#[test]
fn systems_have_the_hulls_of_the_reference() {
    let Some(path) = golden_path("surrogates/hull.json.gz") else { return };
    let golden = json(&path);
    let (mut compared, mut other) = (0, Vec::new());
    for record in golden["systems"].as_array().unwrap() {
        let system: ChemicalSystem = field::<String>(record, "system").parse().unwrap();
        let rows = record["entries"].as_array().unwrap();
        let entry = |row: &Value| {
            PhaseEntry::per_atom(
                field::<String>(row, "id"),
                composition(row),
                number(row, "formation_energy_per_atom"),
            )
        };
        let diagram = PhaseDiagram::new(rows.iter().map(entry).collect()).unwrap();
        let stable: BTreeSet<&str> =
            diagram.stable_in(system).into_iter().map(|i| diagram.entries()[i].id.as_str()).collect();
        let wanted: BTreeSet<String> = field(record, "stable");
        assert_eq!(stable, wanted.iter().map(String::as_str).collect(), "{system}");
        assert_eq!(stable.len(), diagram.stable_entries().count());
        for (i, row) in rows.iter().enumerate() {
            let what = format!("{system} {}", row["id"]);
            let point = diagram.hull(&composition(row)).unwrap();
            close(point.formation_energy_per_atom, number(row, "hull_energy_per_atom"), &what);
            close(diagram.entry_above_hull(i).unwrap(), number(row, "e_above_hull"), &what);
            is_decomposition(&diagram, &composition(row), &point);
            let reaction = diagram.equilibrium_reaction_energy(i).unwrap();
            match row["equilibrium_reaction_energy"].as_f64() {
                Some(want) => close(reaction.expect("a stable compound"), want, &what),
                None => assert_eq!(reaction, None, "{what}"),
            }
            compared += 1;
            if !same_decomposition(&diagram, &point, row) {
                other.push(what);
            }
        }
        for row in record["invented"].as_array().unwrap() {
            let (composition, what) = (composition(row), format!("{system} {}", row["kind"]));
            let point = diagram.hull(&composition).unwrap();
            let above = diagram.energy_above_hull(&composition, number(row, "energy_per_atom")).unwrap();
            close(above, number(row, "e_above_hull"), &what);
            is_decomposition(&diagram, &composition, &point);
            compared += 1;
            if !same_decomposition(&diagram, &point, row) {
                other.push(format!("{what} {composition}"));
            }
        }
    }
    assert!(other.is_empty(), "{} of {compared} decompositions are other ones: {other:?}", other.len());
}

#[test]
fn the_hull_of_a_data_set_is_never_above_the_published_one() {
    let Some(shared) = shared_dir() else { return };
    let splits = Splits::open(&shared.join("data/mp_20_bt")).unwrap();
    let options = LoadOptions { niggli: false, cache: Cache::Off, ..LoadOptions::default() };
    let mut entries = Vec::new();
    let mut published = HashMap::new();
    for split in [Split::Train, Split::Val, Split::Test] {
        for entry in splits.load(split, &options).unwrap().entries {
            let value = |name: &str| entry.structure.properties[name].as_f64().unwrap();
            published.insert(entry.id.clone(), value("e_above_hull"));
            let composition = Composition::from_species(&entry.structure.species);
            entries.push(PhaseEntry::per_atom(
                entry.id.clone(),
                composition,
                value("formation_energy_per_atom"),
            ));
        }
    }
    let elements: BTreeSet<Element> = entries.iter().flat_map(|e| e.composition.elements()).collect();
    entries.extend(elements.into_iter().map(PhaseEntry::element));
    let diagram = PhaseDiagram::new(entries).unwrap();
    assert_eq!(published.len(), 12_258);
    let mut gaps = Vec::new();
    let (mut on_ours, mut of_theirs, mut both) = (0, 0, 0);
    for (i, entry) in diagram.entries().iter().enumerate() {
        let Some(&theirs) = published.get(&entry.id) else { continue };
        let ours = diagram.entry_above_hull(i).unwrap();
        assert!(ours <= theirs + 1e-12, "{}: {ours} above {theirs}", entry.id);
        gaps.push(theirs - ours);
        on_ours += usize::from(ours == 0.0);
        of_theirs += usize::from(theirs <= 1e-12);
        both += usize::from(ours == 0.0 && theirs <= 1e-12);
    }
    let within = |limit: f64| gaps.iter().filter(|gap| **gap <= limit).count();
    assert_eq!((within(1e-3), within(1e-2), within(5e-2)), (7568, 9206, 11_720));
    assert_eq!((on_ours, of_theirs, both), (9400, 6009, 6009));
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    assert!((mean - 8.5e-3).abs() < 5e-5 && gaps.iter().all(|gap| *gap < 79.85e-3), "{mean}");
}
