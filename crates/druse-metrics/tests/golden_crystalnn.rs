//! CrystalNN fingerprints against the reference.
//!
//! One entry cannot agree everywhere. The order parameter of the body-centered cube depends on the order of the
//! neighbors, which is that of their weights, and on which side of 90° their angles are. Where weights are equal or
//! angles right by symmetry, rounding decides, and the value of the reference itself changes when the crystal is
//! rotated (by 2e-5 to 3e-2 in the crystals named below). Everything else agrees.

use druse_crystal::coordination::CoordinationError;
use druse_metrics::fingerprint::crystalnn::{FingerprintError, fingerprint, labels};
use druse_testkit::reference::{crystal, field, golden};

/// The entry that depends on rounding.
const ORDER_DEPENDENT: &str = "body-centered cubic CN_8";

/// Sites not flagged as unstable that differ by more than 1e-6: the two rotations that the flag was found with happened
/// not to change the order of equal neighbors.
const SITES: [(&str, usize); 1] = [("mpts_52:mp-567342", 3)];

/// Crystals of the evaluation cases whose mean may differ by more than 1e-3, for the reason given above (which of them do
/// depends on the last digits of the mathematical library).
const CRYSTALS: [(&str, &str, u64); 5] = [
    ("mp20", "gt", 28),
    ("mp20", "gt", 207),
    ("mp20_degraded", "gen", 1),
    ("mp20_degraded", "gen", 33),
    ("perov5", "gt", 33),
];

/// Largest difference in the entry that depends on order, and in the others.
fn differences(a: &[f64], b: &[f64]) -> (f64, f64) {
    assert_eq!(a.len(), b.len());
    let (mut ordered, mut others) = (0.0f64, 0.0f64);
    for ((x, y), label) in a.iter().zip(b).zip(labels()) {
        let d = (x - y).abs();
        let slot = if label == ORDER_DEPENDENT { &mut ordered } else { &mut others };
        *slot = slot.max(d);
    }
    (ordered, others)
}

#[test]
fn site_fingerprints_match_the_reference() {
    let (Some(cells), Some(reference)) = (golden("niggli.jsonl.gz"), golden("crystalnn.jsonl.gz")) else {
        return;
    };
    let (mut sites, mut close_sites, mut close_means, mut worst) = (0, 0, 0, 0.0f64);
    for (cell, want) in cells.iter().zip(&reference) {
        assert_eq!(cell["id"], want["id"]);
        let id = want["id"].as_str().unwrap();
        let got = fingerprint(&crystal(&cell["canonical"]).unwrap()).unwrap();
        let (ordered, others) = differences(&got.mean, &field::<Vec<f64>>(want, "struct_fp"));
        assert!(others < 1e-7, "{id}: {others:e}");
        close_means += usize::from(ordered < 1e-3);
        let unstable: Vec<usize> = field(want, "unstable_sites_fp64");
        for (i, (got, want)) in got.sites.iter().zip(field::<Vec<Vec<f64>>>(want, "site_fps")).enumerate() {
            let (ordered, others) = differences(got, &want);
            assert!(others < 1e-7, "{id} site {i}: {others:e}");
            assert!(
                ordered < 1e-6 || unstable.contains(&i) || SITES.contains(&(id, i)),
                "{id} site {i}: {ordered:e}"
            );
            sites += 1;
            close_sites += usize::from(ordered < 1e-6);
            worst = worst.max(ordered);
        }
    }
    eprintln!(
        "within 1e-6: {close_sites} of {sites} sites (largest difference {worst:.1e}); within 1e-3: {close_means} of {} means",
        reference.len()
    );
    assert_eq!(close_means, reference.len());
}

#[test]
fn evaluated_crystals_have_the_fingerprints_of_the_reference() {
    for case in ["carbon24", "mp20", "mp20_degraded", "perov5"] {
        let Some(lines) = golden(&format!("e2e_{case}.jsonl.gz")) else { return };
        let (mut compared, mut close, mut coincident) = (0, 0, 0);
        for line in &lines {
            let (role, k) = (line["role"].as_str().unwrap(), line["k"].as_u64().unwrap());
            let want: Option<Vec<f64>> = field(line, "struct_fp");
            let Some(s) = crystal(line) else {
                assert!(want.is_none(), "{case} {role} {k}");
                continue;
            };
            // The tessellation of duplicate points is arbitrary in the reference; here it is refused.
            if line["degraded"] == "coincident" {
                let refused = fingerprint(&s);
                assert!(
                    matches!(
                        refused,
                        Err(FingerprintError::Coordination(CoordinationError::Coincident { .. }))
                    ),
                    "{case} {role} {k}: {refused:?}"
                );
                coincident += 1;
                continue;
            }
            match (fingerprint(&s), want) {
                (Ok(got), Some(want)) => {
                    let (ordered, others) = differences(&got.mean, &want);
                    assert!(others < 1e-7, "{case} {role} {k}: {others:e}");
                    assert!(
                        ordered < 1e-3 || CRYSTALS.contains(&(case, role, k)),
                        "{case} {role} {k}: {ordered:e}"
                    );
                    assert!(ordered < 1e-2, "{case} {role} {k}: {ordered:e}");
                    compared += 1;
                    close += usize::from(ordered < 1e-3);
                }
                (Err(e), None) => eprintln!("{case} {role} {k}: {e}; reference: {}", line["reason"]),
                (got, want) => panic!("{case} {role} {k}: {got:?} against {want:?}"),
            }
        }
        eprintln!("{case}: {close} of {compared} within 1e-3, {coincident} refused");
        assert!(close as f64 >= 0.98 * f64::from(compared));
    }
}
