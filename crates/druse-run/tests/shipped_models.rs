//! Every model that the repository holds can be opened by the program beside it, and is the file that its card describes.

use std::path::{Path, PathBuf};

use druse_models::Registry;
use druse_run::model::LoadedModel;
use sha2::{Digest, Sha256};

/// The files of models, sorted.
fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [root.join("models"), root.join("../../models")];
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|x| x == "safetensors"));
    files.sort();
    files
}

#[test]
fn every_model_opens() {
    let files = files();
    assert!(files.len() >= 10, "{files:?}");
    let registry = Registry::builtin();
    for path in files {
        // Configuration, statistics, and every weight of the network that they describe.
        let opened = LoadedModel::open(&registry, &path, &druse_nn::device::cpu());
        assert!(opened.is_ok(), "{}: {}", path.display(), opened.err().unwrap());
    }
}

#[test]
fn every_card_is_of_its_file() {
    let cards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/README.md");
    let cards = std::fs::read_to_string(cards).unwrap();
    for path in files() {
        let sum = Sha256::digest(std::fs::read(&path).unwrap());
        let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(cards.contains(&format!("`{sum}`")), "{}: no card has its SHA-256, {sum}", path.display());
    }
}
