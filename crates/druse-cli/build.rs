//! Says whether the shipped model is there to be built into the program.

use std::path::PathBuf;

fn main() {
    // Asked for when it runs: a compiled build script may be used again for another checkout.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let model = package.join("../../models/gemsdiff-small.safetensors");
    println!("cargo::rustc-check-cfg=cfg(druse_shipped_model)");
    println!("cargo::rerun-if-changed={}", model.display());
    if model.exists() {
        println!("cargo::rustc-cfg=druse_shipped_model");
    } else {
        println!(
            "cargo::warning=models/gemsdiff-small.safetensors is missing: `druse sample` will need --model"
        );
        // Cargo looks at this folder again until the model appears.
        println!("cargo::rerun-if-changed=../../models");
    }
}
