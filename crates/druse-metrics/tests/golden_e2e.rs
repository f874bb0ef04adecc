//! Whole evaluations against CDVAE's metrics.

use druse_crystal::{Composition, Element, Lattice, Structure};
use druse_metrics::{
    Benchmark,
    descriptors::{DescriptorSettings, Descriptors},
    generation::{GenerationMetrics, Options, Protocol, evaluate},
};
use druse_testkit::reference::{field, golden, shared_dir};
use rayon::prelude::*;
use serde_json::Value;

const CASES: [(&str, Benchmark); 4] = [
    ("perov5", Benchmark::Perov5),
    ("carbon24", Benchmark::Carbon24),
    ("mp20", Benchmark::Mp20),
    ("mp20_degraded", Benchmark::Mp20),
];
const KEYS: [&str; 13] = [
    "comp_valid",
    "struct_valid",
    "valid",
    "comp_div",
    "struct_div",
    "wdist_density",
    "wdist_num_elems",
    "cov_recall",
    "cov_precision",
    "amsd_recall",
    "amsd_precision",
    "amcd_recall",
    "amcd_precision",
];

fn described(record: &Value, settings: &DescriptorSettings) -> Descriptors {
    let species: Vec<Element> =
        field::<Vec<u8>>(record, "atom_types").into_iter().map(|z| Element::from_z(z).unwrap()).collect();
    let ([a, b, c], [al, be, ga]): ([f64; 3], [f64; 3]) = (field(record, "lengths"), field(record, "angles"));
    let composition = Composition::from_species(&species);
    let built = Lattice::from_parameters([a, b, c, al, be, ga])
        .map_err(|e| e.to_string())
        .and_then(|l| Structure::new(l, species, field(record, "frac_coords")).map_err(|e| e.to_string()));
    match built {
        Ok(structure) => Descriptors::of(&structure, settings),
        Err(reason) => Descriptors::unbuilt(composition, reason),
    }
}

/// The crystals of a case: all generated, all reference.
struct Case {
    records: [Vec<Value>; 2],
    metrics: Value,
    protocol: Protocol,
}

fn case(name: &str, benchmark: Benchmark) -> Option<Case> {
    let all = golden(&format!("e2e_{name}.jsonl.gz"))?;
    let path = shared_dir()?.join(format!("golden/e2e_{name}_metrics.json"));
    let metrics: Value = serde_json::from_reader(std::fs::File::open(path).unwrap()).unwrap();
    let (generated, reference): (Vec<_>, Vec<_>) = all.into_iter().partition(|r| r["role"] == "gen");
    // As many valid crystals as there are.
    let protocol = Protocol { sample: None, ..Protocol::cdvae(benchmark) };
    Some(Case { records: [generated, reference], metrics, protocol })
}

fn assert_metrics(what: &str, got: &GenerationMetrics, want: &Value, changed: Option<&Value>, tol: f64) {
    for key in KEYS {
        let want = changed.and_then(|c| c[key].as_f64()).or_else(|| want[key].as_f64()).unwrap();
        let value = got.value(key).unwrap_or_else(|| panic!("{what} {key}: {:?}", got.metric(key)));
        assert!((value - want).abs() <= tol, "{what} {key}: {value} against {want}");
    }
}

fn with_reference_fingerprints(records: &[Value]) -> Vec<Descriptors> {
    let settings = DescriptorSettings { fingerprint: false, symprec: None };
    records
        .iter()
        .map(|r| {
            let fingerprint = field::<Option<Vec<f64>>>(r, "struct_fp");
            Descriptors {
                fingerprint: Some(fingerprint.ok_or_else(|| r["reason"].to_string())),
                ..described(r, &settings)
            }
        })
        .collect()
}

#[test]
fn metrics_from_the_reference_fingerprints() {
    for (name, benchmark) in CASES {
        let Some(case) = case(name, benchmark) else { return };
        let mut generated = with_reference_fingerprints(&case.records[0]);
        let reference = with_reference_fingerprints(&case.records[1]);
        let got = evaluate(&generated, &reference, &case.protocol, &Options::default()).unwrap();
        // Fingerprints are rounded to nine decimals.
        let tol = 1e-8;
        assert_metrics(name, &got, &case.metrics["metrics"], None, tol);
        assert_eq!(got.sample.len(), case.metrics["metrics"]["n_valid_samples"]);
        for (record, reason) in case.records[0].iter().zip(&got.invalid) {
            assert_eq!(reason.is_none(), record["valid"], "{name} {}: {reason:?}", record["id"]);
        }

        let placed = got.coverage.as_ref().unwrap();
        let arrays = &case.metrics["arrays"];
        assert_eq!(placed.generated, field::<Vec<usize>>(arrays, "kept_gen_indices"));
        let c = &placed.coverage;
        for (key, found) in [
            ("struc_recall_dist", &c.recall_structure),
            ("struc_precision_dist", &c.precision_structure),
            ("comp_recall_dist", &c.recall_composition),
            ("comp_precision_dist", &c.precision_composition),
        ] {
            let want: Vec<f64> = field(arrays, key);
            assert_eq!(found.len(), want.len());
            for (found, want) in found.iter().zip(want) {
                assert!((found.distance - want).abs() < 1e-6, "{name} {key}: {} {want}", found.distance);
            }
        }

        let Some(changed) = case.metrics.get("metrics_changed_if_coincident_fail") else { continue };
        for (d, record) in generated.iter_mut().zip(&case.records[0]) {
            if record["degraded"] == "coincident" {
                d.fingerprint = Some(Err("coincident atoms".into()));
            }
        }
        let got = evaluate(&generated, &reference, &case.protocol, &Options::default()).unwrap();
        assert_metrics(name, &got, &case.metrics["metrics"], Some(changed), tol);
    }
}

#[test]
fn metrics_from_the_raw_crystals() {
    let settings = DescriptorSettings { fingerprint: true, symprec: None };
    for (name, benchmark) in CASES {
        let Some(case) = case(name, benchmark) else { return };
        let [generated, reference] = case
            .records
            .each_ref()
            .map(|records| records.par_iter().map(|r| described(r, &settings)).collect::<Vec<_>>());
        // Two atoms on one spot have no defined fingerprint: all of them fail.
        for (d, record) in generated.iter().zip(&case.records[0]) {
            assert!(
                record["degraded"] != "coincident" || d.structure_features().is_none(),
                "{}",
                record["id"]
            );
        }
        let got = evaluate(&generated, &reference, &case.protocol, &Options::default()).unwrap();
        let changed = case.metrics.get("metrics_changed_if_coincident_fail");
        assert_metrics(name, &got, &case.metrics["metrics"], changed, 1e-3);
        for (record, reason) in case.records[0].iter().zip(&got.invalid) {
            assert_eq!(reason.is_none(), record["valid"], "{name} {}: {reason:?}", record["id"]);
        }
    }
}
