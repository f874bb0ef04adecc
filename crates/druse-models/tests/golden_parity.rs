//! Networks against reference evaluations of the published ones.

use std::io::Read;

use druse_models::parity::{self, ParityReport};

/// The report on a reference file, unless there is none here.
fn report(file: &str) -> Option<ParityReport> {
    let shared = std::env::var_os("DRUSE_SHARED").map_or_else(
        || concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared").into(),
        std::path::PathBuf::from,
    );
    let path = shared.join("golden/parity").join(file);
    let Ok(bytes) = std::fs::read(&path) else {
        assert!(std::env::var_os("CI").is_none(), "{} is missing", path.display());
        eprintln!("skipped: {} is missing", path.display());
        return None;
    };
    let mut text = String::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    Some(parity::compare(&text, &druse_nn::device::cpu()).unwrap())
}

fn check(report: &ParityReport, outputs: usize) {
    assert_eq!(report.crystals, 4);
    assert!(report.outputs.len() >= outputs, "{:?}", report.outputs);
    for o in &report.outputs {
        assert!(o.relative < 5e-5, "{}: {:e}", o.name, o.relative);
    }
}

#[test]
fn released_gemsdiff_agrees_with_the_published_one() {
    let Some(report) = report("gemsdiff.json") else { return };
    check(&report, 23);
}

#[test]
fn encoder_of_cdvae_agrees_with_the_published_one() {
    let Some(report) = report("cdvae.json.gz") else { return };
    check(&report, 12);
    let left =
        report.skipped.iter().find(|name| name.starts_with("encoder") || *name == "mu" || *name == "logvar");
    assert_eq!(left, None);
}

#[test]
fn heads_of_cdvae_agree_with_the_published_ones() {
    let Some(report) = report("cdvae.json.gz") else { return };
    check(&report, 12 + 5 + 17);
    assert_eq!(report.skipped, Vec::<String>::new());
}

#[test]
fn decoder_of_cdvae_agrees_with_the_published_one() {
    let Some(report) = report("cdvae.json.gz") else { return };
    check(&report, 12 + 17);
    assert_eq!(report.skipped.iter().find(|name| name.starts_with("decoder")), None);
}
