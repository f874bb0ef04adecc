//! Writes the weights that come with the crate, from the published checkpoint:
//!
//! ```text
//! pip download --no-deps sevenn==0.13.0 && unzip sevenn-0.13.0-py3-none-any.whl 'sevenn/pretrained_potentials/*'
//! cargo run --release --example convert_sevennet -- \
//!   sevenn/pretrained_potentials/SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth sevennet \
//!   crates/druse-potential/weights/sevennet-0.safetensors
//! ```
//!
//! `druse import --kind sevennet` does the same for any checkpoint, without the notes on license and source.

use std::error::Error;
use std::path::Path;

use druse_nn::weights::torch::TorchFile;
use druse_potential::sevennet::published::import;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [checkpoint, name, out] = arguments.as_slice() else {
        return Err("expected three arguments: CHECKPOINT NAME OUT".into());
    };
    let weights = import(&TorchFile::read(Path::new(checkpoint))?, name)?
        .with_note("license", "MIT, Copyright (c) 2024 Yutack Park")
        .with_note(
            "source",
            &format!("sevenn 0.13.0 (PyPI), {}", checkpoint.rsplit("sevenn/").next().unwrap_or(checkpoint)),
        );
    weights.write(Path::new(out))?;
    Ok(())
}
