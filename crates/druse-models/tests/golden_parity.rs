//! The released variant against reference evaluations of the published network.

use druse_models::gemsdiff::parity;

#[test]
fn released_network_agrees_with_the_published_one() {
    let shared = std::env::var_os("DRUSE_SHARED").map_or_else(
        || concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared").into(),
        std::path::PathBuf::from,
    );
    let path = shared.join("golden/parity/gemsdiff.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        assert!(std::env::var_os("CI").is_none(), "{} is missing", path.display());
        eprintln!("skipped: {} is missing", path.display());
        return;
    };
    let report = parity::compare(&text, &druse_nn::device::cpu()).unwrap();
    assert_eq!(report.crystals, 4);
    assert!(report.outputs.len() >= 23, "{:?}", report.outputs);
    for o in &report.outputs {
        assert!(o.relative < 5e-5, "{}: {:e}", o.name, o.relative);
    }
}
