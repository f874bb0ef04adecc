//! Structure matching against the reference.

use druse_crystal::{Element, Lattice, Structure};
use druse_metrics::{
    matcher::{Displacement, StructureMatcher},
    reconstruction::reconstruct,
};
use druse_testkit::reference::{field, golden, shared_dir};
use serde_json::Value;

fn side(record: &Value, name: &str) -> Structure {
    let s = &record[name];
    let species: Vec<String> = field(s, "species");
    Structure::new(
        Lattice::from_rows(field(s, "lattice")).unwrap(),
        species.iter().map(|e| Element::from_symbol(e).unwrap()).collect(),
        field(s, "frac_coords"),
    )
    .unwrap()
}

/// Whether both match or neither, and the distances agree. Searches stop below 1e-5: identical crystals have some
/// distance below that.
fn agrees(got: Option<Displacement>, want: Option<[f64; 2]>) -> bool {
    let close = |x: f64, y: f64| (x - y).abs() < 1e-6;
    match (got, want) {
        (None, None) => true,
        (Some(g), Some([rms, max])) => {
            (close(g.rms, rms) && close(g.max, max)) || (g.rms < 1e-5 && rms < 1e-5)
        }
        _ => false,
    }
}

#[test]
fn pairs_match_as_in_the_reference() {
    let Some(pairs) = golden("match_pairs.jsonl.gz") else { return };
    let settings = [("cdvae", StructureMatcher::CDVAE), ("default", StructureMatcher::default())];
    let mut wrong = Vec::new();
    for record in &pairs {
        let (s1, s2) = (side(record, "s1"), side(record, "s2"));
        for (name, matcher) in settings {
            let (a, b) = (matcher.prepare(&s1), matcher.prepare(&s2));
            let mut check = |what: &str, good: bool| {
                if !good {
                    wrong.push(format!("{} {} {name} {what}", record["pair"], record["kind"]));
                }
            };
            let sites: [usize; 2] = field(record, "n_sites_reduced");
            check(
                "sites",
                [a.structure().map_or(0, Structure::len), b.structure().map_or(0, Structure::len)] == sites,
            );
            check("fit", matcher.fit(&a, &b) == field::<bool>(record, &format!("{name}_fit")));
            check("rms", agrees(matcher.rms(&a, &b), field(record, &format!("{name}_rms_dist"))));
            if name == "cdvae" {
                check("reversed", agrees(matcher.rms(&b, &a), field(record, "cdvae_rms_dist_reversed")));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), pairs.len(), wrong.join("\n"));
}

#[test]
fn reconstruction_has_the_metrics_of_the_reference() {
    let (Some(records), Some(shared)) = (golden("e2e_recon.jsonl.gz"), shared_dir()) else { return };
    let metrics = std::fs::read_to_string(shared.join("golden/e2e_recon_metrics.json")).unwrap();
    let metrics: Value = serde_json::from_str(&metrics).unwrap();
    let crystal = |record: &Value, name: &str| {
        let c = &record[name];
        let [lengths, angles]: [[f64; 3]; 2] = [field(c, "lengths"), field(c, "angles")];
        let parameters: [f64; 6] = [lengths, angles].concat().try_into().unwrap();
        let species = field::<Vec<u8>>(c, "atom_types").into_iter().map(|z| Element::from_z(z).unwrap());
        Structure::new(
            Lattice::from_parameters(parameters).unwrap(),
            species.collect(),
            field(c, "frac_coords"),
        )
        .unwrap()
    };
    let truth: Vec<Structure> = records.iter().map(|r| crystal(r, "gt")).collect();
    let predicted: Vec<Structure> = records.iter().map(|r| crystal(r, "pred")).collect();
    let truth: Vec<&Structure> = truth.iter().collect();
    let with = |valid: &dyn Fn(&Value) -> bool| -> Vec<Vec<Option<&Structure>>> {
        records.iter().zip(&predicted).map(|(r, p)| vec![valid(r).then_some(p)]).collect()
    };
    for (name, valid) in [
        ("rms_dist", &(|r: &Value| field(r, "pred_valid")) as &dyn Fn(&Value) -> bool),
        ("rms_dist_without_validity", &|_| true),
    ] {
        let got = reconstruct(&StructureMatcher::CDVAE, &truth, &with(valid));
        assert!(got.unfinished.is_empty() && got.unreadable.is_empty());
        for (record, all) in records.iter().zip(&got.displacements) {
            let want: Option<f64> = field(record, name);
            let rms = all[0].map(|d| d.rms);
            let good = match (rms, want) {
                (Some(g), Some(w)) => (g - w).abs() < 1e-5,
                (g, w) => g.is_none() && w.is_none(),
            };
            assert!(good, "{} {name}: {rms:?} against {want:?}", record["id"]);
        }
        if name == "rms_dist" {
            let rate = got.at(1);
            assert_eq!(rate.references, field::<usize>(&metrics, "n"));
            assert!((rate.rate.unwrap() - field::<f64>(&metrics, "match_rate")).abs() < 1e-12);
            assert!((rate.rmse.unwrap() - field::<f64>(&metrics, "rms_dist")).abs() < 1e-6);
        }
    }
}
