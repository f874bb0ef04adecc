//! `druse import` on the real binary.

mod common;

use std::path::{Path, PathBuf};

use common::{Run, druse};

fn fixture(name: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../druse-models/tests/fixtures/torch");
    path.join(name).display().to_string()
}

fn import(dir: &Path, file: &str, arguments: &[&str]) -> Run {
    druse(dir, &[&["import", &fixture(file), "--out", "m.safetensors"], arguments].concat())
}

#[test]
fn an_imported_model_is_described_and_samples() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (lattice, property) = (fixture("lattice_scaler.pt"), fixture("prop_scaler.pt"));
    let scalers = ["--lattice-scaler", &lattice, "--property-scaler", &property, "--property", "energy"];
    let run = import(dir, "cdvae.ckpt", &scalers).ok();
    for words in ["epoch 41", "left out 34 tensors", "scale factors are not the published", "parameters"] {
        assert!(run.stderr.contains(words), "`{words}` is not in {}", run.stderr);
    }
    let info = druse(dir, &["info", "m.safetensors"]).ok().stdout;
    for words in ["cdvae", "not known", "-1.25", "86.75"] {
        assert!(info.contains(words), "`{words}` is not in {info}");
    }
    let sample = ["sample", "--model", "m.safetensors", "--count", "2", "--seed", "1", "--out", "s"];
    let sample = druse(dir, &[&sample[..], &["--format", "jsonl", "--set", "steps_per_level=1"]].concat());
    // Weights from a formula may well give cells that are none; every structure is accounted for all the same.
    assert!(matches!(sample.code, Some(0 | 1)), "{}", sample.stderr);
    let lines = |file| std::fs::read_to_string(dir.join("s").join(file)).map_or(0, |t| t.lines().count());
    assert_eq!(lines("structures.jsonl") + lines("failures.jsonl"), 2, "{}", sample.stderr);
}

#[test]
fn a_data_set_stands_for_its_scalers() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    import(dir, "cdvae.ckpt", &["--dataset", "perov_5"]).ok();
    let info = druse(dir, &["info", "m.safetensors"]).ok().stdout;
    for words in ["cdvae-perov-5", "perov_5", "2.42398", "1.403221"] {
        assert!(info.contains(words), "`{words}` is not in {info}");
    }
    import(dir, "cdvae_half.pt", &["--dataset", "mp_20"]).ok();
    assert!(druse(dir, &["info", "m.safetensors"]).ok().stdout.contains("-mp-20"));
}

#[test]
fn a_published_predictor_predicts() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    import(dir, "property.pt", &["--kind", "property", "--dataset", "carbon_24"]).ok();
    let info = druse(dir, &["info", "m.safetensors"]).ok().stdout;
    for words in ["property", "carbon_24", "-154.251022"] {
        assert!(info.contains(words), "`{words}` is not in {info}");
    }
    let lattice = fixture("lattice_scaler.pt");
    let predictor = ["--kind", "property", "--dataset", "mp_20", "--lattice-scaler", &lattice];
    import(dir, "property.pt", &predictor).fails(2, &["no scaler of lattices"]);
    import(dir, "property.pt", &["--dataset", "mp_20"]).fails(2, &["missing:", "fc_mu.weight", "--kind"]);
}

#[test]
fn published_symat_samples_and_encodes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let symat = ["--kind", "symat", "--dataset", "carbon_24"];
    let run = import(dir, "symat.pth", &[&symat[..], &["--set", "encoder.torsion=zero"]].concat()).ok();
    assert!(run.stderr.contains("left out 2 tensors"), "{}", run.stderr);
    let info = druse(dir, &["info", "m.safetensors"]).ok().stdout;
    for words in ["symat", "carbon_24", "2.05813"] {
        assert!(info.contains(words), "`{words}` is not in {info}");
    }
    let sample = ["sample", "--model", "m.safetensors", "--count", "2", "--seed", "1", "--out", "s"];
    let sample = druse(dir, &[&sample[..], &["--format", "jsonl", "--set", "steps_per_level=1"]].concat());
    // Weights from a formula may well give cells that are none.
    assert!(matches!(sample.code, Some(0 | 1)), "{}", sample.stderr);
    import(dir, "symat.pth", &["--kind", "symat"]).fails(2, &["--dataset"]);
    let wrong = |setting| [&symat[..], &["--set", setting]].concat();
    import(dir, "symat.pth", &wrong("encoder.torsion=none")).fails(2, &["encoder.torsion"]);
    import(dir, "symat.pth", &wrong("encoder.blocks=2")).fails(2, &["other shapes"]);
}

#[test]
fn what_is_missing_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    import(dir, "cdvae.ckpt", &[]).fails(2, &["--lattice-scaler"]);
    import(dir, "cdvae.ckpt", &["--dataset", "mp_21"]).fails(2, &["mp_20, carbon_24, perov_5"]);
    let lattice = fixture("lattice_scaler.pt");
    let scaler = ["--lattice-scaler", &lattice];
    import(dir, "cdvae.ckpt", &scaler).fails(2, &["its name", "--property"]);
    let named = [&scaler[..], &["--property", "gap"]].concat();
    import(dir, "cdvae.ckpt", &named).fails(2, &["its scaler"]);
    import(dir, "cdvae_half.pt", &named).fails(2, &["no property head"]);
    import(dir, "lattice_scaler.pt", &["--dataset", "mp_20"]).fails(2, &["holds no weights"]);
    import(dir, "heads.json", &["--dataset", "mp_20"]).fails(2, &["not a file of torch.save"]);
    import(dir, "nothing.ckpt", &["--dataset", "mp_20"]).fails(2, &["nothing.ckpt"]);
    let wrong = ["--lattice-scaler", &fixture("prop_scaler.pt")];
    import(dir, "cdvae_half.pt", &wrong).fails(2, &["1 numbers, expected 6"]);
    assert!(!dir.join("m.safetensors").exists());
}

#[test]
fn published_tensors_of_chgnet_become_a_potential() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    // As they are published: without this program's header.
    let mut file = druse_potential::CHGNet::shipped_weights().file().clone();
    file.metadata.clear();
    file.write(&dir.join("published.safetensors")).unwrap();
    let import = ["import", "published.safetensors", "--kind", "chgnet", "--out", "mine.safetensors"];
    let run = druse(dir, &import).ok();
    assert!(run.stderr.contains("412525 parameters"), "{}", run.stderr);
    std::fs::write(dir.join("a.cif"), common::cif("a", 3.6, &[("Cu", [0.0; 3])])).unwrap();
    let relax = |potential, out| {
        druse(dir, &["relax", "a.cif", "--steps", "1", "--potential", potential, "--out", out]).ok();
        std::fs::read_to_string(dir.join(out).join("structures.jsonl")).unwrap()
    };
    assert_eq!(relax("mine.safetensors", "mine"), relax("chgnet", "shipped"));
    druse(dir, &[&import[..], &["--dataset", "mp_20"]].concat()).fails(2, &["do not apply"]);
    let other = ["import", &fixture("cdvae.ckpt"), "--kind", "chgnet", "--out", "no.safetensors"];
    druse(dir, &other).fails(2, &["not a safetensors file", "state dict"]);
    file.tensors.remove("site_wise.bias");
    file.write(&dir.join("published.safetensors")).unwrap();
    druse(dir, &import).fails(2, &["`site_wise.bias` is missing"]);
}
