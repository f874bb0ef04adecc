//! Networks against reference evaluations of the published ones.

use druse_crystal::{Element, Lattice, Structure};
use druse_models::parity::{self, ParityReport};
use druse_models::{Bonds, Registry};
use druse_nn::graph::EdgeEnds;
use druse_testkit::reference::{golden_path, read_text};

/// A reference file, unless there is none here.
fn reference(file: &str) -> Option<String> {
    Some(read_text(&golden_path(&format!("parity/{file}"))?))
}

/// The report on a reference file, unless there is none here.
fn report(file: &str) -> Option<ParityReport> {
    Some(parity::compare(&Registry::builtin(), &reference(file)?, &druse_nn::device::cpu()).unwrap())
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

#[test]
fn symat_agrees_with_the_published_one() {
    let Some(report) = report("symat.json.gz") else { return };
    check(&report, 41);
    assert_eq!(report.skipped, Vec::<String>::new());
}

#[test]
fn adaptive_cells_agree_with_the_published_ones() {
    for file in ["diffusion_atoms.json", "diffusion_atoms_full_mp.json"] {
        let Some(report) = report(file) else { return };
        check(&report, 12);
        assert_eq!(report.skipped, Vec::<String>::new());
    }
}

#[test]
fn bonds_are_those_of_the_published_graphs() {
    let Some(text) = reference("cdvae.json.gz") else { return };
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    for input in file["inputs"].as_array().unwrap() {
        let read = |name: &str| input[name].clone();
        let lattice = Lattice::from_rows(serde_json::from_value(read("lattice")).unwrap()).unwrap();
        let species: Vec<i64> = serde_json::from_value(read("atomic_numbers")).unwrap();
        let species = species.into_iter().map(|z| Element::from_z(z).unwrap()).collect();
        let frac: Vec<[f64; 3]> = serde_json::from_value(read("frac_coords")).unwrap();
        let structure = Structure::new(lattice, species, frac.clone()).unwrap();
        assert_eq!(structure.frac_coords, frac, "images count from wrapped coordinates");
        let ends: Vec<[u32; 2]> = serde_json::from_value(read("encoder_edge_source_target")).unwrap();
        let images: Vec<[i32; 3]> = serde_json::from_value(read("encoder_edge_image")).unwrap();
        let mut published: Vec<EdgeEnds> =
            ends.iter().zip(images).map(|(&[source, target], image)| (target, source, image)).collect();
        published.sort_unstable();
        let bonds = Bonds::of(&structure).unwrap();
        let reverse = |&(i, j, t): &EdgeEnds| (j, i, t.map(|t| -t));
        let mut ours: Vec<EdgeEnds> = bonds.edges.iter().flat_map(|e| [*e, reverse(e)]).collect();
        ours.sort_unstable();
        assert_eq!(ours, published, "{}", input["formula"]);
    }
}

#[test]
fn alignn_agrees_with_the_published_one() {
    let Some(path) = golden_path("surrogates/alignn.json.gz") else { return };
    let text = read_text(&path);
    let report = parity::compare(&Registry::builtin(), &text, &druse_nn::device::cpu()).unwrap();
    for o in &report.outputs {
        eprintln!("{:28} {:8} {:.2e}", o.name, o.values, o.relative);
    }
    check(&report, 25);
    assert_eq!(report.skipped, Vec::<String>::new());
}
