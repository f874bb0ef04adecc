//! CrystalNN fingerprints against the reference.

#[path = "../../druse-crystal/tests/common/mod.rs"]
mod common;

use common::{crystal, field, golden};
use druse_metrics::fingerprint::crystalnn::fingerprint;

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
}

#[test]
fn fingerprints_match_the_reference() {
    let (Some(cells), Some(reference)) = (golden("niggli.jsonl.gz"), golden("crystalnn.jsonl.gz")) else {
        return;
    };
    for (cell, want) in cells.iter().zip(&reference) {
        assert_eq!(cell["id"], want["id"]);
        let s = crystal(&cell["canonical"]).unwrap();
        let got = fingerprint(&s).unwrap();
        let unstable: Vec<usize> = field(want, "unstable_sites_fp64");
        let mean = largest_difference(&got.mean, &field::<Vec<f64>>(want, "struct_fp"));
        for (i, (got, want_site)) in
            got.sites.iter().zip(field::<Vec<Vec<f64>>>(want, "site_fps")).enumerate()
        {
            let d = largest_difference(got, &want_site);
            if d > 1e-7 {
                eprintln!(
                    "{} site {i}: {d:.2e} unstable {}  mean {mean:.2e}",
                    want["id"],
                    unstable.contains(&i)
                );
            }
        }
    }
}

#[test]
fn evaluated_crystals_have_the_fingerprints_of_the_reference() {
    for case in ["carbon24", "mp20", "mp20_degraded", "perov5"] {
        let Some(lines) = golden(&format!("e2e_{case}.jsonl.gz")) else { return };
        for line in &lines {
            let want: Option<Vec<f64>> = field(line, "struct_fp");
            let degraded: Option<String> = field(line, "degraded");
            let degraded = degraded.unwrap_or_default();
            match (crystal(line), want) {
                (Some(s), Some(want)) => match fingerprint(&s) {
                    Ok(got) => {
                        let d = largest_difference(&got.mean, &want);
                        if d > 1e-6 {
                            eprintln!(
                                "{case} {} {} {} {degraded}: {d:.2e}",
                                line["role"], line["k"], line["id"]
                            );
                        }
                    }
                    Err(e) => eprintln!("{case} {} {} {degraded}: {e}", line["k"], line["id"]),
                },
                (Some(s), None) => {
                    eprintln!("{case} {} {}: none, own {:?}", line["k"], line["id"], fingerprint(&s).err())
                }
                (None, want) => {
                    eprintln!("{case} {} {}: no structure; {}", line["k"], line["id"], want.is_some())
                }
            }
        }
    }
}
